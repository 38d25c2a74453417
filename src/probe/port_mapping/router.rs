//! Requests to the router.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::ledger::{Entry, Ledger};
use super::upnp::{self, Service};
use super::{MappingProtocol, NoExternal, OpenedPorts, Protocol, gateway_end, nat_pmp, pcp};
use crate::conntype::can_be_local;
use crate::probe::exchange::{Exchange, Ignored};
use crate::transport::UdpSocket;

/// How long each try of a request waits: the router is on the link.
pub(super) const WAITS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
];

/// The same where what was opened is closed.
const CLOSING_WAITS: [Duration; 3] = [
    Duration::from_millis(150),
    Duration::from_millis(250),
    Duration::from_millis(400),
];

/// How many outside ports are tried, where others have them.
const TRIES: usize = 3;

/// How long a mapping lasts where it is not closed, in seconds.
const LIFETIME: u32 = 120;

/// The router, and this host's address toward it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Router<'a> {
    pub(super) gateway: Ipv4Addr,
    pub(super) local: Ipv4Addr,
    pub(super) ignored: &'a Ignored,
}

/// A way to open ports, with what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Pcp(pcp::Nonce),
    NatPmp,
    Upnp(Service),
}

impl Way {
    const fn protocol(&self) -> MappingProtocol {
        match self {
            Self::Pcp(_) => MappingProtocol::Pcp,
            Self::NatPmp => MappingProtocol::NatPmp,
            Self::Upnp(_) => MappingProtocol::Upnp,
        }
    }
}

/// A port that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    external: u16,
    /// The address outside, where the answer names it.
    address: Option<Ipv4Addr>,
}

/// Why a port is not known to be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    /// That outside port is mapped to another host.
    Conflict,
    /// The router says so.
    Refused,
    /// It says nothing that can be read.
    Unanswered,
}

impl From<NoExternal> for Unopened {
    fn from(_: NoExternal) -> Self {
        Self::Unanswered
    }
}

