//! What was observed: the local end of the socket, and the profile's values.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::address::Address;

/// The path of the login to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PathKind {
    /// A TCP connection from this host to the server.
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

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl PathKind {
    /// Whether the server sees the connection of the local socket, NATs aside. Through a proxy or
    /// a gateway it sees another one, so the local port has nothing to be compared with.
    #[must_use]
    pub const fn is_end_to_end(self) -> bool {
        matches!(self, Self::Tcp)
    }
}

/// How to read the byte order of `ClientPort`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PortOrder {
    /// Both ways; either may match.
    #[default]
    Auto,
    /// The number is the port, as revival servers print it.
    Plain,
    /// The two bytes are exchanged, as Microsoft's servers printed it.
    Swapped,
}

/// Exchanges the two bytes of a port: 1033 (0x0409) becomes 2308 (0x0904), and back.
#[must_use]
pub const fn swap_port(port: u16) -> u16 {
    port.swap_bytes()
}

/// Turns an IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) into IPv4; leaves any other as it is.
#[must_use]
pub const fn normalise(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Why `ClientIP` gives no address to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpUnknown {
    /// The profile has no such field.
    Absent,
    /// The field is not an IP address.
    Unreadable,
    /// The address is one that no TCP peer has: unspecified, broadcast or multicast.
    NotAHost(IpAddr),
}

/// Why there are no ports to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortUnknown {
    /// The profile has no `ClientPort`.
    Absent,
    /// It is not a number.
    Unreadable,
    /// It is above 65535.
    OutOfRange,
    /// It is 0: the server was reached through an HTTP gateway.
    Zero,
    /// The local port belongs to the connection to a proxy or gateway.
    OtherConnection,
}

/// A field of the profile: its text, and the value read from it. Nothing reads the text again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<T, E> {
    /// The text in the profile; `None` where the field is missing.
    pub raw: Option<String>,
    /// The value, or why there is none.
    pub value: Result<T, E>,
}

impl Field<IpAddr, IpUnknown> {
    /// Reads `ClientIP`; `None` where the profile has none.
    ///
    /// Drops brackets and a zone id, and turns IPv4-mapped IPv6 into IPv4.
    #[must_use]
    pub fn client_ip(raw: Option<&str>) -> Self {
        let read = |text: &str| {
            let text = text.trim();
            let bare = text
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .unwrap_or(text);
            let bare = bare.split_once('%').map_or(bare, |(ip, _zone)| ip);
            match bare.parse().map(normalise) {
                Ok(ip) if is_no_peer(ip) => Err(IpUnknown::NotAHost(ip)),
                read => read.map_err(|_| IpUnknown::Unreadable),
            }
        };
        Self {
            value: raw.map_or(Err(IpUnknown::Absent), read),
            raw: raw.map(str::to_owned),
        }
    }
}

impl Field<u16, PortUnknown> {
    /// Reads `ClientPort`; `None` where the profile has none. The value is 1 to 65535, its byte
    /// order not yet decided.
    ///
    /// Accepts digits with blanks around them and dots after them: the sample in the protocol's
    /// documentation ends in a dot (`516.`).
    #[must_use]
    pub fn client_port(raw: Option<&str>) -> Self {
        let is_blank = |c: char| c.is_ascii_whitespace();
        let read = |text: &str| {
            let digits = text
                .trim_start_matches(is_blank)
                .trim_end_matches(|c| c == '.' || is_blank(c));
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(PortUnknown::Unreadable);
            }
            match digits.parse() {
                Ok(0) => Err(PortUnknown::Zero),
                // Digits only, so a number that does not fit is too large.
                read => read.map_err(|_| PortUnknown::OutOfRange),
            }
        };
        Self {
            value: raw.map_or(Err(PortUnknown::Absent), read),
            raw: raw.map(str::to_owned),
        }
    }
}

fn is_no_peer(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}

/// Whether a connected socket can have this local end: a port, and a unicast address of a host.
#[must_use]
pub fn can_be_local(end: SocketAddr) -> bool {
    end.port() != 0 && !is_no_peer(normalise(end.ip()))
}

/// The proxy that the local socket is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its name and port as requested.
    pub name: Address,
    /// The addresses of that name; the one in use first.
    pub addresses: Vec<IpAddr>,
    /// SOCKS' BND.ADDR and BND.PORT: the proxy's own end toward the server, where it reports a
    /// usable one (not 0.0.0.0, not port 0).
    pub bound: Option<SocketAddr>,
}

/// Everything that the verdict is drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// `getsockname` of the socket that carried the login, after it was connected.
    pub local: SocketAddr,
    /// `ClientIP` from the profile.
    pub client_ip: Field<IpAddr, IpUnknown>,
    /// `ClientPort` from the profile.
    pub client_port: Field<u16, PortUnknown>,
    /// How to read the byte order of `ClientPort`.
    pub order: PortOrder,
    /// The path of the login.
    pub path: PathKind,
    /// The proxy, where the path has one.
    pub proxy: Option<Proxy>,
    /// The address our socket was connected to: the server's, or the first hop's.
    pub peer: Option<SocketAddr>,
}

impl Observation {
    /// Reads the two fields of the profile. The path is plain TCP, and nothing is known of the far
    /// end.
    #[must_use]
    pub fn new(local: SocketAddr, client_ip: Option<&str>, client_port: Option<&str>) -> Self {
        Self {
            local,
            client_ip: Field::client_ip(client_ip),
            client_port: Field::client_port(client_port),
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
    fn a_port_is_digits_with_blanks_around_and_dots_after() {
        let read = |raw: &str| Field::client_port(Some(raw)).value;
        assert_eq!(Field::client_port(None).value, Err(PortUnknown::Absent));
        for (raw, value) in [
            (" 0", Err(PortUnknown::Zero)),
            ("0.", Err(PortUnknown::Zero)),
            ("516.", Ok(516)),
            ("516. ", Ok(516)),
            ("\t18183 ", Ok(18183)),
            ("65535", Ok(65535)),
            ("65536", Err(PortUnknown::OutOfRange)),
        ] {
            assert_eq!(read(raw), value, "{raw}");
        }
        for raw in [
            "", "x1", "-1", "+1", "٣", ".", ".516", "51,234", "51 234", "51.234", "1e3", "0x1234",
            "516;",
        ] {
            assert_eq!(read(raw), Err(PortUnknown::Unreadable), "{raw}");
        }
    }

    #[test]
    fn an_address_is_read_without_brackets_zone_and_v4_mapping() {
        let read = |raw: &str| Field::client_ip(Some(raw)).value;
        assert_eq!(Field::client_ip(None).value, Err(IpUnknown::Absent));
        for (raw, ip) in [
            (" 203.0.113.7 ", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[2001:DB8::5]", "2001:db8::5"),
            ("fe80::1%eth0", "fe80::1"),
        ] {
            assert_eq!(read(raw), Ok(ip.parse().unwrap()), "{raw}");
        }
        for raw in ["", "host", "203.0.113"] {
            assert_eq!(read(raw), Err(IpUnknown::Unreadable), "{raw}");
        }
        for raw in ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1"] {
            let ip = raw.parse().unwrap();
            assert_eq!(read(raw), Err(IpUnknown::NotAHost(ip)), "{raw}");
        }
    }
}
