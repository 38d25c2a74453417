//! Every server that a login meets, on loopback, each answer of which can be twisted.
//!
//! Honest by itself: notification server (and one that refers to it), nexus, login page, and a
//! page it may redirect to. The twist gets each answer as a value and says what becomes of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use super::answer::{Answer, Move, Step, Then};
use super::detour::Detour;

/// How long a server waits for a client that says nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Decides what becomes of an answer.
pub type Twist = dyn Fn(Step, Answer) -> Move + Send + Sync;

/// No twist.
pub fn honest(_: Step, answer: Answer) -> Move {
    Move::say(answer.bytes)
}

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
    pub detour: Option<Detour>,
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
            detour: None,
            seen: None,
            ticket: "t=world-ticket&p=world".to_owned(),
            sso: "world-sso$$".to_owned(),
        }
    }
}

/// The servers of one login, until dropped.
pub struct World {
    /// The server to log in to.
    pub server: SocketAddr,
    /// Where the nexus is.
    pub nexus: String,
    /// Where the login page is.
    pub login: String,
    /// The option and the address of what stands in front of them.
    pub detour: Option<[String; 2]>,
    listeners: Vec<Listener>,
    /// Ports that are taken, and at which nothing listens.
    _closed: Vec<Socket>,
}

struct Listener {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl World {
    pub fn start(
        route: Route,
        twist: impl Fn(Step, Answer) -> Move + Send + Sync + 'static,
    ) -> Self {
        let twist: Arc<Twist> = Arc::new(twist);
        let (mut listeners, mut closed) = (Vec::new(), Vec::new());
        let mut open = |step: Step, serve: Box<dyn Fn(TcpStream) + Send + Sync>| {
            if route.refused == Some(step) {
                let (socket, address) = closed_port();
                closed.push(socket);
                return address;
            }
            let listener = listen(serve);
            let address = listener.address;
            listeners.push(listener);
            address
        };
        let page = |tls: &Option<Arc<ServerConfig>>, tls_step, step, answer: Answer| -> Box<_> {
            let (tls, twist) = (tls.clone(), Arc::clone(&twist));
            Box::new(move |stream| {
                let _ = web(stream, tls.as_ref(), tls_step, step, &answer, &*twist);
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

        let serve = |greeting: Step, to: Option<SocketAddr>| -> Box<_> {
            let (twist, sso, seen) = (Arc::clone(&twist), route.sso.clone(), route.seen);
            Box::new(move |stream| {
                let _ = notification(stream, greeting, to, seen, &sso, &*twist);
            })
        };
        let server = if route.referral {
            let to = open(Step::Again, serve(Step::Again, None));
            open(Step::Connect, serve(Step::Connect, Some(to)))
        } else {
            open(Step::Connect, serve(Step::Connect, None))
        };
        let detour = route.detour.map(|detour| {
            let (twist, seen) = (Arc::clone(&twist), route.seen.unwrap_or(server));
            let serve = Box::new(move |mut stream: TcpStream| {
                let _ = detour.serve(&mut stream, seen, &*twist);
            });
            let step = match detour {
                Detour::HttpProxy => Step::HttpConnect,
                Detour::Socks5 => Step::Socks5Method,
                Detour::Socks4 => Step::Socks4Reply,
                Detour::Gateway => Step::GatewayOpen,
            };
            let at = open(step, serve);
            [detour.option().to_owned(), detour.url(at)]
        });
        Self {
            server,
            nexus,
            login,
            detour,
            listeners,
            _closed: closed,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.listeners.clear();
    }
}

/// A port that nothing listens on, and that nobody else gets meanwhile.
fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    let address = socket.local_addr().ok().and_then(|at| at.as_socket());
    (socket, address.expect("an address"))
}

fn listen(serve: Box<dyn Fn(TcpStream) + Send + Sync>) -> Listener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, serve) = (Arc::clone(&stop), Arc::new(serve));
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), false) = (stream, stopping.load(Ordering::Relaxed)) else {
                return;
            };
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.set_write_timeout(Some(PATIENCE));
            let _ = stream.set_nodelay(true);
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    Listener {
        address,
        stop,
        thread: Some(thread),
    }
}

/// A connection, below TLS or without.
pub(super) trait Wire: Read + Write {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

/// Makes a move; an error where that was the last one.
pub(super) fn make(wire: &mut impl Wire, made: &Move) -> io::Result<()> {
    match made.pause {
        None => wire.write_all(&made.bytes)?,
        Some(pause) => {
            for byte in &made.bytes {
                wire.write_all(&[*byte])?;
                wire.flush()?;
                std::thread::sleep(pause);
            }
        }
    }
    wire.flush()?;
    let over = || Err(io::ErrorKind::ConnectionAborted.into());
    match made.then {
        Then::GoOn => Ok(()),
        Then::Hush => {
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
    mut stream: TcpStream,
    greeting: Step,
    to: Option<SocketAddr>,
    seen: Option<SocketAddr>,
    sso: &str,
    twist: &Twist,
) -> io::Result<()> {
    let (here, peer) = (stream.local_addr()?, stream.peer_addr()?);
    let mut say = {
        let mut stream = stream.try_clone()?;
        move |step, answer| make(&mut stream, &twist(step, answer))
    };
    say(greeting, Answer::nothing(None))?;
    let mut lines = BufReader::new(&mut stream);
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
                say(Step::Meanwhile, Answer::nothing(Some(number)))?;
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
    mut stream: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    tls_step: Option<Step>,
    step: Step,
    answer: &Answer,
    twist: &Twist,
) -> io::Result<()> {
    let Some(config) = tls else {
        return pages(&mut stream, step, answer, twist);
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
            // What comes after the first flight is the client's to have provoked.
            let made = match tls_step.take() {
                Some(step) => twist(step, flight),
                None => Move::say(flight.bytes),
            };
            make(&mut stream, &made)?;
        } else {
            if tls.read_tls(&mut stream)? == 0 {
                return Ok(());
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
    pages(&mut StreamOwned::new(tls, stream), step, answer, twist)
}

fn pages(wire: &mut impl Wire, step: Step, answer: &Answer, twist: &Twist) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        let mut lines = BufReader::with_capacity(1, &mut *wire);
        while !head.ends_with(b"\r\n\r\n") {
            if lines.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        make(wire, &twist(step, answer.clone()))?;
    }
}
