//! A NAT for loopback: passes one connection on from another address, another port, or both.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What the server sees otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// Our address, another port.
    Port,
    /// Another address, our port.
    Address,
    /// Another address and another port.
    Both,
}

/// The address that stands for a NAT's outside: all of 127.0.0.0/8 is this host.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How often another port is asked for, where the system gives the very port that must not be.
const TRIES: usize = 8;

/// A relay that has its address and passes nothing on yet.
pub(super) struct Relay {
    listener: TcpListener,
    address: SocketAddr,
    rewrite: Rewrite,
}

impl Relay {
    /// A relay on a port of the system's choice.
    pub(super) async fn bind(rewrite: Rewrite) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            rewrite,
        })
    }

    /// Where clients find it.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes every connection on to `server`, until it is dropped.
    pub(super) async fn run(self, server: SocketAddr) {
        while let Ok((client, from)) = self.listener.accept().await {
            let rewrite = self.rewrite;
            tokio::spawn(async move {
                // A connection that cannot be passed on is closed; the client sees that.
                if let Err(error) = pass_on(client, from, server, rewrite).await {
                    tracing::debug!(%error, "relay");
                }
            });
        }
    }
}

async fn pass_on(
    mut client: TcpStream,
    from: SocketAddr,
    server: SocketAddr,
    rewrite: Rewrite,
) -> io::Result<()> {
    let mut onward = connect(from, server, rewrite).await?;
    client.set_nodelay(true)?;
    onward.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut onward).await?;
    Ok(())
}

async fn connect(from: SocketAddr, server: SocketAddr, rewrite: Rewrite) -> io::Result<TcpStream> {
    for _ in 0..TRIES {
        let socket = TcpSocket::new_v4()?;
        let source = match rewrite {
            Rewrite::Port => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Rewrite::Address => SocketAddr::from((OUTSIDE, from.port())),
            Rewrite::Both => SocketAddr::from((OUTSIDE, 0)),
        };
        socket.bind(source)?;
        let kept = socket.local_addr()?.port() == from.port();
        if kept == (rewrite == Rewrite::Address) {
            return socket.connect(server).await;
        }
    }
    Err(io::Error::other("the system gives no other port"))
}
