//! How a connection begins: what is spoken on it, and what is in between.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::conntype::PathKind;

/// The longest beginning that is looked at, in bytes a direction. What goes on longer is not MSNP.
const LONGEST: usize = 8 * 1024;

/// The longest first command, in bytes. `VER` names every dialect that a client speaks.
const LONGEST_COMMAND: usize = 512;

/// What a connection turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// A session with a notification server.
    Notification,
    /// A session with a switchboard server: a conversation, with its invitations.
    Switchboard,
    /// TLS, perhaps with MSNP in it.
    Tls,
    /// A session through the HTTP gateway.
    Gateway,
    /// Something else.
    Other,
}

/// What precedes MSNP on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// The proxy that the connection ends at, where it asks one for the server.
    pub(super) path: PathKind,
    /// SOCKS' BND.ADDR and BND.PORT, where they can be the proxy's own end.
    pub(super) bound: Option<SocketAddr>,
    /// Whether it begins with a header of the PROXY protocol: it comes from a balancer.
    pub(super) is_balanced: bool,
}

/// The bytes of a connection until it is known what they are.
#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) client: Vec<u8>,
    pub(super) server: Vec<u8>,
    pub(super) before: Before,
}

impl Opening {
    /// What it is; `None` where more has to come. The bytes of MSNP are left.
    pub(super) fn decide(&mut self) -> Option<Protocol> {
        let decided = match self.parse() {
            Ok(protocol) => Some(protocol),
            Err(Need::More) => None,
            Err(Need::Nothing) => Some(Protocol::Other),
        };
        let is_long = self.client.len().max(self.server.len()) > LONGEST;
        decided.or_else(|| is_long.then_some(Protocol::Other))
    }

    fn parse(&mut self) -> Result<Protocol, Need> {
        if !self.before.is_balanced
            && let Some(length) = proxy_header(&self.client)?
        {
            self.client.drain(..length);
            self.before.is_balanced = true;
        }
        if self.before.path == PathKind::Tcp
            && let Some(proxied) = proxied(&self.client, &self.server)?
        {
            self.client.drain(..proxied.client);
            self.server.drain(..proxied.server);
            self.before.path = proxied.path;
            self.before.bound = proxied.bound;
        }
        first(&self.client)
    }
}

/// Why there is no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// More bytes.
    More,
    /// Nothing: this is something else.
    Nothing,
}

/// What the first bytes of a client say.
fn first(client: &[u8]) -> Result<Protocol, Need> {
    match client {
        [] => return Err(Need::More),
        [0x16] => return Err(Need::More),
        [0x16, 3, ..] => return Ok(Protocol::Tls),
        _ => {}
    }
    if begins(client, b"POST ")? {
        let line = line(client, LONGEST)?;
        let is_gateway = memchr::memmem::find(line, b"/gateway.dll?").is_some();
        let is_new = memchr::memmem::find(line, b"Action=open").is_some();
        return match is_gateway && is_new {
            true => Ok(Protocol::Gateway),
            false => Err(Need::Nothing),
        };
    }
    let is_version = begins(client, b"VER ")?;
    if !is_version && !begins(client, b"USR ")? && !begins(client, b"ANS ")? {
        return Err(Need::Nothing);
    }
    let line = line(client, LONGEST_COMMAND)?;
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    let is_trid = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let (Some(trid), Some(word)) = (words.next(), words.next()) else {
        return Err(Need::Nothing);
    };
    match is_version {
        true if is_trid(trid) && word.starts_with(b"MSNP") => Ok(Protocol::Notification),
        // The account, then the key that the notification server gave.
        false if is_trid(trid) && word.contains(&b'@') => Ok(Protocol::Switchboard),
        _ => Err(Need::Nothing),
    }
}

/// Whether the bytes begin with `word`, as soon as that can be told.
fn begins(bytes: &[u8], word: &[u8]) -> Result<bool, Need> {
    let both = bytes.len().min(word.len());
    match (bytes[..both] == word[..both], both == word.len()) {
        (false, _) => Ok(false),
        (true, true) => Ok(true),
        (true, false) => Err(Need::More),
    }
}

