//! The table and its rules.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::evidence::PortUnknown;
use super::range::is_global;
use super::{
    Comparison, IpReading, Label, Observation, OrderMatch, PortOrder, PortReading, ProxyRelation,
    Reason, Sameness, Verdict, Warning, normalise, swap_port,
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
    let untrue = untrue(seen, &comparison);
    if untrue.is_some() {
        comparison.forget();
    }

    let why_port = ports.unknown.unwrap_or(PortUnknown::Absent);
    let (label, reason) = match (comparison.ip, comparison.port) {
        _ if let Some(reason) = untrue => (Label::UnknownConnect, reason),
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

/// Why the profile's values are no observation of this connection, where they are none.
fn untrue(seen: &Observation, found: &Comparison) -> Option<Reason> {
    if is_known_constant(seen, found) {
        return Some(Reason::KnownConstant);
    }
    let is_loopback = found.client_ip.ip().is_some_and(|ip| ip.is_loopback());
    (is_loopback && !server_is_here(seen)).then_some(Reason::LoopbackElsewhere)
}

/// Whether our connection ends on this very host. Where the far end is not known, only a loopback
/// address of our own says so.
fn server_is_here(seen: &Observation) -> bool {
    let local = normalise(seen.local.ip());
    let peer = seen.peer.map_or(local, |peer| normalise(peer.ip()));
    peer.is_loopback() || (seen.peer.is_some() && peer == local)
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
    let mut own = proxy.addresses.iter().map(|ip| normalise(*ip)).chain(bound);
    // A proxy with several addresses may leave from one that nobody told us. Only the address it
    // says it leaves from, or one on the internet, is something to compare with.
    let telling = bound.is_some_and(|ip| !ip.is_loopback())
        || proxy
            .addresses
            .first()
            .is_some_and(|ip| is_global(normalise(*ip)));
    Some(if own.any(|ip| ip == client) {
        ProxyRelation::LastHop
    } else if telling {
        ProxyRelation::Beyond
    } else {
        ProxyRelation::Unknown
    })
}

fn warnings(seen: &Observation, found: &Comparison, label: Label) -> Vec<Warning> {
    let mut warnings = Vec::new();
    // Behind a proxy the far end of our connection is the proxy, not the server.
    let server = seen.peer.filter(|_| seen.proxy.is_none());
    if let (Sameness::Different, Some(client), Some(server)) =
        (found.ip, found.client_ip.ip(), server)
    {
        let server = normalise(server.ip());
        if client == server {
            warnings.push(Warning::ClientIpIsServer(client));
        } else if is_global(server) && !is_global(client) {
            warnings.push(Warning::ClientIpNotGlobal(client));
        }
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

#[cfg(test)]
mod tests;
