//! UPnP: finding the router's description on the link, and asking its services.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::NoExternal;
use super::ledger::Entry;
use super::router::{Router, Unopened, WAITS, refusal, usable};
use crate::failure::ErrorCode;
use crate::packet::igd::{self, Action};
use crate::packet::ssdp;
use crate::probe::exchange::Exchange;
use crate::run_log::{Purpose, RunLog};
use crate::transport::{
    Bind, Connection, Dialer, Established, Request, Response, Route, UdpSocket, Url, connect,
};

/// What its connections are logged as. Their failures become reasons, and are shown nowhere.
const HTTP: Purpose = Purpose::Gateway;

/// A port is mapped to another host (WANIPConnection:1, section 2.4.16).
const CONFLICT: u16 = 718;

/// No such port is mapped (the same): it was closed before.
const NO_SUCH_ENTRY: u16 = 714;

/// A service of the router that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    kind: &'static str,
    control: Url,
}

/// The outside address, with the service that told it, or that could not.
pub(super) async fn ask(router: &Router<'_>) -> (Result<Ipv4Addr, NoExternal>, Option<Service>) {
    let services = match services(router).await {
        Ok(services) => services,
        Err(why) => return (Err(why), None),
    };
    let (mut why, mut answered) = (NoExternal::Malformed, None);
    for service in services {
        match outside(router, &service).await {
            Ok(ip) => return (Ok(ip), Some(service)),
            Err(NoExternal::NoAddress) => {
                why = NoExternal::NoAddress;
                answered.get_or_insert(service);
            }
            Err(other) if answered.is_none() => why = other,
            Err(_) => {}
        }
    }
    (Err(why), answered)
}

/// Opens the port of an entry.
pub(super) async fn map(
    router: &Router<'_>,
    service: &Service,
    entry: &Entry,
    lifetime: u32,
) -> Result<(), Unopened> {
    // Some routers replace what is there, this host's own mappings in any case.
    let (protocol, external) = (entry.protocol, entry.external);
    let owner = service.ask(router, Action::Owner { protocol, external });
    if let igd::Response::Address(_) = owner.await? {
        return Err(Unopened::Conflict);
    }
    let action = Action::Map {
        protocol: entry.protocol,
        external: entry.external,
        client: router.local,
        internal: entry.internal,
        lifetime,
    };
    match service.ask(router, action).await? {
        igd::Response::Done => Ok(()),
        igd::Response::Error(CONFLICT) => Err(Unopened::Conflict),
        igd::Response::Error(_) => Err(Unopened::Refused),
        igd::Response::Address(_) => Err(Unopened::Unanswered),
    }
}

/// Closes the port of an entry; whether it is closed. One that the router has not confirmed may be
/// another host's, and is left alone then.
pub(super) async fn unmap(router: &Router<'_>, service: &Service, entry: &Entry) -> bool {
    let (protocol, external) = (entry.protocol, entry.external);
    if !entry.is_confirmed {
        match service
            .ask(router, Action::Owner { protocol, external })
            .await
        {
            Ok(igd::Response::Address(owner)) if owner == router.local.to_string() => {}
            Ok(igd::Response::Address(_) | igd::Response::Error(NO_SUCH_ENTRY)) => return true,
            // It does not say: what is there may be another host's.
            _ => return false,
        }
    }
    let closed = service
        .ask(router, Action::Unmap { protocol, external })
        .await;
    matches!(
        closed,
        Ok(igd::Response::Done | igd::Response::Error(NO_SUCH_ENTRY))
    )
}

/// The router's services, as it describes them.
async fn services(router: &Router<'_>) -> Result<Vec<Service>, NoExternal> {
    let location = find(router).await?;
    let at = on_router(router, location.parse())?;
    let ask = Request {
        reads_body: true,
        ..Request::default()
    };
    let page = fetch(router, &at, ask).await?;
    let described = match page.status {
        200 => igd::describe(&page.body),
        _ => None,
    };
    let described = described.ok_or(NoExternal::Malformed)?;
    let base = match described.base {
        Some(base) => on_router(router, base.parse())?,
        None => at,
    };
    let services = described.services.into_iter().map(|service| {
        Ok(Service {
            kind: service.kind,
            control: on_router(router, base.join(&service.control))?,
        })
    });
    services.collect()
}

