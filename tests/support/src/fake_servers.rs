//! Every server that a login meets, on loopback, each answer of which can be replaced.
//!
//! Honest by themselves: notification server (and one that refers to it), nexus, login page, and a
//! page it may redirect to. `tamper` gets each answer as a value and returns what is sent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use crate::answer::{Answer, Reply, Step, Then};
use crate::intermediary::Intermediary;
use crate::scripted::Scripted;

/// Decides what is sent in the place of an answer.
pub type Tamper = dyn Fn(Step, Answer) -> Reply + Send + Sync;

/// Serves one connection.
type Serve = dyn Fn(&TcpStream) + Send + Sync;

/// What the login goes through.
#[derive(Clone, Debug)]
pub struct Route {
    /// The first server refers to another one.
    pub referral: bool,
    /// The login page redirects to another one.
    pub redirect: bool,
    /// Nothing listens where this step would be.
    pub refused: Option<Step>,
    /// The certificate of each HTTPS server; none for plain HTTP.
    pub nexus: Option<Arc<ServerConfig>>,
    pub login: Option<Arc<ServerConfig>>,
    pub redirected: Option<Arc<ServerConfig>>,
    /// What stands in front of the servers.
    pub intermediary: Option<Intermediary>,
    /// Where the profile says that the client is; none for where it is.
    pub seen: Option<SocketAddr>,
    /// What the login page hands out.
    pub ticket: String,
    /// The `MSPAuth` of the profile.
    pub sso: String,
}

impl Route {
    /// The shortest way, with these certificates.
    pub fn over(tls: Option<Arc<ServerConfig>>) -> Self {
        Self {
            referral: false,
            redirect: false,
            refused: None,
            nexus: tls.clone(),
            login: tls.clone(),
            redirected: tls,
            intermediary: None,
            seen: None,
            ticket: "t=world-ticket&p=world".to_owned(),
            sso: "world-sso$$".to_owned(),
        }
    }
}

/// The servers of one login, until dropped. A panic in one of them fails the test.
pub struct FakeServers {
    /// The server to log in to.
    pub server: SocketAddr,
    /// Where the nexus is.
    pub nexus: String,
    /// Where the login page is.
    pub login: String,
    /// The option and the address of what stands in front of them.
    pub intermediary: Option<[String; 2]>,
    _listeners: Vec<Scripted>,
    /// Ports that are taken, and at which nothing listens.
    _closed: Vec<Socket>,
}

impl FakeServers {
    pub fn start(
        route: Route,
        tamper: impl Fn(Step, Answer) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let tamper: Arc<Tamper> = Arc::new(tamper);
        let (mut listeners, mut closed) = (Vec::new(), Vec::new());
        let mut open = |step: Step, serve: Box<Serve>| {
            if route.refused == Some(step) {
                let (socket, address) = closed_port();
                closed.push(socket);
                return address;
            }
            let listener = Scripted::start(move |stream, _| serve(stream));
            let address = listener.address;
            listeners.push(listener);
            address
        };
        let page =
            |tls: &Option<Arc<ServerConfig>>, tls_step, step, answer: Answer| -> Box<Serve> {
                let (tls, tamper) = (tls.clone(), Arc::clone(&tamper));
                Box::new(move |stream: &TcpStream| {
                    let _ = web(stream, tls.as_ref(), tls_step, step, &answer, &*tamper);
                })
            };
        let url = |tls: &Option<Arc<ServerConfig>>, at: SocketAddr, path: &str| {
            let scheme = if tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{at}{path}")
        };
        let ticket = Answer::ticket(&route.ticket);
        let (step, answer) = if route.redirect {
            // Its handshake is left alone: it is no other step than that of the login page.
            let step = Step::Redirected;
            let at = open(step, page(&route.redirected, None, step, ticket));
            let to = url(&route.redirected, at, "/ppsecure/sha1auth.srf?lc=1033");
            (Step::Redirect, Answer::redirect(&to))
        } else {
            (Step::Login, ticket)
        };
        let tls_step = route.login.as_ref().map(|_| Step::LoginTls);
        let at = open(Step::LoginTls, page(&route.login, tls_step, step, answer));
        let login = url(&route.login, at, "/login2.srf");
        let (tls_step, step) = (route.nexus.as_ref().map(|_| Step::NexusTls), Step::Nexus);
        let answer = Answer::nexus(&login);
        let at = open(Step::NexusTls, page(&route.nexus, tls_step, step, answer));
        let nexus = url(&route.nexus, at, "/rdr/pprdr.asp");

        let serve = |greeting: Step, to: Option<SocketAddr>| -> Box<Serve> {
            let (tamper, sso, seen) = (Arc::clone(&tamper), route.sso.clone(), route.seen);
            Box::new(move |stream: &TcpStream| {
                let _ = notification(stream, greeting, to, seen, &sso, &*tamper);
            })
        };
        let server = if route.referral {
            let to = open(Step::Again, serve(Step::Again, None));
            open(Step::Connect, serve(Step::Connect, Some(to)))
        } else {
            open(Step::Connect, serve(Step::Connect, None))
        };
        let intermediary = route.intermediary.map(|intermediary| {
            let (tamper, seen) = (Arc::clone(&tamper), route.seen.unwrap_or(server));
            let serve = Box::new(move |stream: &TcpStream| {
                let _ = intermediary.serve(stream, seen, &*tamper);
            });
            let step = match intermediary {
                Intermediary::HttpProxy => Step::HttpConnect,
                Intermediary::Socks5 => Step::Socks5Method,
                Intermediary::Socks4 => Step::Socks4Reply,
                Intermediary::Gateway => Step::GatewayOpen,
            };
            let at = open(step, serve);
            [intermediary.option().to_owned(), intermediary.url(at)]
        });
        Self {
            server,
            nexus,
            login,
            intermediary,
            _listeners: listeners,
            _closed: closed,
        }
    }
}

