use super::Changed::{FromServer, FromThere, Nothing, Refused};
use super::*;

const HOME: &str = "192.168.1.5:1033";
const OUT: &str = "203.0.113.7:40001";
const OUT_TWO: &str = "203.0.113.7:40002";
const OUT_THREE: &str = "203.0.113.7:40003";

fn at(end: &str) -> SocketAddr {
    end.parse().unwrap()
}

/// Behind a NAT that maps as `mapped` says.
fn behind(mapped: [&str; 3], let_in: [Changed; 2], control: [Changed; 2]) -> StunEvidence {
    StunEvidence {
        transport: StunTransport::Udp,
        server: at("203.0.113.80:3478"),
        other: Some(at("203.0.113.81:3479")),
        local: at(HOME),
        client_ip: None,
        outside: Some(at(OUT)),
        mapped: mapped.map(|end| Some(at(end))),
        alike: None,
        let_in,
        control,
        came_back: Some(false),
        round_trip: None,
        ignored: 0,
    }
}

const EIM: [&str; 3] = [OUT, OUT, OUT];
const ADM: [&str; 3] = [OUT, OUT_TWO, OUT_TWO];
const APDM: [&str; 3] = [OUT, OUT_TWO, OUT_THREE];

#[test]
fn every_kind_of_nat_has_its_terms_and_its_label() {
    use Filtering as F;
    use NatMapping as M;
    use UdpLabel as L;
    let (no, yes) = (Nothing, FromThere);
    let all = [yes, yes];
    for (mapped, let_in, control, mapping, filtering, label) in [
        (
            EIM,
            [yes, yes],
            all,
            M::EndpointIndependent,
            Ok(F::EndpointIndependent),
            L::IpRestrictNat,
        ),
        (
            EIM,
            [yes, no],
            all,
            M::EndpointIndependent,
            Ok(F::AddressDependent),
            L::IpRestrictNat,
        ),
        (
            EIM,
            [no, no],
            all,
            M::EndpointIndependent,
            Ok(F::AddressAndPortDependent),
            L::PortRestrictNat,
        ),
        (
            ADM,
            [yes, yes],
            all,
            M::AddressDependent,
            Ok(F::EndpointIndependent),
            L::IpRestrictNat,
        ),
        (
            ADM,
            [no, no],
            [yes, no],
            M::AddressDependent,
            Ok(F::AddressAndPortDependent),
            L::SymmetricNat,
        ),
        // The filter is that of the inside end: UDP echo gets its answer through it.
        (
            ADM,
            [yes, no],
            all,
            M::AddressDependent,
            Ok(F::AddressDependent),
            L::IpRestrictNat,
        ),
        // The control cannot show that the other address sends.
        (
            ADM,
            [yes, no],
            [yes, no],
            M::AddressDependent,
            Err(StunUnknown::HiddenByMapping),
            L::SymmetricNat,
        ),
        (
            APDM,
            [no, no],
            [no, no],
            M::AddressAndPortDependent,
            Err(StunUnknown::HiddenByMapping),
            L::SymmetricNat,
        ),
        (
            APDM,
            [yes, yes],
            all,
            M::AddressAndPortDependent,
            Ok(F::EndpointIndependent),
            L::IpRestrictNat,
        ),
    ] {
        let seen = behind(mapped, let_in, control);
        assert_eq!(seen.mapping(), Ok(mapping), "{seen:?}");
        assert_eq!(seen.filtering(), filtering, "{seen:?}");
        assert_eq!(seen.label(), Some(label), "{seen:?}");
    }
}

#[test]
fn a_server_that_does_not_do_what_it_offers_tells_no_filtering() {
    let (no, ignored) = (Nothing, FromServer);
    for (let_in, control, why) in [
        (
            [ignored, ignored],
            [ignored, ignored],
            StunUnknown::ChangeIgnored,
        ),
        ([no, no], [no, ignored], StunUnknown::ChangeIgnored),
        (
            [Refused(420); 2],
            [Refused(420); 2],
            StunUnknown::ChangeRefused,
        ),
        ([no, no], [no, no], StunUnknown::ChangeNotSeen),
        // It sends from its other port alone: what is kept out from the other address is not known.
        ([FromThere, no], [FromThere, no], StunUnknown::ChangeNotSeen),
    ] {
        let seen = behind(EIM, let_in, control);
        assert_eq!(seen.filtering(), Err(why), "{seen:?}");
        assert_eq!(seen.label(), Some(UdpLabel::UnknownConnect), "{seen:?}");
    }
}

