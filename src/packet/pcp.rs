//! PCP (RFC 6887): whether a router maps ports on request, and mappings of ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Protocol;

const VERSION: u8 = 2;
const ANSWER: u8 = 0x80;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;
const HEADER: usize = 24;

/// The number of a mapping: its owner repeats it to change or end the mapping.
pub type Nonce = [u8; 12];

/// The gateway's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// It is there.
    Announced,
    /// A port is mapped, or, with a lifetime of zero, no longer.
    Mapped {
        /// The protocol that the mapping is for.
        protocol: Protocol,
        /// The port of this host.
        internal: u16,
        /// The port outside.
        external: u16,
        /// The address outside.
        address: IpAddr,
        /// How long, in seconds.
        lifetime: u32,
    },
    /// A result code other than success.
    Refused(u8),
}

/// A request that changes nothing, and that shows whether PCP is there (section 14.1).
#[must_use]
pub fn announce(client: IpAddr) -> Vec<u8> {
    request(ANNOUNCE, client, 0)
}

/// A request to map a port of this host to the same port outside, or to another one; a lifetime of
/// zero seconds ends the mapping (section 11).
#[must_use]
pub fn map(
    protocol: Protocol,
    client: IpAddr,
    internal: u16,
    lifetime: u32,
    nonce: Nonce,
) -> Vec<u8> {
    let mut bytes = request(MAP, client, lifetime);
    bytes.extend(nonce);
    bytes.extend([number(protocol), 0, 0, 0]);
    bytes.extend(internal.to_be_bytes());
    bytes.extend(internal.to_be_bytes());
    let any = match client {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED,
    };
    bytes.extend(any.octets());
    bytes
}

fn request(operation: u8, client: IpAddr, lifetime: u32) -> Vec<u8> {
    let client = match client {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = vec![VERSION, operation, 0, 0];
    bytes.extend(lifetime.to_be_bytes());
    bytes.extend(client.octets());
    bytes
}

/// Reads an answer; that to a request for a mapping repeats its nonce. `None` if the bytes are none.
#[must_use]
pub fn parse(bytes: &[u8], nonce: Nonce) -> Option<Response> {
    // A gateway that speaks NAT-PMP alone answers in its version, with the first eight bytes alone.
    if let &[0, operation, 0, result, ..] = bytes
        && operation >= ANSWER
        && result != 0
    {
        return Some(Response::Refused(result));
    }
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let &[version, operation, _, result, a, b, c, d, ..] = header;
    if version != VERSION || operation < ANSWER {
        return None;
    }
    if result != 0 {
        return Some(Response::Refused(result));
    }
    match operation - ANSWER {
        ANNOUNCE => Some(Response::Announced),
        MAP => {
            let (repeated, rest) = rest.split_first_chunk::<12>()?;
            let (&[protocol, _, _, _, e, f, g, h], rest) = rest.split_first_chunk::<8>()?;
            let (&address, _options) = rest.split_first_chunk::<16>()?;
            let protocol = [Protocol::Tcp, Protocol::Udp]
                .into_iter()
                .find(|known| number(*known) == protocol)?;
            (*repeated == nonce).then(|| Response::Mapped {
                protocol,
                internal: u16::from_be_bytes([e, f]),
                external: u16::from_be_bytes([g, h]),
                address: Ipv6Addr::from(address).to_canonical(),
                lifetime: u32::from_be_bytes([a, b, c, d]),
            })
        }
        _ => None,
    }
}

/// The number of IANA.
const fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

#[cfg(test)]
mod tests {
    use base16ct::lower;

    use super::*;

    const NONCE: Nonce = *b"twelve bytes";
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 5));
    const END: &str = "00000000000000000000ffff";

    fn read(hex: &str) -> Option<Response> {
        parse(&lower::decode_vec(hex.replace(' ', "")).unwrap(), NONCE)
    }

    #[test]
    fn requests_are_as_the_rfc_draws_them() {
        let header =
            |operation: &str, lifetime: &str| format!("02{operation}0000{lifetime}{END}c0a80105");
        assert_eq!(
            lower::encode_string(&announce(CLIENT)),
            header("00", "00000000")
        );
        let map = map(Protocol::Tcp, CLIENT, 1863, 120, NONCE);
        let payload = format!(
            "{}0600000007470747{END}00000000",
            lower::encode_string(&NONCE)
        );
        assert_eq!(
            lower::encode_string(&map),
            header("01", "00000078") + &payload
        );
    }

    #[test]
    fn answers_are_read() {
        let zeros = "000000000000000000000000";
        let nonce = lower::encode_string(&NONCE);
        let mapped = |number: &str, protocol: &str| {
            format!(
                "02810000 00000078 00000001 {zeros} {number} {protocol}000000 0747 1000 {END} cb007107"
            )
        };
        let good = mapped(&nonce, "11");
        let want = Response::Mapped {
            protocol: Protocol::Udp,
            internal: 1863,
            external: 4096,
            address: "203.0.113.7".parse().unwrap(),
            lifetime: 120,
        };
        assert_eq!(read(&good), Some(want));
        // Options may follow.
        assert_eq!(read(&format!("{good} 02000004 00000000")), Some(want));
        assert_eq!(read(&mapped(zeros, "11")), None);
        assert_eq!(read(&mapped(&nonce, "12")), None);
        let announced = format!("02800000 00000000 00000001 {zeros}");
        assert_eq!(read(&announced), Some(Response::Announced));
        for (hex, want) in [
            (
                format!("02810002 00000000 00000001 {zeros}"),
                Some(Response::Refused(2)),
            ),
            ("00800001 00000001".to_owned(), Some(Response::Refused(1))),
            ("00800000 00000001".to_owned(), None),
            (format!("02000000 00000000 00000001 {zeros}"), None),
            (format!("03800000 00000000 00000001 {zeros}"), None),
            (format!("02820000 00000000 00000001 {zeros}"), None),
            (good[..good.len() - 2].to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(read(&hex), want, "{hex}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes, NONCE);
        }
    }
}
