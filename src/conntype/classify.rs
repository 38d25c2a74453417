//! The table and its rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::evidence::PortUnknown;
use super::{
    Comparison, Destination, IpReading, Label, Mapping, Observation, OrderMatch, PortOrder,
    PortReading, ProxyRelation, Reason, Sameness, Verdict, Warning, normalise, swap_port,
};

/// `ClientIP` and `ClientPort` that hobby servers and a wiki's sample print for everybody.
const KNOWN_CONSTANTS: [(Ipv4Addr, u16); 4] = [
    (Ipv4Addr::new(24, 111, 111, 111), 60712),
    (Ipv4Addr::new(1, 2, 3, 4), 516),
    (Ipv4Addr::new(0, 0, 0, 0), 1863),
    (Ipv4Addr::new(192, 168, 1, 111), 18183),
];

/// Gives the connection type of one observation, with its evidence.
///
/// ```
/// use msnp9_conntype::conntype::{Label, Observation, classify};
///
/// let local = "192.168.1.5:1033".parse().unwrap();
/// // 2308 is 1033 with its two bytes exchanged, as Microsoft's servers printed it.
/// let seen = Observation::new(local, Some("203.0.113.7"), Some("2308"));
/// assert_eq!(classify(&seen).label, Label::IpRestrictNat);
/// ```
#[must_use]
pub fn classify(seen: &Observation) -> Verdict {
    let client_ip = IpReading::read(seen.client_ip.as_deref());
    let client_port = PortReading::read(seen.client_port.as_deref());
    let local = SocketAddr::new(normalise(seen.local.ip()), seen.local.port());
    let ports = compare_ports(local.port(), client_port, seen);
    let mut comparison = Comparison {
        local,
        ip: compare_ips(local.ip(), &client_ip),
        port: ports.sameness,
        order_matched: ports.order_matched,
        outside_port: ports.outside,
        client_ip,
        client_port,
    };
    let constant = is_known_constant(seen, &comparison);
    if constant {
        comparison.ip = Sameness::Unknown;
        comparison.port = Sameness::Unknown;
        comparison.order_matched = None;
        comparison.outside_port = None;
    }

    let why_port = ports.unknown.unwrap_or(PortUnknown::Absent);
    let (label, reason) = match (comparison.ip, comparison.port) {
        _ if constant => (Label::UnknownConnect, Reason::KnownConstant),
        (Sameness::Same, Sameness::Same) => (Label::DirectConnect, Reason::NothingRewritten),
        (Sameness::Same, Sameness::Different) => (Label::PortRestrictNat, Reason::PortRewritten),
        (Sameness::Different, Sameness::Same) => (Label::IpRestrictNat, Reason::AddressRewritten),
        (Sameness::Different, Sameness::Different) => (Label::SymmetricNat, Reason::BothRewritten),
        (Sameness::Different, Sameness::Unknown) => (
            Label::UnknownNat,
            Reason::AddressRewrittenPortUnknown(why_port),
        ),
        (Sameness::Same, Sameness::Unknown) => (
            Label::UnknownConnect,
            Reason::AddressOursPortUnknown(why_port),
        ),
        (Sameness::Unknown, _) => (Label::UnknownConnect, Reason::AddressUnknown),
    };
    Verdict {
        label,
        alternatives: match label {
            Label::SymmetricNat => vec![Label::UnknownNat],
            _ => Vec::new(),
        },
        reason,
        proxy: relate_to_proxy(seen, &comparison),
        mapping: None,
        warnings: warnings(seen, &comparison, label),
        comparison,
    }
}

