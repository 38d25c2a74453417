use super::*;
use crate::conntype::Destination::{OtherAddress, OtherPort, Same};
use crate::conntype::{Observation, PathKind, classify};

const LOCAL: &str = "192.168.1.5:51234";
const OTHER_LOCAL: &str = "192.168.1.5:51235";
const NAT: &str = "203.0.113.7";

fn observed(local: &str, ip: &str, port: u16) -> Verdict {
    let port = port.to_string();
    classify(&Observation::new(
        local.parse().unwrap(),
        Some(ip),
        Some(&port),
    ))
}

/// The usual first observation: address and port rewritten.
fn symmetric() -> Verdict {
    observed(LOCAL, NAT, 62001)
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
    // The second server may send the port's bytes in the other order.
    for port in [62001, swap_port(62001)] {
        let settled = settle(symmetric(), &observed(LOCAL, NAT, port), OtherAddress);
        let mapping = Some(Mapping::EndpointIndependent);
        assert_eq!(outcome(&settled), (Label::UnknownNat, mapping, false));
    }
}

#[test]
fn another_port_toward_another_address_confirms_symmetric_nat() {
    for destination in [OtherAddress, OtherPort] {
        let settled = settle(symmetric(), &observed(LOCAL, NAT, 62002), destination);
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
    let inside = observed(LOCAL, "192.168.1.5", 51234);
    let settled = settle(symmetric(), &inside, OtherAddress);
    assert_eq!(outcome(&settled), OPEN);
    assert!(says(&settled, Unsettled::NotTranslated(ip("192.168.1.5"))));

    // The other way round the label is that of the first, with a warning.
    let settled = settle(inside, &symmetric(), OtherAddress);
    assert_eq!(settled.label, Label::DirectConnect);
    assert!(says(&settled, Unsettled::NotTranslated(ip("192.168.1.5"))));
}

#[test]
fn a_second_server_behind_its_own_proxy_settles_nothing() {
    for (seen, port) in [
        ("10.0.0.9", 40000),
        ("100.64.0.1", 62001),
        ("fd00::9", 51234),
    ] {
        let settled = settle(symmetric(), &observed(LOCAL, seen, port), OtherAddress);
        assert_eq!(outcome(&settled), OPEN, "{seen}");
        assert!(says(&settled, Unsettled::OtherSide(ip(NAT), ip(seen))));
    }
    let hidden = observed(LOCAL, "127.0.0.1", 40000);
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
        let settled = settle(symmetric(), &observed(LOCAL, pool, port), OtherAddress);
        assert_eq!(outcome(&settled), OPEN, "{port}");
        assert!(says(
            &settled,
            Unsettled::TwoOutsideAddresses(ip(NAT), ip(pool))
        ));
    }
    // Ports kept at both addresses: the label holds, with a warning.
    let kept = observed(LOCAL, NAT, 51234);
    let settled = settle(kept.clone(), &observed(LOCAL, pool, 51234), OtherAddress);
    assert_eq!(settled.label, Label::IpRestrictNat);
    assert!(says(
        &settled,
        Unsettled::TwoOutsideAddresses(ip(NAT), ip(pool))
    ));
    // Kept at one of them only: both show no more than a rewritten address.
    for (first, second) in [
        (kept.clone(), observed(LOCAL, pool, 62001)),
        (observed(LOCAL, pool, 62001), kept),
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
        let (kept, replaced) = (observed(local, NAT, 51234), observed(local, NAT, 62001));
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
    let direct = observed(own, "198.51.100.5", 51234);
    for seen in [51234, 62001] {
        let rewritten = observed(own, NAT, seen);
        for (first, second) in [(&direct, &rewritten), (&rewritten, &direct)] {
            let settled = settle(first.clone(), second, OtherAddress);
            assert_eq!(outcome(&settled), (Label::UnknownConnect, None, false));
            assert_eq!(settled.reason, Reason::ObservationsDisagree);
            let warning = Warning::ObservationsDisagree(second.label);
            assert!(settled.warnings.contains(&warning));
        }
    }
}

#[test]
fn an_undetermined_observation_adds_a_warning_only() {
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
fn a_port_that_never_changes_is_a_constant() {
    let first = observed(LOCAL, "198.51.100.9", 4711);
    let second = observed(OTHER_LOCAL, "198.51.100.9", 4711);
    let settled = settle(first.clone(), &second, Same);
    let constant = (Label::UnknownConnect, Reason::ObservedConstant);
    assert_eq!((settled.label, settled.reason), constant);
    // Further observations from this server are ignored.
    let third = observed("192.168.1.5:51236", "198.51.100.9", 51236);
    assert_eq!(settle(settled.clone(), &third, Same), settled);

    let moves = observed(OTHER_LOCAL, "198.51.100.9", 4712);
    assert_eq!(settle(first.clone(), &moves, Same), first);
    // Two servers may see one outside port for two local ports of an endpoint-dependent NAT.
    for destination in [OtherAddress, OtherPort] {
        assert_eq!(settle(first.clone(), &second, destination), first);
    }
}

#[test]
fn logins_that_disagree_get_a_label_that_both_allow() {
    let own = "203.0.113.7";
    for (local, other, label) in [
        (LOCAL, OTHER_LOCAL, Label::UnknownNat),
        (
            "203.0.113.7:51234",
            "203.0.113.7:51235",
            Label::UnknownConnect,
        ),
    ] {
        let kept = observed(local, own, 51234);
        let replaced = observed(other, own, 62001);
        let settled = settle(kept, &replaced, Same);
        assert_eq!(outcome(&settled), (label, None, false));
        assert_eq!(settled.reason, Reason::ObservationsDisagree);
        let warning = Warning::ObservationsDisagree(replaced.label);
        assert!(settled.warnings.contains(&warning));
    }
}

#[test]
fn a_settled_mapping_is_kept() {
    let again = observed(OTHER_LOCAL, NAT, 62007);
    for (port, label) in [(62001, Label::UnknownNat), (62002, Label::SymmetricNat)] {
        let settled = settle(symmetric(), &observed(LOCAL, NAT, port), OtherAddress);
        assert_eq!(settled.label, label);
        assert_eq!(settle(settled.clone(), &again, Same), settled);
        // A port that is kept once adds a warning.
        let kept = settle(settled, &observed(OTHER_LOCAL, NAT, 51235), Same);
        assert_eq!(kept.label, label);
        let warning = Warning::ObservationsDisagree(Label::IpRestrictNat);
        assert!(kept.warnings.contains(&warning));
    }
}

#[test]
fn a_port_of_another_connection_may_stay_the_same() {
    let observed = |port: &str| {
        classify(&Observation {
            path: PathKind::HttpGateway,
            ..Observation::new(port.parse().unwrap(), Some(NAT), Some("4711"))
        })
    };
    let first = observed("192.168.1.5:1");
    assert_eq!(
        settle(first.clone(), &observed("192.168.1.5:2"), Same),
        first
    );
}

#[test]
fn a_port_that_was_kept_once_is_not_a_constant() {
    let first = observed("203.0.113.7:51234", NAT, 51234);
    let second = observed("203.0.113.7:51235", NAT, 51234);
    let settled = settle(first, &second, Same);
    assert_eq!(settled.reason, Reason::ObservationsDisagree);
}

proptest::proptest! {
    /// A mapping is settled only where both observations have one outside address.
    #[test]
    fn a_mapping_is_settled_for_one_outside_address_only(
        first: [u8; 4], second: [u8; 4], p in 1_u16.., q in 1_u16..,
    ) {
        let first = observed(LOCAL, &std::net::Ipv4Addr::from(first).to_string(), p);
        let second = observed(LOCAL, &std::net::Ipv4Addr::from(second).to_string(), q);
        let settled = settle(first.clone(), &second, OtherAddress);
        if settled.mapping.is_some() {
            proptest::prop_assert_eq!(first.comparison.client_ip, second.comparison.client_ip);
        }
    }
}
