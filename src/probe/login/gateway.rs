//! The HTTP gateway: commands in the bodies of requests, answers in those of responses.
//!
//! One request at a time; a session id that may change with every answer; a poll now and then.
//! Source: hypothetic.org, general/http_connections and general/http_examples.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, PROXY_AUTHORIZATION};

use crate::address::{Address, MSNP_PORT};
use crate::conntype::PathKind;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::run_log::{Ends, Event, Purpose};
use crate::transport::{
    Connection, Connector, Dialer, Established, ProxyScheme, ProxySettings, Request, Response, Url,
    authorization, reach, requires_password, wrong_password,
};

/// What a gateway answers with.
const SESSION: HeaderName = HeaderName::from_static("x-msn-messenger");

const MSN: HeaderValue = HeaderValue::from_static("application/x-msn-messenger");

/// How long to wait before the first poll; the answer to what was sent is often there by then.
const FIRST_POLL: Duration = Duration::from_millis(200);

/// How long to wait between polls, as the official client did.
const POLL: Duration = Duration::from_secs(2);

/// How long a gateway of today may keep a poll open, in seconds, until there is something to say.
const LIFESPAN: u32 = 2;

/// How long the address in `GW-IP` is tried before we stay where we are.
const MOVE: Duration = Duration::from_secs(3);

/// A session at a gateway. Dropping a call to [`read`](Self::read) loses nothing: the request
/// that is under way goes on at the next one.
pub(super) struct Gateway<'a> {
    /// What carries the next request; elsewhere while one is under way.
    line: Option<Line<'a>>,
    under_way: Option<UnderWay<'a>>,
    inbox: Bytes,
    pause: Duration,
}

/// A request on its way, with what carries it.
type UnderWay<'a> = Pin<Box<dyn Future<Output = (Line<'a>, Result<Bytes, Failure>)> + 'a>>;

/// The HTTP side of the session.
struct Line<'a> {
    dialer: Dialer<'a>,
    connector: Connector,
    url: Url,
    /// The HTTP proxy that gets unencrypted requests whole, in place of a tunnel. Chosen once, for
    /// the address that was asked for: a tunnel to the host that `GW-IP` names must not carry the
    /// proxy's password.
    proxy: Option<&'a ProxySettings>,
    target: Address,
    connection: Option<Connection>,
    session: Option<String>,
    closed: bool,
}

impl<'a> Gateway<'a> {
    /// Connects to the gateway at `url`; the session opens with the first write.
    pub(super) async fn connect(
        dialer: Dialer<'a>,
        url: &Url,
        target: &Address,
    ) -> Result<Self, Failure> {
        if target.port != MSNP_PORT {
            dialer.log.note(Event::PortNotSent(target.clone()));
        }
        let proxy = dialer.route.proxies.toward(&url.address);
        let mut line = Line {
            connector: Connector::new(&dialer.route.extra_roots)?,
            dialer,
            proxy: proxy.filter(|proxy| proxy.scheme == ProxyScheme::Http && !url.https),
            url: url.clone(),
            target: target.clone(),
            connection: None,
            session: None,
            closed: false,
        };
        line.reach().await?;
        Ok(Self {
            line: Some(line),
            under_way: None,
            inbox: Bytes::new(),
            pause: FIRST_POLL,
        })
    }

    /// The ends of the HTTP connection, where there is one.
    pub(super) fn ends(&self) -> Option<Ends> {
        let connection = self.line.as_ref()?.connection.as_ref();
        connection.map(ends_of)
    }

    /// Sends commands, after what is under way.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.finish().await?;
        self.begin(Bytes::copy_from_slice(bytes));
        self.pause = FIRST_POLL;
        self.finish().await
    }

    /// What the server said; empty where the session has ended.
    pub(super) async fn read(&mut self) -> Result<Bytes, Failure> {
        while self.inbox.is_empty() {
            if self.under_way.is_none() {
                if self.line.as_ref().is_some_and(|line| line.closed) {
                    return Ok(Bytes::new());
                }
                // Outside the request, so that a write need not wait for it.
                tokio::time::sleep(self.pause).await;
                self.begin(Bytes::new());
                self.pause = (self.pause * 2).min(POLL);
            }
            self.finish().await?;
        }
        self.pause = FIRST_POLL;
        Ok(std::mem::take(&mut self.inbox))
    }

    /// Begins a request with these commands; without commands it is a poll.
    fn begin(&mut self, commands: Bytes) {
        let Some(mut line) = self.line.take() else {
            return;
        };
        self.under_way = Some(Box::pin(async move {
            let answer = line.ask(commands).await;
            (line, answer)
        }));
    }

    /// Waits for the request that is under way.
    async fn finish(&mut self) -> Result<(), Failure> {
        let Some(under_way) = &mut self.under_way else {
            return Ok(());
        };
        let (line, answer) = under_way.await;
        self.under_way = None;
        self.line = Some(line);
        let answer = answer?;
        self.inbox = match self.inbox.is_empty() {
            true => answer,
            false => [self.inbox.as_ref(), answer.as_ref()].concat().into(),
        };
        Ok(())
    }
}

