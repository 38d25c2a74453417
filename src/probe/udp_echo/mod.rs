//! UDP echo: MSN's own network detection, with a server that has two addresses.
//!
//! Tests 1 and 3 need the same socket, toward both addresses. Test 2 needs one that has sent nothing
//! to the port it is answered from, so it has a socket of its own and runs beside them.

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::time::Instant;

use crate::address::Address;
use crate::conntype::{UdpEvidence, UdpTest};
use crate::failure::{Failure, Stage};
use crate::msnp::udp_echo::{FROM_OTHER, Other, Packet};
use crate::run_log::{Purpose, RunLog};
use crate::transport::{Route, resolve_v4};

use super::exchange::{
    Answer, Exchange, FIRST, Ignored, Numbers, Wire, failed, is_usable, local, open, pace,
    with_second, within,
};

/// One run of the three tests.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub server: Address,
    /// The local address and the family; proxies are not used.
    pub route: Route,
}

/// Runs the tests.
///
/// # Errors
/// [`Failure`] where they cannot begin, an ICMP error refuses the first, or the time is up.
pub async fn observe(plan: &Plan, log: &RunLog, until: Instant) -> Result<UdpEvidence, Failure> {
    let tests = attempt(plan, log);
    within(until, tests, &plan.server, Stage::UdpEcho, log).await
}

async fn attempt(plan: &Plan, log: &RunLog) -> Result<UdpEvidence, Failure> {
    let server = resolve_v4(&plan.route, &plan.server, log).await?;
    let what = format!("answers of UDP echo at {}", plan.server);
    let _step = log.begin(Purpose::UdpEcho, Stage::UdpEcho, what);
    let open = |ip| open(ip, Stage::UdpEcho);
    let refused = |error: io::Error| failed(&error, &plan.server, Stage::UdpEcho);
    let mut mapping = open(local(&plan.route, server.into())).await?;
    mapping.connect(server.into()).await.map_err(refused)?;
    let SocketAddr::V4(local) = mapping.local().map_err(refused)? else {
        return Err(refused(io::ErrorKind::AddrNotAvailable.into()));
    };
    let filtering = open((*local.ip()).into()).await?;
    run(&mut mapping, &filtering, server, local)
        .await
        .map_err(refused)
}

/// The three tests over two sockets: `mapping` for tests 1 and 3, `filtering` for test 2.
async fn run<W: Wire>(
    mapping: &mut W,
    filtering: &W,
    server: SocketAddrV4,
    local: SocketAddrV4,
) -> io::Result<UdpEvidence> {
    let ignored = Ignored::default();
    let numbers = Numbers::new();
    let number = |test: usize| numbers.at(test);
    let (mapped, filtered) = with_second(
        map(mapping, server, local, [1, 3].map(number), &ignored),
        filter(filtering, server, [4, 2].map(number), &ignored),
        // Else nothing is left to find out.
        |mapped| {
            mapped
                .as_ref()
                .is_ok_and(|mapped| !is_end(mapped.first, local))
        },
    )
    .await;
    let (mapped, filtered) = (mapped?, filtered.unwrap_or_default());
    let first = match mapped.first {
        // The other socket's test 1 is the same one.
        UdpTest::NoAnswer => filtered.first,
        first => first,
    };
    Ok(UdpEvidence {
        server,
        other: mapped.other.or(filtered.other),
        local,
        client_ip: None,
        first,
        second: filtered.second,
        third: mapped.third,
        round_trip: mapped.round_trip.or(filtered.round_trip),
        ignored: ignored.get(),
    })
}

/// Whether this host's end as the server sees it has the local address.
fn is_end(seen: UdpTest, local: SocketAddrV4) -> bool {
    matches!(seen, UdpTest::Answered(end) if end.ip() == local.ip())
}

/// What tests 1 and 3 observed.
struct Mapped {
    first: UdpTest,
    third: UdpTest,
    other: Option<SocketAddrV4>,
    round_trip: Option<Duration>,
}

