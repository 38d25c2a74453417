//! The challenge (`CHL`), which tells living clients from dead connections.

use std::io::Write as _;

use crate::msnp::{Command, challenge};

/// The state of the challenges to one client.
#[derive(Debug, Default)]
pub(super) struct Challenge {
    state: State,
    /// Whether the client has ever answered one.
    has_answered: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    NotSent,
    /// Waits for the answer to these twenty digits.
    Pending(u128),
    Answered,
}

impl Challenge {
    /// Sends the first challenge, unless it was sent.
    pub(super) fn send_first(&mut self, nonce: u128, out: &mut Vec<u8>) {
        if matches!(self.state, State::NotSent) {
            self.send(nonce, out);
        }
    }

    /// Sends another challenge to a client that has answered before, and returns false if it has not
    /// answered the previous one. The silence of a client that never answers means nothing.
    pub(super) fn send_again(&mut self, nonce: u128, out: &mut Vec<u8>) -> bool {
        let is_answered = matches!(self.state, State::Answered);
        if is_answered {
            self.send(nonce, out);
        }
        is_answered || !self.has_answered
    }

    fn send(&mut self, nonce: u128, out: &mut Vec<u8>) {
        let digits = nonce % 10_u128.pow(20);
        self.state = State::Pending(digits);
        let _ = write!(out, "CHL 0 {digits:020}\r\n");
    }

    /// Whether `QRY t product 32` and its payload may be a correct answer.
    pub(super) fn verify(&mut self, command: &Command<'_>) -> bool {
        let State::Pending(digits) = self.state else {
            return false;
        };
        let product = command.arg(1).unwrap_or_default();
        if !challenge::is_plausible(&format!("{digits:020}"), &product, command.payload()) {
            return false;
        }
        self.state = State::Answered;
        self.has_answered = true;
        true
    }
}