/// The first line, without its end.
fn line(bytes: &[u8], longest: usize) -> Result<&[u8], Need> {
    match memchr::memchr(b'\n', bytes) {
        Some(at) if at <= longest => Ok(bytes[..at].trim_ascii_end()),
        None if bytes.len() <= longest => Err(Need::More),
        _ => Err(Need::Nothing),
    }
}

/// The length of a header of the PROXY protocol, version 1 or 2 (haproxy.org, "The PROXY protocol");
/// `None` where there is none.
fn proxy_header(client: &[u8]) -> Result<Option<usize>, Need> {
    const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
    if client.is_empty() {
        return Err(Need::More);
    }
    if begins(client, b"PROXY ")? {
        let length = memchr::memchr(b'\n', client);
        return match length {
            Some(at) if at < 107 => Ok(Some(at + 1)),
            None if client.len() < 107 => Err(Need::More),
            _ => Err(Need::Nothing),
        };
    }
    if begins(client, &SIGNATURE)? {
        let length = client.get(14..16).ok_or(Need::More)?;
        let length = 16 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        return match client.len() >= length {
            true => Ok(Some(length)),
            false => Err(Need::More),
        };
    }
    Ok(None)
}

/// The handshake with a proxy: how long it is in each direction, and what it tells.
#[derive(Debug, PartialEq, Eq)]
struct Proxied {
    path: PathKind,
    client: usize,
    server: usize,
    bound: Option<SocketAddr>,
}

/// Reads the handshake with a proxy; `None` where there is none.
fn proxied(client: &[u8], server: &[u8]) -> Result<Option<Proxied>, Need> {
    match client {
        [] => Err(Need::More),
        [5, ..] => socks5(client, server).map(Some),
        [4, ..] => socks4(client, server).map(Some),
        _ if begins(client, b"CONNECT ")? => connect(client, server).map(Some),
        _ => Ok(None),
    }
}

/// SOCKS5 (RFC 1928), without authentication or with a user and a password (RFC 1929).
fn socks5(client: &[u8], server: &[u8]) -> Result<Proxied, Need> {
    let mut asked = Cursor(client);
    asked.expect(5)?;
    let methods = asked.byte()?;
    asked.skip(usize::from(methods))?;
    let mut told = Cursor(server);
    told.expect(5)?;
    match told.byte()? {
        0 => {}
        2 => {
            asked.expect(1)?;
            for _ in ["user", "password"] {
                let length = asked.byte()?;
                asked.skip(usize::from(length))?;
            }
            told.expect(1)?;
            told.expect(0)?;
        }
        _ => return Err(Need::Nothing),
    }
    asked.expect(5)?;
    asked.expect(1)?;
    asked.skip(1)?;
    asked.address()?;
    told.expect(5)?;
    told.expect(0)?;
    told.skip(1)?;
    let bound = told.address()?;
    Ok(Proxied {
        path: PathKind::Socks5,
        client: client.len() - asked.0.len(),
        server: server.len() - told.0.len(),
        bound: bound.filter(|bound| !bound.ip().is_unspecified() && bound.port() != 0),
    })
}

/// SOCKS4 and SOCKS4a.
fn socks4(client: &[u8], server: &[u8]) -> Result<Proxied, Need> {
    let mut asked = Cursor(client);
    asked.expect(4)?;
    asked.expect(1)?;
    asked.skip(2)?;
    let [a, b, c, d] = asked.array()?;
    asked.text()?;
    if [a, b, c] == [0; 3] && d != 0 {
        asked.text()?;
    }
    let mut told = Cursor(server);
    told.expect(0)?;
    told.expect(90)?;
    let [high, low] = told.array()?;
    let ip: [u8; 4] = told.array()?;
    let bound = SocketAddr::new(ip.into(), u16::from_be_bytes([high, low]));
    Ok(Proxied {
        path: PathKind::Socks4,
        client: client.len() - asked.0.len(),
        server: server.len() - told.0.len(),
        bound: Some(bound).filter(|bound| !bound.ip().is_unspecified() && bound.port() != 0),
    })
}