impl Line<'_> {
    /// One request and its answer; without commands it is a poll.
    async fn ask(&mut self, commands: Bytes) -> Result<Bytes, Failure> {
        if self.closed {
            return Err(self.failed(ErrorCode::GatewayClosed, "has ended the session"));
        }
        let query = match &self.session {
            None => format!("Action=open&Server=NS&IP={}", self.target.host),
            Some(id) if commands.is_empty() => {
                format!("Action=poll&Lifespan={LIFESPAN}&SessionID={id}")
            }
            Some(id) => format!("SessionID={id}"),
        };
        let url = Url {
            path: format!("{}?{query}", self.url.path),
            ..self.url.clone()
        };
        let request = Request {
            headers: self.headers(),
            body: Some(commands),
            absolute: self.proxy.is_some(),
            reads_body: false,
        };
        let log = self.dialer.log;
        let is_first = self.session.is_none();
        let connection = self.reach().await?;
        // Later requests are part of a step of the session.
        let step = is_first.then(|| {
            let what = format!("the gateway {}", url.address);
            log.begin(Purpose::Gateway, Stage::Request, what)
        });
        let response = connection.ask(&url, request).await;
        drop(step);
        let response = response.map_err(|unanswered| unanswered.failure)?;
        self.note_session(&response).await?;
        Ok(response.body)
    }

    /// Takes over what the answer says about the session.
    async fn note_session(&mut self, response: &Response) -> Result<(), Failure> {
        if let Some(proxy) = self.proxy
            && requires_password(response.status)
        {
            return Err(wrong_password(proxy, Stage::Proxy));
        }
        if response.status != 200 {
            let proxy = self.proxy.map_or_else(String::new, |proxy| {
                format!("(or the proxy {} before it) ", proxy.address)
            });
            if response.status == 503 {
                let what = format!("{proxy}is busy or full (HTTP 503)");
                return Err(self.failed(ErrorCode::ServerBusy, &what));
            }
            let what = format!("{proxy}answers HTTP {}", response.status);
            return Err(self.failed(ErrorCode::GatewayRefused, &what));
        }
        let header = response.headers.get(SESSION);
        let Some(header) = header.and_then(|value| value.to_str().ok()) else {
            return Err(self.failed(ErrorCode::NotAGateway, "answers without X-MSN-Messenger"));
        };
        let state = SessionHeader::parse(header);
        if state.closes {
            self.closed = true;
            return Ok(());
        }
        let Some(id) = state.id else {
            return Err(self.failed(ErrorCode::NotAGateway, "gives no usable SessionID"));
        };
        let first = self.session.replace(id.to_owned()).is_none();
        if first && let Some(host) = state.host {
            self.move_to(host).await;
        }
        Ok(())
    }

    /// Goes on at the host that `GW-IP` names. A gateway of today names the server there, or
    /// itself; where nothing answers we stay.
    async fn move_to(&mut self, host: &str) {
        let Ok(address) = Address::parse(host, self.url.address.port) else {
            return;
        };
        let connection = self.connection.as_ref();
        let own = connection.map(|connection| connection.ends().peer.ip());
        let is_here = address.host.eq_ignore_ascii_case(&self.url.address.host)
            || address.host.eq_ignore_ascii_case(&self.target.host)
            || (address.ip().is_some() && address.ip() == own);
        // A proxy reaches every host over the same connection.
        if is_here || self.proxy.is_some() {
            return;
        }
        let url = Url {
            address,
            ..self.url.clone()
        };
        let open = Connection::open(&self.dialer, &self.connector, &url, Purpose::Gateway);
        match tokio::time::timeout(MOVE, open).await {
            Ok(Ok(connection)) => {
                self.url = url;
                self.note_connection(&connection);
                self.connection = Some(connection);
            }
            _ => tracing::info!(to = %url.address, "GW-IP cannot be reached; staying"),
        }
    }

    /// The connection there is, or a new one.
    async fn reach(&mut self) -> Result<&mut Connection, Failure> {
        let connection = match (self.connection.take(), self.proxy) {
            (Some(kept), _) if kept.leads_to(&self.url) => kept,
            (_, proxy) => {
                let Self { dialer, url, .. } = self;
                let connection = match proxy {
                    Some(settings) => {
                        let Established { stream, ends } =
                            reach(dialer, settings, Purpose::Gateway).await?;
                        Connection::over(stream, ends, url, Purpose::Gateway).await?
                    }
                    None => {
                        Connection::open(dialer, &self.connector, url, Purpose::Gateway).await?
                    }
                };
                self.note_connection(&connection);
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Notes where a connection leads.
    fn note_connection(&self, connection: &Connection) {
        let ends = ends_of(connection);
        let log = self.dialer.log;
        log.note(Event::Gateway(match ends.proxy {
            Some(_) => self.url.address.clone(),
            None => ends.peer.into(),
        }));
        log.note(Event::Connected(ends));
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(CONTENT_TYPE, MSN)];
        if let Some(proxy) = self.proxy {
            headers.push((
                HeaderName::from_static("proxy-connection"),
                HeaderValue::from_static("Keep-Alive"),
            ));
            headers.extend(authorization(proxy).map(|value| (PROXY_AUTHORIZATION, value)));
        }
        headers
    }

    fn failed(&self, code: ErrorCode, what: &str) -> Failure {
        Failure::new(Stage::Gateway, code, format!("{} {what}", self.url.address))
    }
}

/// The ends of the HTTP connection, as those of a gateway's session.
fn ends_of(connection: &Connection) -> Ends {
    Ends {
        path: PathKind::HttpGateway,
        ..connection.ends().clone()
    }
}

/// What `X-MSN-Messenger` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SessionHeader<'a> {
    /// The id for the next request.
    pub(super) id: Option<&'a str>,
    /// The host for the next request.
    pub(super) host: Option<&'a str>,
    /// Whether the session has ended.
    pub(super) closes: bool,
}

