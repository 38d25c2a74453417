//! Calling back: a client asks a server to call it, which shows whether others can reach it.
//!
//! Lines of ASCII over TCP, each of at most [`MAX_LINE`] bytes. The client sends a [`Request`]; the
//! server answers with a [`Reply`] that says what it sees, calls, and answers with one that says how
//! the calls went. What it sends to the ports that it calls is [`called`].
//!
//! ```text
//! client  CALL 1 5000 5001 00112233445566778899aabbccddeeff
//! server  SEEN 203.0.113.7:1033
//! server  DONE connected sent
//! ```

use std::fmt;
use std::net::SocketAddr;

use base16ct::lower;

/// The longest line, in bytes, with its end.
pub const MAX_LINE: usize = 128;

/// The lowest port that is called: below it are services that others rely on.
pub const MIN_PORT: u16 = 1024;

/// The only version.
const VERSION: &str = "1";

/// In place of a port that is not to be called, and of its outcome.
const NONE: &str = "-";

/// What the client recognises the call by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// Reads 32 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let length = lower::decode(text, &mut bytes).ok()?.len();
        (length == bytes.len()).then_some(Self(bytes))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lower::encode_string(&self.0))
    }
}

/// What a client asks for: a call to at least one port, each [`MIN_PORT`] or higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    tcp: Option<u16>,
    udp: Option<u16>,
    token: Token,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// It is not a line of this form, or asks for no call.
    Malformed,
    /// It is of another version.
    Version,
    /// A port is lower than [`MIN_PORT`].
    Port,
}

impl Request {
    /// A request to call these ports.
    ///
    /// # Errors
    /// [`BadRequest::Malformed`] without a port, [`BadRequest::Port`] if one is too low.
    pub fn new(tcp: Option<u16>, udp: Option<u16>, token: Token) -> Result<Self, BadRequest> {
        if tcp.is_none() && udp.is_none() {
            return Err(BadRequest::Malformed);
        }
        if tcp.into_iter().chain(udp).any(|port| port < MIN_PORT) {
            return Err(BadRequest::Port);
        }
        Ok(Self { tcp, udp, token })
    }

    /// Reads a line with its end, CR LF or LF: without an end, a part of it may be missing.
    ///
    /// # Errors
    /// [`BadRequest`]. A line of another version may go on as it likes.
    pub fn parse(line: &[u8]) -> Result<Self, BadRequest> {
        let malformed = BadRequest::Malformed;
        let text = text(line).ok_or(malformed)?;
        let rest = text.strip_prefix("CALL ").ok_or(malformed)?;
        let (version, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        if version != VERSION {
            let is_number = number(version).is_some();
            return Err(if is_number {
                BadRequest::Version
            } else {
                malformed
            });
        }
        let mut words = rest.split(' ');
        let mut next = || words.next().ok_or(malformed);
        let port = |word: &str| match word {
            NONE => Ok(None),
            word => number(word).map(Some).ok_or(malformed),
        };
        let (tcp, udp) = (port(next()?)?, port(next()?)?);
        let token = Token::parse(next()?).ok_or(malformed)?;
        if words.next().is_some() {
            return Err(malformed);
        }
        Self::new(tcp, udp, token)
    }

    /// The TCP port to call.
    #[must_use]
    pub const fn tcp(&self) -> Option<u16> {
        self.tcp
    }

    /// The UDP port to call.
    #[must_use]
    pub const fn udp(&self) -> Option<u16> {
        self.udp
    }

    /// What the calls repeat.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }
}

/// The line without its end.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port =
            |port: Option<u16>| port.map_or_else(|| NONE.to_owned(), |port| port.to_string());
        let (tcp, udp) = (port(self.tcp), port(self.udp));
        write!(f, "CALL {VERSION} {tcp} {udp} {}", self.token)
    }
}

/// An enum whose values are words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $value:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $value,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            /// The word of the protocol.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                }
            }

            fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }
    };
}

