use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::address::Address;
use crate::conntype::{Field, PathKind, Proxy};

fn seen(local: &str, ip: &str, port: &str) -> Observation {
    Observation::new(local.parse().unwrap(), Some(ip), Some(port))
}

fn proxied(client_ip: &str, proxy_ips: &[&str], bound: Option<&str>) -> Verdict {
    classify(&Observation {
        path: PathKind::Socks5,
        proxy: Some(Proxy {
            name: Address::parse("proxy.example:1080", 0).unwrap(),
            addresses: proxy_ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            bound: bound.map(|bound| bound.parse().unwrap()),
        }),
        ..seen("192.168.1.5:51234", client_ip, "33000")
    })
}

#[test]
fn the_order_that_matched_is_recorded() {
    let order = |port| {
        classify(&seen("203.0.113.7:1033", "203.0.113.7", port))
            .comparison
            .order_matched
    };
    assert_eq!(order("1033"), Some(OrderMatch::Plain));
    assert_eq!(order("2308"), Some(OrderMatch::Swapped));
    assert_eq!(order("2309"), None);
    let both = classify(&seen("203.0.113.7:257", "203.0.113.7", "257"));
    assert_eq!(both.comparison.order_matched, Some(OrderMatch::Either));
    assert!(both.warnings.contains(&Warning::OrderUndecided));
}

#[test]
fn an_ambiguous_outside_port_is_a_warning() {
    let auto = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    assert_eq!(auto.comparison.outside_port, None);
    assert!(
        auto.warnings
            .contains(&Warning::OutsidePortAmbiguous(62001, swap_port(62001)))
    );

    let given = classify(&Observation {
        order: PortOrder::Swapped,
        ..seen("192.168.1.5:51234", "203.0.113.7", "62001")
    });
    assert_eq!(given.comparison.outside_port, Some(swap_port(62001)));
    assert!(
        !given
            .warnings
            .iter()
            .any(|w| matches!(w, Warning::OutsidePortAmbiguous(..)))
    );
}

#[test]
fn symmetric_nat_names_its_alternative() {
    let verdict = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    assert_eq!(verdict.label, Label::SymmetricNat);
    assert_eq!(verdict.alternatives, [Label::UnknownNat]);
}

#[test]
fn the_relation_to_the_proxy_is_derived() {
    use ProxyRelation::{Beyond, LastHop, Unknown};
    for (client_ip, addresses, bound, relation) in [
        // The proxy's own address, or the one it reports.
        ("198.51.100.20", &["198.51.100.20"][..], None, LastHop),
        (
            "198.51.100.20",
            &["10.0.0.1"],
            Some("198.51.100.20:33000"),
            LastHop,
        ),
        ("127.0.0.1", &["127.0.0.1"], None, LastHop),
        // Not the address it reports, or not its own on the internet.
        ("203.0.113.9", &["10.0.0.1"], Some("10.0.0.2:33000"), Beyond),
        ("203.0.113.9", &["198.51.100.20"], None, Beyond),
        // A proxy with further addresses, or one on this host (ssh -D), may use any of them.
        ("203.0.113.9", &["10.0.0.1"], None, Unknown),
        ("203.0.113.9", &["127.0.0.1"], None, Unknown),
        (
            "203.0.113.9",
            &["127.0.0.1"],
            Some("127.0.0.1:33000"),
            Unknown,
        ),
        ("203.0.113.9", &[], None, Unknown),
        ("nonsense", &["198.51.100.20"], None, Unknown),
    ] {
        assert_eq!(
            proxied(client_ip, addresses, bound).proxy,
            Some(relation),
            "{client_ip} {addresses:?} {bound:?}"
        );
    }
    let direct = classify(&seen("192.168.1.5:1", "203.0.113.7", "1"));
    assert_eq!(direct.proxy, None);
}

fn from_peer(local: &str, client_ip: &str, peer: &str) -> Verdict {
    classify(&Observation {
        peer: Some(SocketAddr::new(peer.parse().unwrap(), 1863)),
        ..seen(local, client_ip, "51234")
    })
}

