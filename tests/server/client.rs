//! A client that says and hears lines, and a browser that knows one header.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use msnp9_conntype::msnp::passport::{SignIn, authorization};
use msnp9_conntype::secret::ExposeSecret;
use msnp9_conntype::server::{Addresses, Config, Counts, Server, Stats};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, ToSocketAddrs};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const USER: &str = "user@example.com";

/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether this machine has IPv6; says what is skipped where it has not.
pub(crate) fn has_ipv6(what: &str) -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        // Past the harness, which keeps back what a test prints that passes.
        let line = format!("skipped: {what}: this machine has no IPv6\n");
        let _ = std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes());
    }
    has
}

pub(crate) struct Running {
    pub(crate) at: Addresses,
    pub(crate) authority: Option<String>,
    pub(crate) stats: Arc<Stats>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Counts>,
}

/// Starts a server on this test's own runtime.
pub(crate) fn start(config: Config) -> Running {
    let server = Server::bind(config).expect("a server on loopback");
    let (stop, stopped) = oneshot::channel::<()>();
    Running {
        at: server.addresses().clone(),
        authority: server.authority_pem().map(str::to_owned),
        stats: server.stats(),
        stop,
        task: tokio::spawn(server.run(async {
            let _ = stopped.await;
        })),
    }
}

impl Running {
    pub(crate) fn ns(&self) -> SocketAddr {
        self.at.notification[0]
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.ns()).await
    }

    /// A client that is signed in, its profile read.
    pub(crate) async fn signed_in(&self, account: &str) -> Client<TcpStream> {
        let mut client = self.connect().await;
        client.introduce("MSNP9", account).await;
        let ticket = self.ticket(account, "x").await.expect("a ticket");
        client.say(&format!("USR 4 TWN S {ticket}")).await;
        let ok = client.line().await;
        assert_eq!(ok, format!("USR 4 OK {account} {account} 1 0"));
        client.message().await;
        client
    }

    /// Logs in at the login page; the ticket, or the answer that has none.
    pub(crate) async fn ticket(&self, account: &str, password: &str) -> Result<String, String> {
        let authorization =
            authorization(account, &password.into(), "lc=1033,id=507", SignIn::Encoded);
        let head = format!(
            "GET /login2.srf HTTP/1.1\r\nAuthorization: {}\r\n\r\n",
            authorization.expose_secret()
        );
        let mut browser = self.browse().await;
        browser.write(&head).await;
        let answer = browser.head().await;
        match answer
            .split_once("from-PP='")
            .and_then(|(_, rest)| rest.split_once('\''))
        {
            Some((ticket, _)) => Ok(ticket.to_owned()),
            None => Err(answer),
        }
    }

    /// A TLS connection to Passport that trusts the server's own authority and nothing else.
    pub(crate) async fn browse(&self) -> Client<TlsStream<TcpStream>> {
        self.browse_with(rustls::ALL_VERSIONS).await
    }

    pub(crate) async fn browse_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Client<TlsStream<TcpStream>> {
        let pem = self.authority.as_ref().expect("an authority");
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = self.at.passport[0];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        Client::new(stream)
    }

    /// Returns once the server has had its turn: what was written before has been read.
    pub(crate) async fn settle(&self) {
        for _ in 0..2 {
            let mut client = self.connect().await;
            client.say("VER 1 MSNP9").await;
            client.line().await;
        }
    }

    /// Stops the server and waits until it has stopped.
    pub(crate) async fn stop(self) -> Counts {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.task)
            .await
            .expect("the server stops")
            .unwrap()
    }
}

pub(crate) struct Client<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl Client<TcpStream> {
    /// Connects from another address of this host.
    pub(crate) async fn connect_from(from: [u8; 4], to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address");
        Self::new(socket.connect(to).await.expect("a connection"))
    }

    pub(crate) async fn connect(to: impl ToSocketAddrs) -> Self {
        Self::new(TcpStream::connect(to).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn say(&mut self, line: &str) {
        self.write(&format!("{line}\r\n")).await;
    }

    /// VER, CVR and USR in one write, and their answers.
    pub(crate) async fn introduce(&mut self, dialect: &str, account: &str) {
        self.write(&format!(
            "VER 1 {dialect} CVR0\r\nCVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS {account}\r\n\
             USR 3 TWN I {account}\r\n"
        ))
        .await;
        assert_eq!(self.line().await, format!("VER 1 {dialect} CVR0"));
        assert!(self.line().await.starts_with("CVR 2 6.0.0602 6.0.0602 "));
        assert!(self.line().await.starts_with("USR 3 TWN S lc=1033,"));
    }

    /// The next line without its end; it must have one.
    pub(crate) async fn line(&mut self) -> String {
        self.until(b"\r\n").await
    }

    /// A head up to its empty line.
    pub(crate) async fn head(&mut self) -> String {
        self.until(b"\r\n\r\n").await
    }

    /// A `MSG` and its payload.
    pub(crate) async fn message(&mut self) -> String {
        let line = self.line().await;
        let length = line
            .strip_prefix("MSG Hotmail Hotmail ")
            .unwrap_or_else(|| panic!("no message: {line}"));
        self.bytes(length.parse().unwrap()).await
    }

    /// So many bytes.
    pub(crate) async fn bytes(&mut self, length: usize) -> String {
        while self.buffer.len() < length {
            assert!(self.fill().await, "closed within a payload");
        }
        String::from_utf8(self.buffer.drain(..length).collect()).unwrap()
    }

    /// Whether the server closes, with nothing said before.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let more = self.fill().await;
        assert!(
            !more && self.buffer.is_empty(),
            "more was said: {}",
            String::from_utf8_lossy(&self.buffer)
        );
        true
    }

    async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                let rest = self.buffer.split_off(at + end.len());
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(at);
                return String::from_utf8(line).unwrap();
            }
            let more = self.fill().await;
            let got = String::from_utf8_lossy(&self.buffer);
            assert!(more, "closed after {got:?}");
        }
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.buffer);
        let read = timeout(PATIENCE, read).await.expect("an answer in time");
        read.expect("no reset") > 0
    }
}

/// The value of a header or of a profile's field, by its exact name.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split("\r\n")
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
