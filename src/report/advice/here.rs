//! The advice for one run, from the addresses and the reason it has.

use std::net::IpAddr;

use super::{
    FIREWALL, FORWARD, NO_PROXY, OTHER_PERSON, OTHER_SERVER, REPEAT, SECOND_SERVER, SECURITY,
    STATUS_PAGE, UPNP, file_transfer, meaning, try_next, voice,
};
use crate::conntype::{Label, Range, swap_port};
use crate::report::text::sentence;
use crate::report::{Compared, Report};

/// How many things to try are named at once; more are not read.
const MOST: usize = 4;

/// [`meaning`], nearer to what this run saw.
#[must_use]
pub fn meaning_here(report: &Report) -> &'static str {
    match (report.label, report.reason.code) {
        _ if shows_servers_proxy(report) => {
            "The address that the server sees did not come from this computer over the internet: \
             either the server is on this network and the router sent the connection back (a \
             hairpin), or a proxy stands in front of the server. The label describes that one. \
             What happens to this computer's address on the way to others is not known."
        }
        (Label::DirectConnect, _) if reach(report) == Some(Range::Loopback) => {
            "This look went to this very computer, so nothing was on the way. What stands \
             between here and the internet did not show."
        }
        (Label::DirectConnect, _) if is_close_by(report) => {
            "Nothing between this computer and the server changes the address or the port. But \
             the address is one that the internet cannot call, so this server is close by, and \
             what stands between here and the internet did not show."
        }
        (Label::SymmetricNat, "port-kept-toward-one-server") => {
            "Something on the way, most often a router, replaces the address, and replaces the \
             port too toward some destinations. Nobody but the server knows the port that was \
             opened toward it, so nobody else can call it."
        }
        (_, "observations-disagree") => {
            "Connections from this computer are not all treated alike: the observations above \
             contradict each other, and the label says only what they have in common."
        }
        (Label::SymmetricNat, "mapping-depends-on-destination") => {
            "Something on the way, most often a router, replaces both the address and the port, \
             and takes a new outside port for every destination. Nobody but the server knows \
             the port that was opened toward it, so nobody else can call it."
        }
        (Label::UnknownNat, "mapping-independent-of-destination") => {
            "Something on the way, most often a router, replaces both the address and the port, \
             but uses one outside port toward everybody. That is a friendly kind: the port one \
             server sees is the port others can call, if the router lets them in."
        }
        (Label::UnknownNat, _) if report.path.kind == "http-gateway" => {
            "The HTTP gateway carries the messages as web requests, and something on the way \
             replaces the address. The server sees no port of this computer, so how a router \
             treats ports stays unknown."
        }
        (Label::UnknownNat, _) if report.path.kind != "tcp" => {
            "The proxy speaks in this computer's place, so the server sees an address and a \
             port that belong to the proxy or to something behind it. How this computer's own \
             router treats ports stays unknown."
        }
        (Label::UnknownNat, _) => {
            "Something on the way, most often a router, replaces the address. The server gave \
             no usable port, so how the router treats ports stays unknown."
        }
        (label, _) => meaning(label),
    }
}

/// [`file_transfer`], nearer to what this run saw.
#[must_use]
pub fn file_transfer_here(report: &Report) -> &'static str {
    match report.label {
        _ if shows_servers_proxy(report) => "Not known: this look did not show it.",
        Label::DirectConnect if reach(report) == Some(Range::Loopback) => {
            "Not known: nothing left this computer."
        }
        Label::DirectConnect if is_close_by(report) => {
            "Files should go directly to others in this network. Beyond it: not known."
        }
        label => file_transfer(label),
    }
}

/// [`voice`], nearer to what this run saw.
#[must_use]
pub fn voice_here(report: &Report) -> &'static str {
    match report.label {
        _ if shows_servers_proxy(report) => "Not known either.",
        Label::DirectConnect if reach(report) == Some(Range::Loopback) => "Not known either.",
        Label::DirectConnect if is_close_by(report) => {
            "Should work with others in this network. Beyond it: not known."
        }
        Label::UnknownNat if report.path.kind == "tcp" => {
            "Works if the router passes it on or the other side can be called. Voice is UDP, \
             which the router may treat otherwise than the TCP connection seen here."
        }
        label => voice(label),
    }
}

/// How far a connection of our own can reach by its local address.
fn reach(report: &Report) -> Option<Range> {
    let local = report.local.filter(|_| report.path.kind == "tcp")?;
    Some(Range::of(local.ip))
}

/// Whether the local address is none that the internet could call.
fn is_close_by(report: &Report) -> bool {
    reach(report).is_some_and(|range| range != Range::Global)
}

/// Whether the server saw a hairpin's address, or that of a proxy on its own side.
fn shows_servers_proxy(report: &Report) -> bool {
    report
        .warnings
        .iter()
        .any(|w| matches!(w.code, "client-ip-not-global" | "client-ip-is-server"))
}

