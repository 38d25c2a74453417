//! What came of a server's calls to this host: its place in the document.

use std::net::SocketAddr;

use serde::Serialize;

use crate::address::Address;
use crate::conntype::{Call, Calls, ListenEvidence};
use crate::failure::Failure;
use crate::mask::Mask;
use crate::report::ErrorReport;
use crate::report::model::endpoint;

/// Whether a server could call this host.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListenReport {
    /// The server's name and port as requested.
    pub server: Address,
    /// The server's address. Null where the test did not end.
    #[cfg_attr(test, schemars(with = "Option<Address>"))]
    pub address: Option<SocketAddr>,
    /// The local end of the connection that asked for the calls. Null where the test did not end.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<crate::report::model::Endpoint>"))]
    pub local: Option<SocketAddr>,
    /// The same as the server sees it; its address was called. Null where the test did not end.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<crate::report::model::Endpoint>"))]
    pub seen: Option<SocketAddr>,
    /// Whether a call over TCP reached this host, in either way. Null where that was not tested.
    pub tcp: Option<bool>,
    /// The same over UDP.
    pub udp: Option<bool>,
    /// The calls to the ports of this host. Null where the test did not end.
    pub own: Option<CallsReport>,
    /// The calls to the ports that the router opened. Null where it opened none.
    pub mapped: Option<CallsReport>,
    /// Why nothing was tested. Null where it was.
    pub error: Option<ErrorReport>,
}

/// Calls to one port each of TCP and UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CallsReport {
    /// The TCP port that was called.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub tcp_port: u16,
    /// What came of the call over TCP.
    pub tcp: Call,
    /// The UDP port that was called.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub udp_port: u16,
    /// What came of the call over UDP.
    pub udp: Call,
}

impl From<Calls> for CallsReport {
    fn from(calls: Calls) -> Self {
        let Calls {
            tcp_port,
            udp_port,
            tcp,
            udp,
        } = calls;
        Self {
            tcp_port,
            tcp,
            udp_port,
            udp,
        }
    }
}

impl ListenReport {
    /// What the calls of `server` came to.
    #[must_use]
    pub fn of(server: &Address, outcome: &Result<ListenEvidence, Failure>) -> Self {
        let seen = outcome.as_ref().ok();
        Self {
            server: server.clone(),
            address: seen.map(|seen| seen.server),
            local: seen.map(|seen| seen.local),
            seen: seen.map(|seen| seen.seen),
            tcp: seen.and_then(ListenEvidence::tcp),
            udp: seen.and_then(ListenEvidence::udp),
            own: seen.map(|seen| seen.own.into()),
            mapped: seen.and_then(|seen| seen.mapped).map(Into::into),
            error: outcome.as_ref().err().map(Into::into),
        }
    }

    pub(super) fn masked(self, mask: &mut Mask) -> Self {
        let mut socket = |end: Option<SocketAddr>| end.map(|end| mask.socket(end));
        let (address, local, seen) = (socket(self.address), socket(self.local), socket(self.seen));
        let mut calls = |calls: Option<CallsReport>| {
            calls.map(|calls| CallsReport {
                tcp_port: mask.port(calls.tcp_port),
                udp_port: mask.port(calls.udp_port),
                ..calls
            })
        };
        let (own, mapped) = (calls(self.own), calls(self.mapped));
        Self {
            server: mask.address(&self.server),
            address,
            local,
            seen,
            own,
            mapped,
            error: self.error.map(|error| error.masked(mask)),
            ..self
        }
    }

    /// The result in a few words, for a heading.
    pub(in crate::report) const fn heading(&self) -> &'static str {
        match (self.tcp, self.udp) {
            (Some(true), Some(true)) => "a server reached this computer",
            (Some(true), _) => "a server reached this computer over TCP",
            (_, Some(true)) => "a server reached this computer over UDP",
            (None, None) => "not tested",
            _ => "a server did not reach this computer",
        }
    }

    /// The observations in sentences.
    pub(in crate::report) fn sentences(&self) -> Vec<String> {
        let mut sentences = ErrorReport::sentences(self.error.as_ref());
        if let (Some(seen), Some(own)) = (self.seen, self.own) {
            let at = seen.ip();
            sentences.push(format!("{} called {at}.", self.server));
            let port = own.tcp_port;
            sentences.push(said(&format!("TCP, port {port}"), own.tcp));
            let port = own.udp_port;
            sentences.push(said(&format!("UDP, port {port}"), own.udp));
        }
        if let Some(mapped) = self.mapped {
            let port = mapped.tcp_port;
            sentences.push(said(
                &format!("TCP, port {port} that the router opened"),
                mapped.tcp,
            ));
            let port = mapped.udp_port;
            sentences.push(said(
                &format!("UDP, port {port} that the router opened"),
                mapped.udp,
            ));
        }
        sentences
    }
}

fn said(what: &str, call: Call) -> String {
    let came = match call {
        Call::Arrived => "the call arrived",
        Call::Lost => "the call did not arrive",
        Call::Refused => "something on the way, or this computer's firewall, refused the call",
        Call::Elsewhere => "something else on the way took the call",
        Call::Untested => "not tested, the server could not call",
    };
    format!("{what}: {came}.")
}
