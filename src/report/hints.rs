//! What to try: hints chosen by the evidence, and the words of each.

use std::fmt;
use std::net::IpAddr;

use super::meaning::is_detour;
use super::{Report, Why};
use crate::conntype::{
    Label, PathKind, PortOrder, PortUnknown, Range, Reason, Sameness, swap_port,
};

/// More hints than these are not read.
const MOST: usize = 4;

/// One thing to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    Firewall,
    OtherPerson,
    Upnp,
    Forward,
    StatusPage,
    SecondServer,
    Security,
    Repeat,
    NoProxy,
    OtherServer,
    FirstAlone,
    Demo,
    /// The other byte order makes this number the local port.
    AutoOrder {
        number: u16,
        local: u16,
    },
    /// The login went to this computer itself.
    BeyondThisHost,
    /// The local address is no internet address, and the server sees it unchanged.
    BeyondThisNetwork(IpAddr),
    /// The address that the server sees is no internet address either.
    BeyondTheNat(IpAddr),
    /// The local address is one of carrier-grade NAT.
    PublicAddress(IpAddr),
    /// The server sees an address of the other IP version.
    Translator,
    /// The server sees another address than this one on the internet.
    Vpn(IpAddr),
}

impl fmt::Display for Hint {
    /// A sentence without its capital and its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firewall => {
                "allow the messenger through this computer's firewall, incoming connections \
                 included"
            }
            Self::OtherPerson => {
                "if transfers stay slow, have the other person run this too: one side that can be \
                 called is usually enough"
            }
            Self::Upnp => {
                "switch on UPnP in the router and in the messenger: it lets a program open a port \
                 on the router"
            }
            Self::Forward => {
                "or forward ports by hand: have the router pass the messenger's file transfer \
                 ports, often TCP 6891 to 6900, on to this computer"
            }
            Self::StatusPage => {
                "look up the internet address on the router's status page: if the server sees \
                 another one, a VPN is in use or the provider shares one address among its \
                 customers (carrier-grade NAT), and opening ports on the router does not help"
            }
            Self::SecondServer => {
                "ask a second server in the same run, with --second-server HOST: it shows whether \
                 the router uses the same outside port for both servers or a new one for each"
            }
            Self::Security => {
                "switch off for a moment what may take over connections, then run this again: a \
                 VPN, a web filter, a virus scanner, a virtual machine's network"
            }
            Self::Repeat => {
                "log in twice, with --repeat 2: it detects a server that sends every login the \
                 same port instead of the one it sees"
            }
            Self::NoProxy => {
                "log in without the proxy or gateway, if the network allows it: only then does \
                 the label describe this computer's own connection"
            }
            Self::OtherServer => {
                "ask another server that reports the address and port it sees, such as your own: \
                 msnp9-conntype serve, on a machine outside this network"
            }
            Self::FirstAlone => {
                "leave out the second observation for a label of the first alone, or run it again"
            }
            Self::Demo => {
                "check that the program itself works: msnp9-conntype demo needs no network"
            }
            Self::AutoOrder { number, local } => {
                return write!(
                    f,
                    "run this again with --port-order auto: in the other byte order, the server's \
                     {number} is this computer's own port {local}"
                );
            }
            Self::BeyondThisHost => {
                "ask a server on the internet: this login went to this computer itself, and the \
                 label describes only that"
            }
            Self::BeyondThisNetwork(local) => {
                return write!(
                    f,
                    "ask a server on the internet: {local} is an address for private networks, so \
                     the label holds inside this network only"
                );
            }
            Self::BeyondTheNat(seen) => {
                return write!(
                    f,
                    "ask a server on the internet: {seen} is not an internet address either, so \
                     the rest of the path is unknown"
                );
            }
            Self::PublicAddress(local) => {
                return write!(
                    f,
                    "ask the provider for a public address: {local} is from the range for \
                     addresses that many customers share (carrier-grade NAT; some VPNs use it \
                     too), and behind one of those no ports can be opened"
                );
            }
            Self::Translator => {
                "find out what translates addresses: this computer uses one IP version and the \
                 server sees the other, so a translator of the provider (NAT64) or a proxy is in \
                 between"
            }
            Self::Vpn(local) => {
                return write!(
                    f,
                    "look for a VPN or a proxy: {local} is an internet address, but the server \
                     sees another one"
                );
            }
        })
    }
}

/// What to try with this label, whatever the run.
pub(super) const fn of_label(label: Label) -> &'static [Hint] {
    use Hint::{
        Demo, Firewall, Forward, NoProxy, OtherPerson, OtherServer, Repeat, SecondServer, Security,
        StatusPage, Upnp,
    };
    match label {
        Label::DirectConnect => &[Firewall, OtherPerson],
        Label::IpRestrictNat => &[Upnp, Forward, StatusPage, Security],
        Label::PortRestrictNat => &[Repeat, Security, OtherPerson],
        Label::SymmetricNat => &[SecondServer, Repeat, Upnp, Forward, StatusPage],
        Label::UnknownNat => &[NoProxy, Upnp, Forward, StatusPage],
        Label::UnknownConnect => &[OtherServer, NoProxy, Demo],
    }
}

/// What to try where this reason leaves the connection type unknown.
pub(super) const fn remedy(reason: &Reason) -> Hint {
    match reason {
        Reason::AddressOursPortUnknown(PortUnknown::Zero | PortUnknown::OtherConnection) => {
            Hint::NoProxy
        }
        Reason::ObservationsDisagree => Hint::FirstAlone,
        _ => Hint::OtherServer,
    }
}

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
