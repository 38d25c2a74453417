//! UDP echo: MSN's own network detection, with a server that has two addresses.
//!
//! Tests 1 and 3 need the same socket, toward both addresses. Test 2 needs one that has sent nothing
//! to the port it is answered from, so it has a socket of its own and runs beside them.

mod exchange;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::address::Address;
use crate::conntype::{Range, UdpEvidence, UdpTest};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::msnp::udp_echo::{FROM_OTHER, Other, Packet};
use crate::run_log::{Purpose, RunLog};
use crate::transport::{Route, UdpSocket, describe, resolve_udp};

use exchange::{Answer, Exchange, FIRST, Ignored, Wire, pace};

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
    match timeout_at(until, attempt(plan, log)).await {
        Ok(done) => done,
        Err(_) => Err(Failure::new(
            Stage::UdpEcho,
            ErrorCode::Timeout,
            format!(
                "the tests with {} had not ended after {:.1} s",
                plan.server,
                log.started().elapsed().as_secs_f64()
            ),
        )),
    }
}

async fn attempt(plan: &Plan, log: &RunLog) -> Result<UdpEvidence, Failure> {
    let server = resolve_udp(&plan.route, &plan.server, log).await?;
    let what = format!("answers of UDP echo at {}", plan.server);
    let _step = log.begin(Purpose::UdpEcho, Stage::UdpEcho, what);
    let bind = plan
        .route
        .bind
        .ip
        .unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into());
    let open = |ip: IpAddr| async move {
        UdpSocket::open(ip).await.map_err(|error| {
            let why = format!("bind {ip}: {}", describe(&error));
            Failure::new(Stage::UdpEcho, ErrorCode::BindFailed, why)
        })
    };
    let refused = |error: io::Error| failed(&error, &plan.server);
    let mut mapping = open(bind).await?;
    mapping.connect(server).await.map_err(refused)?;
    let SocketAddr::V4(local) = mapping.local().map_err(refused)? else {
        return Err(refused(io::ErrorKind::AddrNotAvailable.into()));
    };
    let filtering = open((*local.ip()).into()).await?;
    run(&mut mapping, &filtering, server, local)
        .await
        .map_err(refused)
}

/// The failure of a test that an error of the system or of the network ended.
fn failed(error: &io::Error, to: &Address) -> Failure {
    let code = match error.kind() {
        // Windows reports the ICMP error as a reset.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
            ErrorCode::ConnectionRefused
        }
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::AddrNotAvailable => ErrorCode::Unreachable,
        io::ErrorKind::PermissionDenied => ErrorCode::NotPermitted,
        _ => ErrorCode::ConnectionFailed,
    };
    let message = format!("UDP to {to}: {}", describe(error));
    Failure::new(Stage::UdpEcho, code, message)
}

/// The three tests over two sockets: `mapping` for tests 1 and 3, `filtering` for test 2.
async fn run<W: Wire>(
    mapping: &mut W,
    filtering: &W,
    server: SocketAddrV4,
    local: SocketAddrV4,
) -> io::Result<UdpEvidence> {
    let ignored = Ignored::default();
    // Keyed by the system: nobody who has not seen the request knows the number.
    let keyed = RandomState::new();
    let number = |test: u8| (keyed.hash_one(test) as u32).to_be_bytes();
    let mut mapped = pin!(map(mapping, server, local, [1, 3].map(number), &ignored));
    let mut filtered = pin!(filter(filtering, server, [4, 2].map(number), &ignored));
    let mut early = None;
    let mapped = tokio::select! {
        biased;
        done = &mut mapped => done?,
        done = &mut filtered => {
            early = Some(done);
            mapped.await?
        }
    };
    let filtered = match early {
        Some(done) => done,
        // Nothing is left to find out.
        None if is_end(mapped.first, local) => Filtered::default(),
        None => filtered.await,
    };
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
    let first = ask(wire, server, number, ignored, &FIRST).await;
    let mut mapped = Mapped {
        first: first.seen(),
        third: UdpTest::NotRun,
        other: None,
        round_trip: None,
    };
    let (packet, round_trip) = match first {
        Answer::Packet(packet, round_trip) => (packet, round_trip),
        Answer::Nothing => return Ok(mapped),
        Answer::Refused(error) => return Err(error),
    };
    mapped.round_trip = Some(round_trip);
    let other = usable(&packet, server).map(|other| other.address);
    mapped.other = other;
    let Some(other) = other.filter(|_| !is_end(mapped.first, local)) else {
        return Ok(mapped);
    };
    wire.connect(other).await?;
    let third = ask(wire, other, number_of_other, ignored, &pace(round_trip)).await;
    mapped.third = third.seen();
    Ok(mapped)
}

/// Asks `server` what it sees.
async fn ask(
    wire: &impl Wire,
    server: SocketAddrV4,
    number: [u8; 4],
    ignored: &Ignored,
    waits: &[Duration],
) -> Answer {
    let request = Exchange {
        sends: &[(server, &Packet::request(number).bytes())],
        from: *server.ip(),
        port: Some(server.port()),
        number,
        ignored,
    };
    request.run(wire, waits).await
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
        first: first.seen(),
        ..Filtered::default()
    };
    let Answer::Packet(packet, round_trip) = first else {
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
    let second = Exchange {
        sends: &[(discard, &[]), (server, &request.bytes())],
        from: *other.address.ip(),
        port: None,
        number: number_of_other,
        ignored,
    };
    filtered.second = second.run(wire, &pace(round_trip)).await.seen();
    filtered
}

/// The server's other address, where packets may be sent to it: a server must not have this host
/// write to its own network, or to itself.
fn usable(packet: &Packet, server: SocketAddrV4) -> Option<Other> {
    packet.other.filter(|other| {
        let (ip, of_server) = (*other.address.ip(), *server.ip());
        let range = Range::of(ip.into());
        ip != of_server
            && range != Range::Special
            && range == Range::of(of_server.into())
            && !ip.is_broadcast()
            && other.address.port() != 0
            && other.discard_port != 0
            && other.discard_port != other.address.port()
    })
}
