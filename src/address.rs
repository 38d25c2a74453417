//! `host:port` in all the ways people write it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::secret::excerpt;

/// The port of notification and dispatch servers.
pub const MSNP_PORT: u16 = 1863;

/// The port of the servers of UDP echo.
pub const UDP_ECHO_PORT: u16 = 7001;

/// The port of servers of this program that call back, over TCP: the number of UDP echo.
pub const CALL_BACK_PORT: u16 = UDP_ECHO_PORT;

/// The port of STUN servers (RFC 8489).
pub const STUN_PORT: u16 = 3478;

/// A host, by name or by address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// There is no host before the port.
    #[error("'{0}' has no host")]
    NoHost(String),
    /// What follows the colon is not a port.
    #[error("'{0}': the port must be a number from 1 to 65535")]
    BadPort(String),
    /// A web address.
    #[error(
        "'{0}' is a web address: leave out the scheme and the path (expected HOST or HOST:PORT)"
    )]
    Scheme(String),
    /// It holds characters that host names cannot have.
    #[error("'{0}' is not a host name or an address")]
    BadHost(String),
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
    ///
    /// # Errors
    /// [`BadAddress`] where it is none of these.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, BadAddress> {
        let text = text.trim();
        let shown = || excerpt(text, 80).replace(char::is_control, "");
        // A common mistake: naming its "port" would confuse.
        if text.contains("://") {
            return Err(BadAddress::Scheme(shown()));
        }
        let (host, port) = split(text).ok_or_else(|| BadAddress::BadHost(shown()))?;
        if host.is_empty() {
            return Err(BadAddress::NoHost(shown()));
        }
        let is_v6 = host.contains(':');
        let fits = if is_v6 {
            is_v6_literal(host)
        } else {
            is_name_or_v4(host)
        };
        if !fits {
            return Err(BadAddress::BadHost(shown()));
        }
        let port = match port {
            None => default_port,
            Some(digits) => Some(digits)
                // Rust reads `+1`, too.
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .filter(|port| *port != 0)
                .ok_or_else(|| BadAddress::BadPort(shown()))?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The IP address, where the host is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl From<SocketAddr> for Address {
    fn from(at: SocketAddr) -> Self {
        Self {
            host: at.ip().to_string(),
            port: at.port(),
        }
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        // More than one colon and no brackets: a bare IPv6 address.
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn is_v6_literal(host: &str) -> bool {
    // The system interprets the zone id (fe80::1%eth0).
    host.split_once('%')
        .map_or(host, |(ip, _zone)| ip)
        .parse::<Ipv6Addr>()
        .is_ok()
        // In brackets it has to be read back.
        && host
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'[' | b']'))
}

fn is_name_or_v4(host: &str) -> bool {
    host.len() <= 253
        && host
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match Address::parse(text, MSNP_PORT) {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_spelling_is_read() {
        assert_eq!(read("ms.example"), "ms.example:1863");
        assert_eq!(read(" ms.example:1864 "), "ms.example:1864");
        assert_eq!(read("203.0.113.7"), "203.0.113.7:1863");
        assert_eq!(read("[2001:db8::5]"), "[2001:db8::5]:1863");
        assert_eq!(read("[2001:db8::5]:99"), "[2001:db8::5]:99");
        assert_eq!(read("2001:db8::5"), "[2001:db8::5]:1863");
        assert_eq!(read("fe80::1%eth0"), "[fe80::1%eth0]:1863");
        assert!(Address::parse("fe80::1%e]th0", MSNP_PORT).is_err());
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        for bad in [
            "",
            ":1863",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "ho st",
            "host/x",
            "[2001:db8::5",
            "[host]:1x",
            "[x::y]",
            "a:b:c",
            "[::1]1",
            "user@host",
            "ho\r\nst",
        ] {
            assert!(Address::parse(bad, MSNP_PORT).is_err(), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_and_printing_round_trip(text in ".{0,40}") {
            if let Ok(address) = Address::parse(&text, MSNP_PORT) {
                proptest::prop_assert_eq!(Address::parse(&address.to_string(), 1), Ok(address));
            }
        }
    }
}
