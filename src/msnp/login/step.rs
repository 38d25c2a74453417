//! What the login is given, and what it asks of its driver.

use super::{Account, Outgoing};
use crate::address::Address;
use crate::msnp::{Dialect, Profile};

/// What the login needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who logs in.
    pub account: Account,
    /// What to offer, best first; empty stands for MSNP9 and MSNP8.
    pub dialects: Vec<Dialect>,
    /// Whether to send one command at a time from the start; otherwise only after a server has
    /// refused several at once.
    pub lockstep: bool,
}

/// What the driver has to do next.
#[derive(Debug)]
pub enum Step {
    /// Read on.
    Wait,
    /// Send this, then read on.
    Send(Outgoing),
    /// Get a ticket for this policy, then call [`Login::ticket`](super::Login::ticket); read on meanwhile.
    NeedTicket(String),
    /// Close, connect there, then call [`Login::connected`](super::Login::connected).
    Refer(Address),
    /// Close, connect to the same address again, then call [`Login::connected`](super::Login::connected).
    Reconnect(Retry),
    /// Done.
    Profile(Profile),
}

/// Why the same server is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It did not accept three commands at once.
    Lockstep,
    /// It speaks none of the dialects offered; there are more.
    MoreDialects,
    /// It did not take the ticket of an earlier login; it may take a new one.
    NewTicket,
}
