//! What was observed: the local end of the socket, and what the profile said of it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The way the login took to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// A TCP connection of our own, all the way.
    #[default]
    Tcp,
    /// Through a SOCKS4 or SOCKS4a proxy.
    Socks4,
    /// Through a SOCKS5 proxy (RFC 1928).
    Socks5,
    /// Through an HTTP proxy's CONNECT tunnel.
    HttpConnect,
    /// Through the HTTP gateway.
    HttpGateway,
}

impl PathKind {
    /// Every kind of path.
    pub const ALL: [Self; 5] = [
        Self::Tcp,
        Self::Socks4,
        Self::Socks5,
        Self::HttpConnect,
        Self::HttpGateway,
    ];

    /// The word for it on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Socks4 => "socks4",
            Self::Socks5 => "socks5",
            Self::HttpConnect => "http-connect",
            Self::HttpGateway => "http-gateway",
        }
    }

    /// Whether our socket is the very flow that the server sees, NATs aside. Through a proxy or
    /// a gateway it is not: the local port belongs to another connection.
    #[must_use]
    pub const fn is_end_to_end(self) -> bool {
        matches!(self, Self::Tcp)
    }
}

impl FromStr for PathKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| {
                let list = Self::ALL.map(Self::as_str).join(", ");
                format!("invalid path '{word}' (expected one of {list})")
            })
    }
}

/// Which byte order of `ClientPort` is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PortOrder {
    /// Either may match.
    #[default]
    Auto,
    /// The number is the port, as revival servers print it.
    Plain,
    /// The two bytes are exchanged, as Microsoft's servers printed it.
    Swapped,
}

impl PortOrder {
    /// Every order.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Plain, Self::Swapped];

    /// The word for it on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Swapped => "swapped",
        }
    }
}

impl FromStr for PortOrder {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|order| order.as_str() == word)
            .ok_or_else(|| format!("invalid port order '{word}' (expected auto, plain or swapped)"))
    }
}

/// Exchanges the two bytes of a port: 1033 (0x0409) becomes 2308 (0x0904), and back.
#[must_use]
pub const fn swap_port(port: u16) -> u16 {
    port.swap_bytes()
}

/// IPv4 in its IPv6 clothes (`::ffff:a.b.c.d`) becomes plain IPv4; anything else stays.
#[must_use]
pub const fn normalise(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// What the `ClientIP` field came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IpReading {
    /// The profile has no such field.
    Absent,
    /// The field holds no IP address that a client can have.
    Unreadable,
    /// An address, normalised.
    Ip(IpAddr),
}

impl IpReading {
    /// Reads the field's text; `None` is a field that is not there.
    ///
    /// Brackets and a zone id go, v4-mapped IPv6 becomes IPv4. Addresses no TCP peer can have
    /// (unspecified, broadcast, multicast) are unreadable.
    #[must_use]
    pub fn read(text: Option<&str>) -> Self {
        let Some(text) = text else {
            return Self::Absent;
        };
        let text = text.trim();
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        let bare = bare.split_once('%').map_or(bare, |(ip, _zone)| ip);
        match bare.parse().map(normalise) {
            Ok(ip) if !is_no_peer(ip) => Self::Ip(ip),
            _ => Self::Unreadable,
        }
    }

    /// The address, if there is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            _ => None,
        }
    }
}

fn is_no_peer(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}

/// What the `ClientPort` field came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortReading {
    /// The profile has no such field.
    Absent,
    /// The field is not a number.
    Unreadable,
    /// The number is above 65535.
    OutOfRange,
    /// 0, the HTTP gateway's marker.
    Zero,
    /// A number from 1 to 65535, as it stands in the profile: its byte order is not yet decided.
    Port(u16),
}

impl PortReading {
    /// Reads the field's text; `None` is a field that is not there.
    ///
    /// Takes digits with blanks around them and dots behind them: the documentation's own sample
    /// ends in a dot (`516.`). Anything else is no number.
    #[must_use]
    pub fn read(text: Option<&str>) -> Self {
        let Some(text) = text else {
            return Self::Absent;
        };
        let is_blank = |c: char| c.is_ascii_whitespace();
        let digits = text
            .trim_start_matches(is_blank)
            .trim_end_matches(|c| c == '.' || is_blank(c));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Unreadable;
        }
        match digits.parse::<u16>() {
            Ok(0) => Self::Zero,
            Ok(port) => Self::Port(port),
            // Only digits stand there, so what cannot be read is too large.
            Err(_) => Self::OutOfRange,
        }
    }

    /// The number in the profile, 1 to 65535, if there is one.
    #[must_use]
    pub const fn port(self) -> Option<u16> {
        match self {
            Self::Port(port) => Some(port),
            _ => None,
        }
    }
}

