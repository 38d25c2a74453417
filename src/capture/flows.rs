//! The connections of a capture: which packets belong together, and what each connection is.
//!
//! Whatever the capture holds, what is kept is bounded: connections that are no sessions are forgotten,
//! and of those that are, only what the verdict needs stays.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use super::opening::{Before, Opening, Protocol};
use super::packet::Segment;
use super::reassembly::{Lost, Piece, Reassembly};
use super::session::{Ended, Login};
use super::verdict::{Hops, Session};
use crate::address::MSNP_PORT;

/// The most connections that are known, what they are included.
const MOST_KNOWN: usize = 128 * 1024;

/// The most connections that are followed at once.
const MOST_OPEN: usize = 16 * 1024;

/// The most bytes that are kept of all connections while earlier ones are missing.
const MOST_HELD: usize = 32 * 1024 * 1024;

/// How many packets of a connection whose beginning was not captured are looked at.
const LOOKS: u8 = 16;

const CLIENT: usize = 0;
const SERVER: usize = 1;

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

/// A connection that is followed.
struct Connection {
    number: u64,
    /// Those of the client and of the server.
    ends: [SocketAddr; 2],
    /// The number of the client's SYN, where it was captured.
    syn: Option<u32>,
    started_at: Option<SystemTime>,
    streams: [Reassembly; 2],
    finished: [bool; 2],
    hops: Hops,
    is_fragmented: bool,
    content: Content,
}

/// What is said on it.
enum Content {
    Opening(Opening),
    Login(Before, Box<Login>),
}

