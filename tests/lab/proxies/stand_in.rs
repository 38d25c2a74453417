//! Small servers of our own where a real proxy would not misbehave reliably, and a relay.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::super::{Connection, socket};
use super::{Error, Host, Service};

/// A service that is no real proxy. It keeps what it is told, for a test to look at.
#[derive(Debug)]
pub struct StandIn {
    /// Where clients dial it.
    pub addr: SocketAddr,
    heard: Heard,
    _service: Service,
}

impl StandIn {
    /// What each connection said so far, the oldest first.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Accepts, listens, and never says anything.
///
/// # Errors
///
/// When the address is not the host's, or is in use.
pub fn hangs(host: &Host, addr: SocketAddr) -> Result<StandIn, Error> {
    stand_in(host, addr, |client: &mut Client<'_>| client.listen())
}

/// Accepts and closes as soon as the client has said something.
///
/// # Errors
///
/// When the address is not the host's, or is in use.
pub fn hangs_up(host: &Host, addr: SocketAddr) -> Result<StandIn, Error> {
    stand_in(host, addr, |client| client.hear().map(drop))
}

/// Refuses every request in the language it was made in: SOCKS4 (0x5b), SOCKS5 (0xff for the
/// methods if "no authentication" is not among them, else 0x02 for the request) or HTTP (403).
///
/// # Errors
///
/// When the address is not the host's, or is in use.
pub fn refuses(host: &Host, addr: SocketAddr) -> Result<StandIn, Error> {
    stand_in(host, addr, refuse)
}

/// Says `words` at once, whatever the client wants, and then nothing more: a banner such as
/// `SSH-2.0-OpenSSH_9.2\r\n`.
///
/// # Errors
///
/// When the address is not the host's, or is in use.
pub fn speaks(host: &Host, addr: SocketAddr, words: &[u8]) -> Result<StandIn, Error> {
    let words = words.to_vec();
    stand_in(host, addr, move |client| {
        client.say(&words)?;
        client.listen()
    })
}

/// Passes every connection on to `upstream`, or without one to where it was going before an nft
/// `redirect` or `dnat`, as a transparent proxy does.
///
/// # Errors
///
/// When the address is not the host's, or is in use.
pub fn relay(
    host: &Host,
    addr: SocketAddr,
    upstream: Option<SocketAddr>,
) -> Result<Service, Error> {
    Service::start(host, addr, move |connection| {
        // The client sees the end of its connection, which is all a transparent proxy can say.
        let _ = pass_on(connection, upstream);
    })
}

/// How long a relay dials; its drop may have to wait as long.
const DIAL: Duration = Duration::from_secs(3);

/// What the connections of a stand-in said, one entry each.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

fn stand_in<F>(host: &Host, addr: SocketAddr, answer: F) -> Result<StandIn, Error>
where
    F: Fn(&mut Client<'_>) -> io::Result<()> + Send + Sync + 'static,
{
    let heard = Heard::default();
    let record = Arc::clone(&heard);
    let service = Service::start(host, addr, move |connection| {
        let mut heard = record.lock().unwrap_or_else(PoisonError::into_inner);
        let number = heard.len();
        heard.push(Vec::new());
        drop(heard);
        // A client may break off at any word.
        let _ = answer(&mut Client {
            stream: connection.stream,
            heard: &record,
            number,
        });
    })?;
    Ok(StandIn {
        addr: service.addr(),
        heard,
        _service: service,
    })
}

/// The other end of one connection to a stand-in.
struct Client<'a> {
    stream: &'a TcpStream,
    heard: &'a Heard,
    number: usize,
}

impl Client<'_> {
    /// What it says next; empty when it has hung up.
    fn hear(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 4096];
        let read = self.stream.read(&mut buffer)?;
        let words = buffer[..read].to_vec();
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)[self.number]
            .extend_from_slice(&words);
        Ok(words)
    }

    fn say(&mut self, words: &[u8]) -> io::Result<()> {
        self.stream.write_all(words)
    }

    /// Hears it out.
    fn listen(&mut self) -> io::Result<()> {
        while !self.hear()?.is_empty() {}
        Ok(())
    }
}

fn refuse(client: &mut Client<'_>) -> io::Result<()> {
    let first = client.hear()?;
    match first.first() {
        Some(4) => client.say(&[0, 0x5b, 0, 0, 0, 0, 0, 0])?,
        Some(5) if !first.get(2..).unwrap_or_default().contains(&0) => client.say(&[5, 0xff])?,
        Some(5) => {
            client.say(&[5, 0])?;
            client.hear()?;
            client.say(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0])?;
        }
        _ => client
            .say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?,
    }
    // Closing with unread input would reset the connection and could overtake the answer.
    client.stream.shutdown(Shutdown::Write)?;
    client.listen()
}

fn pass_on(connection: &Connection<'_>, upstream: Option<SocketAddr>) -> io::Result<()> {
    let to = match upstream {
        Some(addr) => addr,
        None => socket::original_destination(connection.stream)?,
    };
    let upstream = TcpStream::connect_timeout(&to, DIAL)?;
    let _kept = connection.keep(&upstream)?;
    let (client, server) = (connection.stream, &upstream);
    thread::scope(|scope| {
        scope.spawn(|| copy_until_end(client, server));
        copy_until_end(server, client);
    });
    Ok(())
}

/// Copies one direction and passes its end on. A break is an end, too.
fn copy_until_end(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