words! {
    /// How the call over TCP went.
    TcpOutcome {
        /// It was accepted.
        Connected = "connected",
        /// Nothing listens there, or something refuses in its place.
        Refused = "refused",
        /// Nothing answered in time.
        Timeout = "timeout",
        /// Something on the way says that there is no way.
        Unreachable = "unreachable",
        /// The server could not try, or another error ended the attempt.
        Failed = "failed",
    }
}

words! {
    /// How the call over UDP went. The server cannot know whether it arrived.
    UdpOutcome {
        /// It was sent.
        Sent = "sent",
        /// It could not be sent.
        Failed = "failed",
    }
}

words! {
    /// Why the server does not call.
    Refusal {
        /// [`BadRequest::Malformed`].
        Malformed = "malformed",
        /// [`BadRequest::Version`].
        Version = "version",
        /// [`BadRequest::Port`].
        Port = "port",
        /// A call to this client is in progress, or too many others are.
        Busy = "busy",
        /// The client has had too many calls of late.
        Rate = "rate",
        /// The client has an address that cannot be called.
        Address = "address",
    }
}

impl From<BadRequest> for Refusal {
    fn from(bad: BadRequest) -> Self {
        match bad {
            BadRequest::Malformed => Self::Malformed,
            BadRequest::Version => Self::Version,
            BadRequest::Port => Self::Port,
        }
    }
}

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The client's end of the connection, as the server sees it. The calls follow.
    Seen(SocketAddr),
    /// The calls are over.
    Done {
        /// `None`: it was not to call over TCP.
        tcp: Option<TcpOutcome>,
        /// `None`: it was not to call over UDP.
        udp: Option<UdpOutcome>,
    },
    /// There is no call.
    Refused(Refusal),
}

impl Reply {
    /// Reads a line with its end, CR LF or LF; `None` if it is no reply.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let (name, rest) = text(line)?.split_once(' ')?;
        match name {
            // A zone is a matter of the host that names it.
            "SEEN" if !rest.contains('%') => rest.parse().ok().map(Self::Seen),
            "DONE" => {
                let (tcp, udp) = rest.split_once(' ')?;
                Some(Self::Done {
                    tcp: outcome(tcp, TcpOutcome::of)?,
                    udp: outcome(udp, UdpOutcome::of)?,
                })
            }
            "REFUSED" => Refusal::of(rest).map(Self::Refused),
            _ => None,
        }
    }
}

/// The line without its end.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without the zone that an address of IPv6 may have.
            Self::Seen(at) => write!(f, "SEEN {}", SocketAddr::new(at.ip(), at.port())),
            Self::Done { tcp, udp } => {
                let tcp = tcp.map_or(NONE, TcpOutcome::word);
                let udp = udp.map_or(NONE, UdpOutcome::word);
                write!(f, "DONE {tcp} {udp}")
            }
            Self::Refused(why) => write!(f, "REFUSED {}", why.word()),
        }
    }
}

/// What the server sends to the ports that it calls: once over TCP, in each packet over UDP.
#[must_use]
pub fn called(token: Token) -> Vec<u8> {
    format!("CALLED {token}\r\n").into_bytes()
}

/// Whether these bytes are the call with this token, and nothing else.
#[must_use]
pub fn is_called(bytes: &[u8], token: Token) -> bool {
    bytes == called(token)
}

/// A line without its end.
fn text(line: &[u8]) -> Option<&str> {
    if line.len() > MAX_LINE {
        return None;
    }
    let text = line.strip_suffix(b"\n")?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    std::str::from_utf8(text).ok()
}

/// A number as it is written: without a sign or zeros before it.
fn number(word: &str) -> Option<u16> {
    let number: u16 = word.parse().ok()?;
    (number.to_string() == word).then_some(number)
}

/// An outcome, or the sign that there is none; `None` if it is neither.
fn outcome<T>(word: &str, of: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if word == NONE {
        return Some(None);
    }
    of(word).map(Some)
}

#[cfg(test)]
mod tests;
