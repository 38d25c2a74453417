//! Datagrams.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use socket2::SockRef;

use super::{Dialer, Family, Route};
use crate::address::Address;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::run_log::{Purpose, RunLog};

/// The address of a server of UDP echo; its packets carry IPv4 only. Proxies carry no UDP.
pub(crate) async fn resolve_v4(
    route: &Route,
    to: &Address,
    log: &RunLog,
) -> Result<SocketAddrV4, Failure> {
    let route = Route {
        family: match route.family {
            Family::Any => Family::V4,
            family => family,
        },
        ..route.clone()
    };
    match resolve(&route, to, Purpose::UdpEcho, log).await? {
        SocketAddr::V4(at) => Ok(at),
        SocketAddr::V6(_) => Err(Failure::new(
            Stage::UdpEcho,
            ErrorCode::NoUsableAddress,
            format!("{}: UDP echo works over IPv4 only", to.host),
        )),
    }
}

/// The first address of a server. Proxies carry no UDP.
pub(crate) async fn resolve(
    route: &Route,
    to: &Address,
    purpose: Purpose,
    log: &RunLog,
) -> Result<SocketAddr, Failure> {
    let dialer = Dialer { route, log };
    let found = dialer.resolve(to, purpose).await?;
    found.first().copied().ok_or_else(|| {
        let why = format!("{} has no address", to.host);
        Failure::new(
            purpose.stage(Stage::Resolve),
            ErrorCode::NoUsableAddress,
            why,
        )
    })
}

/// A socket for datagrams, with or without a remote end.
pub(crate) struct UdpSocket {
    inner: tokio::net::UdpSocket,
    toward: Option<SocketAddr>,
}

impl UdpSocket {
    /// Opens a socket at a port that the system picks.
    pub(crate) async fn open(ip: IpAddr) -> io::Result<Self> {
        Self::open_at(SocketAddr::new(ip, 0)).await
    }

    /// Opens a socket at this end.
    pub(super) async fn open_at(at: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            inner: tokio::net::UdpSocket::bind(at).await?,
            toward: None,
        })
    }

    /// Sends to groups through the interface of this local address.
    pub(crate) fn multicast_from(&self, ip: Ipv4Addr) -> io::Result<()> {
        SockRef::from(&self.inner).set_multicast_if_v4(&ip)
    }

    /// Receives from this end alone from now on, and the ICMP errors of what is sent there.
    pub(crate) async fn connect(&mut self, to: SocketAddr) -> io::Result<()> {
        self.inner.connect(to).await?;
        self.toward = Some(to);
        Ok(())
    }

    /// The local end; its address is known once there is a remote one.
    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Sends one datagram.
    pub(crate) async fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        match self.toward == Some(to) {
            true => self.inner.send(bytes).await,
            false => self.inner.send_to(bytes, to).await,
        }
        .map(drop)
    }

    /// Receives one datagram, as far as it fits.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.recv_from(buffer).await
    }
}
