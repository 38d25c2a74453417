//! STUN: a Binding request, and what answers it.
//!
//! Sources: RFC 8489 (format), RFC 5780 (CHANGE-REQUEST, OTHER-ADDRESS), RFC 3489 (servers from before
//! the magic cookie, which repeat it as a part of the transaction).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const BINDING: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;

const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
/// What RFC 3489 calls OTHER-ADDRESS.
const CHANGED_ADDRESS: u16 = 0x0005;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const OTHER_ADDRESS: u16 = 0x802c;

/// The number of a request, which its answer repeats.
pub type Transaction = [u8; 12];

/// Where else the answer is to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The server's other port.
    Port,
    /// Its other address and port.
    Both,
}

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// What it sees.
    Seen {
        /// The client's end.
        outside: SocketAddr,
        /// The server's other address and port, if it names them.
        other: Option<SocketAddr>,
    },
    /// An error, such as 420: it does not know what was asked for.
    Error(u16),
}

/// A Binding request.
#[must_use]
pub fn request(transaction: Transaction, change: Option<Change>) -> Vec<u8> {
    let flags = change.map(|change| match change {
        Change::Port => 0x02,
        Change::Both => 0x06,
    });
    let mut bytes = Vec::with_capacity(HEADER + 8);
    bytes.extend(BINDING.to_be_bytes());
    bytes.extend([0, if flags.is_some() { 8 } else { 0 }]);
    bytes.extend(COOKIE);
    bytes.extend(transaction);
    if let Some(flags) = flags {
        bytes.extend(CHANGE_REQUEST.to_be_bytes());
        bytes.extend([0, 4, 0, 0, 0, flags]);
    }
    bytes
}