/// A URL, if it leads to the router itself.
fn on_router<E>(router: &Router<'_>, url: Result<Url, E>) -> Result<Url, NoExternal> {
    let url = url.map_err(|_| NoExternal::Malformed)?;
    match !url.https && url.address.ip() == Some(router.gateway.into()) {
        true => Ok(url),
        false => Err(NoExternal::Elsewhere),
    }
}

/// Where the router describes itself. Answers of others are ignored.
async fn find(router: &Router<'_>) -> Result<String, NoExternal> {
    let socket = UdpSocket::open(router.local.into())
        .await
        .map_err(refusal)?;
    // Without it the group cannot be reached on some systems; the router itself can.
    let _ = socket.multicast_from(router.local);
    let search = |to: SocketAddrV4| (to.into(), ssdp::search(to));
    let alone = SocketAddrV4::new(router.gateway, ssdp::GROUP.port());
    let exchange = Exchange {
        requests: &[vec![search(alone), search(ssdp::GROUP)]],
        read: |bytes: &[u8], from: SocketAddr| {
            let is_router = from.ip() == router.gateway;
            Some((0, is_router.then(|| ssdp::location(bytes))??))
        },
        ignored: router.ignored,
    };
    let mut answers = exchange.run(&socket, &WAITS).await.map_err(refusal)?;
    let found = answers.pop().flatten().ok_or(NoExternal::NoAnswer)?;
    Ok(found.0)
}

async fn outside(router: &Router<'_>, service: &Service) -> Result<Ipv4Addr, NoExternal> {
    match service.ask(router, Action::Address).await? {
        igd::Response::Address(ip) if ip.is_empty() => Err(NoExternal::NoAddress),
        igd::Response::Address(ip) => usable(ip.parse().map_err(|_| NoExternal::Malformed)?),
        igd::Response::Error(_) => Err(NoExternal::Refused),
        igd::Response::Done => Err(NoExternal::Malformed),
    }
}

impl Service {
    /// One request over a connection of its own.
    async fn ask(&self, router: &Router<'_>, action: Action) -> Result<igd::Response, NoExternal> {
        let header = |name: HeaderName, value: &str| {
            let value = HeaderValue::from_str(value).map_err(|_| NoExternal::Malformed);
            Ok((name, value?))
        };
        let ask = Request {
            headers: vec![
                header(CONTENT_TYPE, "text/xml; charset=\"utf-8\"")?,
                header(
                    HeaderName::from_static("soapaction"),
                    &action.header(self.kind),
                )?,
            ],
            body: Some(action.body(self.kind).into()),
            reads_body: true,
            ..Request::default()
        };
        let answer = fetch(router, &self.control, ask).await?;
        action.parse(&answer.body).ok_or(NoExternal::Malformed)
    }
}

/// Requests a page of the router.
async fn fetch(router: &Router<'_>, url: &Url, ask: Request) -> Result<Response, NoExternal> {
    let route = Route {
        bind: Bind {
            ip: Some(router.local.into()),
            ..Bind::default()
        },
        ..Route::default()
    };
    // Its steps are parts of one that is logged already.
    let log = RunLog::new(None);
    let dialer = Dialer {
        route: &route,
        log: &log,
    };
    let connected = connect(&dialer, &url.address, HTTP).await;
    let Established { stream, ends } = connected.map_err(|failure| match failure.code {
        ErrorCode::ConnectionRefused => NoExternal::Closed,
        ErrorCode::NotPermitted => NoExternal::NotSent,
        _ => NoExternal::NoAnswer,
    })?;
    let unreadable = |_| NoExternal::Malformed;
    let connection = Connection::over(stream, ends, url, HTTP).await;
    let answer = connection.map_err(unreadable)?.ask(url, ask).await;
    let answer = answer.map_err(|_| NoExternal::Malformed)?;
    match answer.status {
        300..400 => Err(NoExternal::Redirected),
        _ => Ok(answer),
    }
}
