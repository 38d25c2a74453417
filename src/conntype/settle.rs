//! Several observations: how a further one changes a verdict.

use super::range::is_global;
use super::{
    Comparison, Destination, Label, Mapping, Reason, Sameness, Unsettled, Verdict, Warning,
    swap_port,
};

/// Adds a further observation, classified on its own, to a verdict.
///
/// - From the same local port toward another address it can settle `Symmetric-NAT` against
///   `Unknown-NAT`, but only if both observations were translated alike: address and port differ
///   in both, and the outside address is the same (RFC 4787 §4.1).
/// - From another local port toward the same server it can show that the server sends a constant.
/// - Where the two contradict each other, the remaining label is one that both allow.
///
/// Where nothing is settled, a [`Warning`] says why.
#[must_use]
pub fn settle(mut verdict: Verdict, second: &Verdict, destination: Destination) -> Verdict {
    // The first observation is undetermined, or its server sends constants.
    if !verdict.label.determined() {
        return verdict;
    }
    if second.reason == Reason::KnownConstant {
        return unsettled(verdict, Unsettled::KnownConstant);
    }
    let (a, b) = (&verdict.comparison, &second.comparison);
    if destination == Destination::Same && is_constant(a, b) {
        return undetermined(verdict, Reason::ObservedConstant);
    }
    let (Some(ip_a), Some(ip_b)) = (a.client_ip, b.client_ip) else {
        return unsettled(verdict, Unsettled::Undetermined(second.reason));
    };
    if !second.label.determined() && (b.ip == Sameness::Unknown || a.port != Sameness::Unknown) {
        return unsettled(verdict, Unsettled::Undetermined(second.reason));
    }
    if a.ip != b.ip {
        // A server on this side of the NAT is reached by another path. Only a public local address
        // that is rewritten for one of the two is a contradiction.
        if is_global(a.local.ip()) {
            return contradicted(verdict, second, Label::UnknownConnect);
        }
        let inside = if a.ip == Sameness::Same { ip_a } else { ip_b };
        return unsettled(verdict, Unsettled::NotTranslated(inside));
    }
    if is_global(ip_a) != is_global(ip_b) {
        return unsettled(verdict, Unsettled::OtherSide(ip_a, ip_b));
    }
    let ports = (a.port, b.port);
    let kept_once = matches!(
        ports,
        (Sameness::Same, Sameness::Different) | (Sameness::Different, Sameness::Same)
    );
    if ip_a != ip_b {
        verdict = unsettled(verdict, Unsettled::TwoOutsideAddresses(ip_a, ip_b));
        return match kept_once {
            true => contradicted(verdict, second, Label::UnknownNat),
            false => verdict,
        };
    }
    let same_local_port = a.local.port() == b.local.port();
    match ports {
        _ if kept_once && same_local_port => kept_toward_one(verdict),
        _ if kept_once && verdict.mapping.is_some() => disagreed(verdict, second.label),
        _ if kept_once && a.ip == Sameness::Different => {
            contradicted(verdict, second, Label::UnknownNat)
        }
        _ if kept_once => contradicted(verdict, second, Label::UnknownConnect),
        (Sameness::Different, Sameness::Different) if same_local_port => {
            compare_mappings(verdict, second, destination)
        }
        (Sameness::Unknown, _) | (_, Sameness::Unknown) if same_local_port => {
            unsettled(verdict, Unsettled::PortUnknown)
        }
        _ => verdict,
    }
}

/// Whether a server gave two connections from different local ports the same `ClientPort`, which is
/// neither of them. No NAT does that while the first connection is open; a server that sends a
/// constant always does.
///
/// Behind a proxy or gateway the port belongs to another connection, which may persist.
fn is_constant(a: &Comparison, b: &Comparison) -> bool {
    let differ = |found: &Comparison| found.port == Sameness::Different;
    a.local.port() != b.local.port()
        && a.client_port.is_some()
        && a.client_port == b.client_port
        && a.client_ip == b.client_ip
        && differ(a)
        && differ(b)
}

/// The rule for two connections from one local port that are both translated to one outside
/// address: the outside ports show how the NAT maps.
fn compare_mappings(mut verdict: Verdict, second: &Verdict, destination: Destination) -> Verdict {
    if verdict.comparison.ip != Sameness::Different {
        return verdict;
    }
    let is_same = same_outside_port(&verdict.comparison, &second.comparison);
    if is_same && destination != Destination::OtherAddress {
        // Another port of one address: the mapping may still depend on the address.
        return unsettled(verdict, Unsettled::SameAddress);
    }
    verdict.alternatives.clear();
    if is_same {
        verdict.label = Label::UnknownNat;
        verdict.reason = Reason::MappingIndependentOfDestination;
        verdict.mapping = Some(Mapping::EndpointIndependent);
    } else {
        verdict.label = Label::SymmetricNat;
        verdict.reason = Reason::MappingDependsOnDestination;
        verdict.mapping = Some(Mapping::EndpointDependent);
    }
    verdict
}

/// Two servers may use two byte orders: ports that are equal in any reading count as the same.
fn same_outside_port(a: &Comparison, b: &Comparison) -> bool {
    match (a.outside_port, b.outside_port) {
        (Some(a), Some(b)) => a == b,
        _ => match (a.client_port, b.client_port) {
            (Some(a), Some(b)) => a == b || a == swap_port(b),
            _ => false,
        },
    }
}

/// The local port is kept toward one server and replaced toward the other: the mapping depends on
/// the destination, so the port counts as rewritten.
fn kept_toward_one(mut verdict: Verdict) -> Verdict {
    verdict.label = match verdict.comparison.ip {
        Sameness::Different => Label::SymmetricNat,
        _ => Label::PortRestrictNat,
    };
    verdict.alternatives.clear();
    verdict.reason = Reason::PortKeptTowardOne;
    verdict.mapping = Some(Mapping::EndpointDependent);
    verdict
}

/// Falls back to a label that both observations allow.
fn contradicted(verdict: Verdict, second: &Verdict, label: Label) -> Verdict {
    let mut verdict = disagreed(verdict, second.label);
    verdict.label = label;
    verdict.alternatives.clear();
    verdict.reason = Reason::ObservationsDisagree;
    verdict.mapping = None;
    if !label.determined() {
        verdict
            .warnings
            .retain(|warning| *warning != Warning::TcpFlowOnly);
    }
    verdict
}

fn disagreed(mut verdict: Verdict, label: Label) -> Verdict {
    verdict.warn(Warning::ObservationsDisagree(label));
    verdict
}

fn unsettled(mut verdict: Verdict, why: Unsettled) -> Verdict {
    verdict.warn(Warning::Unsettled(why));
    verdict
}

/// Withdraws the verdict: the profile does not describe this connection.
fn undetermined(mut verdict: Verdict, reason: Reason) -> Verdict {
    verdict.label = Label::UnknownConnect;
    verdict.alternatives.clear();
    verdict.reason = reason;
    verdict.mapping = None;
    // All of them come from the profile.
    verdict.warnings.clear();
    verdict.comparison.forget();
    verdict
}

#[cfg(test)]
mod tests;
