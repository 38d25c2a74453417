//! Clients of every kind: connections from chosen addresses, lines, login pages, whole logins.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use msnp9_conntype::msnp::passport::{SignIn, authorization};
use msnp9_conntype::secret::ExposeSecret as _;
use msnp9_conntype::transport::read_certificates;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Outcome;
use super::server::Server;

/// How many accounts log in honestly, by turns.
pub const HONEST: usize = 256;

/// Everybody's password.
pub const PASSWORD: &str = "right";

/// How long an answer may take; only where something is wrong it does.
const PATIENCE: Duration = Duration::from_secs(10);

/// The list of accounts, with as many idle ones as are wanted.
pub fn accounts(idle: usize) -> String {
    let mut text = String::new();
    for n in 0..HONEST {
        let _ = writeln!(text, "honest{n}@example.com:{PASSWORD}");
    }
    for n in 0..idle.max(64) {
        let _ = writeln!(text, "{}:{PASSWORD}", idler(n));
    }
    text
}

/// The account of an abuser who signs in.
pub fn idler(n: usize) -> String {
    format!("idle{n}@example.com")
}

/// Connects from an address of this machine.
pub async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    timeout(PATIENCE, socket.connect(to)).await?
}

/// A connection that says and hears lines.
#[derive(Debug)]
pub struct Line<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl Line<TcpStream> {
    pub async fn connect(from: Ipv4Addr, to: SocketAddr) -> Outcome<Self> {
        Ok(Self::new(connect(from, to).await?))
    }

    /// Signs in with a ticket, all in one write; the profile has been read then.
    pub async fn sign_in(&mut self, account: &str, ticket: &str) -> Outcome<String> {
        self.say(&format!(
            "VER 1 MSNP9 CVR0\r\nUSR 2 TWN I {account}\r\nUSR 3 TWN S {ticket}\r\n"
        ))
        .await?;
        self.expect("VER 1 MSNP9 CVR0").await?;
        self.expect("USR 2 TWN S ").await?;
        self.expect("USR 3 OK ").await?;
        self.profile().await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub const fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub async fn say(&mut self, text: &str) -> Outcome<()> {
        self.send(text.as_bytes()).await
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(timeout(PATIENCE, self.stream.write_all(bytes)).await??)
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> Outcome<String> {
        self.until(b"\r\n").await
    }

    /// The next line, which must begin like this.
    pub async fn expect(&mut self, start: &str) -> Outcome<String> {
        let line = self.line().await?;
        if line.starts_with(start) {
            Ok(line)
        } else {
            Err(format!("{line:?} where {start:?} was expected").into())
        }
    }

    /// A head up to its empty line.
    pub async fn head(&mut self) -> Outcome<String> {
        self.until(b"\r\n\r\n").await
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Outcome<Vec<u8>> {
        while self.fill().await? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The end must come, with nothing before it.
    pub async fn closed(&mut self) -> Outcome<()> {
        let rest = self.rest().await?;
        if rest.is_empty() {
            return Ok(());
        }
        let rest = String::from_utf8_lossy(&rest).into_owned();
        Err(format!("{rest:?} where the end was expected").into())
    }

    async fn profile(&mut self) -> Outcome<String> {
        let line = self.expect("MSG Hotmail Hotmail ").await?;
        let length: usize = line.rsplit(' ').next().unwrap_or_default().parse()?;
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(String::from_utf8(self.buffer.drain(..length).collect())?)
    }

    async fn until(&mut self, end: &[u8]) -> Outcome<String> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                let mut line: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                line.truncate(at);
                return Ok(String::from_utf8(line)?);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Outcome<()> {
        if self.fill().await? {
            return Ok(());
        }
        let got = String::from_utf8_lossy(&self.buffer).into_owned();
        Err(format!("closed after {got:?}").into())
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> Outcome<bool> {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        Ok(read.map_err(|_| "no answer in time")?? > 0)
    }
}

/// The way to the login page.
#[derive(Clone)]
pub struct Passport {
    pub notification: SocketAddr,
    address: SocketAddr,
    tls: TlsConnector,
}

/// A connection to the login page, for any number of tickets.
pub type Browser = Line<TlsStream<TcpStream>>;

impl Passport {
    pub fn of(server: &Server) -> Outcome<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(&std::fs::read(server.authority())?)? {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every handshake is to be a whole one.
        config.resumption = Resumption::disabled();
        Ok(Self {
            notification: server.at("notification")?,
            address: server.at("passport")?,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    pub async fn browse(&self, from: Ipv4Addr) -> Outcome<Browser> {
        let stream = connect(from, self.address).await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = timeout(PATIENCE, self.tls.connect(name, stream)).await??;
        Ok(Line::new(stream))
    }

    /// The first bytes of a TLS client.
    pub fn hello(&self) -> Outcome<Vec<u8>> {
        let name = ServerName::IpAddress(self.address.ip().into());
        let config = Arc::clone(self.tls.config());
        let mut hello = Vec::new();
        rustls::ClientConnection::new(config, name)?.write_tls(&mut hello)?;
        Ok(hello)
    }

    /// A whole login, checked and left.
    pub async fn login(&self, from: Ipv4Addr, account: &str) -> Outcome<()> {
        let mut client = Line::connect(from, self.notification).await?;
        client
            .say(&format!(
                "VER 1 MSNP9 CVR0\r\n\
                 CVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS {account}\r\n\
                 USR 3 TWN I {account}\r\n"
            ))
            .await?;
        client.expect("VER 1 MSNP9 CVR0").await?;
        client.expect("CVR 2 ").await?;
        client.expect("USR 3 TWN S lc=").await?;
        let ticket = self.browse(from).await?.ticket(account).await?;
        client.say(&format!("USR 4 TWN S {ticket}\r\n")).await?;
        client.expect("USR 4 OK ").await?;
        let profile = client.profile().await?;
        let wanted = format!("\r\nClientIP: {}\r\n", IpAddr::V4(from));
        if !profile.contains(&wanted) {
            return Err(format!("not the profile of {from}: {profile:?}").into());
        }
        client.say("OUT\r\n").await?;
        client.closed().await
    }
}

impl Browser {
    /// Asks the login page for a ticket, with any password; the head of its answer.
    pub async fn ask(&mut self, account: &str, password: &str) -> Outcome<String> {
        let authorization =
            authorization(account, &password.into(), "lc=1033,id=507", SignIn::Encoded);
        self.say(&format!(
            "GET /login2.srf HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
            authorization.expose_secret()
        ))
        .await?;
        self.stream.flush().await?;
        self.head().await
    }

    pub async fn ticket(&mut self, account: &str) -> Outcome<String> {
        let head = self.ask(account, PASSWORD).await?;
        let ticket = head
            .split_once("from-PP='")
            .and_then(|(_, rest)| rest.split_once('\''));
        let (ticket, _) = ticket.ok_or_else(|| format!("no ticket in {head:?}"))?;
        Ok(ticket.to_owned())
    }
}
