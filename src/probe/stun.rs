//! The tests with STUN servers (RFC 5780): how a NAT maps, what it lets in, whether it hairpins.
//!
//! Each test has sockets of its own, opened for it alone, so that all can run at the same time: what
//! one sends opens nothing for another.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::exchange::{Answer, Exchange, FIRST, Ignored, failed, open, pace};
use crate::address::Address;
use crate::conntype::{Changed, Range, StunEvidence};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::packet::stun::{self, Change, Response, Transaction};
use crate::run_log::{Purpose, RunLog};
use crate::transport::{Route, UdpSocket, resolve_udp};

/// The tests with some servers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers.
    pub servers: Vec<Address>,
    /// The local address and the family; proxies are not used.
    pub route: Route,
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
    let mut shared = pin!(shared(plan, log, until));
    let mut all = pin!(all(&plan.servers, &plan.route, log, until));
    let mut early = None;
    let mut outcomes = tokio::select! {
        biased;
        done = &mut all => done,
        done = &mut shared => {
            early = Some(done);
            all.await
        }
    };
    // A server that answers alone may need another one to compare with.
    let is_open = |seen: &StunEvidence| seen.outside.is_some() && seen.mapping().is_err();
    let shared = match early {
        Some(done) => done,
        None if outcomes.iter().flatten().any(is_open) => shared.await,
        None => Vec::new(),
    };
    for at in 0..outcomes.len() {
        let alike = alike(&shared, at);
        if let Some(Ok(seen)) = outcomes.get_mut(at) {
            seen.alike = alike;
        }
    }
    outcomes
}

async fn all(servers: &[Address], route: &Route, log: &RunLog, until: Instant) -> Vec<Outcome> {
    let [first, rest @ ..] = servers else {
        return Vec::new();
    };
    let rest = Box::pin(all(rest, route, log, until));
    let first = async {
        let attempt = timeout_at(until, attempt(first, route, log)).await;
        attempt.unwrap_or_else(|_| {
            let took = log.started().elapsed().as_secs_f64();
            let why = format!("the tests with {first} had not ended after {took:.1} s");
            Err(Failure::new(Stage::Stun, ErrorCode::Timeout, why))
        })
    };
    let (first, rest) = tokio::join!(first, rest);
    [first].into_iter().chain(rest).collect()
}

/// What each server sees of one and the same socket, with the server's address.
async fn shared(plan: &Plan, log: &RunLog, until: Instant) -> Vec<Option<(IpAddr, SocketAddr)>> {
    let mut servers = Vec::new();
    if plan.servers.len() > 1 {
        for server in &plan.servers {
            let at = timeout_at(until, resolve_udp(&plan.route, server, Purpose::Stun, log)).await;
            servers.push(at.ok().and_then(Result::ok));
        }
    }
    // One socket has one family: that of the first.
    let Some(first) = servers.iter().flatten().next().copied() else {
        return Vec::new();
    };
    servers
        .iter_mut()
        .for_each(|at| *at = at.filter(|at| at.is_ipv4() == first.is_ipv4()));
    let asked: Vec<_> = servers
        .iter()
        .flatten()
        .copied()
        .map(Asked::plain)
        .collect();
    let ask = async {
        let socket = UdpSocket::open(unbound(&plan.route, first)).await?;
        ask(&socket, &asked, &Ignored::default(), &FIRST).await
    };
    let Ok(Ok(answers)) = timeout_at(until, ask).await else {
        return Vec::new();
    };
    let mut answers = answers.into_iter().map(|answer| outside(&answer));
    servers
        .iter()
        .map(|at| at.and_then(|at| Some((at.ip(), answers.next()??))))
        .collect()
}

/// Whether a server at another address saw the same end as the server at this place.
fn alike(shared: &[Option<(IpAddr, SocketAddr)>], at: usize) -> Option<bool> {
    let (server, outside) = (*shared.get(at)?)?;
    let mut others = shared
        .iter()
        .flatten()
        .filter(|(ip, _)| *ip != server)
        .peekable();
    others.peek()?;
    Some(others.all(|(_, seen)| *seen == outside))
}

