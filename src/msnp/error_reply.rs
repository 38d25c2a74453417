//! The three-digit errors.

use std::fmt;

/// An error's number, 100 to 999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorReply(pub u16);

/// What an error means for somebody who wants to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Account, password or ticket were refused.
    Credentials,
    /// The server is busy or down; trying later may help.
    Busy,
    /// The server failed, and trying again will hardly help.
    Server,
    /// The two ends do not understand each other.
    Protocol,
}

impl ErrorReply {
    /// The meaning in a few words (hypothetic.org, notification/errors; the wiki of yellows111).
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self.0 {
            200 => "syntax error",
            201 => "invalid parameter",
            205 => "no such account",
            206 => "the account's domain is missing",
            207 => "already signed in",
            208 => "bad account name",
            218 => "nothing to change",
            280 => "the switchboard failed",
            281 => "the transfer failed",
            302 => "not signed in",
            500 | 501 | 510 | 520 => "internal server error",
            502 => "the command is switched off",
            540 => "the challenge was answered wrongly",
            600 => "the server is busy",
            601 => "the server is unavailable",
            602 => "the peer server is down",
            603 => "the server's database is down",
            604 => "the server is going down",
            707 => "the server could not make a connection",
            711..=714 => "the server is overloaded or the account too active",
            715 => "the command was not expected now",
            800 => "too many commands in too short a time",
            910 | 921 | 922 => "the server is too busy to sign anybody in",
            911 => "the sign-in was refused",
            913 => "not allowed while offline",
            917 => "the account's domain was refused",
            918 | 919 => "internal error while signing in",
            920 => "no new accounts are taken",
            923 => "the account of a child has no parent's consent",
            924 => "the account's e-mail address is not confirmed",
            926 | 927 | 930 => "the account may not use this service",
            928 => "the ticket was refused",
            931 => "the account lives on another server",
            _ => "an error without a known meaning",
        }
    }

    /// What the error means for the login.
    #[must_use]
    pub const fn class(self) -> ErrorClass {
        match self.0 {
            205..=208 | 911 | 917 | 923 | 924 | 926 | 927 | 928 | 930 => ErrorClass::Credentials,
            500 | 501 | 510 | 520 | 600..=604 | 707 | 711..=714 | 800 | 910 | 921 | 922 => {
                ErrorClass::Busy
            }
            200 | 201 | 302 | 502 | 540 | 715 => ErrorClass::Protocol,
            _ => ErrorClass::Server,
        }
    }

    /// Whether the code may mean no more than that commands came before their turn: sending them
    /// one by one is worth a try.
    #[must_use]
    pub const fn may_reject_pipelining(self) -> bool {
        matches!(self.0, 200 | 201 | 302 | 502 | 715 | 800)
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {} ({})", self.0, self.meaning())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_that_decide_an_exit_code_hold() {
        for code in [205, 206, 208, 911, 917, 928] {
            assert_eq!(ErrorReply(code).class(), ErrorClass::Credentials, "{code}");
        }
        for code in [500, 600, 601, 602, 910, 921] {
            assert_eq!(ErrorReply(code).class(), ErrorClass::Busy, "{code}");
        }
        assert_eq!(ErrorReply(715).class(), ErrorClass::Protocol);
        assert_eq!(ErrorReply(931).class(), ErrorClass::Server);
        assert_eq!(ErrorReply(999).class(), ErrorClass::Server);
    }
}