/// Lets a second observation speak: of the same local port toward another server it settles
/// `Symmetric-NAT` against `Unknown-NAT`; of another local port it finds out a server that
/// prints a constant.
///
/// Both observations must have been made on the same kind of path. Nothing changes where the
/// second one says nothing new.
#[must_use]
pub fn settle(mut first: Verdict, second: &Verdict, destination: Destination) -> Verdict {
    let (a, b) = (&first.comparison, &second.comparison);
    let (PortReading::Port(seen_first), PortReading::Port(seen_second)) =
        (a.client_port, b.client_port)
    else {
        return first;
    };
    if first.reason == Reason::KnownConstant || second.reason == Reason::KnownConstant {
        return first;
    }
    if a.local.port() == b.local.port() {
        return settle_mapping(first, second, (seen_first, seen_second), destination);
    }
    // Equal numbers from unequal local ports: no NAT does that while the first flow still has
    // its mapping, a server that prints a constant always does. Where either flow showed its
    // own port, the number is real.
    // Behind a proxy or gateway the port belongs to another connection, which may well stay.
    let real = a.port != Sameness::Different || b.port != Sameness::Different;
    if seen_first == seen_second && a.client_ip == b.client_ip && !real {
        return undetermined(first, Reason::ObservedConstant);
    }
    let disagree = Warning::LooksDisagree(second.label);
    // One look alone never comes to what two servers have settled.
    let agrees = first.label == second.label
        || (first.mapping.is_some() && second.label == Label::SymmetricNat);
    if !agrees && !first.warnings.contains(&disagree) {
        first.warnings.push(disagree);
    }
    first
}

fn settle_mapping(
    mut first: Verdict,
    second: &Verdict,
    (seen_first, seen_second): (u16, u16),
    destination: Destination,
) -> Verdict {
    let looked = &second.comparison;
    let blind = looked.ip == Sameness::Unknown || looked.port == Sameness::Unknown;
    if first.label != Label::SymmetricNat || blind {
        return first;
    }
    // Two servers may print two orders: what is the same in any reading is the same port.
    let same = match (
        first.comparison.outside_port,
        second.comparison.outside_port,
    ) {
        (Some(a), Some(b)) => a == b,
        _ => seen_first == seen_second || seen_first == swap_port(seen_second),
    };
    let same_ip = first.comparison.client_ip == second.comparison.client_ip;
    if same && same_ip && destination != Destination::OtherAddress {
        // The same mapping toward another port of one address: it may still depend on the
        // address (RFC 4787 §4.1), so nothing is settled.
        return first;
    }
    first.alternatives.clear();
    if same && same_ip {
        first.label = Label::UnknownNat;
        first.reason = Reason::MappingIndependentOfDestination;
        first.mapping = Some(Mapping::EndpointIndependent);
    } else {
        first.reason = Reason::MappingDependsOnDestination;
        first.mapping = Some(Mapping::EndpointDependent);
    }
    first
}

/// Takes the verdict back: what the profile says turned out to be no observation.
fn undetermined(mut verdict: Verdict, reason: Reason) -> Verdict {
    verdict.label = Label::UnknownConnect;
    verdict.alternatives.clear();
    verdict.reason = reason;
    verdict.mapping = None;
    // What they warn about was drawn from the profile.
    verdict.warnings.clear();
    verdict.comparison.ip = Sameness::Unknown;
    verdict.comparison.port = Sameness::Unknown;
    verdict.comparison.order_matched = None;
    verdict.comparison.outside_port = None;
    verdict
}

fn compare_ips(local: IpAddr, client: &IpReading) -> Sameness {
    match client {
        IpReading::Ip(ip) if *ip == local => Sameness::Same,
        IpReading::Ip(_) => Sameness::Different,
        IpReading::Absent | IpReading::Unreadable => Sameness::Unknown,
    }
}

/// The outcome for the ports.
struct Ports {
    sameness: Sameness,
    order_matched: Option<OrderMatch>,
    outside: Option<u16>,
    unknown: Option<PortUnknown>,
}

impl Ports {
    const fn unknown(why: PortUnknown) -> Self {
        Self {
            sameness: Sameness::Unknown,
            order_matched: None,
            outside: None,
            unknown: Some(why),
        }
    }
}

