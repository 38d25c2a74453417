//! The steps of a login as its servers see them, the honest answer of each as a value, and the
//! replies that can be sent instead.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::intermediary::Intermediary;

/// A policy, as servers send it with `USR … TWN S`.
pub const POLICY: &str = "lc=1033,id=507,tw=40,fs=1,ru=http%3A%2F%2Fmessenger%2Emsn%2Ecom,ct=1,kpp=1,kv=5,ver=2.1.0173.1,tpf=0";

/// A point at which one of the servers answers, in the order of a login over every intermediary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A connection was accepted; nothing has been sent.
    Connect,
    Ver,
    Cvr,
    /// `USR I`, answered with a referral.
    Xfr,
    /// A connection to where the referral led.
    Again,
    /// `USR I`, answered with the policy.
    UsrI,
    /// The server's part of the TLS handshake at the nexus.
    NexusTls,
    Nexus,
    /// The same at the login page.
    LoginTls,
    /// The login page, answering with the ticket.
    Login,
    /// The login page, answering with a redirect.
    Redirect,
    /// The page redirected to, answering with the ticket.
    Redirected,
    /// Nothing is sent here: the client fetches its ticket.
    Fetch,
    /// `USR S`: configuration that some servers send ahead of the answer.
    UsrS,
    UsrOk,
    Profile,
    /// An HTTP proxy's answer to CONNECT.
    HttpConnect,
    Socks5Method,
    Socks5Reply,
    Socks4Reply,
    /// The gateway's first answer, with all up to the policy.
    GatewayOpen,
    /// Its answer to the ticket, with all from there on.
    GatewayProfile,
    /// Its answers to everything else.
    GatewayPoll,
}

impl Step {
    pub const ALL: [Self; 16] = [
        Self::Connect,
        Self::Ver,
        Self::Cvr,
        Self::Xfr,
        Self::Again,
        Self::UsrI,
        Self::NexusTls,
        Self::Nexus,
        Self::LoginTls,
        Self::Login,
        Self::Redirect,
        Self::Redirected,
        Self::Fetch,
        Self::UsrS,
        Self::UsrOk,
        Self::Profile,
    ];

    /// The steps of proxies and gateways in front of the servers.
    pub const INTERMEDIARIES: [Self; 6] = [
        Self::HttpConnect,
        Self::Socks5Method,
        Self::Socks5Reply,
        Self::Socks4Reply,
        Self::GatewayOpen,
        Self::GatewayProfile,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Ver => "VER",
            Self::Cvr => "CVR",
            Self::Xfr => "XFR",
            Self::Again => "connect again",
            Self::UsrI => "USR I",
            Self::NexusTls => "nexus TLS",
            Self::Nexus => "nexus reply",
            Self::LoginTls => "login TLS",
            Self::Login => "login reply",
            Self::Redirect => "redirect",
            Self::Redirected => "redirected",
            Self::Fetch => "ticket fetch",
            Self::UsrS => "USR S",
            Self::UsrOk => "USR OK",
            Self::Profile => "profile",
            Self::HttpConnect => "CONNECT reply",
            Self::Socks5Method => "SOCKS5 method",
            Self::Socks5Reply => "SOCKS5 reply",
            Self::Socks4Reply => "SOCKS4 reply",
            Self::GatewayOpen => "gateway open",
            Self::GatewayProfile => "gateway prof.",
            Self::GatewayPoll => "gateway poll",
        }
    }

    /// Whether the answer is a server's part of a TLS handshake.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::NexusTls | Self::LoginTls)
    }

    /// Whether the answer is an HTTP response.
    pub const fn is_http(self) -> bool {
        matches!(
            self,
            Self::Nexus
                | Self::Login
                | Self::Redirect
                | Self::Redirected
                | Self::HttpConnect
                | Self::GatewayOpen
                | Self::GatewayProfile
        )
    }

    /// Whether the answer is one of a SOCKS proxy.
    pub const fn is_socks(self) -> bool {
        matches!(
            self,
            Self::Socks5Method | Self::Socks5Reply | Self::Socks4Reply
        )
    }

    /// The proxy or gateway that has this step.
    pub const fn intermediary(self) -> Option<Intermediary> {
        match self {
            Self::HttpConnect => Some(Intermediary::HttpProxy),
            Self::Socks5Method | Self::Socks5Reply => Some(Intermediary::Socks5),
            Self::Socks4Reply => Some(Intermediary::Socks4),
            Self::GatewayOpen | Self::GatewayProfile | Self::GatewayPoll => {
                Some(Intermediary::Gateway)
            }
            _ => None,
        }
    }

    /// Whether an honest server sends nothing here.
    pub const fn is_quiet(self) -> bool {
        matches!(self, Self::Connect | Self::Again | Self::Fetch)
    }

    /// Whether the login meets this step only after a referral.
    pub const fn needs_referral(self) -> bool {
        matches!(self, Self::Xfr | Self::Again)
    }

    /// Whether the login meets this step only with a login page that redirects.
    pub const fn needs_redirect(self) -> bool {
        matches!(self, Self::Redirect | Self::Redirected)
    }
}

