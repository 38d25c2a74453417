//! What came of a server's calls to this host.

use std::net::SocketAddr;

use serde::Serialize;

/// Whether others can reach this host: what came of the calls that it asked a server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenEvidence {
    /// The server.
    pub server: SocketAddr,
    /// The local end of the connection that asked for the calls.
    pub local: SocketAddr,
    /// The same as the server sees it. Its address is the one that is called.
    pub seen: SocketAddr,
    /// The calls to the ports of this host, as a peer makes them that knows its address.
    pub own: Calls,
    /// The calls to the ports that the router opened; `None` where it opened none.
    pub mapped: Option<Calls>,
}

/// One call over TCP and one over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// The TCP port that was called.
    pub tcp_port: u16,
    /// The UDP port that was called.
    pub udp_port: u16,
    /// What came of the call over TCP.
    pub tcp: Call,
    /// What came of the call over UDP.
    pub udp: Call,
}

/// What came of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// It arrived, with what only the server knew.
    Arrived,
    /// The server called, and nothing arrived.
    Lost,
    /// Something on the way refused it.
    Refused,
    /// Something on the way accepted it, and not this host.
    Elsewhere,
    /// The server could not call.
    Untested,
}

impl Call {
    /// Whether this host was reached; `None` where that was not tested.
    #[must_use]
    pub const fn reached(self) -> Option<bool> {
        match self {
            Self::Arrived => Some(true),
            Self::Lost | Self::Refused | Self::Elsewhere => Some(false),
            Self::Untested => None,
        }
    }
}

impl ListenEvidence {
    /// Whether a call over TCP reached this host in any way; `None` where that was not tested.
    #[must_use]
    pub fn tcp(&self) -> Option<bool> {
        either(self.own.tcp, self.mapped.map(|calls| calls.tcp))
    }

    /// The same of UDP.
    #[must_use]
    pub fn udp(&self) -> Option<bool> {
        either(self.own.udp, self.mapped.map(|calls| calls.udp))
    }
}

fn either(own: Call, mapped: Option<Call>) -> Option<bool> {
    let mapped = mapped.and_then(Call::reached);
    match (own.reached(), mapped) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (own, mapped) => own.or(mapped),
    }
}
