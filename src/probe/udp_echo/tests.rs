//! The tests over a simulated path, in simulated time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::*;
use crate::conntype::UdpLabel;
use crate::msnp::udp_echo::ECHO;

const A: &str = "203.0.113.80:7001";
const B: &str = "198.51.100.9:7001";
const LOCAL: &str = "192.168.1.5:5000";

fn at(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

/// What arrives in place of an answer; from another sender, where one is named.
type Twist = fn(Packet) -> Vec<(Option<&'static str>, Vec<u8>)>;

/// How the path behaves.
#[derive(Clone, Copy)]
struct Path {
    round_trip: Duration,
    /// Whether the outside address is the local one.
    is_open: bool,
    /// Whether the outside port depends on the destination.
    is_symmetric: bool,
    /// Whether an answer from a port that nothing was sent to passes.
    passes_other: bool,
    /// Whether anything passes to each of the server's addresses.
    passes: [bool; 2],
    /// How many packets of each socket are lost at first.
    loses: u32,
    /// What the server does to its answers.
    twist: Twist,
}

const PATH: Path = Path {
    round_trip: Duration::from_millis(20),
    is_open: false,
    is_symmetric: false,
    passes_other: true,
    passes: [true; 2],
    loses: 0,
    twist: |packet| vec![(None, packet.bytes().to_vec())],
};

type Arrival = (Instant, SocketAddr, Vec<u8>);

/// A socket on a path.
struct Simulated {
    path: Path,
    outside_port: u16,
    sent: RefCell<Vec<(SocketAddrV4, Vec<u8>)>>,
    lost: Cell<u32>,
    arrivals: RefCell<VecDeque<Arrival>>,
    wake: Notify,
}

impl Simulated {
    fn new(path: Path, outside_port: u16) -> Self {
        Self {
            path,
            outside_port,
            sent: RefCell::default(),
            lost: Cell::new(0),
            arrivals: RefCell::default(),
            wake: Notify::new(),
        }
    }

    fn outside(&self, to: SocketAddrV4) -> SocketAddrV4 {
        match self.path.is_open {
            true => at(LOCAL),
            false => {
                let shift = u16::from(self.path.is_symmetric && to == at(B));
                SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 7), self.outside_port + shift)
            }
        }
    }
}

impl Wire for Simulated {
    async fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let SocketAddr::V4(to) = to else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        self.sent.borrow_mut().push((to, bytes.to_vec()));
        let Some(packet) = Packet::parse(bytes) else {
            return Ok(());
        };
        if self.lost.get() < self.path.loses {
            self.lost.set(self.lost.get() + 1);
            return Ok(());
        }
        if !self.path.passes[usize::from(to == at(B))] {
            return Ok(());
        }
        let is_other = packet.service == FROM_OTHER;
        if is_other && !self.path.passes_other {
            return Ok(());
        }
        let other = if to == at(A) { B } else { A };
        let answer = Packet {
            service: ECHO,
            client: self.outside(to),
            other: Some(Other {
                discard_port: 9,
                address: at(other),
            }),
            ..packet
        };
        let from = if is_other { at(other) } else { to };
        for (forged, bytes) in (self.path.twist)(answer) {
            let from = forged.map_or(from, at);
            let when = Instant::now() + self.path.round_trip;
            self.arrivals
                .borrow_mut()
                .push_back((when, from.into(), bytes));
        }
        self.wake.notify_one();
        Ok(())
    }

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let next = self.arrivals.borrow().front().map(|arrival| arrival.0);
            match next {
                Some(when) => sleep_until(when).await,
                None => {
                    self.wake.notified().await;
                    continue;
                }
            }
            if let Some((_, from, bytes)) = self.arrivals.borrow_mut().pop_front() {
                let len = bytes.len().min(buffer.len());
                buffer[..len].copy_from_slice(&bytes[..len]);
                return Ok((len, from));
            }
        }
    }

    async fn connect(&mut self, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }
}

async fn tested(path: Path) -> (UdpEvidence, Duration) {
    let began = Instant::now();
    let (mut mapping, filtering) = (Simulated::new(path, 6000), Simulated::new(path, 6100));
    let evidence = run(&mut mapping, &filtering, at(A), at(LOCAL)).await;
    (evidence.unwrap(), began.elapsed())
}

