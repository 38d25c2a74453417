//! What a client compares, what comes of it, and where it goes wrong.

use std::net::{IpAddr, Ipv4Addr};

use super::{AddressComparison, ClientRule, Fault, LocalAddress, LocalPort, Method, PortReading};
use crate::conntype::classify::order_matched;
use crate::conntype::{IpUnknown, Observation, PortUnknown, Reason, Verdict, normalise, swap_port};

/// The outcome of one of a client's comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// It takes the two for equal.
    Same,
    /// It takes them for different.
    Different,
    /// It depends on what is not known here.
    Open,
    /// It has nothing to compare.
    Unusable,
}

impl Test {
    const fn of(is_same: bool) -> Self {
        match is_same {
            true => Self::Same,
            false => Self::Different,
        }
    }
}

/// The outcomes of a client's comparisons.
#[derive(Clone, Copy)]
pub(super) struct Tests {
    pub(super) address: Test,
    pub(super) port: Test,
}

impl Tests {
    pub(super) fn of(method: Method, seen: &Observation) -> Self {
        Self {
            address: address(method, seen),
            port: port(method, seen),
        }
    }
}

fn address(method: Method, seen: &Observation) -> Test {
    let local = normalise(seen.local.ip());
    let text = seen.client_ip.raw.as_deref().map(str::trim);
    let text = text.filter(|text| !text.is_empty());
    match (method.address, method.comparison, seen.client_ip.value) {
        (LocalAddress::Guessed, ..) => match text {
            // Without ClientIP it takes its own address for that one, too.
            None => Test::Same,
            Some(text) => match text.parse::<Ipv4Addr>() {
                Ok(_) if seen.client_ip.value.is_ok() => Test::Open,
                _ => Test::Different,
            },
        },
        (_, AddressComparison::Text, _) => {
            text.map_or(Test::Unusable, |text| Test::of(text == local.to_string()))
        }
        (_, _, Err(IpUnknown::Absent | IpUnknown::Unreadable)) => Test::Unusable,
        (_, _, Err(IpUnknown::NotAHost(_))) => Test::Different,
        // It knows IPv4 alone.
        (LocalAddress::HostName, _, Ok(IpAddr::V6(_))) => Test::Different,
        (LocalAddress::HostName, _, Ok(IpAddr::V4(_))) => Test::Open,
        (_, _, Ok(ip)) => Test::of(ip == local),
    }
}

fn port(method: Method, seen: &Observation) -> Test {
    let local = seen.local.port();
    let text = seen.client_port.raw.as_deref().map(str::trim);
    let value = seen.client_port.value;
    match (method.port, method.reading, value) {
        (LocalPort::NotUsed, ..) | (_, PortReading::NotRead, _) => Test::Unusable,
        (LocalPort::Zero, _, Ok(_)) => Test::Different,
        (LocalPort::Zero, _, Err(PortUnknown::Zero)) => Test::Same,
        (LocalPort::Zero, ..) => Test::Unusable,
        (_, PortReading::OrderOfServer, _) => ports_equal(seen).map_or(Test::Unusable, Test::of),
        (_, PortReading::AsText, _) => match text {
            None | Some("") => Test::Unusable,
            Some(_) => Test::Different,
        },
        (_, PortReading::AsSent, value) => Test::of(value == Ok(local)),
        // Without ClientPort it takes the server's.
        (_, PortReading::Exchanged, Err(PortUnknown::Absent | PortUnknown::Zero)) => {
            Test::Different
        }
        (_, PortReading::Exchanged, Ok(port)) if text.is_some_and(is_number) => {
            Test::of(swap_port(port) == local)
        }
        (_, PortReading::Exchanged, _) => Test::Open,
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the ports are equal in the byte order in force; `None` where they cannot be compared.
fn ports_equal(seen: &Observation) -> Option<bool> {
    let port = seen.client_port.value.ok()?;
    let order = order_matched(seen.local.port(), port, seen.order);
    seen.path.is_end_to_end().then_some(order.is_some())
}

/// Where a client goes wrong that gives another label, or one where this program has none.
pub(super) fn faults(
    method: Method,
    tests: Tests,
    seen: &Observation,
    verdict: &Verdict,
    agrees: Option<bool>,
) -> Vec<Fault> {
    let is_other = agrees == Some(false);
    if method.rule == ClientRule::UdpEcho {
        return is_other.then_some(Fault::AboutUdp).into_iter().collect();
    }
    if matches!(
        verdict.reason,
        Reason::KnownConstant | Reason::ObservedConstant | Reason::LoopbackElsewhere
    ) {
        return vec![Fault::ProfileBelieved];
    }
    let needs_several = matches!(
        verdict.reason,
        Reason::MappingDependsOnDestination
            | Reason::MappingIndependentOfDestination
            | Reason::PortKeptTowardOne
            | Reason::ObservationsDisagree
    );
    let mut found: Vec<_> = fault_of_address(method, tests.address, seen)
        .into_iter()
        .collect();
    found.extend(faults_of_port(method, tests.port, seen));
    found.extend((is_other && needs_several).then_some(Fault::OneLoginOnly));
    found
}

fn fault_of_address(method: Method, test: Test, seen: &Observation) -> Option<Fault> {
    let is_same = seen.client_ip.value.ok();
    let is_same = is_same.map(|ip| ip == normalise(seen.local.ip()));
    match (test, is_same) {
        (Test::Same | Test::Different, None) => Some(Fault::UnusableValueCompared),
        (Test::Unusable, None) if method.rule == ClientRule::DirectOrNat => {
            Some(Fault::UnusableValueCompared)
        }
        (Test::Same | Test::Different, Some(is_same)) if test != Test::of(is_same) => {
            Some(match method.address {
                LocalAddress::Socket => Fault::AddressAsText,
                _ => Fault::AddressNotOfSocket,
            })
        }
        _ => None,
    }
}

fn faults_of_port(method: Method, test: Test, seen: &Observation) -> Vec<Fault> {
    let (local, truth) = (seen.local.port(), ports_equal(seen));
    if method.port == LocalPort::NotUsed {
        let is_blind = (truth != Some(true)).then_some(Fault::PortIgnored);
        return is_blind.into_iter().collect();
    }
    match (seen.client_port.value, truth) {
        _ if test == Test::Unusable => Vec::new(),
        (Ok(_), None) => vec![Fault::PortOfOtherConnection],
        (Err(_), _) if method.port == LocalPort::Zero => vec![Fault::LocalPortZero],
        (Err(_), _) => vec![Fault::UnusableValueCompared],
        (Ok(_), Some(_)) if test == Test::Open => Vec::new(),
        (Ok(port), Some(truth)) => {
            let (read, of_order) = match method.reading {
                PortReading::Exchanged => (swap_port(port), Fault::BytesAlwaysExchanged),
                PortReading::AsSent | PortReading::AsText => (port, Fault::BytesNeverExchanged),
                PortReading::OrderOfServer | PortReading::NotRead => return Vec::new(),
            };
            [
                (truth && method.port == LocalPort::Zero).then_some(Fault::LocalPortZero),
                (truth && method.reading == PortReading::AsText)
                    .then_some(Fault::TextComparedWithNumber),
                ((read == local) != truth).then_some(of_order),
            ]
            .into_iter()
            .flatten()
            .collect()
        }
    }
}