/// An honest answer: its bytes, and where the parts are that can be wrong.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub bytes: Vec<u8>,
    /// The word that matters to the client.
    pub word: Option<Range<usize>>,
    /// The transaction id.
    pub trid: Option<Range<usize>>,
    /// The length of the payload: in digits, or in two bytes for a TLS record.
    pub length: Option<Range<usize>>,
    /// The transaction id as a number, where the step has one: an error reply repeats it.
    pub number: Option<u32>,
}

impl Answer {
    fn new(text: String) -> Self {
        Self {
            bytes: text.into_bytes(),
            ..Self::default()
        }
    }

    fn about(mut self, word: &str) -> Self {
        self.word = self.find(word);
        self
    }

    /// The first word after the command is the transaction id.
    fn with_trid(mut self, trid: &str) -> Self {
        self.trid = self.find(trid);
        self.number = trid.parse().ok();
        self
    }

    fn with_length(mut self, length: usize) -> Self {
        self.length = self.find(&length.to_string());
        self
    }

    fn find(&self, word: &str) -> Option<Range<usize>> {
        let at = self
            .bytes
            .windows(word.len().max(1))
            .position(|window| window == word.as_bytes())
            .unwrap_or_else(|| panic!("{word:?} is in the answer"));
        Some(at..at + word.len())
    }

    /// Nothing; an error reply would have this transaction id.
    pub fn nothing(number: Option<u32>) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    pub fn ver(trid: &str) -> Self {
        Self::new(format!("VER {trid} MSNP9 CVR0\r\n"))
            .about("MSNP9")
            .with_trid(trid)
    }

    pub fn cvr(trid: &str) -> Self {
        Self::new(format!(
            "CVR {trid} 6.0.0602 6.0.0602 1.0.0000 http://a http://b\r\n"
        ))
        .about("6.0.0602")
        .with_trid(trid)
    }

    pub fn policy(trid: &str) -> Self {
        Self::new(format!("USR {trid} TWN S {POLICY}\r\n"))
            .about(POLICY)
            .with_trid(trid)
    }

    pub fn referral(trid: &str, to: SocketAddr, here: SocketAddr) -> Self {
        Self::new(format!("XFR {trid} NS {to} 0 {here}\r\n"))
            .about(&to.to_string())
            .with_trid(trid)
    }

    /// Configuration, as Escargot sends it ahead of `USR OK`; its transaction id means nothing.
    pub fn configuration(number: u32) -> Self {
        let payload = "<Policies><Policy type=\"SHIELDS\" checksum=\"0\"></Policy></Policies>";
        let mut answer = Self::new(format!("GCF 0 {}\r\n{payload}", payload.len()))
            .about("SHIELDS")
            .with_trid("0")
            .with_length(payload.len());
        answer.number = Some(number);
        answer
    }

