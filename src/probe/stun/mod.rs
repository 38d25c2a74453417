//! The tests with STUN servers (RFC 5780): how a NAT maps, what it lets in, whether it hairpins.
//!
//! Each test has sockets of its own, opened for it alone, so that all can run at the same time: what
//! one sends opens nothing for another.

mod tcp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::exchange::{
    Answer, Exchange, FIRST, Ignored, Numbers, failed, is_usable, local, open, pace, with_second,
    within,
};
use crate::address::Address;
use crate::conntype::{Changed, Range, StunEvidence, StunTransport};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::packet::stun::{self, Change, Response};
use crate::run_log::{Purpose, RunLog};
use crate::transport::{Route, UdpSocket, resolve_udp};

/// The tests with some servers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers.
    pub servers: Vec<Server>,
    /// The local address and the family; proxies are not used.
    pub route: Route,
}

/// A server, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name and port.
    pub address: Address,
    /// What carries the requests.
    pub transport: StunTransport,
}

/// The most packets that go to an outside end that a server names.
const CROSSINGS: usize = 2;

/// How long a wait is at least and at most where an answer is not needed, or is near.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(400);

/// What the tests with one server came to.
type Outcome = Result<StunEvidence, Failure>;

/// Runs the tests with every server at the same time. One outcome for each server, in order.
pub async fn observe(plan: &Plan, log: &RunLog, until: Instant) -> Vec<Outcome> {
    let each = plan.servers.iter().map(|server| {
        let tests = async {
            match server.transport {
                StunTransport::Udp => attempt(&server.address, &plan.route, log).await,
                StunTransport::Tcp => tcp::attempt(&server.address, &plan.route, log).await,
            }
        };
        within(until, tests, &server.address, Stage::Stun, log)
    });
    let mut outcomes = join_all(each).await;
    let ended = outcomes.iter_mut().flatten();
    let answered = ended.filter(|seen| seen.outside.is_some());
    let (over_tcp, over_udp): (Vec<_>, Vec<_>) =
        answered.partition(|seen| seen.transport == StunTransport::Tcp);
    // A server that does not tell the mapping alone may tell it with another one.
    let is_open =
        |servers: &[&mut StunEvidence]| servers.iter().any(|seen| seen.mapping().is_err());
    let udp = async {
        if is_open(&over_udp) {
            let _ = compare(over_udp, &plan.route).await;
        }
    };
    let tcp = async {
        if is_open(&over_tcp) {
            tcp::compare(over_tcp, &plan.route).await;
        }
    };
    let _ = timeout_at(until, async { tokio::join!(udp, tcp) }).await;
    outcomes
}

/// Notes for each server whether others, at other addresses, saw the same end.
fn note_alike(servers: Vec<&mut StunEvidence>, ends: &[(IpAddr, Option<SocketAddr>)]) {
    for (seen, (server, end)) in servers.into_iter().zip(ends) {
        let others = ends.iter().filter(|(ip, _)| ip != server);
        let mut others = others.filter_map(|(_, end)| *end).peekable();
        seen.alike = end
            .filter(|_| others.peek().is_some())
            .map(|end| others.all(|other| other == end));
    }
}

/// Asks all servers from one socket, and notes whether others saw the same end as each.
async fn compare(mut servers: Vec<&mut StunEvidence>, route: &Route) -> io::Result<()> {
    // One socket has one family: that of the first.
    let Some(first) = servers.first().map(|seen| seen.server) else {
        return Ok(());
    };
    servers.retain(|seen| seen.server.is_ipv4() == first.is_ipv4());
    let slowest = servers.iter().filter_map(|seen| seen.round_trip).max();
    let socket = UdpSocket::open(local(route, first)).await?;
    let asked: Vec<_> = servers
        .iter()
        .map(|seen| Asked::plain(seen.server))
        .collect();
    let waits = pace(slowest.unwrap_or_default());
    let answers = ask(&socket, &asked, &Ignored::default(), &waits).await?;
    let ends = asked.iter().map(|asked| asked.to.ip());
    let ends: Vec<_> = ends.zip(answers.iter().map(outside)).collect();
    note_alike(servers, &ends);
    Ok(())
}

