//! Calling back: the server calls a client that asks for it, which shows whether others can reach it.
//!
//! Nobody can have somebody else called: only the address that a TCP connection comes from is, which
//! cannot be forged. The ports of one client cannot be searched either: each network has few calls.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use super::config::Limits;
use super::limits::{ClientNetwork, ConnectionLimiter, Permit};
use super::linger::linger;
use super::state::ConnectionInfo;
use super::stats::Stats;
use super::sync::{lock, stopped};
use crate::conntype::normalise;
use crate::packet::call::{
    MAX_LINE, Refusal, Reply, Request, TcpOutcome, Token, UdpOutcome, called,
};

/// How many calls are in progress at one time. Each has a socket for TCP and one for UDP.
pub(crate) const MAX_CALLS: usize = 64;

/// How many calls one network gets in [`WINDOW`].
const PER_NETWORK: usize = 6;

/// How many calls there are in [`WINDOW`] in all.
const IN_ALL: usize = 4096;

/// How long calls count.
const WINDOW: Duration = Duration::from_secs(60);

/// How long a client may take to send its request, and to read a reply.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// How long the client's port may take to accept a call.
const CALL_TIME: Duration = Duration::from_secs(3);

/// How many packets are sent, since one may be lost, and the time between them.
const PACKETS: usize = 2;
const INTERVAL: Duration = Duration::from_millis(200);

/// The calls of a server.
#[derive(Debug)]
pub(super) struct Calls {
    in_progress: Arc<ConnectionLimiter>,
    recent: Mutex<Recent>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            in_progress: ConnectionLimiter::new(&Limits {
                max_connections: MAX_CALLS,
                max_per_address: 1,
                ..Limits::default()
            }),
            recent: Mutex::default(),
        }
    }
}

impl Calls {
    /// Admits a call, which is in progress until the permit is dropped.
    fn admit(&self, ip: IpAddr, now: Instant) -> Result<Permit, Refusal> {
        // First, so that a call which is refused for it does not count.
        let permit = self.in_progress.admit(ip).map_err(|_| Refusal::Busy)?;
        lock(&self.recent).admit(ClientNetwork::of(ip), now)?;
        Ok(permit)
    }
}

/// The calls that count.
#[derive(Debug, Default)]
struct Recent {
    /// When, in order; never more than [`IN_ALL`].
    calls: VecDeque<(Instant, ClientNetwork)>,
    /// How many of them are of each network; no entry is 0.
    by_network: HashMap<ClientNetwork, usize>,
}

impl Recent {
    fn admit(&mut self, network: ClientNetwork, now: Instant) -> Result<(), Refusal> {
        while let Some(&(at, network)) = self.calls.front()
            && now.saturating_duration_since(at) >= WINDOW
        {
            self.calls.pop_front();
            if let Some(count) = self.by_network.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    self.by_network.remove(&network);
                }
            }
        }
        if self.by_network.get(&network) >= Some(&PER_NETWORK) {
            return Err(Refusal::Rate);
        }
        if self.calls.len() >= IN_ALL {
            return Err(Refusal::Busy);
        }
        self.calls.push_back((now, network));
        *self.by_network.entry(network).or_default() += 1;
        Ok(())
    }
}

/// Serves one client: its request, the calls, the replies.
pub(super) async fn serve(
    mut stream: TcpStream,
    calls: Arc<Calls>,
    info: Arc<ConnectionInfo>,
    mut closing: watch::Receiver<bool>,
) {
    tokio::select! {
        biased;
        () = stopped(&mut closing) => return,
        () = answer(&mut stream, &calls, &info) => {}
    }
    // Closing a connection with unread input would discard the reply.
    linger(&mut stream).await;
}

