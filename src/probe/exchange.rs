//! Requests over datagrams, sent again until they are answered.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::address::Address;
use crate::conntype::{Range, normalise};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::run_log::RunLog;
use crate::transport::{Route, UdpSocket, describe};

/// How long each try of the first request waits, while the round trip is not known.
pub(super) const FIRST: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(1500),
];

/// How long a try waits at least and at most.
const BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// How long all tries together may take, unless one round trip takes longer.
const BUDGET: Duration = Duration::from_millis(1500);

/// The longest datagram that is read; longer ones are cut, and no answer is that long.
const LONGEST: usize = 1024;

/// A pause after an error of the socket, which would otherwise be reported without end.
const PAUSE: Duration = Duration::from_millis(10);

/// How long each try of a further request waits: twice the round trip, within bounds.
pub(super) fn pace(round_trip: Duration) -> Vec<Duration> {
    let wait = (round_trip * 2).clamp(BOUNDS.0, BOUNDS.1);
    let tries = if wait * 4 <= BUDGET { 4 } else { 3 };
    let mut waits = vec![wait; tries];
    // On a slow path the first answer is given its time.
    waits[tries - 1] = wait.max((round_trip * 2).saturating_sub(wait * (tries as u32 - 1)));
    waits
}

/// A socket, or what stands for one in tests.
pub(super) trait Wire {
    /// Sends one datagram.
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;

    /// Receives one datagram, as far as it fits.
    fn receive(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>>;

    /// Receives from this end alone from now on.
    fn connect(&mut self, to: SocketAddr) -> impl Future<Output = io::Result<()>>;
}

impl Wire for UdpSocket {
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        Self::send(self, to, bytes)
    }

    fn receive(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        Self::receive(self, buffer)
    }

    fn connect(&mut self, to: SocketAddr) -> impl Future<Output = io::Result<()>> {
        Self::connect(self, to)
    }
}

/// How many packets were ignored.
#[derive(Debug, Default)]
pub(super) struct Ignored(Cell<u32>);

impl Ignored {
    fn count(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }

    pub(super) const fn get(&self) -> u32 {
        self.0.get()
    }
}

/// Requests over one socket, each sent again until it is answered.
pub(super) struct Exchange<'a, R> {
    /// What each try sends for each request: datagrams, in order.
    pub(super) requests: &'a [Vec<(SocketAddr, Vec<u8>)>],
    /// Which request a datagram answers, and how.
    pub(super) read: R,
    pub(super) ignored: &'a Ignored,
}

/// An answer, and the time since its request was first sent.
pub(super) type Answer<T> = Option<(T, Duration)>;

impl<R> Exchange<'_, R> {
    /// Sends the requests until each has an answer, or every wait is over.
    ///
    /// # Errors
    /// An ICMP error, or the system does not send.
    pub(super) async fn run<T>(
        &self,
        wire: &impl Wire,
        waits: &[Duration],
    ) -> io::Result<Vec<Answer<T>>>
    where
        R: Fn(&[u8], SocketAddr) -> Option<(usize, T)>,
    {
        let began = Instant::now();
        let mut answers: Vec<Answer<T>> = self.requests.iter().map(|_| None).collect();
        for wait in waits {
            let open = self.requests.iter().zip(&answers);
            for (to, bytes) in open
                .filter(|(_, answer)| answer.is_none())
                .flat_map(|(one, _)| one)
            {
                match wire.send(*to, bytes).await {
                    Err(error) if is_refusal(&error) => return Err(error),
                    // A full buffer, for example: the next try is another chance.
                    _ => {}
                }
            }
            let until = Instant::now() + *wait;
            // Checked each time, however fast packets come.
            while Instant::now() < until {
                if answers.iter().all(Option::is_some) {
                    return Ok(answers);
                }
                let mut buffer = [0; LONGEST];
                match timeout_at(until, wire.receive(&mut buffer)).await {
                    Err(_) => break,
                    Ok(Err(error)) if is_refusal(&error) => return Err(error),
                    Ok(Err(_)) => {
                        sleep_until(until.min(Instant::now() + PAUSE)).await;
                    }
                    Ok(Ok((len, from))) => {
                        let read = (self.read)(&buffer[..len], from);
                        match read.and_then(|(at, answer)| Some((answers.get_mut(at)?, answer))) {
                            Some((place @ None, answer)) => {
                                *place = Some((answer, began.elapsed()))
                            }
                            // A request that was sent twice is answered twice.
                            Some((Some(_), _)) => {}
                            None => self.ignored.count(),
                        }
                    }
                }
            }
        }
        Ok(answers)
    }
}

/// Whether an error says that the other end cannot be reached.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::PermissionDenied
    )
}

/// Whether packets may be sent to an address that a server names as its other one: a server must not
/// have this host write to its own network, or to itself.
pub(super) fn is_usable(other: IpAddr, server: IpAddr) -> bool {
    let range = Range::of(normalise(other));
    other != server
        && other.is_ipv4() == server.is_ipv4()
        && range != Range::Special
        && range == Range::of(normalise(server))
}

/// Runs the tests with a server within the time that there is.
///
/// # Errors
/// That of the tests, or that the time is up.
pub(super) async fn within<T>(
    until: Instant,
    tests: impl Future<Output = Result<T, Failure>>,
    to: &Address,
    stage: Stage,
    log: &RunLog,
) -> Result<T, Failure> {
    timeout_at(until, tests).await.unwrap_or_else(|_| {
        let took = log.started().elapsed().as_secs_f64();
        let why = format!("the tests with {to} had not ended after {took:.1} s");
        Err(Failure::new(stage, ErrorCode::Timeout, why))
    })
}

/// The local address to send from: that of the route, or the one that the system picks.
pub(super) fn local(route: &Route, toward: SocketAddr) -> IpAddr {
    route.bind.ip.unwrap_or_else(|| match toward {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    })
}

/// Opens a socket at a port that the system picks.
pub(super) async fn open(ip: IpAddr, stage: Stage) -> Result<UdpSocket, Failure> {
    UdpSocket::open(ip).await.map_err(|error| {
        let why = format!("bind {ip}: {}", describe(&error));
        Failure::new(stage, ErrorCode::BindFailed, why)
    })
}

/// The failure of a probe that an error of the system or of the network ended.
pub(super) fn failed(error: &io::Error, to: &Address, stage: Stage) -> Failure {
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
    Failure::new(stage, code, message)
}

/// Runs both at the same time. The first decides whether the second is needed; where it is not, it is
/// dropped as it is, and has no result unless it ended before.
pub(super) async fn with_second<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
    is_needed: impl FnOnce(&A) -> bool,
) -> (A, Option<B>) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    tokio::select! {
        biased;
        done = &mut first => match is_needed(&done) {
            true => (done, Some(second.await)),
            false => (done, None),
        },
        early = &mut second => (first.await, Some(early)),
    }
}

/// Numbers of requests and the like. Keyed by the system: nobody who has not seen one knows it.
pub(super) struct Numbers(RandomState);

impl Numbers {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    pub(super) fn at<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut number = [0; N];
        for (part, bytes) in number.chunks_mut(8).enumerate() {
            let hash = self.0.hash_one((at, part)).to_be_bytes();
            bytes.copy_from_slice(&hash[..bytes.len()]);
        }
        number
    }
}
