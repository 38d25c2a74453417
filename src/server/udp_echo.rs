//! UDP echo: tells a client, from two addresses, which end of it each of them sees.
//!
//! Senders can be forged, so an answer is never longer than its request, goes to the sender of that
//! very packet only, and answers no answer: those are no requests, from whatever server they come.
//! An answer from the other address is for those who can show what an answer told them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::limits::ClientNetwork;
use super::stats::Stats;
use super::sync::stopped;
use crate::msnp::udp_echo::{ECHO, FROM_OTHER, LEN, Other, Packet};

/// A port of each address that nothing is expected to listen at: "discard" (RFC 863).
const DISCARD_PORT: u16 = 9;

/// How many answers one network gets a second; a run of the tests takes at most 16.
const PER_NETWORK: u32 = 64;

/// How many answers there are a second in all.
const IN_ALL: u32 = 4096;

/// How long answers count.
const WINDOW: Duration = Duration::from_secs(1);

/// A pause after an error of a socket, which could otherwise be reported without end.
const PAUSE: Duration = Duration::from_millis(10);

/// Both sockets.
#[derive(Debug)]
pub(super) struct UdpEcho {
    sockets: [UdpSocket; 2],
    ends: [SocketAddrV4; 2],
}

impl UdpEcho {
    /// Opens both sockets; the address that fails comes with its error.
    pub(super) fn open(addresses: [SocketAddrV4; 2]) -> Result<Self, (SocketAddr, io::Error)> {
        let open = |at: SocketAddrV4| {
            let opened = std::net::UdpSocket::bind(at).and_then(|socket| {
                socket.set_nonblocking(true)?;
                let end = socket.local_addr()?;
                Ok((UdpSocket::from_std(socket)?, end))
            });
            match opened {
                Ok((socket, SocketAddr::V4(end))) => Ok((socket, end)),
                Ok((_, end)) => Err((end, io::ErrorKind::AddrNotAvailable.into())),
                Err(error) => Err((at.into(), error)),
            }
        };
        let [(one, at_one), (two, at_two)] = [open(addresses[0])?, open(addresses[1])?];
        Ok(Self {
            sockets: [one, two],
            ends: [at_one, at_two],
        })
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.ends.map(SocketAddr::from).into()
    }

    /// Answers until the server stops.
    pub(super) async fn run(self, stats: Arc<Stats>, mut closing: watch::Receiver<bool>) {
        let mut quota = Quota::new(Instant::now());
        // One byte more than a packet shows one that is too long.
        let mut buffers = [[0; LEN + 1]; 2];
        loop {
            let [one, two] = &mut buffers;
            let (at, received) = tokio::select! {
                () = stopped(&mut closing) => break,
                received = self.sockets[0].recv_from(one) => (0, received),
                received = self.sockets[1].recv_from(two) => (1, received),
            };
            let Ok((len, SocketAddr::V4(from))) = received else {
                // Some systems report ICMP errors of earlier answers here.
                sleep(PAUSE).await;
                continue;
            };
            let Some((via, answer)) = answer(&buffers[at][..len], from, at, self.ends) else {
                Stats::count(&stats.udp_ignored);
                continue;
            };
            if !quota.admits((*from.ip()).into(), Instant::now()) {
                Stats::count(&stats.udp_limited);
                continue;
            }
            Stats::count(&stats.udp_answered);
            // Nobody waits for a socket that is full: the client asks again.
            let _ = self.sockets[via].try_send_to(&answer, from.into());
        }
    }
}

/// The answer to what came from `from` to the address `at`, and the address that it leaves from.
fn answer(
    bytes: &[u8],
    from: SocketAddrV4,
    at: usize,
    ends: [SocketAddrV4; 2],
) -> Option<(usize, [u8; LEN])> {
    let packet = Packet::parse(bytes)?;
    let other = Other {
        discard_port: DISCARD_PORT,
        address: ends[1 - at],
    };
    let via = match packet.service {
        ECHO if packet == Packet::request(packet.transaction) => at,
        FROM_OTHER if packet.client == from && packet.other == Some(other) => 1 - at,
        _ => return None,
    };
    // No answer goes to a port of a service that might answer it.
    if from.port() < 1024 || from.ip().is_broadcast() || from.ip().is_multicast() {
        return None;
    }
    let answer = Packet {
        service: ECHO,
        client: from,
        other: Some(other),
        ..packet
    };
    Some((via, answer.bytes()))
}

/// Counts the answers of the present second.
struct Quota {
    since: Instant,
    /// Never more entries than answers.
    by_network: HashMap<ClientNetwork, u32>,
    in_all: u32,
}

