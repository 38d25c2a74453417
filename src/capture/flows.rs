//! The connections of a capture: which packets belong together, and what each connection is.
//!
//! Whatever the capture holds, what is kept is bounded: connections that are no sessions are forgotten,
//! and of those that are, only what the verdict needs stays.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use super::connection::{Connection, Step};
use super::opening::Before;
use super::packet::Segment;
use super::session::Ended;
use super::verdict::{Found, Hops, Session};
use crate::address::MSNP_PORT;

/// The most connections that are known, what they are included.
const MOST_KNOWN: usize = 128 * 1024;

/// The most connections that are followed at once.
const MOST_OPEN: usize = 16 * 1024;

/// The most bytes that are kept of all connections while earlier ones are missing.
const MOST_HELD: usize = 32 * 1024 * 1024;

/// How many packets of a connection whose beginning was not captured are looked at.
const LOOKS: u8 = 16;

/// A connection's two ends, the smaller one first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    addresses: [u128; 2],
    ports: [u16; 2],
}

impl Key {
    fn of(from: SocketAddr, to: SocketAddr) -> Self {
        let number = |end: SocketAddr| match end.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let (from, to) = ((number(from), from.port()), (number(to), to.port()));
        let (low, high) = if from <= to { (from, to) } else { (to, from) };
        Self {
            addresses: [low.0, high.0],
            ports: [low.1, high.1],
        }
    }
}

/// What is known of a connection.
enum Known {
    /// It is followed.
    Open(Box<Connection>),
    /// Its beginning was not captured, and so many more of its packets are looked at.
    Unrecognised(u8),
    /// It is a session, and has been reported.
    Reported,
    /// It is nothing of interest.
    Other,
}

/// The table of connections.
#[derive(Default)]
pub(super) struct Flows {
    known: HashMap<Key, Known>,
    /// The connections that are followed, the oldest first; some have ended.
    open: VecDeque<(Key, u64)>,
    is_open: usize,
    held_bytes: usize,
    /// How many connections there were.
    connections: u64,
    /// Whether a session that was reported may have been forgotten.
    has_forgotten: bool,
}

impl Flows {
    /// Takes a segment; calls `report` with each session that has ended with it.
    pub(super) fn take(
        &mut self,
        segment: &Segment<'_>,
        at: Option<SystemTime>,
        report: &mut impl FnMut(Found),
    ) {
        let key = Key::of(segment.from, segment.to);
        if segment.syn {
            self.begin(key, segment, at, report);
        }
        let may_hold = self.held_bytes < MOST_HELD;
        let step = match self.known.get_mut(&key) {
            Some(Known::Other | Known::Reported) => return,
            Some(Known::Open(connection)) => {
                let before = connection.held_bytes();
                let step = connection.take(segment, may_hold);
                self.held_bytes = self.held_bytes + connection.held_bytes() - before;
                step
            }
            Some(Known::Unrecognised(looks)) if !segment.payload.is_empty() => {
                *looks -= 1;
                let is_last = *looks == 0;
                self.look(key, segment, at, is_last, report);
                return;
            }
            None if !segment.payload.is_empty() => {
                self.make_room(report);
                self.known.insert(key, Known::Unrecognised(LOOKS));
                self.look(key, segment, at, false, report);
                return;
            }
            _ => return,
        };
        self.settle(key, step, report);
    }

    /// Takes note of a fragment between two ends.
    pub(super) fn fragment(&mut self, from: SocketAddr, to: SocketAddr) {
        if let Some(Known::Open(connection)) = self.known.get_mut(&Key::of(from, to)) {
            connection.is_fragmented = true;
        }
    }

    /// Ends every connection, in the order of their beginnings.
    pub(super) fn finish(&mut self, report: &mut impl FnMut(Found)) {
        while let Some((key, number)) = self.open.pop_front() {
            self.end(key, number, None, report);
        }
    }

    /// Begins a connection with a SYN, which may be that of the answer alone.
    fn begin(
        &mut self,
        key: Key,
        segment: &Segment<'_>,
        at: Option<SystemTime>,
        report: &mut impl FnMut(Found),
    ) {
        let is_answer = segment.acknowledged.is_some();
        match self.known.get(&key) {
            Some(Known::Open(open)) if is_answer || open.syn == Some(segment.sequence) => return,
            // The same ports again.
            Some(Known::Open(open)) => {
                let number = open.number;
                self.end(key, number, None, report);
            }
            Some(_) if is_answer => return,
            _ => {}
        }
        let ends = match is_answer {
            true => [segment.to, segment.from],
            false => [segment.from, segment.to],
        };
        let mut connection = self.open(key, ends, at, report);
        if !is_answer {
            connection.syn = Some(segment.sequence);
        }
        self.known.insert(key, Known::Open(connection));
    }

    /// A new connection in the table's books.
    fn open(
        &mut self,
        key: Key,
        ends: [SocketAddr; 2],
        at: Option<SystemTime>,
        report: &mut impl FnMut(Found),
    ) -> Box<Connection> {
        self.make_room(report);
        self.connections += 1;
        self.is_open += 1;
        self.open.push_back((key, self.connections));
        Box::new(Connection::new(self.connections, ends, at))
    }

