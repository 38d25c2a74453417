//! NAT-PMP (RFC 6886): what a router's outside address is, and mappings of ports.

use std::net::Ipv4Addr;

use super::Protocol;

/// The port of a gateway that NAT-PMP and PCP share.
pub const PORT: u16 = 5351;

const VERSION: u8 = 0;
const PCP: u8 = 2;
const ADDRESS: u8 = 0;
const ANSWER: u8 = 128;

/// The gateway's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Its outside address.
    Address(Ipv4Addr),
    /// A port is mapped, or, with a lifetime of zero, no longer.
    Mapped {
        /// The protocol that the mapping is for.
        protocol: Protocol,
        /// The port of this host.
        internal: u16,
        /// The port outside.
        external: u16,
        /// How long, in seconds.
        lifetime: u32,
    },
    /// A result code other than success.
    Refused(u16),
}

/// A request for the outside address.
#[must_use]
pub const fn address() -> [u8; 2] {
    [VERSION, ADDRESS]
}

/// A request to map a port of this host to the same port outside, or to another one; a lifetime of
/// zero seconds ends the mapping.
#[must_use]
pub fn map(protocol: Protocol, internal: u16, lifetime: u32) -> Vec<u8> {
    // An end of a mapping asks for no port (section 3.4).
    let wanted = if lifetime == 0 { 0 } else { internal };
    let mut bytes = vec![VERSION, operation(protocol), 0, 0];
    bytes.extend(internal.to_be_bytes());
    bytes.extend(wanted.to_be_bytes());
    bytes.extend(lifetime.to_be_bytes());
    bytes
}

/// Reads an answer; `None` if the bytes are none.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Response> {
    let (&[version, operation, one, two], rest) = bytes.split_first_chunk::<4>()?;
    let result = u16::from_be_bytes([one, two]);
    if operation < ANSWER {
        return None;
    }
    // A gateway that speaks PCP alone answers in that version, with an error.
    let is_other = version == PCP && result != 0;
    if !is_other && version != VERSION {
        return None;
    }
    if result != 0 {
        return Some(Response::Refused(result));
    }
    let (_epoch, rest) = rest.split_first_chunk::<4>()?;
    if operation == ANSWER + ADDRESS {
        let &ip = <&[u8; 4]>::try_from(rest).ok()?;
        return Some(Response::Address(ip.into()));
    }
    let protocol = match operation - ANSWER {
        1 => Protocol::Udp,
        2 => Protocol::Tcp,
        _ => return None,
    };
    let &[a, b, c, d, e, f, g, h] = <&[u8; 8]>::try_from(rest).ok()?;
    Some(Response::Mapped {
        protocol,
        internal: u16::from_be_bytes([a, b]),
        external: u16::from_be_bytes([c, d]),
        lifetime: u32::from_be_bytes([e, f, g, h]),
    })
}

const fn operation(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
    }
}

#[cfg(test)]
mod tests {
    use base16ct::lower;

    use super::*;

    fn read(hex: &str) -> Option<Response> {
        parse(&lower::decode_vec(hex.replace(' ', "")).unwrap())
    }

    #[test]
    fn requests_are_as_the_rfc_draws_them() {
        assert_eq!(address(), [0, 0]);
        let map = |protocol, lifetime| lower::encode_string(&map(protocol, 1863, lifetime));
        assert_eq!(
            map(Protocol::Tcp, 120),
            "00020000074707470000".to_owned() + "0078"
        );
        assert_eq!(
            map(Protocol::Udp, 0),
            "00010000074700000000".to_owned() + "0000"
        );
    }

    #[test]
    fn answers_are_read() {
        for (hex, want) in [
            (
                "0080 0000 00000001 cb007107",
                Some(Response::Address(Ipv4Addr::new(203, 0, 113, 7))),
            ),
            (
                "0082 0000 00000001 0747 1000 00000078",
                Some(Response::Mapped {
                    protocol: Protocol::Tcp,
                    internal: 1863,
                    external: 4096,
                    lifetime: 120,
                }),
            ),
            ("0080 0002 00000001 00000000", Some(Response::Refused(2))),
            ("0281 0001", Some(Response::Refused(1))),
            ("0281 0000 00000001 00000000", None),
            ("ff81 0001", None),
            ("0000 0000 00000001 cb007107", None),
            ("0080 0000 00000001 cb0071", None),
            ("0080 0000 00000001 cb00710700", None),
            ("0083 0000 00000001 0747 1000 00000078", None),
            ("0081 0000 00000001 0747 1000 000078", None),
            ("0080", None),
            ("", None),
        ] {
            assert_eq!(read(hex), want, "{hex}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
