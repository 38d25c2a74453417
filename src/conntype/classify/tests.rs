use proptest::prelude::*;

use super::*;
use crate::conntype::Destination::{self, OtherAddress, OtherPort};
use crate::conntype::{PathKind, Proxy};

fn seen(local: &str, ip: &str, port: &str) -> Observation {
    Observation::new(local.parse().unwrap(), Some(ip), Some(port))
}

fn proxied(client_ip: &str, proxy_ips: &[&str], bound: Option<&str>) -> Verdict {
    classify(&Observation {
        path: PathKind::Socks5,
        proxy: Some(Proxy {
            name: "proxy.example:1080".into(),
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
fn an_ambiguous_outside_port_is_a_warning_not_a_guess() {
    let auto = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    assert_eq!(auto.comparison.outside_port, None);
    assert!(
        auto.warnings
            .contains(&Warning::OutsidePortAmbiguous(62001, swap_port(62001)))
    );

    let said = classify(&Observation {
        order: PortOrder::Swapped,
        ..seen("192.168.1.5:51234", "203.0.113.7", "62001")
    });
    assert_eq!(said.comparison.outside_port, Some(swap_port(62001)));
    assert!(
        !said
            .warnings
            .iter()
            .any(|w| matches!(w, Warning::OutsidePortAmbiguous(..)))
    );
}

#[test]
fn the_corner_cell_names_its_alternative() {
    let verdict = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    assert_eq!(verdict.label, Label::SymmetricNat);
    assert_eq!(verdict.alternatives, [Label::UnknownNat]);
}

#[test]
fn a_second_server_that_sees_the_same_port_makes_it_unknown_nat() {
    let first = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    let settled = settle(first.clone(), &first, OtherAddress);
    assert_eq!(settled.label, Label::UnknownNat);
    assert_eq!(settled.mapping, Some(Mapping::EndpointIndependent));
    assert!(settled.alternatives.is_empty());

    let swapped = classify(&seen(
        "192.168.1.5:51234",
        "203.0.113.7",
        &swap_port(62001).to_string(),
    ));
    assert_eq!(
        settle(first, &swapped, OtherAddress).label,
        Label::UnknownNat
    );
}

#[test]
fn a_second_server_that_sees_another_port_or_address_confirms_symmetric_nat() {
    let first = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    for (ip, port) in [
        ("203.0.113.7", "62002"),
        ("203.0.113.8", "62001"),
        ("203.0.113.7", "51234"),
    ] {
        let second = classify(&seen("192.168.1.5:51234", ip, port));
        let settled = settle(first.clone(), &second, OtherAddress);
        assert_eq!(settled.label, Label::SymmetricNat);
        assert_eq!(settled.mapping, Some(Mapping::EndpointDependent));
        assert!(settled.alternatives.is_empty());
    }
}

#[test]
fn another_port_of_the_same_server_can_only_tell_a_dependent_mapping() {
    let first = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    assert_eq!(settle(first.clone(), &first, OtherPort), first);
    let other = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62002"));
    let settled = settle(first, &other, OtherPort);
    assert_eq!(settled.mapping, Some(Mapping::EndpointDependent));
}

#[test]
fn looks_that_disagree_are_told() {
    let first = classify(&seen("192.168.1.5:51234", "203.0.113.7", "51234"));
    let second = classify(&seen("192.168.1.5:51235", "203.0.113.7", "62001"));
    let settled = settle(first, &second, Destination::Same);
    assert_eq!(settled.label, Label::IpRestrictNat);
    assert!(
        settled
            .warnings
            .contains(&Warning::LooksDisagree(Label::SymmetricNat))
    );
}

#[test]
fn a_second_look_that_says_nothing_changes_nothing() {
    let first = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    for blind in [
        ("host", "62001"),
        ("203.0.113.7", "0"),
        ("203.0.113.7", ""),
        ("1.2.3.4", "516"),
    ] {
        let second = classify(&seen("192.168.1.5:51234", blind.0, blind.1));
        assert_eq!(settle(first.clone(), &second, OtherAddress), first);
    }
}

#[test]
fn a_port_that_never_moves_is_no_observation() {
    let first = classify(&seen("192.168.1.5:51234", "198.51.100.9", "4711"));
    let second = classify(&seen("192.168.1.5:51235", "198.51.100.9", "4711"));
    let settled = settle(first.clone(), &second, Destination::Same);
    assert_eq!(
        (settled.label, settled.reason),
        (Label::UnknownConnect, Reason::ObservedConstant)
    );

    let moves = classify(&seen("192.168.1.5:51235", "198.51.100.9", "4712"));
    assert_eq!(settle(first.clone(), &moves, Destination::Same), first);
}

#[test]
fn what_two_servers_have_settled_is_no_disagreement() {
    let first = classify(&seen("192.168.1.5:51234", "203.0.113.7", "62001"));
    let settled = settle(first.clone(), &first, OtherAddress);
    let again = classify(&seen("192.168.1.5:51235", "203.0.113.7", "62007"));
    assert_eq!(settle(settled.clone(), &again, Destination::Same), settled);
}

#[test]
fn a_port_of_another_connection_may_stay() {
    let look = |port: &str| {
        let mut seen = seen(port, "203.0.113.7", "4711");
        seen.path = PathKind::HttpGateway;
        classify(&seen)
    };
    let settled = settle(
        look("192.168.1.5:1"),
        &look("192.168.1.5:2"),
        Destination::Same,
    );
    assert_eq!(settled.label, Label::UnknownNat);
}

#[test]
fn a_port_that_was_once_ours_is_no_constant() {
    let first = classify(&seen("203.0.113.7:51234", "203.0.113.7", "51234"));
    let second = classify(&seen("203.0.113.7:51235", "203.0.113.7", "51234"));
    let settled = settle(first, &second, Destination::Same);
    assert_eq!(settled.label, Label::DirectConnect);
}

#[test]
fn behind_a_proxy_the_relation_is_told() {
    let relation = |v: Verdict| v.proxy;
    assert_eq!(
        relation(proxied("198.51.100.20", &["198.51.100.20"], None)),
        Some(ProxyRelation::LastHop)
    );
    assert_eq!(
        relation(proxied(
            "198.51.100.20",
            &["10.0.0.1"],
            Some("198.51.100.20:33000")
        )),
        Some(ProxyRelation::LastHop)
    );
    assert_eq!(
        relation(proxied("203.0.113.9", &["198.51.100.20"], None)),
        Some(ProxyRelation::Beyond)
    );
    assert_eq!(
        relation(proxied("nonsense", &["198.51.100.20"], None)),
        Some(ProxyRelation::Unknown)
    );
    assert_eq!(
        relation(proxied("203.0.113.9", &[], None)),
        Some(ProxyRelation::Unknown)
    );
    assert_eq!(
        relation(classify(&seen("192.168.1.5:1", "203.0.113.7", "1"))),
        None
    );
}

#[test]
fn a_private_client_ip_from_a_public_server_is_flagged() {
    let with_peer = |client_ip: &str, peer: &str| {
        let verdict = classify(&Observation {
            peer: Some(SocketAddr::new(peer.parse().unwrap(), 1863)),
            ..seen("192.168.1.5:51234", client_ip, "51234")
        });
        verdict
            .warnings
            .iter()
            .any(|w| matches!(w, Warning::ClientIpNotGlobal(_)))
    };
    for private in [
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "fd00::1",
        "fe80::1",
    ] {
        assert!(with_peer(private, "198.51.100.1"), "{private}");
        assert!(
            !with_peer(private, "192.168.1.1"),
            "{private} on a private network"
        );
    }
    assert!(!with_peer("203.0.113.7", "198.51.100.1"));
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ]
}

fn any_order() -> impl Strategy<Value = PortOrder> {
    prop::sample::select(PortOrder::ALL.to_vec())
}

fn any_path() -> impl Strategy<Value = PathKind> {
    prop::sample::select(PathKind::ALL.to_vec())
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
        // The constants are pairs of texts, not of ports; they are the one exception.
        prop_assume!(!KNOWN_CONSTANTS.iter().any(|(ip, _)| normalise(client) == *ip));
        let plain = verdict(PortOrder::Plain, value);
        let swapped = verdict(PortOrder::Swapped, swap_port(value));
        prop_assert_eq!(plain.label, swapped.label);
        prop_assert_eq!(plain.comparison.port, swapped.comparison.port);
        prop_assert_eq!(plain.comparison.outside_port, swapped.comparison.outside_port);
        prop_assert_eq!(verdict(PortOrder::Auto, value).label, verdict(PortOrder::Auto, swap_port(value)).label);
    }

    #[test]
    fn auto_says_same_exactly_when_one_order_does(
        local in any_ip(), client in any_ip(), port in 1u16.., value in 1u16..,
    ) {
        let same = |order| classify(&Observation {
            order,
            ..Observation::new(SocketAddr::new(local, port), Some(&client.to_string()), Some(&value.to_string()))
        }).comparison.port == Sameness::Same;
        prop_assert_eq!(same(PortOrder::Auto), same(PortOrder::Plain) || same(PortOrder::Swapped));
    }

    #[test]
    fn a_flow_nobody_rewrites_is_direct_in_every_spelling(v4: [u8; 4], port in 1u16.., swap: bool) {
        let ip = IpAddr::from(v4);
        prop_assume!(!is_special(ip));
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
    IpReading::read(Some(&ip.to_string())).ip().is_none()
}