fn compare_ports(local: u16, client: PortReading, seen: &Observation) -> Ports {
    let value = match client {
        PortReading::Port(value) => value,
        PortReading::Absent => return Ports::unknown(PortUnknown::Absent),
        PortReading::Unreadable => return Ports::unknown(PortUnknown::Unreadable),
        PortReading::OutOfRange => return Ports::unknown(PortUnknown::OutOfRange),
        PortReading::Zero => return Ports::unknown(PortUnknown::Zero),
    };
    if !seen.path.is_end_to_end() {
        return Ports::unknown(PortUnknown::OtherConnection);
    }
    let swapped = swap_port(value);
    let plain_fits = seen.order != PortOrder::Swapped && value == local;
    let swapped_fits = seen.order != PortOrder::Plain && swapped == local;
    let order_matched = match (plain_fits, swapped_fits) {
        (true, true) => Some(OrderMatch::Either),
        // A fixed point under a given order: that order is what was asked, but both are one.
        (true, false) | (false, true) if value == swapped => Some(OrderMatch::Either),
        (true, false) => Some(OrderMatch::Plain),
        (false, true) => Some(OrderMatch::Swapped),
        (false, false) => None,
    };
    let outside = match seen.order {
        _ if order_matched.is_some() => Some(local),
        PortOrder::Plain => Some(value),
        PortOrder::Swapped => Some(swapped),
        PortOrder::Auto => (value == swapped).then_some(value),
    };
    Ports {
        sameness: if order_matched.is_some() {
            Sameness::Same
        } else {
            Sameness::Different
        },
        order_matched,
        outside,
        unknown: None,
    }
}

fn is_known_constant(seen: &Observation, found: &Comparison) -> bool {
    let PortReading::Port(port) = found.client_port else {
        return false;
    };
    // The raw text is asked, because 0.0.0.0 is among the constants and no reading.
    let Some(Ok(ip)) = seen
        .client_ip
        .as_deref()
        .map(|text| text.trim().parse::<IpAddr>())
    else {
        return false;
    };
    let listed = KNOWN_CONSTANTS
        .iter()
        .any(|&(constant, number)| normalise(ip) == constant && port == number);
    let ours = found.ip == Sameness::Same && found.port == Sameness::Same;
    listed && !ours
}

fn relate_to_proxy(seen: &Observation, found: &Comparison) -> Option<ProxyRelation> {
    let proxy = seen.proxy.as_ref()?;
    let Some(client) = found.client_ip.ip() else {
        return Some(ProxyRelation::Unknown);
    };
    let bound = proxy.bound.map(|bound| normalise(bound.ip()));
    let own = || proxy.addresses.iter().map(|ip| normalise(*ip)).chain(bound);
    Some(if own().any(|ip| ip == client) {
        ProxyRelation::LastHop
    } else if own().next().is_none() {
        ProxyRelation::Unknown
    } else {
        ProxyRelation::Beyond
    })
}

fn warnings(seen: &Observation, found: &Comparison, label: Label) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let (Some(client), Some(peer)) = (found.client_ip.ip(), seen.peer)
        && is_global(normalise(peer.ip()))
        && !is_global(client)
    {
        warnings.push(Warning::ClientIpNotGlobal(client));
    }
    if let (Sameness::Different, None, PortReading::Port(value)) =
        (found.port, found.outside_port, found.client_port)
    {
        warnings.push(Warning::OutsidePortAmbiguous(value, swap_port(value)));
    }
    if found.order_matched == Some(OrderMatch::Either) && seen.order == PortOrder::Auto {
        warnings.push(Warning::OrderUndecided);
    }
    if label.determined() {
        warnings.push(Warning::TcpFlowOnly);
    }
    warnings
}

/// Whether an address can be reached from the public internet, as far as its range tells
/// (RFC 6890 and the IANA special-purpose registries). Documentation ranges count as global, so
/// that examples read like the real thing.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => is_global_v6(ip),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || (a == 100 && (64..128).contains(&b)) // RFC 6598: carrier-grade NAT
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)) // RFC 2544: benchmarking
        || a >= 224)
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    let first = ip.segments()[0];
    !(ip.is_unspecified()
        || ip.is_loopback()
        || (first & 0xfe00) == 0xfc00 // RFC 4193: unique local
        || (first & 0xffc0) == 0xfe80 // link-local
        || (first & 0xff00) == 0xff00) // multicast
}

#[cfg(test)]
mod tests;
