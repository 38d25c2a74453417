//! One connection: its two directions, what is said on it, and what that comes to.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::conversation::{Conversation, Switchboard};
use super::opening::{Before, Opening, Protocol};
use super::packet::Segment;
use super::reassembly::{Lost, Piece, Reassembly};
use super::session::{Ended, Login};
use super::verdict::{Found, Hops, Session};
use crate::address::MSNP_PORT;

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// A connection that is followed.
pub(super) struct Connection {
    pub(super) number: u64,
    /// Those of the client and of the server.
    ends: [SocketAddr; 2],
    /// The number of the client's SYN, where it was captured.
    pub(super) syn: Option<u32>,
    started_at: Option<SystemTime>,
    streams: [Reassembly; 2],
    finished: [bool; 2],
    hops: Hops,
    pub(super) is_fragmented: bool,
    content: Content,
}

/// What is said on it.
enum Content {
    Opening(Opening),
    Login(Before, Box<Login>),
    Conversation(Box<Switchboard>),
}

/// What a step of a connection comes to.
pub(super) enum Step {
    /// It goes on.
    Open,
    /// It is a session or a conversation, and this is what is known of it.
    Found(Box<Found>),
    /// It is nothing of interest.
    Other,
}

impl Connection {
    pub(super) fn new(number: u64, ends: [SocketAddr; 2], started_at: Option<SystemTime>) -> Self {
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

    pub(super) fn held_bytes(&self) -> usize {
        self.streams.iter().map(Reassembly::held_bytes).sum()
    }

    pub(super) fn take(&mut self, segment: &Segment<'_>, may_hold: bool) -> Step {
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
    pub(super) fn end(&mut self, why: Option<Ended>) -> Step {
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
            (Content::Conversation(_), _) => Decided::Conversation,
            (Content::Opening(_), _) => Decided::Other,
        });
        self.step(decided)
    }

    fn step(&mut self, decided: Decided) -> Step {
        let why = match decided {
            Decided::Other => return Step::Other,
            Decided::Conversation => return self.conversation(),
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
            Content::Conversation(_) => return Step::Other,
            Content::Login(before, login) => Session {
                dialect: login.dialect,
                account: login.account.clone(),
                ticket: login.ticket.clone(),
                profile: match &login.outcome {
                    Some(Ok(profile)) => Ok(profile.clone()),
                    _ => Err(Ended::CaptureEnds),
                },
                ..session.with(*before, self.hops, self.started_at)
            },
        };
        Step::Found(Box::new(Found::Session(match why {
            Some(why) => Session {
                profile: Err(why),
                ..session
            },
            None => session,
        })))
    }

    /// The conversation, if there is an invitation in it.
    fn conversation(&mut self) -> Step {
        match &mut self.content {
            Content::Conversation(said) if !said.invitations.is_empty() => {
                Step::Found(Box::new(Found::Conversation(Conversation {
                    client: self.ends[CLIENT],
                    account: said.account.take(),
                    invitations: std::mem::take(&mut said.invitations),
                })))
            }
            _ => Step::Other,
        }
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
    Conversation,
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
                    Protocol::Switchboard => {
                        *self = Self::Conversation(Box::new(Switchboard::new()));
                        let client = self.take(CLIENT, Piece::Data(&client));
                        client.or_else(|| self.take(SERVER, Piece::Data(&server)))
                    }
                    Protocol::Tls => Some(Decided::Ended(Ended::Tls)),
                    Protocol::Gateway => Some(Decided::Ended(Ended::Gateway)),
                    Protocol::Other => Some(Decided::Other),
                }
            }
            (Self::Opening(_), Piece::Lost(why)) => Some(Decided::Ended(Ended::Lost(why))),
            (Self::Conversation(said), piece) => {
                match piece {
                    Piece::Data(data) => said.take(from, data),
                    Piece::Lost(_) => said.lost(from),
                }
                None
            }
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