/// What a step of a connection comes to.
enum Step {
    /// It goes on.
    Open,
    /// It is a session, and this is what is known of it.
    Session(Box<Session>),
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
        report: &mut impl FnMut(Session),
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
    pub(super) fn finish(&mut self, report: &mut impl FnMut(Session)) {
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
        report: &mut impl FnMut(Session),
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
        report: &mut impl FnMut(Session),
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
        report: &mut impl FnMut(Session),
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
                report(session.with(Before::default(), hops, at));
            }
            _ if is_last => {
                self.known.insert(key, Known::Other);
            }
            _ => {}
        }
    }

    fn settle(&mut self, key: Key, step: Step, report: &mut impl FnMut(Session)) {
        let now = match step {
            Step::Open => return,
            Step::Session(session) => {
                report(*session);
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
    fn end(&mut self, key: Key, number: u64, why: Option<Ended>, report: &mut impl FnMut(Session)) {
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
    fn make_room(&mut self, report: &mut impl FnMut(Session)) {
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

impl Connection {
    fn new(number: u64, ends: [SocketAddr; 2], started_at: Option<SystemTime>) -> Self {
        Self {
            number,
            ends,
            syn: None,
            started_at,
            streams: Default::default(),
            finished: [false; 2],
            hops: Hops::default(),
            is_fragmented: false,
            content: Content::Opening(Opening::default()),
        }
    }

    fn held_bytes(&self) -> usize {
        self.streams.iter().map(Reassembly::held_bytes).sum()
    }

    fn take(&mut self, segment: &Segment<'_>, may_hold: bool) -> Step {
        let from = match segment.from == self.ends[CLIENT] {
            true => CLIENT,
            false => SERVER,
        };
        let hops = match from {
            CLIENT => &mut self.hops.client,
            _ => &mut self.hops.server,
        };
        hops.get_or_insert(Hops::of(segment.hops_left));
        if segment.rst {
            self.finished = [true; 2];
            return self.end(None);
        }
        let first = segment.sequence.wrapping_add(u32::from(segment.syn));
        if segment.syn || (from == CLIENT && !segment.payload.is_empty()) {
            self.streams[from].begin(first);
        }
        // What the other end expects is where this one's bytes begin.
        if let Some(next) = segment.acknowledged {
            self.streams[1 - from].begin(next);
        }
        let Self {
            streams, content, ..
        } = self;
        let mut decided = None;
        let mut pass = |piece: Piece<'_>| {
            if decided.is_none() {
                decided = content.take(from, piece);
            }
        };
        let Segment {
            payload, missing, ..
        } = *segment;
        streams[from].take(first, payload, missing, may_hold, &mut pass);
        if let Some(decided) = decided {
            return self.step(decided);
        }
        self.finished[from] |= segment.fin;
        match self.finished == [true; 2] && self.held_bytes() == 0 {
            true => self.end(None),
            false => Step::Open,
        }
    }

    /// The connection ends, or the capture does.
    fn end(&mut self, why: Option<Ended>) -> Step {
        let Self {
            streams, content, ..
        } = self;
        let mut decided = None;
        for from in [CLIENT, SERVER] {
            streams[from].flush(&mut |piece| {
                if decided.is_none() {
                    decided = content.take(from, piece);
                }
            });
        }
        let is_closed = self.finished.contains(&true);
        let decided = decided.unwrap_or_else(|| match (&self.content, why) {
            (Content::Login(..), Some(why)) => Decided::Ended(why),
            (Content::Login(_, login), None) => Decided::Ended(login.at_end(is_closed)),
            (Content::Opening(_), _) => Decided::Other,
        });
        self.step(decided)
    }

    fn step(&self, decided: Decided) -> Step {
        let why = match decided {
            Decided::Other => return Step::Other,
            Decided::Profile => None,
            Decided::Ended(Ended::Tls | Ended::Lost(_)) if !self.may_be_msnp() => {
                return Step::Other;
            }
            Decided::Ended(
                Ended::Lost(Lost::Gap(_)) | Ended::Closed { .. } | Ended::CaptureEnds,
            ) if self.is_fragmented => Some(Ended::Fragments),
            Decided::Ended(why) => Some(why),
        };
        let session = Session::new(self.number, self.ends, Ended::CaptureEnds);
        let session = match &self.content {
            Content::Opening(opening) => session.with(opening.before, self.hops, self.started_at),
            Content::Login(before, login) => Session {
                dialect: login.dialect,
                account: login.account.clone(),
                profile: match &login.outcome {
                    Some(Ok(profile)) => Ok(profile.clone()),
                    _ => Err(Ended::CaptureEnds),
                },
                ..session.with(*before, self.hops, self.started_at)
            },
        };
        Step::Session(Box::new(match why {
            Some(why) => Session {
                profile: Err(why),
                ..session
            },
            None => session,
        }))
    }

    /// Whether a connection of which nothing can be read may be one of MSNP.
    fn may_be_msnp(&self) -> bool {
        matches!(self.content, Content::Login(..)) || self.ends[SERVER].port() == MSNP_PORT
    }
}

/// What a connection turns out to be.
enum Decided {
    Profile,
    Ended(Ended),
    Other,
}

impl Content {
    /// Takes what comes next in a direction.
    fn take(&mut self, from: usize, piece: Piece<'_>) -> Option<Decided> {
        match (&mut *self, piece) {
            (Self::Opening(opening), Piece::Data(data)) => {
                match from {
                    CLIENT => opening.client.extend_from_slice(data),
                    _ => opening.server.extend_from_slice(data),
                }
                let protocol = opening.decide()?;
                let Opening {
                    client,
                    server,
                    before,
                } = std::mem::take(opening);
                match protocol {
                    Protocol::Notification => {
                        *self = Self::Login(before, Box::new(Login::new()));
                        let client = self.take(CLIENT, Piece::Data(&client));
                        client.or_else(|| self.take(SERVER, Piece::Data(&server)))
                    }
                    Protocol::Tls => Some(Decided::Ended(Ended::Tls)),
                    Protocol::Gateway => Some(Decided::Ended(Ended::Gateway)),
                    Protocol::Switchboard | Protocol::Other => Some(Decided::Other),
                }
            }
            (Self::Opening(_), Piece::Lost(why)) => Some(Decided::Ended(Ended::Lost(why))),
            (Self::Login(_, login), piece) => {
                match (from, piece) {
                    (CLIENT, Piece::Data(data)) => login.of_client(data),
                    (CLIENT, Piece::Lost(_)) => login.lost_of_client(),
                    (_, Piece::Data(data)) => login.of_server(data),
                    (_, Piece::Lost(why)) => login.lost(why),
                }
                login.outcome.as_ref().map(|outcome| match outcome {
                    Ok(_) => Decided::Profile,
                    Err(why) => Decided::Ended(why.clone()),
                })
            }
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
