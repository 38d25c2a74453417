//! A session with a switchboard server: who has it, and the invitations in it.

use std::net::SocketAddr;

use super::session::account;
use crate::invitation::{Invitation, find_invitations};
use crate::msnp::{Command, Decoder, Side};

/// The most invitations of one conversation that are kept.
const MOST: usize = 16;

/// The longest message of MSNSLP that is put together from its pieces, in bytes.
const LONGEST: usize = 8 * 1024;

/// The length of the binary header of a piece.
const HEADER: usize = 48;

/// A conversation with invitations in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The client's end.
    pub client: SocketAddr,
    /// The client's account, where its first command was captured.
    pub account: Option<String>,
    /// The invitations, each with whether the client sent it; else one of its contacts did.
    pub invitations: Vec<(bool, Invitation)>,
}

/// A conversation as far as it was captured.
pub(super) struct Switchboard {
    pub(super) account: Option<String>,
    pub(super) invitations: Vec<(bool, Invitation)>,
    /// Of the client and of the server.
    directions: [Direction; 2],
}

struct Direction {
    side: Side,
    decoder: Decoder,
    /// The beginning of a message of MSNSLP whose end has not come yet.
    begun: Vec<u8>,
}

impl Direction {
    fn new(side: Side) -> Self {
        let mut decoder = Decoder::new(side);
        decoder.resynchronise();
        Self {
            side,
            decoder,
            begun: Vec::new(),
        }
    }
}

impl Switchboard {
    pub(super) fn new() -> Self {
        Self {
            account: None,
            invitations: Vec::new(),
            directions: [Side::Client, Side::Server].map(Direction::new),
        }
    }

    /// Takes what comes next in a direction, of the client (0) or of the server (1).
    pub(super) fn take(&mut self, from: usize, data: &[u8]) {
        let Self {
            account: own,
            invitations,
            directions,
        } = self;
        let Some(direction) = directions.get_mut(from) else {
            return;
        };
        direction.decoder.feed(data);
        loop {
            match direction.decoder.decode() {
                Ok(None) => return,
                Ok(Some(command)) => {
                    if from == 0 && own.is_none() && matches!(command.name(), "USR" | "ANS") {
                        *own = account(command.exact_arg(1));
                    }
                    for invitation in message(&command, &mut direction.begun) {
                        if invitations.len() < MOST {
                            invitations.push((from == 0, invitation));
                        }
                    }
                }
                Err(_) => {
                    *direction = Direction::new(direction.side);
                    return;
                }
            }
        }
    }

    /// Takes note of bytes that are not there: the next command is looked for.
    pub(super) fn lost(&mut self, from: usize) {
        if let Some(direction) = self.directions.get_mut(from) {
            *direction = Direction::new(direction.side);
        }
    }
}

/// The invitations in a command. `begun` is a message whose end has not come yet.
fn message(command: &Command<'_>, begun: &mut Vec<u8>) -> Vec<Invitation> {
    let payload = command.payload();
    let has = |part: &[u8]| memchr::memmem::find(payload, part).is_some();
    if command.name() != "MSG" {
        return Vec::new();
    }
    if has(b"text/x-msmsgsinvite") {
        return find_invitations(payload);
    }
    if !has(b"application/x-msnmsgrp2p") {
        return Vec::new();
    }
    let body = memchr::memmem::find(payload, b"\r\n\r\n").and_then(|at| payload.get(at + 4..));
    let Some(piece) = body.and_then(Piece::of) else {
        return Vec::new();
    };
    // Other numbers are of sessions, whose pieces are data.
    if piece.session != 0 || piece.total > LONGEST as u64 {
        return Vec::new();
    }
    if piece.offset == 0 {
        begun.clear();
    } else if piece.offset != begun.len() as u64 {
        return Vec::new();
    }
    begun.extend_from_slice(piece.data);
    match begun.len() as u64 >= piece.total {
        true => find_invitations(&std::mem::take(begun)),
        false => Vec::new(),
    }
}

/// A piece of a message of MSNSLP (48 bytes of header, all numbers with their lowest byte first).
struct Piece<'a> {
    session: u32,
    offset: u64,
    total: u64,
    data: &'a [u8],
}

impl<'a> Piece<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        let (header, rest) = body.split_first_chunk::<HEADER>()?;
        let number =
            |at: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|byte| header[at + byte]));
        let [session, length] = [0, 24].map(|at| number(at) as u32);
        Some(Self {
            session,
            offset: number(8),
            total: number(16),
            data: rest.get(..length as usize)?,
        })
    }
}
