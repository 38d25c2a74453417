//! The challenge (`CHL`), which tells living clients from dead connections.

use std::io::Write as _;

use crate::msnp::{Command, challenge};

/// The state of the challenges to one client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Challenge {
    #[default]
    NotSent,
    /// Waits for the answer to these twenty digits.
    Pending {
        digits: u128,
        /// Whether the client has answered an earlier one.
        has_answered: bool,
    },
    Answered,
}

impl Challenge {
    /// Sends the first challenge, unless it was sent.
    pub(super) fn send_first(&mut self, nonce: u128, out: &mut Vec<u8>) {
        if matches!(self, Self::NotSent) {
            self.send(nonce, out);
        }
    }

    /// Sends another challenge to a client that has answered before, and returns false if it has not
    /// answered the previous one. The silence of a client that never answers means nothing.
    pub(super) fn send_again(&mut self, nonce: u128, out: &mut Vec<u8>) -> bool {
        match self {
            Self::NotSent => true,
            Self::Pending { has_answered, .. } => !*has_answered,
            Self::Answered => {
                self.send(nonce, out);
                true
            }
        }
    }

    fn send(&mut self, nonce: u128, out: &mut Vec<u8>) {
        let digits = nonce % 10_u128.pow(20);
        let has_answered = matches!(self, Self::Answered);
        *self = Self::Pending {
            digits,
            has_answered,
        };
        let _ = write!(out, "CHL 0 {digits:020}\r\n");
    }

    /// Whether `QRY t product 32` and its payload may be a correct answer.
    pub(super) fn verify(&mut self, command: &Command<'_>) -> bool {
        let Self::Pending { digits, .. } = *self else {
            return false;
        };
        let product = command.arg(1).unwrap_or_default();
        if !challenge::is_plausible(&format!("{digits:020}"), &product, command.payload()) {
            return false;
        }
        *self = Self::Answered;
        true
    }
}
