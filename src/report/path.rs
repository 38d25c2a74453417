//! The path from this computer to the server, in words.

use std::net::{IpAddr, SocketAddr};

use super::text::join;
use super::{Hop, HopAddress, Report, Rewrite, Role};
use crate::address::Address;
use crate::conntype::{PathKind, ProxyRelation, Sameness, swap_port};

/// One stop of the path, and what is known of it.
pub(super) struct Stop {
    pub(super) role: Role,
    pub(super) lines: Vec<String>,
}

impl Stop {
    /// What it is called.
    pub(super) const fn name(&self) -> &'static str {
        match self.role {
            Role::ThisHost => "this computer",
            Role::Proxy => "the proxy",
            Role::Rewriter => "on the way",
            Role::Gateway => "the gateway",
            Role::Server => "the server",
        }
    }
}

/// The stops from this computer to the server; there is always a server.
pub(super) fn stops(report: &Report) -> Vec<Stop> {
    let hops = &report.path.hops;
    let stop = |hop: &Hop| Stop {
        role: hop.role,
        lines: lines(hop, report),
    };
    let mut stops: Vec<_> = hops.iter().map(stop).collect();
    if !hops.iter().any(|hop| hop.role == Role::Server) {
        stops.push(Stop {
            role: Role::Server,
            lines: server(report),
        });
    }
    // Without a rewriter, the stop before the server says what the server sees.
    let before = stops.len().saturating_sub(2);
    if !hops.iter().any(|hop| hop.role == Role::Rewriter)
        && let (Some(stop), Some(seen)) = (stops.get_mut(before), seen_by_server(report))
    {
        stop.lines.push(seen);
    }
    stops
}

/// What is known of a hop.
fn lines(hop: &Hop, report: &Report) -> Vec<String> {
    let address = hop.address.as_ref();
    match hop.role {
        Role::ThisHost => vec![known(address)],
        Role::Gateway => vec![match address {
            Some(address) => format!("HTTP gateway at {address}"),
            None => "HTTP gateway".to_owned(),
        }],
        Role::Proxy => proxy(report),
        Role::Rewriter => {
            let what = hop.rewrites.iter().map(|what| match what {
                Rewrite::Address => "the address",
                Rewrite::Port => "the port",
            });
            let again = if report.path.proxy.is_some() {
                " again"
            } else {
                ""
            };
            let what = format!("something rewrites {}{again}", join(what, "and"));
            let seen = seen(report).map(|seen| format!("the server sees {seen}"));
            [what].into_iter().chain(seen).collect()
        }
        Role::Server => server(report),
    }
}

fn proxy(report: &Report) -> Vec<String> {
    let kind = match report.path.kind {
        PathKind::Socks4 => "SOCKS4",
        PathKind::Socks5 => "SOCKS5",
        PathKind::Tcp | PathKind::HttpConnect | PathKind::HttpGateway => "HTTP",
    };
    let Some(proxy) = &report.path.proxy else {
        return vec![format!("{kind}, {}", known(None))];
    };
    let name = with_address(&proxy.name, proxy.addresses.first().copied());
    let bound = proxy.bound.map(|bound| format!("leaves from {bound}"));
    [format!("{kind}, {name}")]
        .into_iter()
        .chain(bound)
        .collect()
}

fn server(report: &Report) -> Vec<String> {
    let Some(server) = &report.server else {
        return vec!["not named".to_owned()];
    };
    let name = server.referrals.last().unwrap_or(&server.requested);
    let address = server.address.map(|at| at.ip().to_canonical());
    let dialect = report.dialect.map(|dialect| format!(", {dialect}"));
    let mut lines = vec![with_address(name, address) + &dialect.unwrap_or_default()];
    if let [between @ .., _] = server.referrals.as_slice() {
        let via = [&server.requested].into_iter().chain(between);
        lines.push(format!("reached through {}", join(via, "and")));
    }
    lines
}

/// What the server sees, on a path without a rewriter.
fn seen_by_server(report: &Report) -> Option<String> {
    let compared = report.comparison.as_ref()?;
    let relation = report.path.proxy.as_ref().map(|proxy| proxy.relation);
    let seen = seen(report).filter(|_| compared.ip != Sameness::Unknown);
    Some(match (seen, relation) {
        (None, _) => "what the server sees is not known".to_owned(),
        (Some(seen), Some(ProxyRelation::LastHop)) => {
            format!("the server sees {seen}, the proxy's own address")
        }
        (Some(seen), Some(_)) => format!("the server sees {seen}, perhaps the proxy's own address"),
        (Some(_), None) if compared.port == Sameness::Same => {
            "nothing on the way changes it".to_owned()
        }
        (Some(seen), None) => format!("the server sees {seen}"),
    })
}

/// Address and port as the server sees them, the port as far as it is known.
fn seen(report: &Report) -> Option<String> {
    let observed = report.observed.as_ref()?;
    let ip = observed.client_ip.ip?;
    let port = &observed.client_port;
    let is_compared = report.comparison.as_ref()?.port != Sameness::Unknown;
    Some(match (port.port, port.number) {
        (Some(port), _) => SocketAddr::new(ip, port).to_string(),
        (None, Ok(number)) if is_compared => {
            format!("{ip}, port {number} or {}", swap_port(number))
        }
        _ => ip.to_string(),
    })
}

fn known(address: Option<&HopAddress>) -> String {
    address.map_or_else(|| "address not known".to_owned(), ToString::to_string)
}

/// `name (address)`, or the name alone where it is an address itself.
fn with_address(name: &Address, address: Option<IpAddr>) -> String {
    match address.filter(|_| name.ip().is_none()) {
        Some(address) => format!("{name} ({address})"),
        None => name.to_string(),
    }
}
