//! A server that tells everybody which address it sees them at, and remembers it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Connection, Error, Host, Service};

/// One connection as the server saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Where the connection came from.
    pub peer: SocketAddr,
    /// Which address of the server it came to.
    pub local: SocketAddr,
}

/// Greets every connection with a line of its address as seen here, then echoes what it gets.
#[derive(Debug)]
pub struct Observer {
    seen: Arc<Mutex<Vec<Sighting>>>,
    services: Vec<Service>,
}

impl Observer {
    /// Starts it on each of the addresses.
    ///
    /// # Errors
    ///
    /// When an address is not the host's, or is in use.
    pub fn start(host: &Host, addresses: &[SocketAddr]) -> Result<Self, Error> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let serve = |addr: &SocketAddr| {
            let seen = Arc::clone(&seen);
            Service::start(host, *addr, move |connection| {
                let sighting = Sighting {
                    peer: connection.peer,
                    local: connection.local,
                };
                // Before the greeting, so that who was greeted is in the record.
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(sighting);
                // The client may leave at any time.
                let _ = greet_and_echo(connection);
            })
        };
        let services = addresses.iter().map(serve).collect::<Result<_, _>>()?;
        Ok(Self { seen, services })
    }

    /// Where it listens, in the order given to [`start`](Self::start).
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.services.iter().map(Service::addr).collect()
    }

    /// All connections so far, the oldest first.
    pub fn seen(&self) -> Vec<Sighting> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Reads an observer's greeting: the address that it sees this connection at.
///
/// # Errors
///
/// When the connection breaks, is silent for ten seconds, or says something else.
pub fn ask(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut line = String::new();
    BufReader::new(stream.take(64)).read_line(&mut line)?;
    line.trim_end()
        .parse()
        .map_err(|_| io::Error::other(format!("not a greeting: {line:?}")))
}

fn greet_and_echo(connection: &Connection<'_>) -> io::Result<()> {
    let mut stream = connection.stream;
    stream.write_all(format!("{}\n", connection.peer).as_bytes())?;
    io::copy(&mut &*stream, &mut stream).map(drop)
}
