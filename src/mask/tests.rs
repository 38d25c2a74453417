use proptest::prelude::*;

use super::*;
use crate::conntype::Range;

/// A mask that knows a host, an account and a port.
fn informed() -> Mask {
    let mut mask = Mask::default();
    mask.address(&Address::parse("Ms.Planted.net:1863", 0).unwrap());
    mask.account("Me-Too@planted.org");
    mask.port(46412);
    mask
}

#[test]
fn what_looks_like_a_value_is_replaced_in_text() {
    for (text, shown) in [
        (
            "connect ms.planted.NET:1863 (8.8.4.4): refused",
            "connect host1.example:1863 (203.0.113.1): refused",
        ),
        (
            "ms.planted.net. Then 8.8.4.4.",
            "host1.example. Then 203.0.113.1.",
        ),
        ("to other.planted.net", "to host3.example"),
        ("http://nas/x?y,", "http://host3.example/…,"),
        ("https://8.8.4.4/me (", "https://203.0.113.1/… ("),
        (
            "https://nas/rdr/pprdr.asp answers",
            "https://host3.example/rdr/pprdr.asp answers",
        ),
        ("https://[2a00::7]:8443/", "https://[2001:db8::1]:61002/"),
        ("nas:4444", "host3.example:61002"),
        (
            "fe80::7%eth0 and ::ffff:10.9.8.7",
            "fe80::1%zone and ::ffff:10.0.0.1",
        ),
        ("at 2a00::7: closed", "at 2001:db8::1: closed"),
        (
            "me-too@PLANTED.org signed in",
            "user1@host2.example signed in",
        ),
        (
            "sign-in=me%2Dtoo%40planted%2Eorg,x",
            "sign-in=user1@host2.example,x",
        ),
        ("hello me-too!", "hello user1!"),
        ("x-me-too-y", "x-user1-y"),
        ("it@isp.co.uk", "user2@host3.example"),
        ("46412, 19637 and 46413", "61001, 18926 and 46413"),
        ("on port 46413", "on port 61002"),
        ("x8.8.4.4y 008.008.004.004", "x203.0.113.1y 203.0.113.1"),
        ("é.8.8.4.4 8.8.4.4.5", "é.203.0.113.1 203.0.113.1.5"),
        ("cpe-8-8-4-4.isp.net", "host3.example"),
        ("localhost:9 127.0.0.1:9", "localhost:61002 127.0.0.1:61002"),
        (
            "no: 12:30:45 2026-11-25T23:50:40Z",
            "no: 12:30:45 2026-11-25T23:50:40Z",
        ),
        (
            "HTTP/1.1 401, 1.5 s, 0.1.0, 300.1.1.1",
            "HTTP/1.1 401, 1.5 s, 0.1.0, 300.1.1.1",
        ),
        (
            "/rdr/pprdr.asp gateway.dll Passport1.4",
            "/rdr/pprdr.asp gateway.dll Passport1.4",
        ),
        (
            "msnp9-conntype: the server, [hidden]",
            "msnp9-conntype: the server, [hidden]",
        ),
        ("", ""),
    ] {
        assert_eq!(informed().text(text), shown, "{text}");
    }
}

proptest! {
    #[test]
    fn ports_keep_the_relation_of_their_bytes(ports in prop::collection::vec(any::<u16>(), 1..300)) {
        let mut mask = Mask::default();
        let mut given = BTreeMap::new();
        for port in ports {
            let masked = mask.port(port);
            prop_assert_eq!(mask.port(swap_port(port)), swap_port(masked));
            prop_assert_eq!(port == swap_port(port), masked == swap_port(masked));
            prop_assert_eq!(port == 0, masked == 0);
            prop_assert!(!KEPT_PORTS.contains(&port) || masked == port);
            prop_assert_eq!(*given.entry(masked).or_insert(port), port);
            prop_assert_eq!(mask.port(port), masked);
        }
    }

    #[test]
    fn addresses_stay_in_their_range_and_apart(
        v4 in prop::collection::vec(v4(), 1..200),
        v6 in prop::collection::vec(v6(), 1..100),
    ) {
        let mut mask = Mask::default();
        let mut given = BTreeMap::new();
        for ip in v4.into_iter().map(IpAddr::V4).chain(v6.into_iter().map(IpAddr::V6)) {
            let masked = mask.ip(ip);
            prop_assert_eq!(Range::of(masked), Range::of(ip));
            prop_assert_eq!(masked.is_multicast(), ip.is_multicast());
            prop_assert_eq!(masked.is_unspecified(), ip.is_unspecified());
            prop_assert_eq!(mask.ip(ip.to_canonical()), masked.to_canonical());
            prop_assert_eq!(*given.entry(masked).or_insert(ip), ip);
            prop_assert_eq!(mask.ip(ip), masked);
        }
    }

    #[test]
    fn no_text_is_too_much(text in "\\PC{0,60}|[0-9a-f:.%@ \\[\\]]{0,40}") {
        let mut mask = informed();
        let masked = mask.text(&text);
        prop_assert_eq!(mask.text(&text), masked);
        let _ = mask.port_text(&text);
    }

    #[test]
    fn a_known_value_is_left_in_no_text(before in "[^a-zA-Z0-9]{0,5}", after in "[^\\w]{0,5}") {
        for value in ["ms.planted.net", "me-too@planted.org", "8.8.4.4"] {
            let masked = informed().text(&format!("{before}{value}{after}"));
            prop_assert!(!masked.contains(value), "{}", masked);
        }
    }
}