impl Quota {
    fn new(since: Instant) -> Self {
        Self {
            since,
            by_network: HashMap::new(),
            in_all: 0,
        }
    }

    fn admits(&mut self, ip: IpAddr, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= WINDOW {
            self.by_network.clear();
            (self.since, self.in_all) = (now, 0);
        }
        if self.in_all >= IN_ALL {
            return false;
        }
        let count = self.by_network.entry(ClientNetwork::of(ip)).or_default();
        if *count >= PER_NETWORK {
            return false;
        }
        *count += 1;
        self.in_all += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use base16ct::upper;

    use super::*;

    const CLIENT: &str = "203.0.113.7:1033";

    fn ends() -> [SocketAddrV4; 2] {
        ["192.0.2.1:7001", "198.51.100.9:7001"].map(|end| end.parse().unwrap())
    }

    fn answered(bytes: &[u8], from: &str) -> Option<(usize, Packet)> {
        let (via, bytes) = answer(bytes, from.parse().unwrap(), 0, ends())?;
        Some((via, Packet::parse(&bytes).unwrap()))
    }

    #[test]
    fn an_answer_tells_the_sender_and_the_other_address() {
        let (via, answer) = answered(&Packet::request([1, 2, 3, 4]).bytes(), CLIENT).unwrap();
        assert_eq!(via, 0);
        let bytes = upper::decode_vec("020145388A31303641385A688702253801020304").unwrap();
        assert_eq!(answer.bytes()[..], bytes);

        let back = Packet {
            service: FROM_OTHER,
            ..answer
        };
        assert_eq!(answered(&back.bytes(), CLIENT), Some((1, answer)));
    }

    #[test]
    fn an_answer_is_never_answered() {
        let request = Packet::request([0; 4]).bytes();
        let (_, answer) = answered(&request, CLIENT).unwrap();
        assert_eq!(answered(&answer.bytes(), "198.51.100.9:7001"), None);
        assert_eq!(answered(&answer.bytes(), CLIENT), None);
    }

    #[test]
    fn the_other_address_answers_only_the_sender_that_has_had_an_answer() {
        let request = Packet::request([0; 4]);
        let (_, answer) = answered(&request.bytes(), CLIENT).unwrap();
        let back = Packet {
            service: FROM_OTHER,
            ..answer
        };
        for from in ["203.0.113.8:1033", "203.0.113.7:1034"] {
            assert_eq!(answered(&back.bytes(), from), None, "{from}");
        }
        let blind = Packet {
            service: FROM_OTHER,
            ..request
        };
        assert_eq!(answered(&blind.bytes(), CLIENT), None);
        let elsewhere = Other {
            discard_port: 9,
            address: "192.0.2.66:7001".parse().unwrap(),
        };
        let scan = Packet {
            other: Some(elsewhere),
            ..back
        };
        assert_eq!(answered(&scan.bytes(), CLIENT), None);
    }

    #[test]
    fn other_packets_get_no_answer() {
        let request = Packet::request([0; 4]).bytes();
        assert!(answered(&request, CLIENT).is_some());
        for service in [0, 2, 4, 255] {
            let mut other = request;
            other[1] = service;
            assert_eq!(answered(&other, CLIENT), None, "service {service}");
        }
        for version in [0, 1, 3] {
            let mut other = request;
            other[0] = version;
            assert_eq!(answered(&other, CLIENT), None, "version {version}");
        }
        for len in 0..LEN {
            assert_eq!(answered(&request[..len], CLIENT), None, "{len} bytes");
        }
        assert_eq!(answered(&[0; 21], CLIENT), None);
        for from in ["203.0.113.7:53", "203.0.113.7:0", "255.255.255.255:5000"] {
            assert_eq!(answered(&request, from), None, "{from}");
        }
    }

    #[test]
    fn answers_are_limited_for_each_network_and_in_all() {
        let now = Instant::now();
        let mut quota = Quota::new(now);
        let mut ask = |last: u32, times: u32, now| {
            let ip = IpAddr::from((0x0a00_0000 + last).to_be_bytes());
            (0..times).filter(|_| quota.admits(ip, now)).count()
        };
        assert_eq!(ask(1, 1000, now), PER_NETWORK as usize);
        let others: usize = (2..1000).map(|last| ask(last, 1000, now)).sum();
        assert_eq!(others, (IN_ALL - PER_NETWORK) as usize);
        assert_eq!(ask(1, 1, now + WINDOW), 1);
        assert_eq!(quota.by_network.len(), 1);
    }
}