    pub fn ok(trid: &str) -> Self {
        Self::new(format!("USR {trid} OK user@example.com Name 1 0\r\n"))
            .about("OK")
            .with_trid(trid)
    }

    /// The profile of a client that is seen at `seen`; the port as Microsoft printed it.
    pub fn profile(seen: SocketAddr, sso: &str) -> Self {
        let (ip, port) = (seen.ip(), seen.port().swap_bytes());
        let payload = format!(
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\n\
             LoginTime: 1700000000\r\nEmailEnabled: 0\r\nsid: 507\r\nkv: 11\r\nMSPAuth: {sso}\r\n\
             ClientIP: {ip}\r\nClientPort: {port}\r\n\r\n"
        );
        Self::new(format!(
            "MSG Hotmail Hotmail {}\r\n{payload}",
            payload.len()
        ))
        .about(&ip.to_string())
        .with_length(payload.len())
    }

    /// The answer of the nexus.
    pub fn nexus(login: &str) -> Self {
        let header = format!("PassportURLs: DARealm=Passport.Net,DALogin={login},ConfigVersion=15");
        let authority = login.trim_start_matches("https://");
        Self::http("200 OK", &header).about(authority.split('/').next().unwrap_or_default())
    }

    /// The answer of a login page with a ticket.
    pub fn ticket(ticket: &str) -> Self {
        let header =
            format!("Authentication-Info: Passport1.4 da-status=success,from-PP='{ticket}'");
        Self::http("200 OK", &header).about(ticket)
    }

    /// The answer of a login page that redirects.
    pub fn redirect(to: &str) -> Self {
        let header = format!("Authentication-Info: Passport1.4 da-status=redir\r\nLocation: {to}");
        Self::http("302 Found", &header).about(to)
    }

    /// An HTTP proxy's answer to a CONNECT that succeeds.
    pub fn connected() -> Self {
        Self::new("HTTP/1.1 200 OK\r\n\r\n".to_owned()).about("200")
    }

    /// A SOCKS proxy's answer; its second byte is all that counts.
    pub fn socks(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            word: Some(1..2),
            ..Self::default()
        }
    }

    /// A gateway's answer with these commands.
    pub fn gateway(commands: &[u8]) -> Self {
        let commands = String::from_utf8_lossy(commands);
        let length = commands.len();
        Self::new(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-MSN-Messenger: \
             SessionID=1863.1033\r\n\r\n{commands}"
        ))
        .about("1863.1033")
        .with_length(length)
    }

    /// A response whose status is all it says.
    pub fn status(code: u16) -> Self {
        Self::http(&format!("{code} Status"), "X-Nothing: 0")
    }

    /// A response with these headers, and a body that is not read.
    pub fn http(status: &str, headers: &str) -> Self {
        let body = "<html><body>This page is for programs only.</body></html>";
        Self::new(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n\r\n{body}",
            body.len()
        ))
        .with_length(body.len())
    }
}

/// What a server sends in the place of an answer, and what it does afterwards.
#[derive(Clone, Debug)]
pub struct Reply {
    pub bytes: Vec<u8>,
    /// The time after each byte; none where all are sent at once.
    pub pause: Option<Duration>,
    pub then: Then,
}

/// What a server does after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It continues as an honest server.
    Continue,
    /// It reads on, and never sends anything again.
    Silence,
    /// It closes the connection.
    Close,
    /// It resets the connection.
    Reset,
}

impl Reply {
    /// Sends these bytes at once and continues.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self::then(bytes, Then::Continue)
    }

    /// Sends these bytes at once, and then does this.
    pub const fn then(bytes: Vec<u8>, then: Then) -> Self {
        Self {
            bytes,
            pause: None,
            then,
        }
    }
}
