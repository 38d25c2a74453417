//! The packets of MSN's network detection over UDP ("UDP echo"): 20 bytes in either direction.
//!
//! The addresses and ports in them are masked, so that a NAT which rewrites addresses inside of
//! packets does not find them. Source of the layout: the code of Miranda IM, the only one that is known.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The length of every packet.
pub const LEN: usize = 20;

/// Asks for an answer from the server that gets the packet.
pub const ECHO: u8 = 1;

/// Asks for an answer from the server's other address.
pub const FROM_OTHER: u8 = 3;

const VERSION: u8 = 2;

/// What each field is masked with, from its first byte.
const MASK: [u8; 4] = [0x41, 0x31, 0x41, 0x31];

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What is asked for; answers have [`ECHO`].
    pub service: u8,
    /// The client's end as the server sees it; zeros in a request.
    pub client: SocketAddrV4,
    /// The server's other address; `None` in a request that begins.
    pub other: Option<Other>,
    /// A number of the request that the answer repeats.
    pub transaction: [u8; 4],
}

/// The other address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other {
    /// A port there that ignores what it gets.
    pub discard_port: u16,
    /// Where it answers.
    pub address: SocketAddrV4,
}

impl Packet {
    /// The request that begins a test.
    #[must_use]
    pub const fn request(transaction: [u8; 4]) -> Self {
        Self {
            service: ECHO,
            client: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            other: None,
            transaction,
        }
    }

    /// Reads a packet; `None` unless it has this length and version 2.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let [VERSION, service, ..] = *bytes else {
            return None;
        };
        let port = |at: usize| u16::from_be_bytes([bytes[at] ^ MASK[0], bytes[at + 1] ^ MASK[1]]);
        let ip = |at: usize| Ipv4Addr::from([0, 1, 2, 3].map(|i| bytes[at + i] ^ MASK[i]));
        Some(Self {
            service,
            client: SocketAddrV4::new(ip(4), port(2)),
            // Left out, these fields are zeros without a mask.
            other: (bytes[8..16] != [0; 8]).then(|| Other {
                discard_port: port(8),
                address: SocketAddrV4::new(ip(12), port(10)),
            }),
            transaction: [bytes[16], bytes[17], bytes[18], bytes[19]],
        })
    }

    /// The packet as it is sent.
    #[must_use]
    pub fn bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..2].copy_from_slice(&[VERSION, self.service]);
        let mut put = |at: usize, field: &[u8]| {
            let masked = field.iter().zip(MASK).map(|(byte, mask)| byte ^ mask);
            for (byte, masked) in bytes[at..].iter_mut().zip(masked) {
                *byte = masked;
            }
        };
        put(2, &self.client.port().to_be_bytes());
        put(4, &self.client.ip().octets());
        if let Some(other) = self.other {
            put(8, &other.discard_port.to_be_bytes());
            put(10, &other.address.port().to_be_bytes());
            put(12, &other.address.ip().octets());
        }
        bytes[16..].copy_from_slice(&self.transaction);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use base16ct::upper;

    use super::*;

    fn answer() -> Packet {
        Packet {
            service: ECHO,
            client: "203.0.113.7:1033".parse().unwrap(),
            other: Some(Other {
                discard_port: 9,
                address: "198.51.100.9:7001".parse().unwrap(),
            }),
            transaction: [0; 4],
        }
    }

    #[test]
    fn a_request_has_a_masked_zero_for_the_client_and_zeros_elsewhere() {
        let bytes = upper::decode_vec("0201413141314131000000000000000000000000").unwrap();
        assert_eq!(Packet::request([0; 4]).bytes()[..], bytes);
        assert_eq!(Packet::parse(&bytes), Some(Packet::request([0; 4])));
        let numbered = Packet::request([1, 2, 3, 4]).bytes();
        assert_eq!(numbered[16..], [1, 2, 3, 4]);
    }

    #[test]
    fn an_answer_has_the_client_and_the_other_address_masked() {
        let bytes = upper::decode_vec("020145388A31303641385A688702253800000000").unwrap();
        assert_eq!(Packet::parse(&bytes), Some(answer()));
        assert_eq!(answer().bytes()[..], bytes);
    }

    #[test]
    fn other_lengths_and_versions_are_no_packets() {
        let bytes = answer().bytes();
        for len in 0..LEN {
            assert_eq!(Packet::parse(&bytes[..len]), None, "{len}");
        }
        assert_eq!(Packet::parse(&[bytes.as_slice(), &[0]].concat()), None);
        for version in [0, 1, 3, 255] {
            let mut bytes = bytes;
            bytes[0] = version;
            assert_eq!(Packet::parse(&bytes), None, "{version}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_the_same(mut bytes in proptest::array::uniform20(0u8..)) {
            bytes[0] = VERSION;
            proptest::prop_assert_eq!(Packet::parse(&bytes).unwrap().bytes(), bytes);
        }
    }
}