fn unbound(route: &Route, toward: SocketAddr) -> IpAddr {
    route.bind.ip.unwrap_or_else(|| match toward {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    })
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
    let mut socket = open(unbound(route, server), Stage::Stun).await?;
    // Then the system reports that a port is closed.
    socket.connect(server).await.map_err(refused)?;
    let local = socket.local().map_err(refused)?;
    let ignored = Ignored::default();
    let first = ask_once(&socket, server, &ignored, &FIRST).await;
    let first = first.map_err(refused)?;
    let mut seen = StunEvidence {
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
    };
    let refusing = |code| {
        let why = format!("{named} answers with error {code}");
        Failure::new(Stage::Stun, ErrorCode::ConnectionFailed, why)
    };
    if let Some(((response, _), round_trip)) = first {
        match response {
            Response::Seen { outside, other } => {
                seen.outside = Some(outside);
                seen.other = other.filter(|other| is_usable(*other, server));
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
        let (mapped, let_in, control, came_back) = tokio::join!(
            run.mapping(seen.other),
            run.filtering(seen.other),
            run.control(seen.other),
            run.hairpin(seen.outside.filter(|outside| *outside != local)),
        );
        // A socket that fails here leaves its test unanswered.
        seen.mapped = mapped.unwrap_or_default();
        seen.let_in = let_in.unwrap_or_default();
        seen.control = control.unwrap_or_default();
        seen.came_back = came_back.unwrap_or_default();
    }
    seen.ignored = ignored.get();
    Ok(seen)
}

/// The tests after the first answer.
struct Run<'a> {
    ip: IpAddr,
    server: SocketAddr,
    ignored: &'a Ignored,
    round_trip: Duration,
}

impl Run<'_> {
    async fn ask(
        &self,
        socket: &UdpSocket,
        asked: &[Asked],
        waits: &[Duration],
    ) -> io::Result<Vec<Answered>> {
        ask(socket, asked, self.ignored, waits).await
    }

    async fn mapping(&self, other: Option<SocketAddr>) -> io::Result<[Option<SocketAddr>; 3]> {
        let Some(other) = other else {
            return Ok([None; 3]);
        };
        let socket = UdpSocket::open(self.ip).await?;
        let at_port = SocketAddr::new(other.ip(), self.server.port());
        let asked = [self.server, at_port, other].map(Asked::plain);
        let answers = self.ask(&socket, &asked, &pace(self.round_trip)).await?;
        Ok(std::array::from_fn(|at| outside(answers.get(at)?)))
    }

    async fn filtering(&self, other: Option<SocketAddr>) -> io::Result<[Changed; 2]> {
        let socket = UdpSocket::open(self.ip).await?;
        self.changed(&socket, other, &pace(self.round_trip)).await
    }

    async fn control(&self, other: Option<SocketAddr>) -> io::Result<[Changed; 2]> {
        let Some(at) = other else {
            return Ok(Default::default());
        };
        let socket = UdpSocket::open(self.ip).await?;
        let ends = [
            self.server,
            SocketAddr::new(self.server.ip(), at.port()),
            SocketAddr::new(at.ip(), self.server.port()),
            at,
        ];
        // Sent is enough; what answers is not of interest.
        let once = [(self.round_trip * 2).max(SHORTEST)];
        self.ask(&socket, &ends.map(Asked::plain), &once).await?;
        let waits = pace(self.round_trip);
        // What is let in is over after the same time.
        self.changed(&socket, other, &waits[..waits.len() - 1])
            .await
    }

    /// Asks for answers from the other port and from the other address.
    async fn changed(
        &self,
        socket: &UdpSocket,
        other: Option<SocketAddr>,
        waits: &[Duration],
    ) -> io::Result<[Changed; 2]> {
        let Some(other) = other else {
            return Ok(Default::default());
        };
        let at_port = SocketAddr::new(self.server.ip(), other.port());
        let asked = [(Change::Port, at_port), (Change::Both, other)].map(|change| Asked {
            to: self.server,
            change: Some(change),
        });
        let answers = self.ask(socket, &asked, waits).await?;
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
    async fn hairpin(&self, outside: Option<SocketAddr>) -> io::Result<Option<bool>> {
        let Some(outside) = outside else {
            return Ok(None);
        };
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

/// The numbers of the requests of one socket. Keyed by the system: nobody who has not seen a request
/// knows its number.
struct Numbers(RandomState);

impl Numbers {
    fn new() -> Self {
        Self(RandomState::new())
    }

    fn at(&self, at: usize) -> Transaction {
        let mut number = Transaction::default();
        let halves = [0, 1].map(|half| self.0.hash_one((at, half)).to_be_bytes());
        number[..8].copy_from_slice(&halves[0]);
        number[8..].copy_from_slice(&halves[1][..4]);
        number
    }
}

/// Whether packets may be sent to a server's other address: a server must not have this host write to
/// its own network, or to itself.
fn is_usable(other: SocketAddr, server: SocketAddr) -> bool {
    let range = Range::of(other.ip());
    other.is_ipv4() == server.is_ipv4()
        && other.ip() != server.ip()
        && range != Range::Special
        && range == Range::of(server.ip())
        && other.port() != 0
        && other.port() != server.port()
}
