use super::*;
use crate::conntype::Destination::{OtherAddress, OtherPort, Same};
use crate::conntype::{Observation, PathKind, classify};

const LOCAL: &str = "192.168.1.5:51234";
const OTHER_LOCAL: &str = "192.168.1.5:51235";
const NAT: &str = "203.0.113.7";

fn look(local: &str, ip: &str, port: u16) -> Verdict {
    let port = port.to_string();
    classify(&Observation::new(
        local.parse().unwrap(),
        Some(ip),
        Some(&port),
    ))
}

/// The usual first observation: address and port rewritten.
fn symmetric() -> Verdict {
    look(LOCAL, NAT, 62001)
}

/// The label, the mapping, and whether the alternative is still open.
fn outcome(verdict: &Verdict) -> (Label, Option<Mapping>, bool) {
    let is_open = verdict.alternatives == [Label::UnknownNat];
    (verdict.label, verdict.mapping, is_open)
}

const OPEN: (Label, Option<Mapping>, bool) = (Label::SymmetricNat, None, true);

fn says(verdict: &Verdict, why: Unsettled) -> bool {
    verdict.warnings.contains(&Warning::Unsettled(why))
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_same_port_toward_another_address_makes_it_unknown_nat() {
    // The second server may print the port's bytes in the other order.
    for port in [62001, swap_port(62001)] {
        let settled = settle(symmetric(), &look(LOCAL, NAT, port), OtherAddress);
        let mapping = Some(Mapping::EndpointIndependent);
        assert_eq!(outcome(&settled), (Label::UnknownNat, mapping, false));
    }
}

#[test]
fn another_port_toward_another_address_confirms_symmetric_nat() {
    for destination in [OtherAddress, OtherPort] {
        let settled = settle(symmetric(), &look(LOCAL, NAT, 62002), destination);
        let mapping = Some(Mapping::EndpointDependent);
        assert_eq!(outcome(&settled), (Label::SymmetricNat, mapping, false));
        assert_eq!(settled.reason, Reason::MappingDependsOnDestination);
    }
}

#[test]
fn the_same_port_toward_another_port_of_one_address_settles_nothing() {
    let settled = settle(symmetric(), &symmetric(), OtherPort);
    assert_eq!(outcome(&settled), OPEN);
    assert!(says(&settled, Unsettled::SameAddress));
}

#[test]
fn a_second_server_inside_the_nat_settles_nothing() {
    let inside = look(LOCAL, "192.168.1.5", 51234);
    let settled = settle(symmetric(), &inside, OtherAddress);
    assert_eq!(outcome(&settled), OPEN);
    assert!(says(&settled, Unsettled::NotTranslated(ip("192.168.1.5"))));

    // The other way round the label is that of the first, and the difference is told.
    let settled = settle(inside, &symmetric(), OtherAddress);
    assert_eq!(settled.label, Label::DirectConnect);
    assert!(says(&settled, Unsettled::NotTranslated(ip("192.168.1.5"))));
}

#[test]
fn a_second_server_behind_a_proxy_of_its_own_settles_nothing() {
    for (seen, port) in [
        ("10.0.0.9", 40000),
        ("100.64.0.1", 62001),
        ("fd00::9", 51234),
    ] {
        let settled = settle(symmetric(), &look(LOCAL, seen, port), OtherAddress);
        assert_eq!(outcome(&settled), OPEN, "{seen}");
        assert!(says(&settled, Unsettled::OtherSide(ip(NAT), ip(seen))));
    }
    let hidden = look(LOCAL, "127.0.0.1", 40000);
    let settled = settle(symmetric(), &hidden, OtherAddress);
    assert_eq!(outcome(&settled), OPEN);
    assert!(says(
        &settled,
        Unsettled::Undetermined(Reason::LoopbackElsewhere)
    ));
}

#[test]
fn two_outside_addresses_settle_nothing_whatever_the_ports() {
    let pool = "203.0.113.8";
    for port in [62001, 62002] {
        let settled = settle(symmetric(), &look(LOCAL, pool, port), OtherAddress);
        assert_eq!(outcome(&settled), OPEN, "{port}");
        assert!(says(
            &settled,
            Unsettled::TwoOutsideAddresses(ip(NAT), ip(pool))
        ));
    }
    // Ports kept at both addresses: the label holds, and the two addresses are told.
    let kept = look(LOCAL, NAT, 51234);
    let settled = settle(kept.clone(), &look(LOCAL, pool, 51234), OtherAddress);
    assert_eq!(settled.label, Label::IpRestrictNat);
    assert!(says(
        &settled,
        Unsettled::TwoOutsideAddresses(ip(NAT), ip(pool))
    ));
    // Kept at one of them only: that the address is rewritten is all that both say.
    for (first, second) in [
        (kept.clone(), look(LOCAL, pool, 62001)),
        (look(LOCAL, pool, 62001), kept),
    ] {
        let settled = settle(first, &second, OtherAddress);
        assert_eq!(outcome(&settled), (Label::UnknownNat, None, false));
        assert_eq!(settled.reason, Reason::ObservationsDisagree);
    }
}

#[test]
fn a_port_kept_toward_one_server_only_is_an_endpoint_dependent_mapping() {
    let own = "203.0.113.7:51234";
    for (local, label) in [(LOCAL, Label::SymmetricNat), (own, Label::PortRestrictNat)] {
        let (kept, replaced) = (look(local, NAT, 51234), look(local, NAT, 62001));
        for (first, second) in [(&kept, &replaced), (&replaced, &kept)] {
            let settled = settle(first.clone(), second, OtherAddress);
            let mapping = Some(Mapping::EndpointDependent);
            assert_eq!(outcome(&settled), (label, mapping, false));
            assert_eq!(settled.reason, Reason::PortKeptTowardOne);
        }
    }
}

#[test]
fn a_public_address_rewritten_toward_one_server_only_is_a_contradiction() {
    let own = "198.51.100.5:51234";
    let direct = look(own, "198.51.100.5", 51234);
    for seen in [51234, 62001] {
        let rewritten = look(own, NAT, seen);
        for (first, second) in [(&direct, &rewritten), (&rewritten, &direct)] {
            let settled = settle(first.clone(), second, OtherAddress);
            assert_eq!(outcome(&settled), (Label::UnknownConnect, None, false));
            assert_eq!(settled.reason, Reason::ObservationsDisagree);
            let told = Warning::LooksDisagree(second.label);
            assert!(settled.warnings.contains(&told));
        }
    }
}

#[test]
fn an_observation_that_tells_nothing_changes_nothing_but_is_named() {
    for (seen, port, why) in [
        (
            "host",
            "62001",
            Unsettled::Undetermined(Reason::AddressUnknown),
        ),
        (NAT, "0", Unsettled::PortUnknown),
        (NAT, "", Unsettled::PortUnknown),
        ("1.2.3.4", "516", Unsettled::KnownConstant),
    ] {
        let second = classify(&Observation::new(
            LOCAL.parse().unwrap(),
            Some(seen),
            Some(port),
        ));
        let settled = settle(symmetric(), &second, OtherAddress);
        assert_eq!(outcome(&settled), OPEN, "{seen} {port}");
        assert!(says(&settled, why), "{seen} {port}");
    }
}

#[test]
fn a_port_that_never_moves_is_no_observation() {
    let first = look(LOCAL, "198.51.100.9", 4711);
    let second = look(OTHER_LOCAL, "198.51.100.9", 4711);
    let settled = settle(first.clone(), &second, Same);
    let constant = (Label::UnknownConnect, Reason::ObservedConstant);
    assert_eq!((settled.label, settled.reason), constant);
    // Nothing that this server says is an observation.
    let third = look("192.168.1.5:51236", "198.51.100.9", 51236);
    assert_eq!(settle(settled.clone(), &third, Same), settled);

    let moves = look(OTHER_LOCAL, "198.51.100.9", 4712);
    assert_eq!(settle(first.clone(), &moves, Same), first);
    // Two servers may see one outside port for two local ports of an endpoint-dependent NAT.
    for destination in [OtherAddress, OtherPort] {
        assert_eq!(settle(first.clone(), &second, destination), first);
    }
}

#[test]
fn logins_that_disagree_keep_what_they_have_in_common() {
    let own = "203.0.113.7";
    for (local, other, label) in [
        (LOCAL, OTHER_LOCAL, Label::UnknownNat),
        (
            "203.0.113.7:51234",
            "203.0.113.7:51235",
            Label::UnknownConnect,
        ),
    ] {
        let kept = look(local, own, 51234);
        let replaced = look(other, own, 62001);
        let settled = settle(kept, &replaced, Same);
        assert_eq!(outcome(&settled), (label, None, false));
        assert_eq!(settled.reason, Reason::ObservationsDisagree);
        let told = Warning::LooksDisagree(replaced.label);
        assert!(settled.warnings.contains(&told));
    }
}

#[test]
fn a_mapping_that_is_settled_stays_so() {
    let again = look(OTHER_LOCAL, NAT, 62007);
    for (port, label) in [(62001, Label::UnknownNat), (62002, Label::SymmetricNat)] {
        let settled = settle(symmetric(), &look(LOCAL, NAT, port), OtherAddress);
        assert_eq!(settled.label, label);
        assert_eq!(settle(settled.clone(), &again, Same), settled);
        // A port that is kept once is told.
        let kept = settle(settled, &look(OTHER_LOCAL, NAT, 51235), Same);
        assert_eq!(kept.label, label);
        let told = Warning::LooksDisagree(Label::IpRestrictNat);
        assert!(kept.warnings.contains(&told));
    }
}

#[test]
fn a_port_of_another_connection_may_stay() {
    let look = |port: &str| {
        classify(&Observation {
            path: PathKind::HttpGateway,
            ..Observation::new(port.parse().unwrap(), Some(NAT), Some("4711"))
        })
    };
    let first = look("192.168.1.5:1");
    assert_eq!(settle(first.clone(), &look("192.168.1.5:2"), Same), first);
}

#[test]
fn a_port_that_was_once_ours_is_no_constant() {
    let first = look("203.0.113.7:51234", NAT, 51234);
    let second = look("203.0.113.7:51235", NAT, 51234);
    let settled = settle(first, &second, Same);
    assert_eq!(settled.reason, Reason::ObservationsDisagree);
}

proptest::proptest! {
    /// Whatever the first observation leaves open is not settled by one from elsewhere.
    #[test]
    fn nothing_is_settled_but_by_one_outside_address(
        first: [u8; 4], second: [u8; 4], p in 1_u16.., q in 1_u16..,
    ) {
        let first = look(LOCAL, &std::net::Ipv4Addr::from(first).to_string(), p);
        let second = look(LOCAL, &std::net::Ipv4Addr::from(second).to_string(), q);
        let settled = settle(first.clone(), &second, OtherAddress);
        if settled.mapping.is_some() {
            proptest::prop_assert_eq!(first.comparison.client_ip, second.comparison.client_ip);
        }
    }
}