/// Whether a connected socket can have this local end: a port, and a unicast address of a host.
#[must_use]
pub fn can_be_local(end: SocketAddr) -> bool {
    end.port() != 0 && !is_no_peer(normalise(end.ip()))
}

/// The proxy at which our own connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// `host:port` as it was asked for, without user or password.
    pub name: String,
    /// Every address its name has; the one in use first.
    pub addresses: Vec<IpAddr>,
    /// SOCKS' BND.ADDR and BND.PORT: the proxy's own end toward the server, where it told one
    /// that means something (not 0.0.0.0, not port 0).
    pub bound: Option<SocketAddr>,
}

/// Everything the verdict is drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// `getsockname` of the socket that carried the login, after it was connected.
    pub local: SocketAddr,
    /// `ClientIP` as it stands in the profile.
    pub client_ip: Option<String>,
    /// `ClientPort` as it stands in the profile.
    pub client_port: Option<String>,
    /// The byte order that is believed.
    pub order: PortOrder,
    /// The way the login took.
    pub path: PathKind,
    /// The proxy, where the path has one.
    pub proxy: Option<Proxy>,
    /// The address our socket was connected to: the server's, or the first hop's.
    pub peer: Option<SocketAddr>,
}

impl Observation {
    /// An observation on a plain TCP path with nothing known of the far end.
    #[must_use]
    pub fn new(local: SocketAddr, client_ip: Option<&str>, client_port: Option<&str>) -> Self {
        Self {
            local,
            client_ip: client_ip.map(str::to_owned),
            client_port: client_port.map(str::to_owned),
            order: PortOrder::Auto,
            path: PathKind::Tcp,
            proxy: None,
            peer: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_port_swaps_hold() {
        for (a, b) in [
            (1033, 2308),
            (1863, 18183),
            (1026, 516),
            (32954, 47744),
            (257, 257),
        ] {
            assert_eq!(swap_port(a), b);
            assert_eq!(swap_port(b), a);
        }
    }

    #[test]
    fn a_port_is_digits_with_blanks_around_and_dots_behind() {
        assert_eq!(PortReading::read(None), PortReading::Absent);
        assert_eq!(PortReading::read(Some("")), PortReading::Unreadable);
        assert_eq!(PortReading::read(Some("x1")), PortReading::Unreadable);
        assert_eq!(PortReading::read(Some("-1")), PortReading::Unreadable);
        assert_eq!(PortReading::read(Some("+1")), PortReading::Unreadable);
        assert_eq!(PortReading::read(Some(" 0")), PortReading::Zero);
        assert_eq!(PortReading::read(Some("516.")), PortReading::Port(516));
        assert_eq!(
            PortReading::read(Some("\t18183 ")),
            PortReading::Port(18183)
        );
        assert_eq!(PortReading::read(Some("65535")), PortReading::Port(65535));
        assert_eq!(PortReading::read(Some("65536")), PortReading::OutOfRange);
        assert_eq!(PortReading::read(Some("516. ")), PortReading::Port(516));
        assert_eq!(PortReading::read(Some("0.")), PortReading::Zero);
        for none in [
            "٣", ".", ".516", "51,234", "51 234", "51.234", "1e3", "0x1234", "516;",
        ] {
            assert_eq!(
                PortReading::read(Some(none)),
                PortReading::Unreadable,
                "{none}"
            );
        }
    }

    #[test]
    fn an_address_loses_brackets_zone_and_v4_mapping() {
        let ip = |text: &str| IpReading::read(Some(text)).ip().map(|ip| ip.to_string());
        assert_eq!(ip(" 203.0.113.7 ").as_deref(), Some("203.0.113.7"));
        assert_eq!(ip("::ffff:203.0.113.7").as_deref(), Some("203.0.113.7"));
        assert_eq!(ip("[2001:DB8::5]").as_deref(), Some("2001:db8::5"));
        assert_eq!(ip("fe80::1%eth0").as_deref(), Some("fe80::1"));
        for none in [
            "",
            "host",
            "203.0.113",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
        ] {
            assert_eq!(ip(none), None, "{none}");
        }
    }
}
