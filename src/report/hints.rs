//! What to try: hints chosen by the evidence.

use super::hint::{Hint, of_label, remedy};
use super::meaning::is_detour;
use super::{Report, Why};
use crate::conntype::{Label, PathKind, PortOrder, Range, Sameness, swap_port};

/// More hints than these are not read.
const MOST: usize = 4;

/// What to try after this run: first what its evidence suggests, then what the label suggests.
pub(super) fn of_run(report: &Report) -> Vec<Hint> {
    let mut hints = Vec::new();
    if let (false, Why::Rule(reason)) = (report.determined, &report.reason) {
        hints.push(remedy(reason));
    }
    hints.extend(other_order(report));
    if is_detour(report) {
        hints.push(Hint::OtherServer);
    } else if report.determined {
        hints.extend(about_addresses(report));
    }
    for hint in of_label(report.label) {
        if fits(*hint, report, &hints) && !hints.contains(hint) {
            hints.push(*hint);
        }
    }
    hints.truncate(MOST);
    hints
}

/// Whether a hint for a label is of use after this run, beside the hints chosen before.
fn fits(hint: Hint, report: &Report, chosen: &[Hint]) -> bool {
    let local = report.local.map(|local| Range::of(local.ip()));
    let is_tcp = report.path.kind == PathKind::Tcp;
    match hint {
        Hint::NoProxy => !is_tcp,
        _ if is_detour(report) => false,
        Hint::OtherServer => !chosen.contains(&Hint::NoProxy),
        // It is beside the label already.
        Hint::SecondServer => false,
        // Only a router at home opens ports, and it gives out private addresses.
        Hint::Upnp | Hint::Forward => local == Some(Range::Private),
        Hint::StatusPage => is_tcp && local == Some(Range::Private),
        Hint::Repeat => report.is_single() && report.server.is_some(),
        Hint::Security => {
            report.label == Label::PortRestrictNat
                || matches!(local, Some(Range::Global | Range::Shared))
        }
        Hint::Firewall | Hint::OtherPerson => local != Some(Range::Loopback),
        _ => true,
    }
}

/// Whether the byte order that was not asked for makes the ports equal.
fn other_order(report: &Report) -> Option<Hint> {
    let compared = report.comparison.as_ref()?;
    let number = report.observed.as_ref()?.client_port.number.ok()?;
    let local = report.local?.port();
    let other = match compared.order_asked {
        PortOrder::Plain => swap_port(number),
        PortOrder::Swapped => number,
        PortOrder::Auto => return None,
    };
    let fits = compared.port == Sameness::Different && other == local;
    fits.then_some(Hint::AutoOrder { number, local })
}

/// What the addresses at both ends of a TCP connection suggest.
fn about_addresses(report: &Report) -> Option<Hint> {
    let local = report
        .local
        .filter(|_| report.path.kind == PathKind::Tcp)?
        .ip();
    let seen = report.observed.as_ref()?.client_ip.ip?;
    let is_other = report.comparison.as_ref()?.ip == Sameness::Different;
    match (Range::of(local), Range::of(seen)) {
        (Range::Loopback, _) => Some(Hint::BeyondThisHost),
        (Range::Private | Range::Shared, _) if !is_other => Some(Hint::BeyondThisNetwork(local)),
        (Range::Shared, _) => Some(Hint::PublicAddress(local)),
        (Range::Private, Range::Private | Range::Shared | Range::Loopback) => {
            Some(Hint::BeyondTheNat(seen))
        }
        (Range::Global, _) if local.is_ipv6() != seen.is_ipv6() => Some(Hint::Translator),
        (Range::Global, _) if is_other => Some(Hint::Vpn(local)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntype::{Observation, classify};
    use crate::report::Context;

    #[test]
    fn every_label_has_hints() {
        for label in Label::ALL {
            assert!((2..=5).contains(&of_label(label).len()), "{label}");
        }
    }

    #[test]
    fn a_wrong_byte_order_is_detected() {
        let hint = |order, client_port| {
            let local = "203.0.113.7:1033".parse().unwrap();
            let seen = Observation {
                order,
                ..Observation::new(local, Some("203.0.113.7"), Some(client_port))
            };
            other_order(&Report::of_verdict(
                &classify(&seen),
                &seen,
                Context::default(),
            ))
        };
        let auto = |number| {
            let local = 1033;
            Some(Hint::AutoOrder { number, local })
        };
        assert_eq!(hint(PortOrder::Plain, "2308"), auto(2308));
        assert_eq!(hint(PortOrder::Swapped, "1033"), auto(1033));
        assert_eq!(hint(PortOrder::Plain, "2309"), None);
        assert_eq!(hint(PortOrder::Auto, "2309"), None);
    }
}