impl Router<'_> {
    /// The outside address by NAT-PMP.
    pub(super) async fn nat_pmp(&self) -> Result<Ipv4Addr, NoExternal> {
        let request = nat_pmp::address().to_vec();
        match self.ask(request, &WAITS, nat_pmp::parse).await? {
            nat_pmp::Response::Address(ip) => usable(ip),
            nat_pmp::Response::Refused(_) => Err(NoExternal::Refused),
            nat_pmp::Response::Mapped { .. } => Err(NoExternal::Malformed),
        }
    }

    /// Whether PCP is there.
    pub(super) async fn pcp(&self, nonce: pcp::Nonce) -> Result<Ipv4Addr, NoExternal> {
        let request = pcp::announce(self.local.into());
        let read = |bytes: &[u8]| pcp::parse(bytes, nonce);
        match self.ask(request, &WAITS, read).await? {
            pcp::Response::Announced => Err(NoExternal::OnlyWhenOpening),
            pcp::Response::Refused(_) => Err(NoExternal::Refused),
            pcp::Response::Mapped { .. } => Err(NoExternal::Malformed),
        }
    }

    /// Opens both ports in the first way that does. With the address outside, where it is told.
    pub(super) async fn open(
        &self,
        ways: Vec<Way>,
        (tcp, udp): (u16, u16),
        ledger: &Ledger,
    ) -> Option<(OpenedPorts, Option<Ipv4Addr>)> {
        for way in ways {
            let tcp = self.map(&way, Protocol::Tcp, tcp, ledger).await;
            let udp = match tcp {
                Some(_) => self.map(&way, Protocol::Udp, udp, ledger).await,
                None => None,
            };
            if let (Some(tcp), Some(udp)) = (tcp, udp) {
                let opened = OpenedPorts {
                    by: way.protocol(),
                    tcp: tcp.external,
                    udp: udp.external,
                };
                ledger.opened(opened);
                return Some((opened, tcp.address));
            }
            ledger.close().await;
        }
        None
    }

    async fn map(
        &self,
        way: &Way,
        protocol: Protocol,
        port: u16,
        ledger: &Ledger,
    ) -> Option<Opened> {
        let mut entry = Entry {
            gateway: self.gateway,
            local: self.local,
            way: way.clone(),
            protocol,
            internal: port,
            external: port,
            is_confirmed: false,
        };
        for _ in 0..TRIES {
            let at = ledger.note(entry.clone());
            match self.request(&entry, LIFETIME, &WAITS).await {
                Ok(opened) => {
                    ledger.confirm(at, opened.external);
                    return Some(opened);
                }
                Err(Unopened::Conflict) => {
                    ledger.forget(at);
                    entry.external = fastrand::u16(49152..);
                }
                Err(Unopened::Refused) => {
                    ledger.forget(at);
                    return None;
                }
                // It may be open nevertheless.
                Err(Unopened::Unanswered) => return None,
            }
        }
        None
    }

    /// Ends a mapping; whether the router says that it has.
    pub(super) async fn unmap(&self, entry: &Entry) -> bool {
        match &entry.way {
            Way::Upnp(service) => upnp::unmap(self, service, entry).await,
            _ => self.request(entry, 0, &CLOSING_WAITS).await.is_ok(),
        }
    }

    async fn request(
        &self,
        entry: &Entry,
        lifetime: u32,
        waits: &[Duration],
    ) -> Result<Opened, Unopened> {
        let (of, port) = (entry.protocol, entry.internal);
        let (is_ours, external, granted, address) = match &entry.way {
            Way::Upnp(service) => {
                upnp::map(self, service, entry, lifetime).await?;
                return Ok(Opened {
                    external: entry.external,
                    address: None,
                });
            }
            Way::NatPmp => {
                let request = nat_pmp::map(of, port, lifetime);
                match self.ask(request, waits, nat_pmp::parse).await? {
                    nat_pmp::Response::Mapped {
                        protocol,
                        internal,
                        external,
                        lifetime,
                    } => {
                        let is_ours = (protocol, internal) == (of, port);
                        (is_ours, external, lifetime, None)
                    }
                    nat_pmp::Response::Refused(_) => return Err(Unopened::Refused),
                    nat_pmp::Response::Address(_) => return Err(Unopened::Unanswered),
                }
            }
            Way::Pcp(nonce) => {
                let request = pcp::map(of, self.local.into(), port, lifetime, *nonce);
                let read = |bytes: &[u8]| pcp::parse(bytes, *nonce);
                match self.ask(request, waits, read).await? {
                    pcp::Response::Mapped {
                        protocol,
                        internal,
                        external,
                        address,
                        lifetime,
                    } => {
                        let is_ours = (protocol, internal) == (of, port);
                        (is_ours, external, lifetime, Some(address))
                    }
                    pcp::Response::Refused(_) => return Err(Unopened::Refused),
                    pcp::Response::Announced => return Err(Unopened::Unanswered),
                }
            }
        };
        let address = address.and_then(|address| match address {
            IpAddr::V4(ip) => usable(ip).ok(),
            IpAddr::V6(_) => None,
        });
        match is_ours && (granted > 0) == (lifetime > 0) {
            true => Ok(Opened { external, address }),
            false => Err(Unopened::Unanswered),
        }
    }

    /// One request by UDP.
    async fn ask<T>(
        &self,
        request: Vec<u8>,
        waits: &[Duration],
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, NoExternal> {
        let to = gateway_end(self.gateway);
        let mut socket = UdpSocket::open(self.local.into()).await.map_err(refusal)?;
        // Then the system reports that the port is closed.
        socket.connect(to).await.map_err(refusal)?;
        let exchange = Exchange {
            requests: &[vec![(to, request)]],
            read: |bytes: &[u8], from| Some((0, (from == to).then(|| read(bytes))??)),
            ignored: self.ignored,
        };
        let mut answers = exchange.run(&socket, waits).await.map_err(refusal)?;
        let answer = answers.pop().flatten().ok_or(NoExternal::NoAnswer)?;
        Ok(answer.0)
    }
}

/// What an error of a socket says of the router.
pub(super) fn refusal(error: io::Error) -> NoExternal {
    match error.kind() {
        // Windows reports the ICMP error as a reset.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => NoExternal::Closed,
        _ => NoExternal::NotSent,
    }
}

/// An address that can be one's own.
pub(super) fn usable(ip: Ipv4Addr) -> Result<Ipv4Addr, NoExternal> {
    match can_be_local(SocketAddr::from((ip, 1))) {
        true => Ok(ip),
        false => Err(NoExternal::NoAddress),
    }
}
