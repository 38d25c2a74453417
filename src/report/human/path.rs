//! The path, drawn from top to bottom.

use super::page::{ODD, PLAIN, Page, QUIET};
use crate::conntype::swap_port;
use crate::report::text::join;
use crate::report::{Hop, ProxyReport, Report, Server};

/// Where the text beside the drawing begins.
const INDENT: usize = 20;

/// One stop on the way.
struct Stop {
    name: &'static str,
    rewrites: bool,
    lines: Vec<String>,
}

/// Draws the stops with a line from each to the next.
pub(super) fn draw(page: &mut Page, report: &Report) {
    let mut stops: Vec<_> = report
        .path
        .hops
        .iter()
        .map(|hop| stop(hop, report))
        .collect();
    if !report.path.hops.iter().any(|hop| hop.role == "server") {
        stops.push(Stop {
            name: "the server",
            rewrites: false,
            lines: server(report, None),
        });
    }
    // Where nothing on the way says what the server sees, the stop before the server does.
    let last = stops.len().saturating_sub(2);
    if !stops.iter().any(|stop| stop.rewrites)
        && let (Some(before), Some(seen)) = (stops.get_mut(last), seen_by_server(report))
    {
        before.lines.push(seen);
    }
    for (at, stop) in stops.iter().enumerate() {
        let (mark, look) = match stop.rewrites {
            true => ("◆", ODD),
            false => ("●", PLAIN),
        };
        let is_last = at + 1 == stops.len();
        let left = if is_last { "" } else { "  │" };
        page.rail(
            (&format!("  {mark} {}", stop.name), look),
            left,
            INDENT,
            &stop.lines,
        );
        if !is_last {
            page.heading("  │", QUIET);
        }
    }
}

fn stop(hop: &Hop, report: &Report) -> Stop {
    let address = hop.address.clone();
    let (name, lines) = match hop.role {
        "this-host" => (
            "this computer",
            vec![address.unwrap_or_else(|| "its address is not known".to_owned())],
        ),
        "proxy" => ("the proxy", proxy(report, report.path.proxy.as_ref())),
        "gateway" => (
            "the gateway",
            vec![match address {
                Some(address) => format!("HTTP gateway at {address}"),
                None => "HTTP gateway".to_owned(),
            }],
        ),
        "rewriter" => ("on the way", rewriter(hop, report)),
        _ => ("the server", server(report, address)),
    };
    Stop {
        name,
        rewrites: hop.role == "rewriter",
        lines,
    }
}

fn proxy(report: &Report, proxy: Option<&ProxyReport>) -> Vec<String> {
    let kind = match report.path.kind {
        "socks4" => "SOCKS4",
        "socks5" => "SOCKS5",
        _ => "HTTP",
    };
    let Some(proxy) = proxy else {
        return vec![format!("{kind}, its address is not known")];
    };
    let mut lines = vec![with_address(
        format!("{kind}, {}", proxy.name),
        proxy.addresses.first().map(ToString::to_string),
    )];
    lines.extend(
        proxy
            .bound
            .map(|bound| format!("leaves from {}", std::net::SocketAddr::from(bound))),
    );
    lines
}

fn rewriter(hop: &Hop, report: &Report) -> Vec<String> {
    let again = match report.path.proxy {
        Some(_) => " again",
        None => "",
    };
    let what: Vec<_> = hop
        .rewrites
        .iter()
        .map(|what| format!("the {what}"))
        .collect();
    let what: Vec<_> = what.iter().map(String::as_str).collect();
    let mut lines = vec![format!("something rewrites {}{again}", join(&what, "and"))];
    lines.extend(seen(report).map(|seen| format!("the server sees {seen}")));
    lines
}

fn server(report: &Report, address: Option<String>) -> Vec<String> {
    let name = address.unwrap_or_else(|| "not named".to_owned());
    let Some(Server {
        requested,
        address,
        referrals,
    }) = &report.server
    else {
        return vec![name];
    };
    let address = address.map(|address| address.ip().to_canonical().to_string());
    let speaks = report.dialect.iter().map(|dialect| format!(", {dialect}"));
    let mut lines = vec![with_address(name, address) + &speaks.collect::<String>()];
    if let [between @ .., _] = referrals.as_slice() {
        let via: Vec<_> = [requested]
            .into_iter()
            .chain(between)
            .map(String::as_str)
            .collect();
        lines.push(format!("reached through {}", join(&via, "and")));
    }
    lines
}

/// What the server sees, on a path where no rewriter says it.
fn seen_by_server(report: &Report) -> Option<String> {
    let compared = report.comparison.as_ref()?;
    let relation = report.path.proxy.as_ref().map(|proxy| proxy.relation);
    let seen = seen(report).filter(|_| compared.ip != "unknown");
    Some(match (seen, relation) {
        (None, _) => "what the server sees of this is not known".to_owned(),
        (Some(seen), Some("last-hop")) => {
            format!("the server sees {seen}, the proxy's own address")
        }
        (Some(seen), Some(_)) => {
            format!("the server sees {seen}, perhaps the proxy's own address")
        }
        (Some(_), None) if compared.port == "same" => "nothing on the way changes it".to_owned(),
        (Some(seen), None) => format!("the server sees {seen}"),
    })
}

/// Address and port as the server sees them, the port as far as it is known.
fn seen(report: &Report) -> Option<String> {
    let observed = report.observed.as_ref()?;
    let ip = observed.client_ip.ip?;
    let port = &observed.client_port;
    let compared = report.comparison.as_ref()?.port != "unknown";
    Some(match (port.port, port.number) {
        (Some(port), _) => std::net::SocketAddr::new(ip, port).to_string(),
        (None, Some(number)) if compared => {
            format!("{ip}, port {number} or {}", swap_port(number))
        }
        (None, _) => ip.to_string(),
    })
}

/// `name (address)`, where the name does not hold the address already.
fn with_address(name: String, address: Option<String>) -> String {
    match address {
        Some(address) if !name.contains(&address) => format!("{name} ({address})"),
        _ => name,
    }
}