async fn answer(stream: &mut TcpStream, calls: &Calls, info: &ConnectionInfo) {
    let (peer, stats) = (info.peer, &info.state.stats);
    let Ok(line) = timeout(REQUEST_TIME, read_line(stream)).await else {
        debug!(%peer, "timed out");
        Stats::count(&stats.timeouts);
        return;
    };
    let Some(line) = line else {
        debug!(%peer, "connection closed");
        return;
    };
    let admitted = match info.knows_client {
        true => admit(&line, peer, calls),
        false => Err(Refusal::Address),
    };
    let (request, _permit) = match admitted {
        Ok(admitted) => admitted,
        Err(why) => {
            info!(%peer, reason = why.word(), "call refused");
            Stats::count(&stats.refused_calls);
            let _ = reply(stream, Reply::Refused(why)).await;
            return;
        }
    };
    Stats::count(&stats.calls);
    let end = |port| end(peer, port);
    if reply(stream, Reply::Seen(end(peer.port()))).await.is_err() {
        return;
    }
    let Ok(own) = stream.local_addr() else {
        return;
    };
    // Behind a balancer the two may be of different families.
    let from = match self::end(own, 0) {
        own if own.is_ipv4() == end(0).is_ipv4() => own,
        SocketAddr::V4(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
    };
    let token = request.token();
    let tcp = async { Some(call_tcp(from, end(request.tcp()?), token).await) };
    let udp = async { Some(call_udp(from, end(request.udp()?), token).await) };
    let (tcp, udp) = tokio::join!(tcp, udp);
    let done = Reply::Done { tcp, udp };
    info!(%peer, %done, "called");
    let _ = reply(stream, done).await;
}

/// Reads up to the end of a line, or of what may be one; `None` if nothing came.
async fn read_line(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut line = Vec::with_capacity(MAX_LINE);
    let mut chunk = [0; MAX_LINE];
    while line.len() < MAX_LINE {
        let read = stream.read(&mut chunk[line.len()..]).await.unwrap_or(0);
        let new = &chunk[line.len()..][..read];
        let end = memchr::memchr(b'\n', new);
        line.extend_from_slice(end.map_or(new, |at| &new[..=at]));
        if read == 0 || end.is_some() {
            break;
        }
    }
    (!line.is_empty()).then_some(line)
}

/// Whether what `peer` sent is a request, and one that is granted now.
fn admit(line: &[u8], peer: SocketAddr, calls: &Calls) -> Result<(Request, Permit), Refusal> {
    let request = Request::parse(line)?;
    if !is_host(peer.ip()) {
        return Err(Refusal::Address);
    }
    Ok((request, calls.admit(peer.ip(), Instant::now())?))
}

/// Whether this is the address of one host.
fn is_host(ip: IpAddr) -> bool {
    let ip = normalise(ip);
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || is_broadcast)
}

/// The same host at another port; IPv4 in the form of IPv6 becomes IPv4, and a zone is kept.
fn end(at: SocketAddr, port: u16) -> SocketAddr {
    match (at, normalise(at.ip())) {
        (SocketAddr::V6(_), ip @ IpAddr::V4(_)) => SocketAddr::new(ip, port),
        (mut at, _) => {
            at.set_port(port);
            at
        }
    }
}

async fn reply(stream: &mut TcpStream, reply: Reply) -> io::Result<()> {
    let line = format!("{reply}\r\n");
    let written = timeout(REQUEST_TIME, stream.write_all(line.as_bytes())).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Connects once, and tells the token.
async fn call_tcp(from: SocketAddr, to: SocketAddr, token: Token) -> TcpOutcome {
    let connect = async {
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.bind(from)?;
        socket.connect(to).await
    };
    let mut stream = match timeout(CALL_TIME, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%to, %error, "cannot call");
            return outcome(&error);
        }
        Err(_) => return TcpOutcome::Timeout,
    };
    // A new connection has room for a line, so this does not wait.
    let _ = stream.write_all(&called(token)).await;
    linger(&mut stream).await;
    TcpOutcome::Connected
}

fn outcome(error: &io::Error) -> TcpOutcome {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        ConnectionRefused => TcpOutcome::Refused,
        TimedOut => TcpOutcome::Timeout,
        HostUnreachable | NetworkUnreachable => TcpOutcome::Unreachable,
        _ => TcpOutcome::Failed,
    }
}

