//! Why a command ends without a result.

use std::fmt::Display;
use std::io;

use crate::failure::ErrorCode;

/// Why a command ends without a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The command line, the environment or a file that they name is wrong.
    #[error("{0}")]
    Usage(String),
    /// A signal ended the run before there was anything to report.
    #[error("interrupted")]
    Interrupted(ErrorCode),
    /// The loopback interface cannot be used.
    #[error("{0}")]
    Loopback(String),
    /// The server cannot start.
    #[error("{message}")]
    Serve { code: ErrorCode, message: String },
    /// The answer is no.
    #[error("{0}")]
    Refused(String),
    /// The file or the stream for the result does not take it.
    #[error("cannot write the result to {to}: {why}")]
    Output { to: String, why: io::Error },
    /// What cannot happen has happened: a bug in this program.
    #[error("{0:#}")]
    Bug(#[from] anyhow::Error),
}

impl CommandError {
    /// Something that the command needs was not given, or does not go with the rest.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// Where a result goes does not take it.
    pub(super) fn unwritten(to: impl Display, why: io::Error) -> Self {
        let to = to.to_string();
        Self::Output { to, why }
    }

    /// The value of an option is wrong; `option` names it or the variable that it came from.
    pub(super) fn value(option: impl Display, why: impl Display) -> Self {
        Self::Usage(format!("{option}: {why}"))
    }
}