/// CONNECT of HTTP (RFC 9110 §9.3.6).
fn connect(client: &[u8], server: &[u8]) -> Result<Proxied, Need> {
    let head = |bytes: &[u8]| match memchr::memmem::find(bytes, b"\r\n\r\n") {
        Some(at) => Ok(at + 4),
        None => Err(Need::More),
    };
    let asked = head(client)?;
    if !begins(server, b"HTTP/1.")? {
        return Err(Need::Nothing);
    }
    let told = head(server)?;
    match server.get(8..10) {
        Some(b" 2") => Ok(Proxied {
            path: PathKind::HttpConnect,
            client: asked,
            server: told,
            bound: None,
        }),
        _ => Err(Need::Nothing),
    }
}

/// What is left of the bytes.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self) -> Result<u8, Need> {
        let (first, rest) = self.0.split_first().ok_or(Need::More)?;
        self.0 = rest;
        Ok(*first)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Need> {
        match self.byte()? == byte {
            true => Ok(()),
            false => Err(Need::Nothing),
        }
    }

    fn skip(&mut self, length: usize) -> Result<(), Need> {
        self.0 = self.0.get(length..).ok_or(Need::More)?;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Need> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Need::More)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Skips a text and the zero that ends it.
    fn text(&mut self) -> Result<(), Need> {
        let end = memchr::memchr(0, self.0).ok_or(Need::More)?;
        self.skip(end + 1)
    }

    /// An address and a port of SOCKS5; `None` for a name.
    fn address(&mut self) -> Result<Option<SocketAddr>, Need> {
        let ip: Option<IpAddr> = match self.byte()? {
            1 => Some(Ipv4Addr::from(self.array::<4>()?).into()),
            4 => Some(Ipv6Addr::from(self.array::<16>()?).into()),
            3 => {
                let length = self.byte()?;
                self.skip(usize::from(length))?;
                None
            }
            _ => return Err(Need::Nothing),
        };
        let port = u16::from_be_bytes(self.array()?);
        Ok(ip.map(|ip| SocketAddr::new(ip, port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it is, what is left of the client's bytes, and what precedes; whatever the pieces.
    fn decide(client: &[u8], server: &[u8]) -> (Option<Protocol>, Vec<u8>, Before) {
        let whole = |pieces: usize| {
            let mut opening = Opening::default();
            let mut decided = None;
            for at in 0..client.len().max(server.len()).div_ceil(pieces) {
                let piece = |bytes: &'_ [u8]| {
                    let (from, to) = (at * pieces, (at + 1) * pieces);
                    bytes[from.min(bytes.len())..to.min(bytes.len())].to_vec()
                };
                opening.client.extend(piece(client));
                opening.server.extend(piece(server));
                decided = decided.or_else(|| opening.decide());
            }
            (decided, opening.client, opening.before)
        };
        let at_once = whole(usize::MAX / 2);
        assert_eq!(whole(1), at_once);
        at_once
    }

    const VER: &[u8] = b"VER 1 MSNP9 CVR0\r\n";

    #[test]
    fn what_a_client_says_first_tells_what_it_is() {
        for (client, protocol) in [
            (VER, Some(Protocol::Notification)),
            (
                b"VER 12 MSNP8 MSNP9 CVR0\r\nCVR",
                Some(Protocol::Notification),
            ),
            (b"VER 1 MSNP", None),
            (b"USR 1 a@b.c 123.456\r\n", Some(Protocol::Switchboard)),
            (b"ANS 1 a@b.c 123.456 789\r\n", Some(Protocol::Switchboard)),
            (b"USR anonymous\r\n", Some(Protocol::Other)),
            (b"VER x MSNP9\r\n", Some(Protocol::Other)),
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Other)),
            (b"\x16\x03\x01", Some(Protocol::Tls)),
            (
                b"POST /gateway/gateway.dll?Action=open&Server=NS&IP=x HTTP/1.1\r\n",
                Some(Protocol::Gateway),
            ),
            (
                b"POST http://h/gateway/gateway.dll?SessionID=1 HTTP/1.1\r\n",
                Some(Protocol::Other),
            ),
            (b"", None),
        ] {
            let mut opening = Opening {
                client: client.to_vec(),
                ..Opening::default()
            };
            let shown = String::from_utf8_lossy(client);
            assert_eq!(opening.decide(), protocol, "{shown}");
        }
        let mut endless = Opening {
            client: [b"VER 1 MSNP9 ".as_slice(), &[b'x'; 600]].concat(),
            ..Opening::default()
        };
        assert_eq!(endless.decide(), Some(Protocol::Other));
    }

    #[test]
    fn what_precedes_msnp_is_taken_off() {
        let path = |path, bound: Option<&str>, is_balanced| Before {
            path,
            bound: bound.map(|bound| bound.parse().unwrap()),
            is_balanced,
        };
        let cases: [(&[u8], &[u8], Before); 8] = [
            (
                b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x07\x47",
                b"\x05\x00\x05\x00\x00\x01\xcb\x00\x71\x07\x04\x09",
                path(PathKind::Socks5, Some("203.0.113.7:1033"), false),
            ),
            (
                b"\x05\x02\x00\x02\x01\x01u\x02pw\x05\x01\x00\x03\x01h\x07\x47",
                b"\x05\x02\x01\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00",
                path(PathKind::Socks5, None, false),
            ),
            (
                b"\x04\x01\x07\x47\x01\x02\x03\x04user\x00",
                b"\x00\x5a\x04\x09\xcb\x00\x71\x07",
                path(PathKind::Socks4, Some("203.0.113.7:1033"), false),
            ),
            (
                b"\x04\x01\x07\x47\x00\x00\x00\x01\x00host\x00",
                b"\x00\x5a\x00\x00\x00\x00\x00\x00",
                path(PathKind::Socks4, None, false),
            ),
            (
                b"CONNECT h:1863 HTTP/1.1\r\nHost: h\r\n\r\n",
                b"HTTP/1.1 200 OK\r\n\r\n",
                path(PathKind::HttpConnect, None, false),
            ),
            (
                b"PROXY TCP4 203.0.113.7 10.0.0.1 1033 1863\r\n",
                b"",
                path(PathKind::Tcp, None, true),
            ),
            (
                b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04abcd",
                b"",
                path(PathKind::Tcp, None, true),
            ),
            (b"", b"", Before::default()),
        ];
        for (client, server, before) in cases {
            let whole = [client, VER].concat();
            let found = decide(&whole, server);
            let expected = (Some(Protocol::Notification), VER.to_vec(), before);
            assert_eq!(found, expected, "{client:?}");
            // Of the beginning alone, nothing can be told.
            for cut in 1..client.len() {
                assert_eq!(decide(&client[..cut], b"").0, None, "{:?}", &client[..cut]);
            }
        }
    }

    #[test]
    fn a_proxy_that_refuses_leaves_no_session() {
        for (client, server) in [
            (&b"\x05\x01\x00"[..], &b"\x05\xff"[..]),
            (
                b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x07\x47",
                b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00",
            ),
            (
                b"\x04\x01\x07\x47\x01\x02\x03\x04\x00",
                b"\x00\x5b\x00\x00\x00\x00\x00\x00",
            ),
            (
                b"CONNECT h:1863 HTTP/1.1\r\n\r\n",
                b"HTTP/1.1 403 Forbidden\r\n\r\n",
            ),
        ] {
            assert_eq!(decide(client, server).0, Some(Protocol::Other));
        }
    }
}
