//! A client of `serve` in this process: lines, login pages, whole logins.
//!
//! Panics on unexpected replies, which fails the test.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use msnp9_conntype::msnp::passport::{SignIn, authorization};
use msnp9_conntype::secret::ExposeSecret as _;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than any answer takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that carries lines, heads and payloads.
#[derive(Debug)]
pub struct Client<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

/// A connection to the login page.
pub type Browser = Client<TlsStream<TcpStream>>;

/// Connects from an address of this machine.
pub async fn connect_from(from: impl Into<IpAddr>, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("a local address");
    let stream = timeout(PATIENCE, socket.connect(to)).await;
    let stream = stream.expect("a connection in time");
    stream.unwrap_or_else(|error| panic!("connect {to}: {error}"))
}

impl Client<TcpStream> {
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(to)).await;
        let stream = stream.expect("a connection in time");
        Self::new(stream.unwrap_or_else(|error| panic!("connect {to}: {error}")))
    }

    /// Connects from an address of this machine.
    pub async fn connect_from(from: impl Into<IpAddr>, to: SocketAddr) -> Self {
        Self::new(connect_from(from, to).await)
    }

    /// Signs in with a ticket, all in one write; the profile.
    pub async fn sign_in(&mut self, account: &str, ticket: &str) -> String {
        self.write(&sign_in_lines(account, ticket)).await;
        self.expect("VER 1 MSNP9 CVR0").await;
        self.expect("USR 2 TWN S ").await;
        self.expect("USR 3 OK ").await;
        self.message().await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub const fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        let sent = timeout(PATIENCE, self.stream.write_all(bytes)).await;
        sent.expect("a server that reads").expect("no reset");
    }

    pub async fn write(&mut self, text: &str) {
        self.send(text.as_bytes()).await;
    }

    pub async fn say(&mut self, line: &str) {
        self.write(&format!("{line}\r\n")).await;
    }

    /// VER, CVR and USR in one write, and their answers.
    pub async fn introduce(&mut self, dialect: &str, account: &str) {
        self.write(&format!(
            "VER 1 {dialect} CVR0\r\nCVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS {account}\r\n\
             USR 3 TWN I {account}\r\n"
        ))
        .await;
        assert_eq!(self.line().await, format!("VER 1 {dialect} CVR0"));
        self.expect("CVR 2 6.0.0602 6.0.0602 ").await;
        self.expect("USR 3 TWN S lc=1033,").await;
    }

    /// The next line without its end; it must have one.
    pub async fn line(&mut self) -> String {
        self.until(b"\r\n").await
    }

    /// The next line, which must begin like this.
    pub async fn expect(&mut self, start: &str) -> String {
        let line = self.line().await;
        assert!(line.starts_with(start), "{line:?} instead of {start:?}");
        line
    }

    /// A head up to its empty line.
    pub async fn head(&mut self) -> String {
        self.until(b"\r\n\r\n").await
    }

    /// The payload of a `MSG`.
    pub async fn message(&mut self) -> String {
        let line = self.expect("MSG Hotmail Hotmail ").await;
        let length = line.rsplit(' ').next().unwrap_or_default();
        self.bytes(length.parse().expect("a length")).await
    }

    /// So many bytes.
    pub async fn bytes(&mut self, length: usize) -> String {
        while self.buffer.len() < length {
            assert!(self.fill().await, "closed within a payload");
        }
        text(self.buffer.drain(..length).collect())
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The server must close, and send nothing before.
    pub async fn expect_close(&mut self) {
        let rest = self.rest().await;
        let shown = String::from_utf8_lossy(&rest);
        assert!(rest.is_empty(), "{shown:?} instead of a close");
    }

    /// The server must close, in whatever way and after whatever it says.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        // A reset is a close as well.
        drop(read.expect("a close in time"));
    }

    /// Closes the sending end.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.expect("no reset");
    }

    async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                let mut line: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                line.truncate(at);
                return text(line);
            }
            let more = self.fill().await;
            let got = String::from_utf8_lossy(&self.buffer);
            assert!(more, "closed after {got:?}");
        }
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        read.expect("an answer in time").expect("no reset") > 0
    }
}

/// What a client says to sign in with a ticket.
pub fn sign_in_lines(account: &str, ticket: &str) -> String {
    format!("VER 1 MSNP9 CVR0\r\nUSR 2 TWN I {account}\r\nUSR 3 TWN S {ticket}\r\n")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

impl Browser {
    /// Connects to a login page.
    pub async fn browse(stream: TcpStream, tls: &TlsConnector) -> Self {
        let address = stream.peer_addr().expect("a connection");
        let name = ServerName::IpAddress(address.ip().into());
        let stream = timeout(PATIENCE, tls.connect(name, stream)).await;
        Self::new(stream.expect("a handshake in time").expect("a handshake"))
    }

    /// Sends the credentials to the login page; the head of its answer.
    pub async fn log_in(&mut self, account: &str, password: &str) -> String {
        let authorization =
            authorization(account, &password.into(), "lc=1033,id=507", SignIn::Encoded);
        self.write(&format!(
            "GET /login2.srf HTTP/1.1\r\nAuthorization: {}\r\n\r\n",
            authorization.expose_secret()
        ))
        .await;
        self.stream.flush().await.expect("no reset");
        self.head().await
    }

    /// A ticket for this account.
    pub async fn ticket(&mut self, account: &str, password: &str) -> String {
        let head = self.log_in(account, password).await;
        ticket_in(&head).unwrap_or_else(|| panic!("no ticket in {head:?}"))
    }
}

/// The ticket in the head of a login page's answer.
pub fn ticket_in(head: &str) -> Option<String> {
    let (_, rest) = head.split_once("from-PP='")?;
    Some(rest.split_once('\'')?.0.to_owned())
}

/// The value of a header or of a profile's field, by its exact name.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split("\r\n")
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// TLS that trusts these authorities and nothing else; every handshake is a whole one.
pub fn tls(pem: &[u8], versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.expect("a certificate");
        roots.add(certificate).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Runs a client to its end, for a test that has no runtime of its own.
pub fn block_on<T>(client: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(client)
}
