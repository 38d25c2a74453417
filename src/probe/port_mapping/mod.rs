//! What the router of this host says of its outside address, and whether it opens ports on request.
//!
//! Questions change nothing at the router. What is opened on request is written down before it is
//! asked for, so that it can be closed whatever happens.

mod ledger;
mod router;
mod upnp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::exchange::{Ignored, Numbers, failed, open};
use crate::address::Address;
use crate::conntype::{MappingProtocol, NoExternal, OpenedPorts, PortMappingEvidence};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::packet::{Protocol, nat_pmp, pcp};
use crate::run_log::{Purpose, RunLog};
use crate::transport::{Listener, Route, describe, gateway};

pub use ledger::Ledger;
use router::{Router, Way};

/// How long all questions together may take.
const QUESTIONS: Duration = Duration::from_secs(4);

/// How long the router may take to open ports.
const OPENING: Duration = Duration::from_secs(4);

/// How long the end of all mappings may take; that much of the time is kept for it.
pub const CLOSING: Duration = Duration::from_secs(1);

/// Questions to the router, and what may be opened there.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The local address; proxies are not used.
    pub route: Route,
    /// Whether ports are opened, and closed again.
    pub opens: bool,
    /// What is open at the router.
    pub ledger: Ledger,
}

/// Asks the router what it says of its outside address. Where the plan opens ports, `meanwhile` runs
/// while they are open; they are closed before this returns. The ports are those of `listener`, or
/// others that are open for that long.
///
/// # Errors
/// [`Failure`] where there is no router, or it cannot be sent to.
pub(crate) async fn observe(
    plan: &Plan,
    listener: Option<&Listener>,
    log: &RunLog,
    until: Instant,
    meanwhile: impl AsyncFnOnce(OpenedPorts),
) -> Result<PortMappingEvidence, Failure> {
    let ignored = Ignored::default();
    plan.ledger.begin();
    let gateway = gateway().ok_or_else(|| {
        let why = "this host has no default route for IPv4";
        Failure::new(Stage::PortMapping, ErrorCode::NoRouter, why)
    })?;
    let what = format!("answers of the router {gateway}");
    let step = log.begin(Purpose::PortMapping, Stage::PortMapping, what);
    let router = Router {
        gateway,
        local: local(plan, gateway).await?,
        ignored: &ignored,
    };
    let own = match (plan.opens, listener) {
        (true, None) => Some(Listener::open(router.local.into(), 0).await),
        _ => None,
    };
    let refused = |error: io::Error| {
        let why = format!("open ports at {}: {}", router.local, describe(&error));
        Failure::new(Stage::PortMapping, ErrorCode::BindFailed, why)
    };
    let own = own.transpose().map_err(refused)?;
    let listener = listener.or(own.as_ref()).filter(|_| plan.opens);
    let ports = listener.map(Listener::ports).transpose().map_err(refused)?;
    let reserve = ports.map_or(Duration::ZERO, |_| CLOSING);
    let until = until.checked_sub(reserve).unwrap_or(until);
    let (mut seen, ways) = ask(&router, until.min(Instant::now() + QUESTIONS)).await;
    drop(step);
    if let Some(ports) = ports {
        let what = format!("a mapping at the router {gateway}");
        let _step = log.begin(Purpose::PortMapping, Stage::PortMapping, what);
        let opening = async {
            seen.opens = (!ways.is_empty()).then_some(false);
            let opened = timeout(OPENING, router.open(ways, ports, &plan.ledger)).await;
            if let Ok(Some((opened, address))) = opened {
                seen.opens = Some(true);
                seen.pcp = address.map_or(seen.pcp, Ok);
                meanwhile(opened).await;
            }
        };
        let _ = timeout_at(until, opening).await;
        plan.ledger.close().await;
    }
    seen.ignored = ignored.get();
    Ok(seen)
}

/// Asks in every way at the same time. With the ways in which ports can be opened, the best first.
async fn ask(router: &Router<'_>, until: Instant) -> (PortMappingEvidence, Vec<Way>) {
    let nonce = Numbers::new().at(0);
    let (pcp, nat_pmp, upnp) = tokio::join!(
        timeout_at(until, router.pcp(nonce)),
        timeout_at(until, router.nat_pmp()),
        timeout_at(until, upnp::ask(router)),
    );
    let late = Err(NoExternal::NoAnswer);
    let (pcp, nat_pmp) = (pcp.unwrap_or(late), nat_pmp.unwrap_or(late));
    let (upnp, service) = upnp.unwrap_or((late, None));
    let mut ways = Vec::new();
    if pcp == Err(NoExternal::OnlyWhenOpening) {
        ways.push(Way::Pcp(nonce));
    }
    if matches!(nat_pmp, Ok(_) | Err(NoExternal::NoAddress)) {
        ways.push(Way::NatPmp);
    }
    ways.extend(service.map(Way::Upnp));
    let seen = PortMappingEvidence {
        gateway: router.gateway,
        local: router.local,
        upnp,
        nat_pmp,
        pcp,
        seen: Vec::new(),
        opens: None,
        ignored: 0,
    };
    (seen, ways)
}

/// This host's address toward the router.
async fn local(plan: &Plan, gateway: Ipv4Addr) -> Result<Ipv4Addr, Failure> {
    let to = gateway_end(gateway);
    let ip = plan
        .route
        .bind
        .ip
        .unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into());
    let refused = |error| failed(&error, &Address::from(to), Stage::PortMapping);
    let mut socket = open(ip, Stage::PortMapping).await?;
    socket.connect(to).await.map_err(refused)?;
    match socket.local().map_err(refused)?.ip() {
        IpAddr::V4(ip) => Ok(ip),
        IpAddr::V6(_) => Err(refused(io::ErrorKind::AddrNotAvailable.into())),
    }
}

/// Where the router is asked by UDP.
fn gateway_end(gateway: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((gateway, nat_pmp::PORT))
}