/// Addresses of every range, at its edges and within.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let bases: Vec<_> = RANGES
        .iter()
        .map(|(base, _)| u32::from_be_bytes(*base))
        .collect();
    let near = (prop::sample::select(bases), -3_i32..300)
        .prop_map(|(base, offset)| base.wrapping_add_signed(offset));
    prop_oneof![near, any::<u32>()].prop_map(Ipv4Addr::from)
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let first = prop::sample::select(vec![
        0_u16, 0x64, 0xfc00, 0xfdff, 0xfe80, 0xfebf, 0xfec0, 0xff02, 0x2001,
    ]);
    let held = v4().prop_map(|ip| ip.to_ipv6_mapped());
    let translated = v4().prop_map(|ip| (0x64_ff9b_u128 << 96 | u128::from(u32::from(ip))).into());
    let any = (first, any::<u16>())
        .prop_map(|(first, last)| Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last));
    prop_oneof![held, translated, any]
}

#[test]
fn each_value_has_one_mask() {
    let mut mask = Mask::default();
    let mut ip = |text: &str| mask.ip(text.parse().unwrap()).to_string();
    for (text, masked) in [
        ("8.8.8.8", "203.0.113.1"),
        ("9.9.9.9", "203.0.113.2"),
        ("8.8.8.8", "203.0.113.1"),
        ("192.168.178.20", "192.168.0.1"),
        ("10.9.8.7", "10.0.0.1"),
        ("172.20.1.1", "172.16.0.1"),
        ("100.100.1.1", "100.64.0.1"),
        ("169.254.7.7", "169.254.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.7.7.7", "127.0.0.2"),
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
        ("239.1.2.3", "224.0.0.1"),
        ("2a00::1", "2001:db8::1"),
        ("fd12:3456::1", "fd00::1"),
        ("fe80::abcd", "fe80::1"),
        ("::1", "::1"),
        ("::ffff:8.8.8.8", "::ffff:203.0.113.1"),
        ("64:ff9b::808:808", "64:ff9b::cb00:7101"),
    ] {
        assert_eq!(ip(text), masked, "{text}");
    }
    for (host, masked) in [
        ("MS.planted.net", "host1.example"),
        ("ms.planted.net.", "host1.example"),
        ("localhost", "localhost"),
        ("8.8.8.8", "203.0.113.1"),
        ("fe80::abcd%eth0", "fe80::1%zone"),
    ] {
        assert_eq!(mask.host(host), masked, "{host}");
    }
    assert_eq!(mask.account("me@planted.net"), "user1@host2.example");
    assert_eq!(mask.account("ME@planted.net"), "user1@host2.example");
    assert_eq!(mask.account("nick"), "user2");
}

#[test]
fn more_addresses_than_there_are_for_documentation_share_one() {
    let mut mask = Mask::default();
    let all: BTreeSet<_> = (0..1000)
        .map(|n| mask.v4(Ipv4Addr::from(0x0808_0000 + n)))
        .collect();
    assert_eq!(all.len(), 763);
    assert!(all.iter().all(|ip| ip.is_documentation()));
}

#[test]
fn a_port_that_is_none_is_masked_within_its_text() {
    for (text, masked) in [
        ("46412.", "61001."),
        (" 00046412", " 61001"),
        ("x19637, 0, 99999é", "x18926, 0, 99999é"),
        ("51,234", "61002,61003"),
        (
            "8.8.4.4:46412 ms.planted.net",
            "203.0.113.1:61001 host1.example",
        ),
    ] {
        assert_eq!(informed().port_text(text), masked, "{text}");
    }
    // A mask that is a port as well is not masked once more.
    let mut mask = Mask::default();
    let [first, second] = [40000, FIRST_PORT].map(|port| mask.port(port).to_string());
    assert_eq!(mask.port_text("40000"), first);
    assert_eq!(mask.text(&FIRST_PORT.to_string()), second);
}
