use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::conntype::{Label, Observation, PeerLabel, UdpLabel, classify};

/// A request as an official client sends it, behind the headers of its transport.
const REQUEST: &[u8] = b"MIME-Version: 1.0\r\nContent-Type: application/x-msnmsgrp2p\r\nP2P-Dest: c@d.e\r\n\r\n\
    \0\0\0\0\x9a\x01\0\0\0\0\0\0INVITE MSNMSGR:c@d.e MSNSLP/1.0\r\nTo: <msnmsgr:c@d.e>\r\n\
    From: <msnmsgr:a@b.c;{12345678-0000}>\r\nContent-Type: application/x-msnmsgr-transreqbody\r\n\r\n\
    Bridges: TRUDPv1 TCPv1 SBBridge TURNv1\r\nNetID: -1580793919\r\nConn-Type: Port-Restrict-NAT\r\n\
    TCP-Conn-Type: Port-Restrict-NAT\r\nUPnPNat: true\r\nICF: false\r\nHashed-Nonce: {SECRET-GUID}\r\n\
    Nat-Trav-Msg-Type: WLX-Nat-Trav-Msg-Direct-Connect-Req\r\nSessionID: 5\r\n\r\n\0";

fn one(bytes: &[u8]) -> Invitation {
    let mut found = find_invitations(bytes);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn the_known_net_ids_are_addresses() {
    for (id, address) in [
        (-1_580_793_919, "193.255.198.161"),
        (-1_689_699_384, "200.59.73.155"),
        (-1_388_627_126, "74.59.59.173"),
        (124_846_283, "203.0.113.7"),
        (0, "0.0.0.0"),
    ] {
        let address = address.parse().unwrap();
        assert_eq!((net_id_of(address), address_of_net_id(id)), (id, address));
    }
}

#[test]
fn a_request_is_read_behind_its_headers() {
    let found = one(REQUEST);
    assert_eq!(
        (found.form, found.from.as_deref()),
        (Form::Request, Some("a@b.c"))
    );
    assert_eq!(found.get(Name::NetId), Some(&Value::Number(-1_580_793_919)));
    let label = Value::Label(PeerLabel::PortRestrictNat);
    assert_eq!(found.get(Name::ConnType), Some(&label));
    assert_eq!(found.get(Name::UpnpNat), Some(&Value::Flag(true)));
    assert_eq!(found.get(Name::Icf), Some(&Value::Flag(false)));
    assert!(!format!("{found:?}").contains("SECRET"), "{found:?}");
}

#[test]
fn a_response_has_lists_of_addresses_also_reversed() {
    let plain = b"MSNSLP/1.0 200 OK\nContent-Type: application/x-msnmsgr-transrespbody\n\nBridge: TCPv1\nListening: true\n\
        IPv4Internal-Addrs: 192.168.1.5 10.0.0.5\nIPv4Internal-Port: 6891\nIPv4External-AddrsAndPorts: 203.0.113.7:6891\n";
    let found = one(plain);
    assert_eq!(found.form, Form::Response);
    let addresses: Vec<IpAddr> = ["192.168.1.5", "10.0.0.5"]
        .map(|ip| ip.parse().unwrap())
        .into();
    assert_eq!(
        found.get(Name::InternalAddresses),
        Some(&Value::Addresses(addresses))
    );
    assert_eq!(found.get(Name::InternalPort), Some(&Value::Port(6891)));
    let ends = vec!["203.0.113.7:6891".parse().unwrap()];
    assert_eq!(found.get(Name::ExternalEnds), Some(&Value::Ends(ends)));
    let reversed = one(b"srddA-lanretxE4vPI: 7.311.0.302\r\ntroP-lanretxE4vPI: 1986\r\n");
    let address = vec!["203.0.113.7".parse().unwrap()];
    assert_eq!(
        reversed.get(Name::ExternalAddresses),
        Some(&Value::Addresses(address))
    );
    assert_eq!(reversed.get(Name::ExternalPort), Some(&Value::Port(6891)));
}

#[test]
fn older_invitations_are_read() {
    let voice = one(
        b"MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\r\nApplication-Name: an audio conversation\r\n\
          Session-Protocol: SM1\r\nConn-Type: IP-Restrict-NAT\r\nPublic-IP: 203.0.113.7\r\nPrivate-IP: 192.168.1.5\r\nUPnP: FALSE\r\n",
    );
    assert_eq!(voice.form, Form::Voice);
    assert_eq!(voice.get(Name::Upnp), Some(&Value::Flag(false)));
    let file = one(
        b"MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\r\nApplication-Name: File Transfer\r\n\
          Connectivity: N\r\nPortX-Internal: 12\r\n",
    );
    assert_eq!(file.form, Form::FileTransfer);
    assert_eq!(file.get(Name::Connectivity), Some(&Value::Flag(false)));
}

#[test]
fn messages_are_told_apart_and_others_are_none() {
    let two = [REQUEST, b"MSG a@b.c nick 5\r\n", REQUEST].concat();
    assert_eq!(find_invitations(&two).len(), 2);
    for other in [
        &b""[..],
        b"hello: world",
        b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nListening: true\r\nBridge: x",
        b"Nonce: {x}",
        b"Conn-Type",
    ] {
        assert_eq!(find_invitations(other), [], "{other:?}");
    }
    let many = REQUEST.repeat(100);
    assert_eq!(find_invitations(&many).len(), MOST_INVITATIONS);
}

#[test]
fn what_cannot_be_read_is_kept_as_text() {
    for (line, raw) in [
        ("NetID: x", "x"),
        ("NetID: 99999999999999999999", "99999999999999999999"),
        ("Conn-Type: Cone", "Cone"),
        ("ICF: maybe", "maybe"),
        ("IPv4Internal-Addrs: 192.168.1.5 host", "192.168.1.5 host"),
        ("IPv4Internal-Port: 70000", "70000"),
        ("IPv4External-Port: 0", "0"),
        ("IPv6-global: ", ""),
    ] {
        let found = one(line.as_bytes());
        assert_eq!(found.fields.len(), 1);
        assert_eq!(
            (found.fields[0].raw.as_str(), &found.fields[0].value),
            (raw, &Value::Unreadable)
        );
    }
    let long = one(format!("Conn-Type: {}", "x".repeat(3000)).as_bytes());
    assert_eq!(long.fields[0].raw.len(), 256);
    for spelled in ["Restrict-NAT", "restricted-nat", "IP-RESTRICT-NAT"] {
        let label = Value::Label(PeerLabel::IpRestrictNat);
        assert_eq!(
            one(format!("Conn-Type: {spelled}").as_bytes()).fields[0].value,
            label
        );
    }
}

/// What a field comes to where the client at 192.168.1.5 is seen as 203.0.113.7 with the same port.
fn natted(lines: &str) -> Vec<(&'static str, Because)> {
    claims(lines, "192.168.1.5:1033", Some("203.0.113.7"), None)
}

fn claims(
    lines: &str,
    local: &str,
    client_ip: Option<&str>,
    udp: Option<UdpLabel>,
) -> Vec<(&'static str, Because)> {
    let seen = Observation::new(local.parse().unwrap(), client_ip, Some("1033"));
    let seen = Seen {
        udp,
        ..Seen::of(&classify(&seen))
    };
    let claims = check(&one(lines.as_bytes()), &seen);
    claims
        .iter()
        .map(|claim| (claim.field.name.as_str(), claim.because))
        .collect()
}

#[test]
fn net_id_is_checked() {
    let is = |id: &str, label: &str| {
        let found = natted(&format!("NetID: {id}\nConn-Type: {label}"));
        found[0].1
    };
    for (id, because) in [
        ("124846283", Because::Same),
        ("0", Because::AddressMissing),
        // 192.168.1.5: MSNPSharp's; the same of the outside address with its bytes exchanged, and Digsby's.
        ("83994816", Because::OwnAddress),
        ("-889163513", Because::OtherByteOrder),
        ("3232235781", Because::OtherByteOrder),
        ("-1388627126", Because::KnownConstant),
        ("5", Because::OtherAddress),
        ("x", Because::Unreadable),
    ] {
        assert_eq!(is(id, "IP-Restrict-NAT"), because, "{id}");
    }
    for label in ["Direct-Connect", "Firewall", "Unknown-Connect"] {
        assert_eq!(is("0", label), Because::NoAddressNeeded);
    }
    // A negative one, without its sign.
    let lines = "NetID: 2714173377\nConn-Type: IP-Restrict-NAT";
    let found = claims(lines, "192.168.1.5:1033", Some("193.255.198.161"), None);
    assert_eq!(found[0].1, Because::Unsigned);
    // The constant may be right.
    let lines = "NetID: -1388627126";
    let found = claims(lines, "192.168.1.5:1033", Some("74.59.59.173"), None);
    assert_eq!(found[0].1, Because::Same);
    for ip in [None, Some("2001:db8::7")] {
        let found = claims("NetID: 5", "192.168.1.5:1033", ip, None);
        assert_eq!(found[0].1, Because::NotObserved);
    }
}

#[test]
fn connection_types_are_checked() {
    let alone = |label: &str| natted(&format!("Conn-Type: {label}"))[0].1;
    assert_eq!(alone("IP-Restrict-NAT"), Because::Same);
    assert_eq!(alone("Symmetric-NAT"), Because::OtherLabel);
    let both = "Conn-Type: Symmetric-NAT\nTCP-Conn-Type: IP-Restrict-NAT";
    let found = natted(both);
    assert_eq!(
        found,
        [
            ("Conn-Type", Because::UdpNotTested),
            ("TCP-Conn-Type", Because::Same)
        ]
    );
    let (local, ip) = ("192.168.1.5:1033", Some("203.0.113.7"));
    let found = claims(both, local, ip, Some(UdpLabel::SymmetricNat));
    assert_eq!(found[0].1, Because::Same);
    let found = claims(both, local, ip, Some(UdpLabel::Firewall));
    assert_eq!(found[0].1, Because::OtherLabel);
    // One of the two labels that the observation allows.
    let found = claims("Conn-Type: Unknown-NAT", "192.168.1.5:9", ip, None);
    assert_eq!(found[0].1, Because::Same);
    let found = claims("Conn-Type: Unknown-NAT", local, None, None);
    assert_eq!(found[0].1, Because::NotObserved);
}

#[test]
fn addresses_are_checked() {
    for (line, because) in [
        ("IPv4External-Addrs: 10.0.0.1 203.0.113.7", Because::Same),
        ("IPv4External-Addrs: 192.168.1.5", Because::OwnAddress),
        ("IPv4External-Addrs: 198.51.100.1", Because::OtherAddress),
        ("IPv4Internal-Addrs: 192.168.1.5", Because::Same),
        ("IPv4Internal-Addrs: 203.0.113.7", Because::OtherAddress),
        ("IPv4External-AddrsAndPorts: 203.0.113.7:5", Because::Same),
        ("IPv4Internal-AddrsAndPorts: 192.168.1.5:5", Because::Same),
        ("IPv4Internal-Port: 1033", Because::DoesNotShow),
        ("Public-IP: 203.0.113.7", Because::Same),
        ("Private-IP: 192.168.1.9", Because::OtherAddress),
        ("IPv6-global: 2001:db8::5", Because::NotObserved),
        ("Connectivity: N", Because::Same),
        ("Connectivity: Y", Because::OtherConnectivity),
        ("UPnPNat: true", Because::DoesNotShow),
        ("ICF: true", Because::DoesNotShow),
    ] {
        assert_eq!(natted(line)[0].1, because, "{line}");
    }
    let direct = |line: &str| claims(line, "203.0.113.7:1033", Some("203.0.113.7"), None)[0].1;
    assert_eq!(direct("UPnPNat: true"), Because::NotTranslated);
    assert_eq!(direct("UPnPNat: false"), Because::DoesNotShow);
    assert_eq!(direct("Connectivity: Y"), Because::Same);
    // A profile that says what is known to be a constant describes nobody.
    let constant = claims(
        "Public-IP: 1.2.3.4",
        "192.168.1.5:516",
        Some("127.0.0.1"),
        None,
    );
    assert_eq!(constant[0].1, Because::NotObserved);
}

#[test]
fn an_official_client_would_send_these() {
    let text = |label, udp, ip: Option<&str>, upnp| {
        let sent = to_send(label, udp, ip.map(|ip| ip.parse().unwrap()), upnp);
        let fields = sent.fields();
        let lines = fields
            .iter()
            .map(|(name, value)| format!("{}: {}", name.as_str(), value.as_deref().unwrap_or("?")));
        lines.collect::<Vec<_>>().join("|")
    };
    assert_eq!(
        text(Label::IpRestrictNat, None, Some("203.0.113.7"), None),
        "Bridges: TRUDPv1 TCPv1|NetID: 124846283|Conn-Type: IP-Restrict-NAT|TCP-Conn-Type: IP-Restrict-NAT|UPnPNat: ?|ICF: ?"
    );
    assert_eq!(
        text(
            Label::SymmetricNat,
            Some(UdpLabel::PortRestrictNat),
            Some("193.255.198.161"),
            Some(true)
        ),
        "Bridges: TRUDPv1 TCPv1|NetID: -1580793919|Conn-Type: Port-Restrict-NAT|TCP-Conn-Type: Symmetric-NAT|UPnPNat: true|ICF: ?"
    );
    assert!(text(Label::DirectConnect, None, Some("203.0.113.7"), None).contains("NetID: 0|"));
    assert!(text(Label::UnknownNat, None, Some("2001:db8::7"), None).contains("NetID: ?|"));
    // What it sends agrees with what it was made of.
    let sent = text(Label::IpRestrictNat, None, Some("203.0.113.7"), None).replace('|', "\n");
    let found = natted(&sent.replace("UPnPNat: ?", "").replace("ICF: ?", ""));
    let outcomes: Vec<_> = found.iter().map(|(_, because)| because.outcome()).collect();
    assert!(!outcomes.contains(&Outcome::Disagrees), "{found:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let found = find_invitations(&bytes);
        for invitation in &found {
            let _ = check(invitation, &Seen::default());
        }
        let both = [REQUEST, &bytes].concat();
        prop_assert!(!find_invitations(&both).is_empty());
    }
}