#[test]
fn a_private_client_ip_from_a_server_on_the_internet_keeps_the_label_and_warns() {
    for private in ["10.0.0.1", "100.64.0.1", "169.254.1.1", "fd00::1"] {
        let ip = private.parse().unwrap();
        let verdict = from_peer("192.168.1.5:51234", private, "198.51.100.1");
        assert_eq!(verdict.label, Label::IpRestrictNat, "{private}");
        let warning = Warning::ClientIpNotGlobal(ip);
        assert!(verdict.warnings.contains(&warning), "{private}");
        let near = from_peer("192.168.1.5:51234", private, "192.168.1.1");
        assert!(!near.warnings.contains(&warning), "{private}");
    }
    let usual = from_peer("192.168.1.5:51234", "203.0.113.7", "198.51.100.1");
    assert_eq!(usual.warnings, [Warning::TcpFlowOnly]);
}

#[test]
fn the_servers_own_address_as_client_ip_warns_on_every_network() {
    for server in ["198.51.100.1", "192.168.1.1", "fd00::1"] {
        let ip = server.parse().unwrap();
        let verdict = from_peer("192.168.1.5:51234", server, server);
        assert_eq!(verdict.label, Label::IpRestrictNat, "{server}");
        assert!(verdict.warnings.contains(&Warning::ClientIpIsServer(ip)));
    }
    // A server on this host has the local address.
    let here = from_peer("192.168.1.5:51234", "192.168.1.5", "192.168.1.5");
    assert_eq!(here.label, Label::DirectConnect);
    assert_eq!(here.warnings, [Warning::TcpFlowOnly]);
}

#[test]
fn behind_a_proxy_there_is_no_warning_about_the_servers_address() {
    let verdict = classify(&Observation {
        path: PathKind::Socks5,
        proxy: Some(Proxy {
            name: Address::parse("proxy.example:1080", 0).unwrap(),
            addresses: vec!["198.51.100.20".parse().unwrap()],
            bound: None,
        }),
        peer: Some("198.51.100.20:1080".parse().unwrap()),
        ..seen("192.168.1.5:51234", "10.0.0.5", "33000")
    });
    assert_eq!(verdict.warnings, [Warning::TcpFlowOnly]);
}

#[test]
fn a_loopback_client_ip_from_another_host_is_undetermined() {
    for (local, client_ip, peer) in [
        ("203.0.113.7:51234", "127.0.0.1", "203.0.113.80"),
        ("192.168.1.5:51234", "127.0.0.1", "192.168.1.80"),
        ("[2001:db8::5]:51234", "::1", "2001:db8::80"),
        ("192.168.1.5:51234", "::ffff:127.0.0.1", "203.0.113.80"),
    ] {
        let verdict = from_peer(local, client_ip, peer);
        let found = (verdict.label, verdict.reason);
        let wanted = (Label::UnknownConnect, Reason::LoopbackElsewhere);
        assert_eq!(found, wanted, "{local} {client_ip} {peer}");
        assert_eq!(verdict.comparison.ip, Sameness::Unknown);
        assert_eq!(verdict.comparison.port, Sameness::Unknown);
    }
    // Where the server's address is not known, only a loopback socket shows that it is on this host.
    let offline = classify(&seen("192.168.1.5:51234", "127.0.0.1", "51234"));
    assert_eq!(offline.reason, Reason::LoopbackElsewhere);
    for (local, peer) in [
        ("127.0.0.1:51234", "127.0.0.1"),
        ("192.168.1.5:51234", "192.168.1.5"),
        ("[::ffff:192.168.1.5]:51234", "192.168.1.5"),
    ] {
        let here = from_peer(local, "127.0.0.2", peer);
        assert_eq!(here.label, Label::IpRestrictNat, "{local} {peer}");
    }
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ]
}

