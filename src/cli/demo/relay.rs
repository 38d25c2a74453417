//! A NAT on loopback: relays connections from another address, another port, or both.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What the relay changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Translation {
    /// Our address, another port.
    Port,
    /// Another address, our port.
    Address,
    /// Another address and another port.
    Both,
}

/// The address that stands for a NAT's outside: all of 127.0.0.0/8 is this host.
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Number of attempts to get a port that fits the translation.
const TRIES: usize = 8;

/// A relay that listens and does not relay yet.
pub(super) struct Relay {
    listener: TcpListener,
    address: SocketAddr,
    translation: Translation,
}

impl Relay {
    /// A relay on a port that the system chooses.
    pub(super) async fn bind(translation: Translation) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            translation,
        })
    }

    /// The address that it listens on.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Relays every connection to `server`, until it is dropped.
    pub(super) async fn run(self, server: SocketAddr) {
        while let Ok((client, from)) = self.listener.accept().await {
            let translation = self.translation;
            tokio::spawn(async move {
                // A connection that cannot be relayed is closed, which the client observes.
                if let Err(error) = relay(client, from, server, translation).await {
                    tracing::debug!(%error, "relay");
                }
            });
        }
    }
}

async fn relay(
    mut client: TcpStream,
    from: SocketAddr,
    server: SocketAddr,
    translation: Translation,
) -> io::Result<()> {
    let mut onward = connect(from, server, translation).await?;
    client.set_nodelay(true)?;
    onward.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut onward).await?;
    Ok(())
}

async fn connect(
    from: SocketAddr,
    server: SocketAddr,
    translation: Translation,
) -> io::Result<TcpStream> {
    for _ in 0..TRIES {
        let socket = TcpSocket::new_v4()?;
        let source = match translation {
            Translation::Port => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Translation::Address => SocketAddr::from((OUTSIDE, from.port())),
            Translation::Both => SocketAddr::from((OUTSIDE, 0)),
        };
        socket.bind(source)?;
        let kept = socket.local_addr()?.port() == from.port();
        if kept == (translation == Translation::Address) {
            return socket.connect(server).await;
        }
    }
    Err(io::Error::other("the system chose no suitable port"))
}
