//! The table and its rules.

use std::net::{Ipv4Addr, SocketAddr};

use super::range::is_global;
use super::{
    Comparison, IpUnknown, Label, Observation, OrderMatch, PortOrder, PortUnknown, ProxyRelation,
    Reason, Sameness, Verdict, Warning, normalise, swap_port,
};

/// `ClientIP` and `ClientPort` that hobby servers and a wiki's sample send to every client.
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
/// // 2308 is 1033 with its two bytes exchanged, as Microsoft's servers sent it.
/// let seen = Observation::new(local, Some("203.0.113.7"), Some("2308"));
/// assert_eq!(classify(&seen).label, Label::IpRestrictNat);
/// ```
#[must_use]
pub fn classify(seen: &Observation) -> Verdict {
    let local = SocketAddr::new(normalise(seen.local.ip()), seen.local.port());
    let client_ip = seen.client_ip.value.ok();
    let client_port = match seen.path.is_end_to_end() {
        true => seen.client_port.value,
        false => seen
            .client_port
            .value
            .and(Err(PortUnknown::OtherConnection)),
    };
    let order_matched = client_port.map(|port| order_matched(local.port(), port, seen.order));
    let same = |is_same: bool| match is_same {
        true => Sameness::Same,
        false => Sameness::Different,
    };
    let mut comparison = Comparison {
        local,
        client_ip,
        client_port: seen.client_port.value.ok(),
        ip: client_ip.map_or(Sameness::Unknown, |ip| same(ip == local.ip())),
        port: order_matched.map_or(Sameness::Unknown, |order| same(order.is_some())),
        order_matched: order_matched.ok().flatten(),
        order_asked: seen.order,
        outside_port: match (order_matched, client_port, seen.order) {
            (Ok(Some(_)), ..) => Some(local.port()),
            (_, Ok(port), PortOrder::Plain) => Some(port),
            (_, Ok(port), PortOrder::Swapped) => Some(swap_port(port)),
            (_, Ok(port), PortOrder::Auto) => (port == swap_port(port)).then_some(port),
            (_, Err(_), _) => None,
        },
    };
    let invalid = invalid(seen, &comparison);
    if invalid.is_some() {
        comparison.forget();
    }
    let (label, reason) = match (comparison.ip, order_matched) {
        (Sameness::Unknown, _) => (
            Label::UnknownConnect,
            invalid.unwrap_or(Reason::AddressUnknown),
        ),
        (Sameness::Same, Ok(Some(_))) => (Label::DirectConnect, Reason::NothingRewritten),
        (Sameness::Same, Ok(None)) => (Label::PortRestrictNat, Reason::PortRewritten),
        (Sameness::Different, Ok(Some(_))) => (Label::IpRestrictNat, Reason::AddressRewritten),
        (Sameness::Different, Ok(None)) => (Label::SymmetricNat, Reason::BothRewritten),
        (Sameness::Different, Err(why)) => {
            (Label::UnknownNat, Reason::AddressRewrittenPortUnknown(why))
        }
        (Sameness::Same, Err(why)) => (Label::UnknownConnect, Reason::AddressOursPortUnknown(why)),
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

/// The reading of `ClientPort` that equals the local port, if one does.
pub(super) fn order_matched(local: u16, client: u16, order: PortOrder) -> Option<OrderMatch> {
    let swapped = swap_port(client);
    let plain_fits = order != PortOrder::Swapped && client == local;
    let swapped_fits = order != PortOrder::Plain && swapped == local;
    match (plain_fits, swapped_fits) {
        (false, false) => None,
        _ if client == swapped => Some(OrderMatch::Either),
        (true, _) => Some(OrderMatch::Plain),
        (false, true) => Some(OrderMatch::Swapped),
    }
}

/// Why the profile's values do not describe this connection, where they do not.
fn invalid(seen: &Observation, found: &Comparison) -> Option<Reason> {
    if is_known_constant(seen, found) {
        return Some(Reason::KnownConstant);
    }
    let is_loopback = found.client_ip.is_some_and(|ip| ip.is_loopback());
    (is_loopback && !server_is_here(seen)).then_some(Reason::LoopbackElsewhere)
}

/// Whether the connection ends on this host. Where the far end is not known, only a loopback
/// address at the local end shows that.
fn server_is_here(seen: &Observation) -> bool {
    let local = normalise(seen.local.ip());
    let peer = seen.peer.map_or(local, |peer| normalise(peer.ip()));
    peer.is_loopback() || (seen.peer.is_some() && peer == local)
}

fn is_known_constant(seen: &Observation, found: &Comparison) -> bool {
    // 0.0.0.0 is one of the constants.
    let (Ok(ip) | Err(IpUnknown::NotAHost(ip))) = seen.client_ip.value else {
        return false;
    };
    let listed = KNOWN_CONSTANTS
        .iter()
        .any(|&(constant, port)| ip == constant && found.client_port == Some(port));
    let ours = found.ip == Sameness::Same && found.port == Sameness::Same;
    listed && !ours
}

fn relate_to_proxy(seen: &Observation, found: &Comparison) -> Option<ProxyRelation> {
    let proxy = seen.proxy.as_ref()?;
    let Some(client) = found.client_ip else {
        return Some(ProxyRelation::Unknown);
    };
    let bound = proxy.bound.map(|bound| normalise(bound.ip()));
    let mut own = proxy.addresses.iter().map(|ip| normalise(*ip)).chain(bound);
    // A proxy may have further addresses that are not known. Only the address that it reports as
    // its own end, or one on the internet, can be compared.
    let comparable = bound.is_some_and(|ip| !ip.is_loopback())
        || proxy
            .addresses
            .first()
            .is_some_and(|ip| is_global(normalise(*ip)));
    Some(if own.any(|ip| ip == client) {
        ProxyRelation::LastHop
    } else if comparable {
        ProxyRelation::Beyond
    } else {
        ProxyRelation::Unknown
    })
}

fn warnings(seen: &Observation, found: &Comparison, label: Label) -> Vec<Warning> {
    let mut warnings = Vec::new();
    // Behind a proxy the far end of our connection is the proxy, not the server.
    let server = seen.peer.filter(|_| seen.proxy.is_none());
    if let (Sameness::Different, Some(client), Some(server)) = (found.ip, found.client_ip, server) {
        let server = normalise(server.ip());
        if client == server {
            warnings.push(Warning::ClientIpIsServer(client));
        } else if is_global(server) && !is_global(client) {
            warnings.push(Warning::ClientIpNotGlobal(client));
        }
    }
    if let (Sameness::Different, None, Some(value)) =
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
