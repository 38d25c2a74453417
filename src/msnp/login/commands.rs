//! The commands that a client sends to log in.

use super::Account;
use crate::msnp::Dialect;
use crate::secret::{ExposeSecret, SecretSlice, SecretString};

/// Bytes to send, and what may be logged of them.
#[derive(Debug)]
pub struct Outgoing {
    bytes: SecretSlice<u8>,
    names: &'static str,
}

impl Outgoing {
    pub(super) fn new(text: String, names: &'static str) -> Self {
        Self {
            bytes: SecretSlice::from(text.into_bytes()),
            names,
        }
    }

    /// The bytes; they may hold a ticket.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.expose_secret()
    }

    /// The commands' names, for a log.
    #[must_use]
    pub const fn names(&self) -> &'static str {
        self.names
    }
}

/// `VER`: the dialects offered.
pub(super) fn ver(trid: u32, offered: &[Dialect]) -> String {
    let offered: Vec<_> = offered.iter().map(Dialect::to_string).collect();
    format!("VER {trid} {} CVR0\r\n", offered.join(" "))
}

/// `CVR`: the client's version, one that servers accept.
pub(super) fn cvr(trid: u32, account: &Account) -> String {
    format!("CVR {trid} 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS {account}\r\n")
}

/// `USR I`: the account.
pub(super) fn usr(trid: u32, account: &Account) -> String {
    format!("USR {trid} TWN I {account}\r\n")
}

/// `USR S`: the ticket.
pub(super) fn usr_ticket(trid: u32, ticket: &SecretString) -> String {
    format!("USR {trid} TWN S {}\r\n", ticket.expose_secret())
}
