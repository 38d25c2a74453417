//! Why `serve` cannot start, in terms of its options.

use std::io;
use std::path::PathBuf;

use crate::failure::ErrorCode;
use crate::server::ServerError;

/// Why `serve` cannot start.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ServeError {
    /// The options are contradictory or incomplete.
    #[error("{0}")]
    Usage(String),
    /// The file that an option, or the variable in its place, names is unusable.
    #[error("{option} {}: {reason}", path.display())]
    File {
        option: String,
        path: PathBuf,
        reason: String,
    },
    /// The server cannot start.
    #[error(transparent)]
    Server(ServerError),
    /// The limit of open files is too low.
    #[error("the limit of open files is {files}; serve needs at least {needed}")]
    OpenFiles { files: usize, needed: usize },
    /// Writing the addresses to stdout failed.
    #[error("cannot write the result: {0}")]
    Output(io::Error),
    /// An operation of the operating system failed.
    #[error("{operation}: {reason}")]
    System {
        operation: &'static str,
        reason: io::Error,
    },
}

impl ServeError {
    /// Whether the command line, or a file it names, is wrong.
    pub(in crate::cli) const fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::File { .. } => true,
            Self::Server(ServerError::Listen { .. } | ServerError::NoRandomness)
            | Self::OpenFiles { .. }
            | Self::Output(_)
            | Self::System { .. } => false,
            Self::Server(_) => true,
        }
    }

    /// The code for programs.
    pub(in crate::cli) const fn code(&self) -> ErrorCode {
        match self {
            Self::Server(ServerError::Listen { .. }) => ErrorCode::CannotListen,
            Self::Server(ServerError::NoRandomness) => ErrorCode::NoRandomness,
            Self::OpenFiles { .. } => ErrorCode::TooFewOpenFiles,
            _ => ErrorCode::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_named() {
        let error = ServeError::Server(ServerError::Listen {
            service: "notification",
            address: "127.0.0.1:1863".parse().unwrap(),
            reason: io::ErrorKind::AddrInUse.into(),
        });
        let text = error.to_string();
        assert!(text.contains("127.0.0.1:1863 (notification)"), "{text}");
        assert_eq!(error.code(), ErrorCode::CannotListen);
        assert!(!error.is_usage());
    }
}