/// Paths and their labels.
fn paths() -> [(Path, UdpLabel); 5] {
    [
        (
            Path {
                is_open: true,
                ..PATH
            },
            UdpLabel::DirectConnect,
        ),
        (PATH, UdpLabel::IpRestrictNat),
        (
            Path {
                passes_other: false,
                ..PATH
            },
            UdpLabel::PortRestrictNat,
        ),
        (
            Path {
                passes_other: false,
                is_symmetric: true,
                ..PATH
            },
            UdpLabel::SymmetricNat,
        ),
        (
            Path {
                passes_other: false,
                passes: [true, false],
                ..PATH
            },
            UdpLabel::UnknownConnect,
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_path_has_its_label_within_two_seconds() {
    for (path, want) in paths() {
        for milliseconds in [0, 1, 20, 100, 249, 251, 300] {
            let round_trip = Duration::from_millis(milliseconds);
            let (evidence, took) = tested(Path { round_trip, ..path }).await;
            assert_eq!(evidence.label(), want, "{milliseconds} ms: {evidence:?}");
            assert!(took < Duration::from_secs(2), "{want}: {took:?}");
            // Beyond that the request is sent again, and its second answer is not needed.
            if milliseconds < 250 {
                assert_eq!(evidence.ignored, 0, "{evidence:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_firewall_within_four_seconds() {
    let (evidence, took) = tested(Path {
        passes: [false; 2],
        ..PATH
    })
    .await;
    assert_eq!(evidence.label(), UdpLabel::Firewall);
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_or_lossy_path_has_the_same_labels() {
    for (path, want) in paths() {
        for milliseconds in [600, 1200] {
            let round_trip = Duration::from_millis(milliseconds);
            let (evidence, _) = tested(Path { round_trip, ..path }).await;
            assert_eq!(evidence.label(), want, "{milliseconds} ms: {evidence:?}");
        }
        for loses in [1, 2, 3] {
            let (evidence, _) = tested(Path { loses, ..path }).await;
            assert_eq!(evidence.label(), want, "{loses} lost: {evidence:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_either_socket_is_no_firewall() {
    let deaf = Path { loses: 9, ..PATH };
    let (mut mapping, filtering) = (Simulated::new(deaf, 6000), Simulated::new(PATH, 6100));
    let evidence = run(&mut mapping, &filtering, at(A), at(LOCAL)).await;
    assert_eq!(evidence.unwrap().label(), UdpLabel::IpRestrictNat);
    let (mut mapping, filtering) = (Simulated::new(PATH, 6000), Simulated::new(deaf, 6100));
    let evidence = run(&mut mapping, &filtering, at(A), at(LOCAL)).await;
    // Test 2 did not take place, so what it would have shown is not known.
    assert_eq!(evidence.unwrap().label(), UdpLabel::UnknownConnect);
}

#[tokio::test(start_paused = true)]
async fn what_answers_no_request_is_ignored_and_counted() {
    let forged: Twist = |packet| {
        let good = packet.bytes().to_vec();
        let lie = Packet {
            client: at(LOCAL),
            ..packet
        };
        let other_number = Packet {
            transaction: packet.transaction.map(|byte| !byte),
            ..lie
        };
        vec![
            (Some("192.0.2.66:7001"), lie.bytes().to_vec()),
            (None, other_number.bytes().to_vec()),
            (None, lie.bytes()[..19].to_vec()),
            (None, [&lie.bytes()[..], &[0]].concat()),
            (None, Vec::new()),
            (None, [&[3], &lie.bytes()[1..]].concat()),
            (None, good.clone()),
            // Twice: the second is late for its own test.
            (None, good),
        ]
    };
    for (path, want) in paths() {
        let path = Path {
            twist: forged,
            ..path
        };
        let (evidence, _) = tested(path).await;
        assert_eq!(evidence.label(), want, "{evidence:?}");
        assert!(evidence.ignored >= 6, "{evidence:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn packets_go_to_no_other_address_than_the_servers() {
    for other in [
        "203.0.113.80:7001",
        "192.168.1.1:7001",
        "127.0.0.1:7001",
        "255.255.255.255:7001",
        "224.0.0.1:7001",
        "198.51.100.9:0",
        "198.51.100.9:9",
    ] {
        let packet = Packet {
            other: Some(Other {
                discard_port: 9,
                address: at(other),
            }),
            ..Packet::request([0; 4])
        };
        assert_eq!(usable(&packet, at(A)), None, "{other}");
    }
    let (mut mapping, filtering) = (Simulated::new(PATH, 6000), Simulated::new(PATH, 6100));
    run(&mut mapping, &filtering, at(A), at(LOCAL))
        .await
        .unwrap();
    let sent = filtering.sent.borrow();
    let to: Vec<_> = sent.iter().map(|(to, _)| to.to_string()).collect();
    assert_eq!(to, [A, "198.51.100.9:9", A]);
    assert!(sent[1].1.is_empty());
    let (first, second) = (&sent[0].1, &sent[2].1);
    assert_ne!(first[16..], second[16..], "the numbers are the same");
}
