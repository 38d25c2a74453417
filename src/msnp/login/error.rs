//! Why a login cannot go on.

use std::fmt;

use super::MAX_REFERRALS;
use crate::address::{Address, BadAddress};
use crate::msnp::ErrorReply;

/// What the login was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginStage {
    /// The answer to VER.
    Version,
    /// The answer to CVR.
    ClientVersion,
    /// The answer to USR I.
    Account,
    /// The ticket, from the login server.
    Ticket,
    /// The answer to USR S.
    SignIn,
    /// The profile.
    Profile,
}

impl fmt::Display for LoginStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "the answer to VER",
            Self::ClientVersion => "the answer to CVR",
            Self::Account => "the answer to USR (account)",
            Self::Ticket => "the ticket",
            Self::SignIn => "the answer to USR (ticket)",
            Self::Profile => "the profile",
        })
    }
}

/// Why a login cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// No dialect in common.
    #[error("the server speaks none of {offered} (it answered {})", answered.as_deref().unwrap_or("nothing"))]
    NoDialect {
        /// What we offered last.
        offered: String,
        /// The first word of its answer.
        answered: Option<String>,
    },
    /// An error reply.
    #[error("the server answered {code} instead of {stage}")]
    Refused {
        /// The error.
        code: ErrorReply,
        /// What we waited for.
        stage: LoginStage,
    },
    /// An answer to another transaction.
    #[error("the server's {command} answers transaction {}, not {expected}", got.as_deref().unwrap_or("none"))]
    WrongTrid {
        /// The command.
        command: String,
        /// The transaction id we sent.
        expected: u32,
        /// What came back.
        got: Option<String>,
    },
    /// A command that lacks a required part.
    #[error("the server's {command} cannot be used: {what}")]
    Malformed {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Another authentication scheme than TWN.
    #[error("the server requires the authentication scheme '{scheme}', not TWN")]
    OtherScheme {
        /// Its name.
        scheme: String,
    },
    /// A referral to a server that was asked before.
    #[error("the server refers to {to}, which was asked before")]
    ReferralLoop {
        /// That address.
        to: Address,
    },
    /// One referral after another.
    #[error("more than {MAX_REFERRALS} referrals")]
    TooManyReferrals,
    /// A referral to no address.
    #[error("the server refers to an invalid address: {0}")]
    BadReferral(#[from] BadAddress),
    /// `OUT`.
    #[error("the server ended the session (OUT{})", reason.as_deref().map(|r| format!(" {r}")).unwrap_or_default())]
    SignedOut {
        /// `OTH` for signed in elsewhere, `SSD` for shutting down.
        reason: Option<String>,
    },
    /// The end of the connection.
    #[error("the server closed the connection {} {stage}", if *midway { "in the middle of a command, before" } else { "before" })]
    Closed {
        /// What we waited for.
        stage: LoginStage,
        /// Whether a command had begun.
        midway: bool,
    },
    /// More commands than any server sends before the profile.
    #[error("the server sends command after command and no profile")]
    TooManyCommands,
}