/// A port that nothing listens on, and that no other socket gets meanwhile.
fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    let address = socket.local_addr().ok().and_then(|at| at.as_socket());
    (socket, address.expect("an address"))
}

/// A connection, below TLS or without.
pub(crate) trait Wire: Read + Write {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for &TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for StreamOwned<ServerConnection, &TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.sock
    }
}

/// Sends a reply; an error where that was the last one.
pub(crate) fn send(wire: &mut impl Wire, reply: &Reply) -> io::Result<()> {
    match reply.pause {
        None => wire.write_all(&reply.bytes)?,
        Some(pause) => {
            for byte in &reply.bytes {
                wire.write_all(&[*byte])?;
                wire.flush()?;
                std::thread::sleep(pause);
            }
        }
    }
    wire.flush()?;
    let over = || Err(io::ErrorKind::ConnectionAborted.into());
    match reply.then {
        Then::Continue => Ok(()),
        Then::Silence => {
            drain(wire.tcp());
            over()
        }
        Then::Close => {
            // Unread bytes would make a reset of it.
            let _ = wire.tcp().shutdown(Shutdown::Write);
            drain(wire.tcp());
            over()
        }
        Then::Reset => {
            let _ = SockRef::from(wire.tcp()).set_linger(Some(Duration::ZERO));
            over()
        }
    }
}

fn drain(mut stream: &TcpStream) {
    let mut sink = [0; 4096];
    while matches!(stream.read(&mut sink), Ok(1..)) {}
}

/// A notification server; with `to` it refers there.
fn notification(
    stream: &TcpStream,
    greeting: Step,
    to: Option<SocketAddr>,
    seen: Option<SocketAddr>,
    sso: &str,
    tamper: &Tamper,
) -> io::Result<()> {
    let (here, peer) = (stream.local_addr()?, stream.peer_addr()?);
    let say = |step, answer| send(&mut &*stream, &tamper(step, answer));
    say(greeting, Answer::nothing(None))?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        let trid = words.get(1).copied().unwrap_or("0");
        let number = trid.parse().unwrap_or(0);
        match (words.first().copied(), words.get(3).copied(), to) {
            (Some("VER"), _, _) => say(Step::Ver, Answer::ver(trid))?,
            (Some("CVR"), _, _) => say(Step::Cvr, Answer::cvr(trid))?,
            (Some("USR"), Some("I"), Some(to)) => {
                say(Step::Xfr, Answer::referral(trid, to, here))?;
            }
            (Some("USR"), Some("I"), None) => {
                say(Step::UsrI, Answer::policy(trid))?;
                say(Step::Fetch, Answer::nothing(Some(number)))?;
            }
            (Some("USR"), Some("S"), _) => {
                say(Step::UsrS, Answer::configuration(number))?;
                say(Step::UsrOk, Answer::ok(trid))?;
                let mut profile = Answer::profile(seen.unwrap_or(peer), sso);
                profile.number = Some(number);
                say(Step::Profile, profile)?;
            }
            _ => {}
        }
    }
}

/// A server with one page.
fn web(
    mut stream: &TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    tls_step: Option<Step>,
    step: Step,
    answer: &Answer,
    tamper: &Tamper,
) -> io::Result<()> {
    let Some(config) = tls else {
        return pages(&mut stream, step, answer, tamper);
    };
    let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut tls_step = tls_step;
    while tls.is_handshaking() {
        if tls.wants_write() {
            let mut flight = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut flight)?;
            }
            let end = flight.len();
            let flight = Answer {
                word: Some(end - 1..end),
                // Of its first record (RFC 8446 §5.1).
                length: Some(3..5),
                bytes: flight,
                ..Answer::default()
            };
            // Later flights answer the client's own.
            let reply = match tls_step.take() {
                Some(step) => tamper(step, flight),
                None => Reply::new(flight.bytes),
            };
            send(&mut stream, &reply)?;
        } else {
            if tls.read_tls(&mut stream)? == 0 {
                return Ok(());
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
    pages(&mut StreamOwned::new(tls, stream), step, answer, tamper)
}

fn pages(wire: &mut impl Wire, step: Step, answer: &Answer, tamper: &Tamper) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        let mut lines = BufReader::with_capacity(1, &mut *wire);
        while !head.ends_with(b"\r\n\r\n") {
            if lines.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        send(wire, &tamper(step, answer.clone()))?;
    }
}