impl<'a> SessionHeader<'a> {
    /// Reads the header; pieces that make no sense are not there.
    pub(super) fn parse(header: &'a str) -> Self {
        let mut state = Self::default();
        for (key, value) in header.split(';').filter_map(|piece| piece.split_once('=')) {
            let (key, value) = (key.trim(), value.trim());
            if key.eq_ignore_ascii_case("SessionID") {
                // It goes into the next request's address, so it has to fit there.
                let fits = (1..=256).contains(&value.len())
                    && value.bytes().all(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
                    });
                state.id = fits.then_some(value);
            } else if key.eq_ignore_ascii_case("GW-IP") {
                state.host = (!value.is_empty()).then_some(value);
            } else if key.eq_ignore_ascii_case("Session") {
                state.closes = value.eq_ignore_ascii_case("close");
            }
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::run_log::RunLog;
    use crate::transport::{Proxies, Route};

    /// The head of the next request, once `answer` is sent.
    async fn answered(stream: &mut TcpStream, answer: &str) -> String {
        let mut head = String::new();
        while !head.contains("\r\n\r\n") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "{head}");
            head.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        head
    }

    #[tokio::test]
    async fn the_host_in_gw_ip_never_gets_the_proxys_password() {
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let through = format!(
            "http://user:gateway-test-secret@{}",
            proxy.local_addr().unwrap()
        );
        let environment = |name: &str| match name {
            "HTTPS_PROXY" => Some(through.clone()),
            "NO_PROXY" => Some("127.0.0.1".to_owned()),
            _ => None,
        };
        let route = Route {
            proxies: Proxies::from_environment(environment).unwrap(),
            ..Route::default()
        };
        let url = format!("http://{}/gateway", gateway.local_addr().unwrap());
        let session = |header: &str| {
            format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-MSN-Messenger: {header}\r\n\r\n")
        };
        let client = async {
            let log = RunLog::new(None);
            let (route, log) = (&route, &log);
            let target = Address::parse("ns.example", MSNP_PORT).unwrap();
            let url = url.parse().unwrap();
            let connected = Gateway::connect(Dialer { route, log }, &url, &target).await;
            let mut gateway = connected.unwrap();
            gateway.write(b"VER 1 MSNP9\r\n").await.unwrap();
            gateway.write(b"OUT\r\n").await.unwrap();
        };
        let servers = async {
            let (mut direct, _) = gateway.accept().await.unwrap();
            answered(&mut direct, &session("SessionID=1; GW-IP=127.0.0.2")).await;
            let (mut tunnel, _) = proxy.accept().await.unwrap();
            let to_proxy = answered(&mut tunnel, "HTTP/1.1 200 OK\r\n\r\n").await;
            let beyond = answered(&mut tunnel, &session("SessionID=1; Session=close")).await;
            (to_proxy, beyond)
        };
        let ((), (to_proxy, beyond)) = tokio::join!(client, servers);
        assert!(to_proxy.starts_with("CONNECT 127.0.0.2:"), "{to_proxy}");
        assert!(to_proxy.contains("Proxy-Authorization"), "{to_proxy}");
        assert!(beyond.starts_with("POST /gateway?"), "{beyond}");
        assert!(!beyond.contains("Proxy-"), "{beyond}");
    }

    #[test]
    fn the_session_header_is_read() {
        let header = SessionHeader::parse("SessionID=954547325.13160; GW-IP=207.46.110.18");
        assert_eq!(header.id, Some("954547325.13160"));
        assert_eq!(header.host, Some("207.46.110.18"));
        assert!(!header.closes);
        assert!(SessionHeader::parse("SessionID=1;GW-IP=h; Session=close").closes);
    }

    #[test]
    fn an_id_that_would_not_fit_is_none() {
        for bad in [
            "SessionID=",
            "SessionID=a b",
            "SessionID=a&b",
            "SessionID=a\u{e9}",
            "x",
            "",
        ] {
            assert_eq!(SessionHeader::parse(bad).id, None, "{bad}");
        }
        let long = format!("SessionID={}", "x".repeat(300));
        assert_eq!(SessionHeader::parse(&long).id, None);
    }
}