/// The tests with one server.
async fn attempt(named: &Address, route: &Route, log: &RunLog) -> Outcome {
    let server = resolve_udp(route, named, Purpose::Stun, log).await?;
    let _step = log.begin(
        Purpose::Stun,
        Stage::Stun,
        format!("answers of STUN at {named}"),
    );
    let refused = |error: io::Error| failed(&error, named, Stage::Stun);
    let mut socket = open(local(route, server), Stage::Stun).await?;
    // Then the system reports that a port is closed.
    socket.connect(server).await.map_err(refused)?;
    let local = socket.local().map_err(refused)?;
    let ignored = Ignored::default();
    let first = ask_once(&socket, server, &ignored, &FIRST).await;
    let first = first.map_err(refused)?;
    let mut seen = nothing_yet(StunTransport::Udp, server, local);
    let refusing = |code| {
        let why = format!("{named} answers with error {code}");
        Failure::new(Stage::Stun, ErrorCode::ConnectionFailed, why)
    };
    if let Some(((response, _), round_trip)) = first {
        match response {
            Response::Seen { outside, other } => {
                seen.outside = Some(outside);
                seen.other = other.filter(|other| {
                    let port = other.port();
                    is_usable(other.ip(), server.ip()) && port != 0 && port != server.port()
                });
            }
            Response::Error(code) => return Err(refusing(code)),
        }
        seen.round_trip = Some(round_trip);
        let run = Run {
            ip: local.ip(),
            server,
            ignored: &ignored,
            round_trip,
        };
        let with_other = async {
            let Some(other) = seen.other else {
                return Default::default();
            };
            let ((mapped, let_in), control) = with_second(
                async { tokio::join!(run.mapping(other), run.filtering(other)) },
                run.control(other),
                // What gets in needs no control.
                |(_, let_in)| !matches!(let_in, Ok([Changed::FromThere, Changed::FromThere])),
            )
            .await;
            // A socket that fails leaves its test unanswered.
            (
                mapped.unwrap_or_default(),
                let_in.unwrap_or_default(),
                control.and_then(Result::ok).unwrap_or_default(),
            )
        };
        let hairpin = async {
            let outside = seen.outside.filter(|outside| *outside != local)?;
            run.hairpin(outside).await.unwrap_or_default()
        };
        let (with_other, came_back) = tokio::join!(with_other, hairpin);
        (seen.mapped, seen.let_in, seen.control) = with_other;
        seen.came_back = came_back;
    }
    seen.ignored = ignored.get();
    Ok(seen)
}

/// The evidence before the first answer.
const fn nothing_yet(
    transport: StunTransport,
    server: SocketAddr,
    local: SocketAddr,
) -> StunEvidence {
    StunEvidence {
        transport,
        server,
        other: None,
        local,
        client_ip: None,
        outside: None,
        mapped: [None; 3],
        alike: None,
        let_in: [Changed::NotAsked; 2],
        control: [Changed::NotAsked; 2],
        came_back: None,
        round_trip: None,
        ignored: 0,
    }
}

/// The tests after the first answer.
struct Run<'a> {
    ip: IpAddr,
    server: SocketAddr,
    ignored: &'a Ignored,
    round_trip: Duration,
}