/// Tests 1 and 3.
async fn map<W: Wire>(
    wire: &mut W,
    server: SocketAddrV4,
    local: SocketAddrV4,
    [number, number_of_other]: [[u8; 4]; 2],
    ignored: &Ignored,
) -> io::Result<Mapped> {
    let first = ask(wire, server, number, ignored, &FIRST).await?;
    let mut mapped = Mapped {
        first: seen(&first),
        third: UdpTest::NotRun,
        other: None,
        round_trip: None,
    };
    let Some((packet, round_trip)) = first else {
        return Ok(mapped);
    };
    mapped.round_trip = Some(round_trip);
    let other = usable(&packet, server).map(|other| other.address);
    mapped.other = other;
    let Some(other) = other.filter(|_| !is_end(mapped.first, local)) else {
        return Ok(mapped);
    };
    wire.connect(other.into()).await?;
    let third = ask(wire, other, number_of_other, ignored, &pace(round_trip)).await;
    mapped.third = third.map_or(UdpTest::Refused, |third| seen(&third));
    Ok(mapped)
}

/// Asks `server` what it sees.
async fn ask(
    wire: &impl Wire,
    server: SocketAddrV4,
    number: [u8; 4],
    ignored: &Ignored,
    waits: &[Duration],
) -> io::Result<Answer<Packet>> {
    let request = vec![(server.into(), Packet::request(number).bytes().to_vec())];
    one(
        wire,
        request,
        (*server.ip(), Some(server.port())),
        number,
        ignored,
        waits,
    )
    .await
}

/// One request, whose answer has this sender (at any port where there is none) and number.
async fn one(
    wire: &impl Wire,
    request: Vec<(SocketAddr, Vec<u8>)>,
    (ip, port): (Ipv4Addr, Option<u16>),
    number: [u8; 4],
    ignored: &Ignored,
    waits: &[Duration],
) -> io::Result<Answer<Packet>> {
    let read = |bytes: &[u8], from: SocketAddr| {
        let is_sender = from.ip() == ip && port.is_none_or(|port| port == from.port());
        let packet = Packet::parse(bytes).filter(|_| is_sender)?;
        let is_answer = packet.transaction == number && packet.client.port() != 0;
        is_answer.then_some((0, packet))
    };
    let requests = &[request];
    let exchange = Exchange {
        requests,
        read,
        ignored,
    };
    let answers = exchange.run(wire, waits).await?;
    Ok(answers.into_iter().next().flatten())
}

/// What a test observed.
fn seen(answer: &Answer<Packet>) -> UdpTest {
    match answer {
        Some((packet, _)) => UdpTest::Answered(packet.client),
        None => UdpTest::NoAnswer,
    }
}

/// What test 1 of its own and test 2 observed.
#[derive(Default)]
struct Filtered {
    first: UdpTest,
    second: UdpTest,
    other: Option<SocketAddrV4>,
    round_trip: Option<Duration>,
}

/// Test 2: something is sent to the other address, then an answer from there is asked for.
async fn filter<W: Wire>(
    wire: &W,
    server: SocketAddrV4,
    [number, number_of_other]: [[u8; 4]; 2],
    ignored: &Ignored,
) -> Filtered {
    let first = ask(wire, server, number, ignored, &FIRST).await;
    let mut filtered = Filtered {
        first: first.as_ref().map_or(UdpTest::Refused, seen),
        ..Filtered::default()
    };
    let Ok(Some((packet, round_trip))) = first else {
        return filtered;
    };
    filtered.round_trip = Some(round_trip);
    let Some(other) = usable(&packet, server) else {
        return filtered;
    };
    filtered.other = Some(other.address);
    let discard = SocketAddrV4::new(*other.address.ip(), other.discard_port);
    // As Miranda does it: the answer of test 1 goes back.
    let request = Packet {
        service: FROM_OTHER,
        transaction: number_of_other,
        ..packet
    };
    let sends = vec![
        (discard.into(), Vec::new()),
        (server.into(), request.bytes().to_vec()),
    ];
    let from = (*other.address.ip(), None);
    let second = one(
        wire,
        sends,
        from,
        number_of_other,
        ignored,
        &pace(round_trip),
    )
    .await;
    filtered.second = second.map_or(UdpTest::Refused, |second| seen(&second));
    filtered
}

/// The server's other address, where packets may be sent to it.
fn usable(packet: &Packet, server: SocketAddrV4) -> Option<Other> {
    packet.other.filter(|other| {
        is_usable((*other.address.ip()).into(), (*server.ip()).into())
            && other.address.port() != 0
            && other.discard_port != 0
            && other.discard_port != other.address.port()
    })
}