    /// Looks at a connection whose beginning was not captured.
    fn look(
        &mut self,
        key: Key,
        segment: &Segment<'_>,
        at: Option<SystemTime>,
        is_last: bool,
        report: &mut impl FnMut(Found),
    ) {
        let Segment { from, to, .. } = *segment;
        match looks_like(segment) {
            Look::Beginning => {
                let mut connection = self.open(key, [from, to], at, report);
                let step = connection.take(segment, true);
                self.held_bytes += connection.held_bytes();
                self.known.insert(key, Known::Open(connection));
                self.settle(key, step, report);
            }
            Look::Session { by_server, why } if !self.has_forgotten => {
                let ends = if by_server { [to, from] } else { [from, to] };
                let mut hops = Hops::default();
                *(if by_server {
                    &mut hops.server
                } else {
                    &mut hops.client
                }) = Some(Hops::of(segment.hops_left));
                self.connections += 1;
                let session = Session::new(self.connections, ends, why);
                self.known.insert(key, Known::Reported);
                report(Found::Session(session.with(Before::default(), hops, at)));
            }
            _ if is_last => {
                self.known.insert(key, Known::Other);
            }
            _ => {}
        }
    }

    fn settle(&mut self, key: Key, step: Step, report: &mut impl FnMut(Found)) {
        let now = match step {
            Step::Open => return,
            Step::Found(found) => {
                report(*found);
                Known::Reported
            }
            Step::Other => Known::Other,
        };
        if let Some(Known::Open(closed)) = self.known.insert(key, now) {
            self.is_open -= 1;
            self.held_bytes -= closed.held_bytes();
        }
    }

    /// Ends a connection that is followed, if it is that one still. `why` is the reason for a session
    /// that has none.
    fn end(&mut self, key: Key, number: u64, why: Option<Ended>, report: &mut impl FnMut(Found)) {
        let step = match self.known.get_mut(&key) {
            Some(Known::Open(open)) if open.number == number => {
                let before = open.held_bytes();
                let step = open.end(why);
                self.held_bytes = self.held_bytes + open.held_bytes() - before;
                step
            }
            _ => return,
        };
        self.settle(key, step, report);
    }

    /// Makes room for one more connection.
    fn make_room(&mut self, report: &mut impl FnMut(Found)) {
        while self.is_open >= MOST_OPEN
            && let Some((key, number)) = self.open.pop_front()
        {
            self.end(key, number, Some(Ended::TooMany), report);
        }
        if self.open.len() >= 4 * MOST_OPEN {
            let known = &self.known;
            self.open.retain(|(key, number)| {
                matches!(known.get(key), Some(Known::Open(open)) if open.number == *number)
            });
        }
        if self.known.len() >= MOST_KNOWN {
            self.known
                .retain(|_, known| matches!(known, Known::Open(_) | Known::Reported));
        }
        if self.known.len() >= MOST_KNOWN / 2 + MOST_OPEN {
            self.known
                .retain(|_, known| matches!(known, Known::Open(_)));
            self.has_forgotten = true;
        }
    }
}

/// What a packet looks like that is the first of its connection in the capture.
enum Look {
    /// The first command of a client.
    Beginning,
    /// Something from within a session with a notification server.
    Session { by_server: bool, why: Ended },
    /// Something else.
    Other,
}

fn looks_like(segment: &Segment<'_>) -> Look {
    let payload = segment.payload;
    let has_port = [segment.from, segment.to].map(|end| end.port() == MSNP_PORT);
    // The server's answer begins the same.
    if payload.starts_with(b"VER ") && !has_port[0] {
        return Look::Beginning;
    }
    if payload.starts_with(b"MSG Hotmail Hotmail ") {
        let (by_server, why) = (true, Ended::BeginsBefore);
        return Look::Session { by_server, why };
    }
    let [by_server, by_client] = has_port;
    if by_server == by_client {
        return Look::Other;
    }
    if matches!(payload, [0x14..=0x17, 3, ..]) {
        let why = Ended::Tls;
        return Look::Session { by_server, why };
    }
    // Those that switchboard servers know as well say nothing.
    const COMMANDS: &[u8] =
        b"ADC ADD BLP BPR CHG CHL CVR FLN GTC ILN LSG LST NLN NOT PNG PRP QNG QRY \
                              REM RNG SBP SBS SYN UBX UUX VER XFR ";
    let is_command = payload.first_chunk::<3>().is_some_and(|name| {
        let mut commands = COMMANDS.split(|byte| *byte == b' ');
        commands.any(|command| command == name)
    });
    let ends = matches!(payload.get(3), Some(b' ' | b'\r' | b'\n'));
    match is_command && ends {
        true => Look::Session {
            by_server,
            why: Ended::BeginsBefore,
        },
        false => Look::Other,
    }
}
