//! Ports to be called at.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use super::UdpSocket;

/// A port for TCP and one for UDP, both open.
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) udp: UdpSocket,
}

impl Listener {
    /// Opens both: the same number, or, where that is 0, whichever the system picks.
    pub(crate) async fn open(ip: IpAddr, port: u16) -> io::Result<Self> {
        let socket = match ip {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Connections of an earlier run keep the port otherwise.
        socket.set_reuseaddr(cfg!(unix))?;
        socket.bind(SocketAddr::new(ip, port))?;
        Ok(Self {
            tcp: socket.listen(8)?,
            udp: UdpSocket::open_at(SocketAddr::new(ip, port)).await?,
        })
    }

    /// The numbers of both.
    pub(crate) fn ports(&self) -> io::Result<(u16, u16)> {
        let tcp = self.tcp.local_addr()?.port();
        Ok((tcp, self.udp.local()?.port()))
    }
}