impl Run<'_> {
    async fn mapping(&self, other: SocketAddr) -> io::Result<[Option<SocketAddr>; 3]> {
        let socket = UdpSocket::open(self.ip).await?;
        let at_port = SocketAddr::new(other.ip(), self.server.port());
        let asked = [self.server, at_port, other].map(Asked::plain);
        let answers = ask(&socket, &asked, self.ignored, &pace(self.round_trip)).await?;
        Ok(std::array::from_fn(|at| outside(answers.get(at)?)))
    }

    async fn filtering(&self, other: SocketAddr) -> io::Result<[Changed; 2]> {
        let socket = UdpSocket::open(self.ip).await?;
        self.changed(&socket, other, &pace(self.round_trip)).await
    }

    async fn control(&self, other: SocketAddr) -> io::Result<[Changed; 2]> {
        let socket = UdpSocket::open(self.ip).await?;
        let ends = [
            self.server,
            SocketAddr::new(self.server.ip(), other.port()),
            SocketAddr::new(other.ip(), self.server.port()),
            other,
        ];
        // Sent is enough; what answers is not of interest.
        let once = [(self.round_trip * 2).max(SHORTEST)];
        ask(&socket, &ends.map(Asked::plain), self.ignored, &once).await?;
        let waits = pace(self.round_trip);
        // The wait for what is let in is over at the same time.
        let waits = &waits[..waits.len() - 1];
        self.changed(&socket, other, waits).await
    }

    /// Asks for answers from the other port and from the other address.
    async fn changed(
        &self,
        socket: &UdpSocket,
        other: SocketAddr,
        waits: &[Duration],
    ) -> io::Result<[Changed; 2]> {
        let at_port = SocketAddr::new(self.server.ip(), other.port());
        let asked = [(Change::Port, at_port), (Change::Both, other)].map(|change| Asked {
            to: self.server,
            change: Some(change),
        });
        let answers = ask(socket, &asked, self.ignored, waits).await?;
        Ok(std::array::from_fn(|at| match answers.get(at) {
            None => Changed::NotAsked,
            Some(None) => Changed::Nothing,
            Some(Some(((Response::Error(code), _), _))) => Changed::Refused(*code),
            Some(Some(((Response::Seen { .. }, from), _))) => match *from == self.server {
                true => Changed::FromServer,
                false => Changed::FromThere,
            },
        }))
    }

    /// Two sockets write to each other's outside end.
    async fn hairpin(&self, outside: SocketAddr) -> io::Result<Option<bool>> {
        let sockets = [
            UdpSocket::open(self.ip).await?,
            UdpSocket::open(self.ip).await?,
        ];
        let waits = pace(self.round_trip);
        let (one, two) = tokio::join!(
            ask_once(&sockets[0], self.server, self.ignored, &waits),
            ask_once(&sockets[1], self.server, self.ignored, &waits)
        );
        let (Some(one), Some(two)) = (self::outside(&one?), self::outside(&two?)) else {
            return Ok(None);
        };
        // A server must not make this host write to others.
        let is_ours = |end: SocketAddr| end.ip() == outside.ip() && end.port() != 0;
        let alike = Range::of(outside.ip()) == Range::of(self.server.ip());
        if !is_ours(one) || !is_ours(two) || one == two || !alike {
            return Ok(None);
        }
        let hello = stun::request(Numbers::new().at(0), None);
        let read = |bytes: &[u8], from: SocketAddr| {
            (from.ip() == outside.ip() && bytes == hello).then_some((0, ()))
        };
        // The first packet opens a filter for the second of the other side.
        let waits = [self.round_trip.clamp(SHORTEST, LONGEST); CROSSINGS];
        let cross = async |socket: &UdpSocket, to: SocketAddr| {
            let exchange = Exchange {
                requests: &[vec![(to, hello.clone())]],
                read,
                ignored: self.ignored,
            };
            exchange.run(socket, &waits).await
        };
        let (one, two) = tokio::join!(cross(&sockets[0], two), cross(&sockets[1], one));
        Ok(Some(one?[0].is_some() || two?[0].is_some()))
    }
}

/// A Binding request.
#[derive(Clone, Copy)]
struct Asked {
    to: SocketAddr,
    /// Where else the answer is to come from.
    change: Option<(Change, SocketAddr)>,
}

impl Asked {
    const fn plain(to: SocketAddr) -> Self {
        Self { to, change: None }
    }
}

/// An answer and its sender.
type Answered = Answer<(Response, SocketAddr)>;

/// Sends requests from one socket, until each is answered or every wait is over.
async fn ask(
    socket: &UdpSocket,
    asked: &[Asked],
    ignored: &Ignored,
    waits: &[Duration],
) -> io::Result<Vec<Answered>> {
    let numbers = Numbers::new();
    let request = |(at, asked): (usize, &Asked)| {
        let change = asked.change.map(|(change, _)| change);
        vec![(asked.to, stun::request(numbers.at(at), change))]
    };
    let requests: Vec<_> = asked.iter().enumerate().map(request).collect();
    let read = |bytes: &[u8], from: SocketAddr| {
        asked.iter().enumerate().find_map(|(at, asked)| {
            let is_sender = from == asked.to || asked.change.is_some_and(|(_, end)| from == end);
            let response = stun::parse(bytes, numbers.at(at)).filter(|_| is_sender)?;
            Some((at, (response, from)))
        })
    };
    let exchange = Exchange {
        requests: &requests,
        read,
        ignored,
    };
    exchange.run(socket, waits).await
}

/// Asks a server what it sees.
async fn ask_once(
    socket: &UdpSocket,
    server: SocketAddr,
    ignored: &Ignored,
    waits: &[Duration],
) -> io::Result<Answered> {
    let answers = ask(socket, &[Asked::plain(server)], ignored, waits).await?;
    Ok(answers.into_iter().next().flatten())
}

/// This host's end in an answer.
fn outside(answer: &Answered) -> Option<SocketAddr> {
    match answer {
        Some(((Response::Seen { outside, .. }, _), _)) => Some(*outside),
        _ => None,
    }
}