fn any_order() -> impl Strategy<Value = PortOrder> {
    prop::sample::select(vec![PortOrder::Auto, PortOrder::Plain, PortOrder::Swapped])
}

fn any_path() -> impl Strategy<Value = PathKind> {
    prop::sample::select(vec![
        PathKind::Tcp,
        PathKind::Socks4,
        PathKind::Socks5,
        PathKind::HttpConnect,
        PathKind::HttpGateway,
    ])
}

proptest! {
    #[test]
    fn any_text_gets_a_verdict(
        local in any_ip(), port: u16, client_ip in ".{0,50}", client_port in ".{0,12}",
        order in any_order(), path in any_path(),
    ) {
        let verdict = classify(&Observation {
            order,
            path,
            ..Observation::new(SocketAddr::new(local, port), Some(&client_ip), Some(&client_port))
        });
        prop_assert_eq!(verdict.label == Label::UnknownConnect, !verdict.label.determined());
    }

    #[test]
    fn exchanging_the_order_and_the_bytes_changes_nothing(
        local in any_ip(), client in any_ip(), port in 1u16.., value in 1u16..,
    ) {
        let verdict = |order, value: u16| classify(&Observation {
            order,
            ..Observation::new(SocketAddr::new(local, port), Some(&client.to_string()), Some(&value.to_string()))
        });
        // The known constants have one order only; they are the exception.
        prop_assume!(!KNOWN_CONSTANTS.iter().any(|(ip, _)| normalise(client) == *ip));
        let plain = verdict(PortOrder::Plain, value);
        let swapped = verdict(PortOrder::Swapped, swap_port(value));
        prop_assert_eq!(plain.label, swapped.label);
        prop_assert_eq!(plain.comparison.port, swapped.comparison.port);
        prop_assert_eq!(plain.comparison.outside_port, swapped.comparison.outside_port);
        prop_assert_eq!(verdict(PortOrder::Auto, value).label, verdict(PortOrder::Auto, swap_port(value)).label);
    }

    #[test]
    fn auto_matches_exactly_when_one_order_does(
        local in any_ip(), client in any_ip(), port in 1u16.., value in 1u16..,
    ) {
        let same = |order| classify(&Observation {
            order,
            ..Observation::new(SocketAddr::new(local, port), Some(&client.to_string()), Some(&value.to_string()))
        }).comparison.port == Sameness::Same;
        prop_assert_eq!(same(PortOrder::Auto), same(PortOrder::Plain) || same(PortOrder::Swapped));
    }

    #[test]
    fn an_unchanged_flow_is_direct_in_every_spelling(v4: [u8; 4], port in 1u16.., swap: bool) {
        let ip = IpAddr::from(v4);
        prop_assume!(!is_special(ip) && !ip.is_loopback());
        let value = if swap { swap_port(port) } else { port };
        for local in [ip, IpAddr::from(Ipv4Addr::from(v4).to_ipv6_mapped())] {
            for text in [ip.to_string(), format!("::ffff:{ip}"), format!("[::ffff:{ip}]")] {
                let verdict = classify(&Observation::new(
                    SocketAddr::new(local, port), Some(&text), Some(&value.to_string()),
                ));
                prop_assert_eq!(verdict.label, Label::DirectConnect);
            }
        }
    }

    #[test]
    fn the_port_is_never_compared_off_a_tcp_path(port in 1u16.., path in any_path()) {
        prop_assume!(path != PathKind::Tcp);
        let verdict = classify(&Observation {
            path,
            ..Observation::new(
                SocketAddr::new(Ipv4Addr::new(192, 168, 1, 5).into(), port),
                Some("203.0.113.7"), Some(&port.to_string()),
            )
        });
        prop_assert_eq!(verdict.comparison.port, Sameness::Unknown);
        prop_assert_eq!(verdict.label, Label::UnknownNat);
    }
}

fn is_special(ip: IpAddr) -> bool {
    Field::client_ip(Some(&ip.to_string())).value.is_err()
}
