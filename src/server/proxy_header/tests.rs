use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: its 13th and 14th byte, and what follows the length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// Addresses of a client at 203.0.113.7:1033 and a balancer at 192.0.2.1:1863.
const ENDS_V4: &[u8] = &[203, 0, 113, 7, 192, 0, 2, 1, 4, 9, 7, 71];

fn client(from: &str, to: &str) -> Result<Source, BadHeader> {
    Ok(Source::Client {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    })
}

fn usual() -> Result<Source, BadHeader> {
    client("203.0.113.7:1033", "192.0.2.1:1863")
}

/// The header with its checksum in a TLV at the end, computed bit by bit.
fn with_checksum(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = v2(command, family, &[rest, &[3, 0, 4, 0, 0, 0, 0]].concat());
    let mut crc = u32::MAX;
    for byte in &header {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    let at = header.len() - 4;
    header[at..].copy_from_slice(&(!crc).to_be_bytes());
    header
}

#[test]
fn both_versions_name_the_client() {
    let v6: Vec<u8> = [
        "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap(),
        "2001:db8::1".parse().unwrap(),
    ]
    .iter()
    .flat_map(std::net::Ipv6Addr::octets)
    .chain([4, 9, 7, 71])
    .collect();
    let usual_v6 = || client("[2001:db8::7]:1033", "[2001:db8::1]:1863");
    let tlvs = [ENDS_V4, &[4, 0, 2, 0, 0, 0xe0, 0, 0]].concat();
    for (header, want) in [
        (
            b"PROXY TCP4 203.0.113.7 192.0.2.1 1033 1863\r\n".to_vec(),
            usual(),
        ),
        (
            b"PROXY TCP6 2001:db8::7 2001:db8::1 1033 1863\r\n".to_vec(),
            usual_v6(),
        ),
        (v2(0x21, 0x11, ENDS_V4), usual()),
        (v2(0x21, 0x21, &v6), usual_v6()),
        (v2(0x21, 0x11, &tlvs), usual()),
        (with_checksum(0x21, 0x11, ENDS_V4), usual()),
        (with_checksum(0x21, 0x11, &tlvs), usual()),
        (with_checksum(0x20, 0x00, &[]), Ok(Source::Balancer)),
    ] {
        assert_eq!(length(&header), Ok(Some(header.len())), "{header:x?}");
        assert_eq!(parse(&header), want, "{header:x?}");
        let followed = [&header[..], b"VER 1 MSNP9\r\n"].concat();
        assert_eq!(length(&followed), Ok(Some(header.len())));
    }
}

#[test]
fn a_balancer_may_know_no_client() {
    let unix = [0; 216];
    for (header, want) in [
        (&b"PROXY UNKNOWN\r\n"[..], Source::Unknown),
        (
            b"PROXY UNKNOWN ff 1 2 3 4 and more words\r\n",
            Source::Unknown,
        ),
        (&v2(0x20, 0x00, &[]), Source::Balancer),
        (&v2(0x20, 0x11, ENDS_V4), Source::Balancer),
        (&v2(0x21, 0x00, &[]), Source::Unknown),
        // Not TLVs, but to be ignored.
        (&v2(0x21, 0x00, &[9, 9]), Source::Unknown),
        (&v2(0x21, 0x31, &unix), Source::Unknown),
    ] {
        assert_eq!(length(header), Ok(Some(header.len())), "{header:x?}");
        assert_eq!(parse(header), Ok(want), "{header:x?}");
    }
}

#[test]
fn a_header_is_whole_only_at_its_end() {
    let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 1033 1863\r\n".to_vec();
    for header in [v1, with_checksum(0x21, 0x11, ENDS_V4)] {
        for end in 0..header.len() {
            let known = length(&header[..end]).unwrap();
            assert!(known.is_none_or(|known| known == header.len()), "{end}");
            // Nothing that is cut is taken for a whole header.
            assert!(parse(&header[..end]).is_err(), "{end}");
        }
    }
}

#[test]
fn what_is_no_header_is_told_at_its_first_byte() {
    for input in [
        &b"VER 1 MSNP9 CVR0\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1],
        b"PROXY\tTCP4",
        b"\r\n\r\n\0\r\nQUIX",
        b"PRP 1 x",
    ] {
        assert_eq!(length(input), Err(BadHeader::Absent), "{input:?}");
        assert!(!is_whole_prefix(input));
    }
    assert!(is_whole_prefix(b"PROXY TCP4") && is_whole_prefix(&v2(0x21, 0x11, ENDS_V4)));
}

#[test]
fn a_header_has_a_longest_length() {
    let line = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    assert_eq!(length(&line[..106]), Ok(None));
    assert_eq!(length(&line), Err(BadHeader::TooLong));
    let longest = v2(0x21, 0x11, &vec![0; MAX_V2 - FIXED_V2]);
    assert_eq!(length(&longest), Ok(Some(MAX_V2)));
    let longer = v2(0x21, 0x11, &vec![0; MAX_V2 - FIXED_V2 + 1]);
    assert_eq!(length(&longer[..16]), Err(BadHeader::TooLong));
}

#[test]
fn an_invalid_header_is_refused() {
    let mut changed = with_checksum(0x21, 0x11, ENDS_V4);
    changed[16] ^= 1;
    let two_lengths = [ENDS_V4, &[3, 0, 3, 0, 0, 0]].concat();
    for (header, want) in [
        (changed, BadHeader::Checksum),
        (
            v2(0x21, 0x11, &[ENDS_V4, &[3, 0, 4, 1, 2, 3, 4]].concat()),
            BadHeader::Checksum,
        ),
        (v2(0x21, 0x11, &two_lengths), BadHeader::Malformed),
        (
            v2(0x21, 0x11, &[ENDS_V4, &[4, 0, 9, 0]].concat()),
            BadHeader::Malformed,
        ),
        (v2(0x21, 0x11, &ENDS_V4[..11]), BadHeader::Malformed),
        (v2(0x31, 0x11, ENDS_V4), BadHeader::Malformed),
        (v2(0x22, 0x11, ENDS_V4), BadHeader::Malformed),
        (v2(0x21, 0x41, ENDS_V4), BadHeader::Malformed),
        (v2(0x21, 0x12, ENDS_V4), BadHeader::NotTcp),
        (
            v2(0x21, 0x11, &[0, 0, 0, 0, 192, 0, 2, 1, 4, 9, 7, 71]),
            BadHeader::NotAClient,
        ),
    ] {
        assert_eq!(parse(&header), Err(want), "{header:x?}");
    }
    for (line, want) in [
        (
            "PROXY TCP4 203.0.113.7 192.0.2.1 1033\r\n",
            BadHeader::Malformed,
        ),
        (
            "PROXY TCP4 203.0.113.7 192.0.2.1 1033 70000\r\n",
            BadHeader::Malformed,
        ),
        (
            "PROXY TCP4 203.0.113.7 192.0.2.1 1033 1863\n",
            BadHeader::Malformed,
        ),
        (
            "PROXY TCP4 2001:db8::7 2001:db8::1 1033 1863\r\n",
            BadHeader::Malformed,
        ),
        (
            "PROXY TCP6 203.0.113.7 192.0.2.1 1033 1863\r\n",
            BadHeader::Malformed,
        ),
        (
            "PROXY TCP5 203.0.113.7 192.0.2.1 1033 1863\r\n",
            BadHeader::Malformed,
        ),
        ("PROXY UNKNOWNS\r\n", BadHeader::Malformed),
        ("PROXY UNKNOWN\n", BadHeader::Malformed),
        (
            "PROXY TCP4 203.0.113.7 192.0.2.1 0 1863\r\n",
            BadHeader::NotAClient,
        ),
        (
            "PROXY TCP4 239.0.0.1 192.0.2.1 1033 1863\r\n",
            BadHeader::NotAClient,
        ),
        (
            "PROXY TCP6 ::ffff:0.0.0.0 ::1 1033 1863\r\n",
            BadHeader::NotAClient,
        ),
    ] {
        assert_eq!(parse(line.as_bytes()), Err(want), "{line:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_input_is_handled(start in 0..4, rest in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let start: &[u8] = [&b""[..], b"PROXY TCP4 ", SIGNATURE, b"PROXY "][start as usize];
        let input = [start, &rest].concat();
        match length(&input) {
            Ok(Some(length)) if length <= input.len() => drop(parse(&input[..length])),
            _ => drop(parse(&input)),
        }
    }
}
