//! What the tests with a STUN server show, in the terms of RFC 4787.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::{Filtering, NatMapping, UdpLabel};

/// What came of a request whose answer is to come from elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Changed {
    /// It was not sent.
    #[default]
    NotAsked,
    /// Nothing came back.
    Nothing,
    /// The answer came from where it was to come from.
    FromThere,
    /// The answer came from where the request went: the server ignores what was asked.
    FromServer,
    /// An error with this code.
    Refused(u16),
}

/// What carries the requests to a STUN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StunTransport {
    /// UDP.
    Udp,
    /// TCP, which tells the outside end and the mapping of TCP alone.
    Tcp,
}

/// What the tests with one server observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StunEvidence {
    /// What carried the requests.
    pub transport: StunTransport,
    /// The server.
    pub server: SocketAddr,
    /// Its other address and port, as it names them.
    pub other: Option<SocketAddr>,
    /// The local end.
    pub local: SocketAddr,
    /// `ClientIP` of a profile, where there is one.
    pub client_ip: Option<IpAddr>,
    /// This host's end as the server sees it. `None` where it does not answer.
    pub outside: Option<SocketAddr>,
    /// What was seen of another socket, all three from one port: at the server, at its other address,
    /// and at the other port there (RFC 5780, section 4.3).
    pub mapped: [Option<SocketAddr>; 3],
    /// Whether a further server, at another address, saw the same end. `None` where there is none.
    pub alike: Option<bool>,
    /// From a socket that has sent to the server's first address alone: an answer from the other port,
    /// and from the other address (RFC 5780, section 4.4).
    pub let_in: [Changed; 2],
    /// The same from a socket that has sent to all four ends, so that a NAT lets in what the server
    /// sends.
    pub control: [Changed; 2],
    /// Whether a packet to the own outside end came back. `None` where none was sent.
    pub came_back: Option<bool>,
    /// The time from the first request to its answer.
    pub round_trip: Option<Duration>,
    /// Packets that answer no request.
    pub ignored: u32,
}

/// Why something cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StunUnknown {
    /// The server did not answer.
    NoAnswer,
    /// The server names no other address that is usable.
    NoOtherAddress,
    /// The server's other address did not answer.
    OtherAddressSilent,
    /// The server answers from the address that was asked, whatever it is asked for.
    ChangeIgnored,
    /// The server refuses to answer from elsewhere.
    ChangeRefused,
    /// Nothing shows that the server answers from elsewhere at all.
    ChangeNotSeen,
    /// The mapping would keep such answers out, whatever is let in.
    HiddenByMapping,
    /// There is no NAT.
    NoNat,
    /// The server was asked over TCP, which cannot show it.
    OverTcp,
}

impl StunEvidence {
    /// How the NAT maps.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn mapping(&self) -> Result<NatMapping, StunUnknown> {
        if self.outside.ok_or(StunUnknown::NoAnswer)? == self.local {
            return Ok(NatMapping::None);
        }
        match (self.mapped, self.alike) {
            ([Some(one), Some(two), _], _) if one == two => Ok(NatMapping::EndpointIndependent),
            ([Some(_), Some(two), Some(three)], _) => Ok(match two == three {
                true => NatMapping::AddressDependent,
                false => NatMapping::AddressAndPortDependent,
            }),
            ([Some(_), Some(_), None], _) | (_, Some(false)) => Ok(NatMapping::EndpointDependent),
            (_, Some(true)) => Ok(NatMapping::EndpointIndependent),
            (_, None) => Err(match self.other {
                Some(_) => StunUnknown::OtherAddressSilent,
                None => StunUnknown::NoOtherAddress,
            }),
        }
    }

    /// What is let in. An answer that does not come was kept out only if the server is known to send
    /// such answers.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn filtering(&self) -> Result<Filtering, StunUnknown> {
        self.outside.ok_or(StunUnknown::NoAnswer)?;
        if self.transport == StunTransport::Tcp {
            return Err(StunUnknown::OverTcp);
        }
        self.other.ok_or(StunUnknown::NoOtherAddress)?;
        let all = || self.let_in.iter().chain(&self.control);
        if all().any(|one| *one == Changed::FromServer) {
            return Err(StunUnknown::ChangeIgnored);
        }
        if all().any(|one| matches!(one, Changed::Refused(_))) {
            return Err(StunUnknown::ChangeRefused);
        }
        let came = |one| one == Changed::FromThere;
        let [port, both] = self.let_in.map(came);
        let [sends_port, sends_both] = self.control.map(came);
        match (port, both) {
            (_, true) => Ok(Filtering::EndpointIndependent),
            (true, false) if sends_both => Ok(Filtering::AddressDependent),
            (false, false) if sends_port => Ok(Filtering::AddressAndPortDependent),
            _ => Err(match self.mapping() {
                Ok(NatMapping::None | NatMapping::EndpointIndependent) | Err(_) => {
                    StunUnknown::ChangeNotSeen
                }
                Ok(_) => StunUnknown::HiddenByMapping,
            }),
        }
    }

    /// Whether hosts behind the NAT reach each other's outside ends.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn hairpin(&self) -> Result<bool, StunUnknown> {
        let mapping = self.mapping();
        match (mapping, self.came_back) {
            _ if self.transport == StunTransport::Tcp => Err(StunUnknown::OverTcp),
            (_, Some(true)) => Ok(true),
            (Ok(NatMapping::None), _) => Err(StunUnknown::NoNat),
            (Ok(NatMapping::EndpointIndependent), Some(false)) => Ok(false),
            (Ok(_), _) => Err(StunUnknown::HiddenByMapping),
            (Err(why), _) => Err(why),
        }
    }

    /// Whether the NAT keeps the port. `None` where the server does not answer.
    #[must_use]
    pub fn port_kept(&self) -> Option<bool> {
        self.outside
            .map(|outside| outside.port() == self.local.port())
    }

    /// The label of UDP in the words of UDP echo: what its three tests would find. `None` over TCP.
    #[must_use]
    pub fn label(&self) -> Option<UdpLabel> {
        if self.transport == StunTransport::Tcp {
            return None;
        }
        let Some(outside) = self.outside else {
            return Some(UdpLabel::Firewall);
        };
        if outside.ip() == self.local.ip() {
            return Some(UdpLabel::of_kept(outside.ip(), self.client_ip));
        }
        Some(match (self.mapping(), self.filtering()) {
            (_, Ok(Filtering::EndpointIndependent | Filtering::AddressDependent)) => {
                UdpLabel::IpRestrictNat
            }
            (Ok(NatMapping::EndpointIndependent), Ok(Filtering::AddressAndPortDependent)) => {
                UdpLabel::PortRestrictNat
            }
            (Ok(NatMapping::None | NatMapping::EndpointIndependent) | Err(_), _) => {
                UdpLabel::UnknownConnect
            }
            (Ok(_), _) => UdpLabel::SymmetricNat,
        })
    }
}

#[cfg(test)]
mod tests;
