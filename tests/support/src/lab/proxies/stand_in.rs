//! Small servers of our own where a real proxy would not misbehave reliably, and a relay.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::super::{Connection, socket};
use super::{Error, Host, Service};

/// A service that is not a real proxy. It keeps what it gets, for a test to check.
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

/// Answers each HTTP request by `answer`, which gets its number on the connection, from 0, and its
/// head; `None` is silence for good.
///
/// # Errors
///
/// When the address is not the host's, or is in use.
pub fn answers<F>(host: &Host, addr: SocketAddr, answer: F) -> Result<StandIn, Error>
where
    F: Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
{
    stand_in(host, addr, move |client| {
        for number in 0.. {
            let Some(head) = client.hear_request()? else {
                return Ok(());
            };
            match answer(number, &head) {
                Some(words) => client.say(words.as_bytes())?,
                None => return client.listen(),
            }
        }
        Ok(())
    })
}

/// A SOCKS4a proxy that knows one name, and dials `ip` for it. Dante knows SOCKS4 only.
///
/// # Errors
///
/// When the address is not the host's, or is in use.
pub fn socks4a(host: &Host, addr: SocketAddr, name: &str, ip: IpAddr) -> Result<Service, Error> {
    let name = name.to_owned();
    Service::start(host, addr, move |connection| {
        // A client that asks for something else sees the end of its connection.
        let _ = socks4a_client(connection, &name, ip);
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

    /// The head of its next HTTP request, the body thrown away; nothing when it has hung up.
    fn hear_request(&mut self) -> io::Result<Option<String>> {
        let mut heard = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&heard).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().filter_map(|line| line.split_once(": "));
                let length = length
                    .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .find_map(|(_, value)| value.parse().ok())
                    .unwrap_or(0);
                if body.len() >= length {
                    return Ok(Some(head.to_owned()));
                }
            }
            let more = self.hear()?;
            if more.is_empty() {
                return Ok(None);
            }
            heard.extend(more);
        }
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

/// `04 01`, the port, an address of `0.0.0.x`, a user and a name, each with a zero after it.
fn socks4a_client(connection: &Connection<'_>, name: &str, ip: IpAddr) -> io::Result<()> {
    let mut stream = connection.stream;
    let mut request = Vec::new();
    while request
        .get(8..)
        .unwrap_or_default()
        .split(|b| *b == 0)
        .count()
        < 3
    {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let asked = request[8..].split(|b| *b == 0).nth(1);
    let known = request.starts_with(&[4, 1]) && asked == Some(name.as_bytes());
    if !known {
        return stream.write_all(&[0, 0x5b, 0, 0, 0, 0, 0, 0]);
    }
    let port = u16::from_be_bytes([request[2], request[3]]);
    let upstream = TcpStream::connect_timeout(&SocketAddr::new(ip, port), DIAL)?;
    stream.write_all(&[0, 0x5a, 0, 0, 0, 0, 0, 0])?;
    join(connection, &upstream)
}

fn pass_on(connection: &Connection<'_>, upstream: Option<SocketAddr>) -> io::Result<()> {
    let to = match upstream {
        Some(addr) => addr,
        None => socket::original_destination(connection.stream)?,
    };
    let upstream = TcpStream::connect_timeout(&to, DIAL)?;
    join(connection, &upstream)
}

/// Copies both ways until both have ended.
fn join(connection: &Connection<'_>, server: &TcpStream) -> io::Result<()> {
    let _kept = connection.keep(server)?;
    let client = connection.stream;
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
