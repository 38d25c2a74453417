//! One request, sent again until it is answered.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::conntype::UdpTest;
use crate::msnp::udp_echo::{LEN, Packet};
use crate::transport::UdpSocket;

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
    fn send(&self, to: SocketAddrV4, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;

    /// Receives one datagram, as far as it fits.
    fn receive(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>>;

    /// Receives from this end alone from now on.
    fn connect(&mut self, to: SocketAddrV4) -> impl Future<Output = io::Result<()>>;
}

impl Wire for UdpSocket {
    fn send(&self, to: SocketAddrV4, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        Self::send(self, to, bytes)
    }

    fn receive(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        Self::receive(self, buffer)
    }

    fn connect(&mut self, to: SocketAddrV4) -> impl Future<Output = io::Result<()>> {
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

/// What came back.
pub(super) enum Answer {
    /// An answer, and the time since the request was first sent.
    Packet(Packet, Duration),
    Nothing,
    /// An ICMP error, or the system does not send.
    Refused(io::Error),
}

impl Answer {
    pub(super) const fn seen(&self) -> UdpTest {
        match self {
            Self::Packet(packet, _) => UdpTest::Answered(packet.client),
            Self::Nothing => UdpTest::NoAnswer,
            Self::Refused(_) => UdpTest::Refused,
        }
    }
}

/// A request and what counts as its answer.
pub(super) struct Exchange<'a> {
    /// What each try sends.
    pub(super) sends: &'a [(SocketAddrV4, &'a [u8])],
    /// The address that answers.
    pub(super) from: Ipv4Addr,
    /// Its port; `None` for any.
    pub(super) port: Option<u16>,
    /// The number that comes back.
    pub(super) number: [u8; 4],
    pub(super) ignored: &'a Ignored,
}

impl Exchange<'_> {
    /// Sends the request until there is an answer, or every wait is over.
    pub(super) async fn run(&self, wire: &impl Wire, waits: &[Duration]) -> Answer {
        let began = Instant::now();
        for wait in waits {
            for (to, bytes) in self.sends {
                match wire.send(*to, bytes).await {
                    Err(error) if is_refusal(&error) => return Answer::Refused(error),
                    // A full buffer, for example: the next try is another chance.
                    _ => {}
                }
            }
            let until = Instant::now() + *wait;
            // Checked each time, however fast packets come.
            while Instant::now() < until {
                // One byte more than a packet shows one that is too long.
                let mut buffer = [0; LEN + 1];
                match timeout_at(until, wire.receive(&mut buffer)).await {
                    Err(_) => break,
                    Ok(Err(error)) if is_refusal(&error) => return Answer::Refused(error),
                    Ok(Err(_)) => {
                        sleep_until(until.min(Instant::now() + PAUSE)).await;
                    }
                    Ok(Ok((len, from))) => match self.answer(&buffer[..len], from) {
                        Some(packet) => return Answer::Packet(packet, began.elapsed()),
                        None => self.ignored.count(),
                    },
                }
            }
        }
        Answer::Nothing
    }

    fn answer(&self, bytes: &[u8], from: SocketAddr) -> Option<Packet> {
        let is_sender = from.ip() == self.from && self.port.is_none_or(|port| port == from.port());
        let packet = Packet::parse(bytes).filter(|_| is_sender)?;
        (packet.transaction == self.number && packet.client.port() != 0).then_some(packet)
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