/// Sends the token in a few packets.
async fn call_udp(from: SocketAddr, to: SocketAddr, token: Token) -> UdpOutcome {
    let Ok(socket) = UdpSocket::bind(from).await else {
        return UdpOutcome::Failed;
    };
    let packet = called(token);
    let mut outcome = UdpOutcome::Failed;
    for number in 0..PACKETS {
        if number > 0 {
            sleep(INTERVAL).await;
        }
        // The error of one may be what the other has met.
        if socket.send_to(&packet, to).await.is_ok() {
            outcome = UdpOutcome::Sent;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn ip(last: u32) -> IpAddr {
        (0x0a00_0000 + last).to_be_bytes().into()
    }

    #[test]
    fn a_network_has_one_call_at_a_time_and_few_in_a_minute() {
        let (calls, now) = (Calls::default(), Instant::now());
        let one = calls.admit(ip(1), now).unwrap();
        for _ in 0..9 {
            assert_eq!(calls.admit(ip(1), now).err(), Some(Refusal::Busy));
        }
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(calls.admit(mapped, now).err(), Some(Refusal::Busy));
        drop(one);
        let half = now + WINDOW / 2;
        for _ in 1..PER_NETWORK {
            assert!(calls.admit(ip(1), half).is_ok());
        }
        assert_eq!(calls.admit(mapped, half).err(), Some(Refusal::Rate));
        assert!(calls.admit(ip(2), half).is_ok());
        // The first call no longer counts, and the others do.
        assert!(calls.admit(ip(1), now + WINDOW).is_ok());
        assert_eq!(calls.admit(ip(1), now + WINDOW).err(), Some(Refusal::Rate));
        assert!(calls.admit(ip(1), half + WINDOW).is_ok());
        assert_eq!(lock(&calls.recent).by_network.len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let (calls, now) = (Calls::default(), Instant::now());
        let _one = calls.admit("2001:db8::1".parse().unwrap(), now).unwrap();
        let other = calls.admit("2001:db8::2".parse().unwrap(), now);
        assert_eq!(other.err(), Some(Refusal::Busy));
        assert!(calls.admit("2001:db8:0:1::1".parse().unwrap(), now).is_ok());
    }

    #[test]
    fn calls_are_limited_in_all() {
        let (calls, now) = (Calls::default(), Instant::now());
        let count = |permits: &[Result<Permit, Refusal>]| permits.iter().flatten().count();
        let together: Vec<_> = (0..1000).map(|n| calls.admit(ip(n), now)).collect();
        assert_eq!(count(&together), MAX_CALLS);
        assert_eq!(
            together.last().unwrap().as_ref().err(),
            Some(&Refusal::Busy)
        );
        drop(together);
        // One after the other, each from another network.
        let after = (0..9999).filter(|n| calls.admit(ip(5000 + n), now).is_ok());
        assert_eq!(after.count(), IN_ALL - MAX_CALLS);
        assert!(lock(&calls.recent).by_network.len() <= IN_ALL);
        assert!(calls.admit(ip(1), now + WINDOW).is_ok());
        assert_eq!(lock(&calls.recent).by_network.len(), 1);
    }

    #[test]
    fn what_is_not_one_host_is_not_called() {
        let calls = Calls::default();
        let ask = |line: &str, peer: &str| admit(line.as_bytes(), at(peer), &calls).err();
        let line = "CALL 1 5000 - 00112233445566778899aabbccddeeff\n";
        for peer in [
            "0.0.0.0:5000",
            "224.0.0.1:5000",
            "255.255.255.255:5000",
            "[::]:5000",
            "[ff02::1]:5000",
            "[::ffff:0.0.0.0]:5000",
            "[::ffff:239.1.2.3]:5000",
            "[::ffff:255.255.255.255]:5000",
        ] {
            assert_eq!(ask(line, peer), Some(Refusal::Address), "{peer}");
        }
        // None of these has counted.
        for (line, why) in [
            (
                "CALL 1 80 - 00112233445566778899aabbccddeeff\n",
                Refusal::Port,
            ),
            ("CALL 2\n", Refusal::Version),
            ("CALL\n", Refusal::Malformed),
        ] {
            assert_eq!(ask(line, "203.0.113.7:1033"), Some(why), "{line}");
        }
        assert!(lock(&calls.recent).calls.is_empty());
        assert_eq!(ask(line, "203.0.113.7:1033"), None);
        assert_eq!(ask(line, "[2001:db8::7]:1033"), None);
    }

    #[test]
    fn the_called_end_differs_in_its_port_only() {
        for (peer, want) in [
            ("203.0.113.7:1033", "203.0.113.7:5000"),
            ("[2001:db8::7]:1033", "[2001:db8::7]:5000"),
            ("[fe80::1%3]:1033", "[fe80::1%3]:5000"),
            ("[::ffff:203.0.113.7]:1033", "203.0.113.7:5000"),
        ] {
            assert_eq!(end(at(peer), 5000), at(want));
        }
    }

    #[test]
    fn every_error_of_a_call_has_its_word() {
        for (kind, want) in [
            (io::ErrorKind::ConnectionRefused, TcpOutcome::Refused),
            (io::ErrorKind::TimedOut, TcpOutcome::Timeout),
            (io::ErrorKind::HostUnreachable, TcpOutcome::Unreachable),
            (io::ErrorKind::NetworkUnreachable, TcpOutcome::Unreachable),
            (io::ErrorKind::PermissionDenied, TcpOutcome::Failed),
            (io::ErrorKind::AddrNotAvailable, TcpOutcome::Failed),
        ] {
            assert_eq!(outcome(&kind.into()), want, "{kind:?}");
        }
    }
}
