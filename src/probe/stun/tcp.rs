//! A STUN server asked over TCP: the outside end of a connection, and whether another server sees the
//! same end of the same local port.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::{Outcome, note_alike, nothing_yet};
use crate::address::Address;
use crate::conntype::{StunEvidence, StunTransport, normalise};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::packet::stun::{self, Response};
use crate::probe::exchange::Numbers;
use crate::run_log::{Purpose, RunLog};
use crate::transport::{Bind, Dialer, Established, Proxies, Route, connect, describe, resolve_udp};

/// How long a server may take for its answer.
const ANSWER: Duration = Duration::from_secs(4);

/// The length of a header, which says how long the rest is.
const HEADER: usize = 20;

/// The longest rest that is read, in bytes.
const LONGEST: usize = 1004;

/// Asks one server.
pub(super) async fn attempt(named: &Address, route: &Route, log: &RunLog) -> Outcome {
    let server = resolve_udp(route, named, Purpose::Stun, log).await?;
    let what = format!("answers of STUN over TCP at {named}");
    let _step = log.begin(Purpose::Stun, Stage::Stun, what);
    let (local, outside, round_trip) = ask(server, named, route, 0).await?;
    let mut seen = nothing_yet(StunTransport::Tcp, server, local);
    seen.outside = Some(outside);
    seen.round_trip = Some(round_trip);
    Ok(seen)
}

/// Asks the other servers from the local port of the first one, and notes for each whether others saw
/// the same end.
pub(super) async fn compare(mut servers: Vec<&mut StunEvidence>, route: &Route) {
    let Some((first, local)) = servers.first().map(|seen| (seen.server, seen.local)) else {
        return;
    };
    servers.retain(|seen| seen.server.is_ipv4() == first.is_ipv4());
    let ends = servers.iter().map(|seen| async {
        if seen.server == first {
            return seen.outside;
        }
        let named = Address::from(seen.server);
        let answer = ask(seen.server, &named, route, local.port()).await;
        answer.ok().map(|(_, outside, _)| outside)
    });
    let ends = join_all(ends).await;
    let ips = servers.iter().map(|seen| seen.server.ip());
    let ends: Vec<_> = ips.zip(ends).collect();
    note_alike(servers, &ends);
}

/// The local end, the outside end, and the time from the request to the answer.
async fn ask(
    server: SocketAddr,
    named: &Address,
    route: &Route,
    port: u16,
) -> Result<(SocketAddr, SocketAddr, Duration), Failure> {
    let route = Route {
        bind: Bind {
            port,
            share: true,
            ..route.bind
        },
        proxies: Proxies::default(),
        ..route.clone()
    };
    let dialer = Dialer {
        route: &route,
        log: &RunLog::new(None),
    };
    let at = Address::from(server);
    let failed = |code, why: &str| {
        let why = format!("TCP to {named}: {why}");
        Failure::new(Stage::Stun, code, why)
    };
    let connected = timeout(ANSWER, connect(&dialer, &at, Purpose::Stun)).await;
    let connected = connected.map_err(|_| failed(ErrorCode::Timeout, "no answer"))?;
    let Established { mut stream, ends } = connected?;
    let began = Instant::now();
    let number = Numbers::new().at(0);
    let exchange = async {
        stream.write_all(&stun::request(number, None)).await?;
        let mut answer = vec![0; HEADER];
        stream.read_exact(&mut answer).await?;
        let rest = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
        answer.resize(HEADER + rest.min(LONGEST), 0);
        stream.read_exact(&mut answer[HEADER..]).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = match timeout(ANSWER, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(failed(ErrorCode::ConnectionReset, &describe(&error))),
        Err(_) => return Err(failed(ErrorCode::Timeout, "no answer")),
    };
    match stun::parse(&answer, number) {
        Some(Response::Seen { outside, .. }) => {
            let outside = SocketAddr::new(normalise(outside.ip()), outside.port());
            Ok((ends.local, outside, began.elapsed()))
        }
        Some(Response::Error(code)) => {
            let why = format!("the answer is error {code}");
            Err(failed(ErrorCode::ConnectionFailed, &why))
        }
        None => Err(failed(
            ErrorCode::ConnectionFailed,
            "the answer is not one of STUN",
        )),
    }
}