/// Reads the answer to the request of this number; `None` if the bytes are none.
#[must_use]
pub fn parse(bytes: &[u8], transaction: Transaction) -> Option<Response> {
    let (header, mut rest) = bytes.split_first_chunk::<HEADER>()?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = u16::from_be_bytes([header[2], header[3]]);
    let is_ours = header[4..8] == COOKIE && header[8..] == transaction;
    if !is_ours || usize::from(length) != rest.len() || length % 4 != 0 {
        return None;
    }
    let (mut plain, mut xored, mut other, mut error) = (None, None, None, None);
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let name = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = after.get(..length)?;
        // The first one of a kind counts.
        match name {
            MAPPED_ADDRESS if plain.is_none() => plain = Some(address(value, [0; 16])?),
            XOR_MAPPED_ADDRESS if xored.is_none() => {
                let mut mask = [0; 16];
                mask.copy_from_slice(&header[4..]);
                xored = Some(address(value, mask)?);
            }
            OTHER_ADDRESS | CHANGED_ADDRESS if other.is_none() => {
                other = Some(address(value, [0; 16])?);
            }
            ERROR_CODE if error.is_none() => {
                let class = u16::from(*value.get(2)? & 0x07);
                error = Some(class * 100 + u16::from(*value.get(3)?));
            }
            _ => {}
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    match kind {
        // A NAT that rewrites addresses inside of packets does not find the masked one.
        SUCCESS => xored
            .or(plain)
            .map(|outside| Response::Seen { outside, other }),
        ERROR => error.map(Response::Error),
        _ => None,
    }
}

/// An address and port, masked with the cookie and the transaction.
fn address(value: &[u8], mask: [u8; 16]) -> Option<SocketAddr> {
    let (&[_, family, one, two], ip) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([one ^ mask[0], two ^ mask[1]]);
    let unmask = |at: usize| ip[at] ^ mask[at];
    let ip: IpAddr = match (family, ip.len()) {
        (1, 4) => Ipv4Addr::from(std::array::from_fn(unmask)).into(),
        (2, 16) => Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(unmask)).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use base16ct::lower;

    use super::*;

    /// The attributes of RFC 5769, section 2.2, in an answer of the same transaction.
    const NUMBER: Transaction = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";

    fn answer(kind: u16, attributes: &str) -> Vec<u8> {
        let attributes = lower::decode_vec(attributes.replace(' ', "")).unwrap();
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
        bytes.extend(COOKIE);
        bytes.extend(NUMBER);
        bytes.extend(attributes);
        bytes
    }

    fn seen(outside: &str, other: Option<&str>) -> Option<Response> {
        Some(Response::Seen {
            outside: outside.parse().unwrap(),
            other: other.map(|other| other.parse().unwrap()),
        })
    }

    #[test]
    fn the_vectors_of_rfc_5769_are_read() {
        let software = "8022 000b 7465737420766563746f7220 ";
        let v4 = answer(SUCCESS, &format!("{software}0020 0008 0001a147e112a643"));
        assert_eq!(parse(&v4, NUMBER), seen("192.0.2.1:32853", None));
        let v6 = "0020 0014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9";
        let v6 = answer(SUCCESS, &format!("{software}{v6}"));
        let want = seen("[2001:db8:1234:5678:11:2233:4455:6677]:32853", None);
        assert_eq!(parse(&v6, NUMBER), want);
    }

    #[test]
    fn the_masked_address_counts_and_the_other_one_is_read_by_either_name() {
        let plain = "0001 0008 00010d96c0000263 ";
        let xored = "0020 0008 0001a147e112a643 ";
        for name in ["802c", "0005"] {
            let other = format!("{name} 0008 00010d97c6336409 ");
            let both = answer(SUCCESS, &format!("{plain}{xored}{other}"));
            let want = seen("192.0.2.1:32853", Some("198.51.100.9:3479"));
            assert_eq!(parse(&both, NUMBER), want);
            let old = answer(SUCCESS, &format!("{plain}{other}"));
            let want = seen("192.0.2.99:3478", Some("198.51.100.9:3479"));
            assert_eq!(parse(&old, NUMBER), want);
        }
    }

    #[test]
    fn an_error_has_its_code() {
        let error = answer(ERROR, "0009 0004 00000414");
        assert_eq!(parse(&error, NUMBER), Some(Response::Error(420)));
        assert_eq!(parse(&answer(ERROR, ""), NUMBER), None);
    }

    #[test]
    fn what_is_no_answer_to_this_request_is_not_read() {
        let good = answer(SUCCESS, "0020 0008 0001a147e112a643");
        assert!(parse(&good, NUMBER).is_some());
        assert_eq!(parse(&good, [0; 12]), None);
        for len in 0..good.len() {
            assert_eq!(parse(&good[..len], NUMBER), None, "{len}");
        }
        let longer = [good.as_slice(), &[0; 4]].concat();
        assert_eq!(parse(&longer, NUMBER), None);
        for attributes in [
            "",
            "0020 0004 0001a147",
            "0020 0008 0003a147e112a643",
            "0020 0008 0002a147e112a643",
            "0020 000c 0001a147e112a643",
            "0020 ffff 0001a147e112a643",
        ] {
            assert_eq!(
                parse(&answer(SUCCESS, attributes), NUMBER),
                None,
                "{attributes}"
            );
        }
        assert_eq!(parse(&request(NUMBER, None), NUMBER), None);
    }

    #[test]
    fn a_request_says_where_the_answer_is_to_come_from() {
        let hex = |change| lower::encode_string(&request(NUMBER, change));
        let number = lower::encode_string(&NUMBER);
        assert_eq!(hex(None), format!("000100002112a442{number}"));
        let changed = |flags| format!("000100082112a442{number}00030004000000{flags}");
        assert_eq!(hex(Some(Change::Port)), changed("02"));
        assert_eq!(hex(Some(Change::Both)), changed("06"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, attributes: Vec<u8>) {
            let _ = parse(&bytes, NUMBER);
            for kind in [SUCCESS, ERROR] {
                let _ = parse(&answer(kind, &lower::encode_string(&attributes)), NUMBER);
            }
        }
    }
}