#[test]
fn two_plain_servers_tell_the_mapping_alone() {
    for (alike, mapping, label) in [
        (
            None,
            Err(StunUnknown::NoOtherAddress),
            UdpLabel::UnknownConnect,
        ),
        (
            Some(true),
            Ok(NatMapping::EndpointIndependent),
            UdpLabel::UnknownConnect,
        ),
        (
            Some(false),
            Ok(NatMapping::EndpointDependent),
            UdpLabel::SymmetricNat,
        ),
    ] {
        let seen = StunEvidence {
            other: None,
            mapped: [None; 3],
            alike,
            ..behind(EIM, [Changed::NotAsked; 2], [Changed::NotAsked; 2])
        };
        assert_eq!(seen.mapping(), mapping);
        assert_eq!(seen.filtering(), Err(StunUnknown::NoOtherAddress));
        assert_eq!(seen.label(), Some(label));
    }
}

#[test]
fn an_other_address_that_is_silent_tells_no_mapping() {
    let mapped = [Some(at(OUT)), None, None];
    let seen = StunEvidence {
        mapped,
        ..behind(EIM, [Nothing; 2], [Nothing; 2])
    };
    assert_eq!(seen.mapping(), Err(StunUnknown::OtherAddressSilent));
    assert_eq!(seen.label(), Some(UdpLabel::UnknownConnect));
}

#[test]
fn without_a_nat_or_an_answer_the_label_needs_no_more() {
    let direct = |client_ip: Option<&str>| StunEvidence {
        outside: Some(at(HOME)),
        client_ip: client_ip.map(|ip| ip.parse().unwrap()),
        ..behind([HOME; 3], [Nothing; 2], [FromThere; 2])
    };
    let seen = direct(None);
    assert_eq!(seen.mapping(), Ok(NatMapping::None));
    // A firewall filters without a NAT.
    assert_eq!(seen.filtering(), Ok(Filtering::AddressAndPortDependent));
    assert_eq!(seen.hairpin(), Err(StunUnknown::NoNat));
    assert_eq!(seen.label(), Some(UdpLabel::DirectConnect));
    assert_eq!(
        direct(Some("192.168.1.5")).label(),
        Some(UdpLabel::DirectConnect)
    );
    assert_eq!(direct(Some("203.0.113.7")).label(), Some(UdpLabel::IsaLike));
    let silent = StunEvidence {
        outside: None,
        ..direct(None)
    };
    assert_eq!(silent.label(), Some(UdpLabel::Firewall));
    assert_eq!(silent.filtering(), Err(StunUnknown::NoAnswer));
    assert_eq!(silent.port_kept(), None);
}

#[test]
fn a_packet_that_does_not_come_back_tells_something_only_where_it_could_have() {
    let came_back = |mapped, came_back| {
        let seen = behind(mapped, [Nothing; 2], [FromThere; 2]);
        StunEvidence { came_back, ..seen }.hairpin()
    };
    assert_eq!(came_back(EIM, Some(true)), Ok(true));
    assert_eq!(came_back(EIM, Some(false)), Ok(false));
    assert_eq!(came_back(APDM, Some(true)), Ok(true));
    assert_eq!(
        came_back(APDM, Some(false)),
        Err(StunUnknown::HiddenByMapping)
    );
}

#[test]
fn over_tcp_a_server_tells_the_mapping_alone() {
    let seen = StunEvidence {
        transport: StunTransport::Tcp,
        mapped: [None; 3],
        alike: Some(true),
        other: None,
        ..behind([OUT; 3], [FromThere; 2], [FromThere; 2])
    };
    assert_eq!(seen.mapping(), Ok(NatMapping::EndpointIndependent));
    assert_eq!(seen.filtering(), Err(StunUnknown::OverTcp));
    assert_eq!(seen.hairpin(), Err(StunUnknown::OverTcp));
    assert_eq!((seen.label(), seen.port_kept()), (None, Some(false)));
    let alone = StunEvidence {
        alike: None,
        ..seen
    };
    assert_eq!(alone.mapping(), Err(StunUnknown::NoOtherAddress));
}