/// What to try after this run: what its addresses and its reason suggest, then what goes for the
/// label in general. Four things at most.
#[must_use]
pub fn to_try(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = report
        .error
        .iter()
        .map(|error| sentence(error.remedy))
        .collect();
    lines.extend(special(report));
    if report.observed.is_some() {
        let general = try_next(report.label);
        lines.extend(
            general
                .iter()
                .filter(|line| fits(line, report))
                .map(|line| (*line).to_owned()),
        );
    }
    lines.truncate(MOST);
    lines
}

/// Whether a general line has something to offer after this run.
fn fits(line: &str, report: &Report) -> bool {
    if shows_servers_proxy(report) {
        return line == NO_PROXY && report.path.kind != "tcp";
    }
    let ours = report.local.map(|local| Range::of(local.ip));
    match line {
        NO_PROXY => report.path.kind != "tcp" && !remedy_says(report, "without"),
        OTHER_SERVER => !remedy_says(report, "serve") && !remedy_says(report, "without"),
        // That stands beside the label already.
        SECOND_SERVER => false,
        // Only a router of one's own opens ports, and it gives private addresses.
        UPNP | FORWARD => ours == Some(Range::Private),
        STATUS_PAGE => report.path.kind == "tcp" && ours == Some(Range::Private),
        // Without a server nobody can log in again.
        REPEAT => report.looks.is_empty() && report.server.is_some(),
        SECURITY if report.label == Label::PortRestrictNat => true,
        SECURITY => matches!(ours, Some(Range::Global | Range::Shared)),
        FIREWALL | OTHER_PERSON => ours != Some(Range::Loopback),
        _ => true,
    }
}

fn remedy_says(report: &Report, word: &str) -> bool {
    report
        .error
        .as_ref()
        .is_some_and(|error| error.remedy.contains(word))
}

/// What the addresses and ports of this run suggest.
fn special(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let (Some(local), Some(observed), Some(compared)) =
        (report.local, &report.observed, &report.comparison)
    else {
        return lines;
    };
    if let Some(number) = observed.client_port.number
        && other_order_fits(compared, number, local.port)
    {
        lines.push(format!(
            "Run this again with --port-order auto: in the other byte order, the server's \
             {number} is this computer's own port {}.",
            local.port
        ));
    }
    if shows_servers_proxy(report) {
        lines.push(OTHER_SERVER.to_owned());
    } else if report.path.kind == "tcp" && report.determined {
        let different = compared.ip == "different";
        lines.extend(about_addresses(local.ip, observed.client_ip.ip, different));
    }
    lines
}

/// What the addresses at both ends of a connection of our own suggest.
fn about_addresses(local: IpAddr, seen: Option<IpAddr>, different: bool) -> Option<String> {
    let seen = seen?;
    match (Range::of(local), Range::of(seen)) {
        (Range::Loopback, _) => Some(
            "Ask a server on the internet: this look went to this very computer, and the label \
             goes no further."
                .to_owned(),
        ),
        (Range::Private | Range::Shared, _) if !different => Some(format!(
            "Ask a server on the internet: {local} is an address for private networks, so the \
             label holds inside this network only."
        )),
        (Range::Shared, _) => Some(format!(
            "Ask the provider for a public address: {local} is of a kind that is used where many \
             customers share one address (carrier-grade NAT; some VPNs use it too), and then \
             ports cannot be opened from here."
        )),
        (Range::Private, Range::Private | Range::Shared | Range::Loopback) => Some(format!(
            "Ask a server on the internet: {seen} is no internet address either, so what stands \
             further on did not show."
        )),
        (Range::Global, _) if local.is_ipv6() != seen.is_ipv6() => Some(
            "Find out who translates: this computer speaks one kind of internet address (IPv6 \
             or IPv4) and the server sees the other, so a translator of the provider's (NAT64) \
             or a proxy stands between."
                .to_owned(),
        ),
        (Range::Global, _) if different => Some(format!(
            "Look for a VPN or a proxy: {local} is an internet address of its own, and yet the \
             server sees another one."
        )),
        _ => None,
    }
}

/// Whether the byte order that was not asked for would have made the ports equal.
fn other_order_fits(compared: &Compared, number: u16, local: u16) -> bool {
    compared.port == "different"
        && match compared.order_asked {
            "plain" => swap_port(number) == local,
            "swapped" => number == local,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_was_not_asked_for_is_noticed() {
        let asked = |order_asked| Compared {
            ip: "same",
            port: "different",
            order_matched: None,
            order_asked,
        };
        assert!(other_order_fits(&asked("plain"), 2308, 1033));
        assert!(other_order_fits(&asked("swapped"), 1033, 1033));
        assert!(!other_order_fits(&asked("plain"), 2309, 1033));
        assert!(!other_order_fits(&asked("auto"), 2308, 1033));
    }
}
