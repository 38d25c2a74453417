//! Why `serve` cannot start, in terms of its options.

use std::io;
use std::path::PathBuf;

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

    /// The stable code for programs.
    pub(in crate::cli) const fn code(&self) -> &'static str {
        match self {
            Self::Server(ServerError::Listen { .. }) => "cannot-listen",
            Self::Server(ServerError::NoRandomness) => "no-randomness",
            Self::Usage(_) | Self::File { .. } | Self::Server(_) => "usage",
            Self::OpenFiles { .. } => "too-few-open-files",
            Self::Output(_) => "output",
            Self::System { .. } => "system",
        }
    }

    /// What to do about it.
    pub(in crate::cli) fn remedy(&self) -> &'static str {
        match self {
            Self::Server(ServerError::Listen { reason, .. }) => match reason.kind() {
                io::ErrorKind::AddrInUse => {
                    "stop the program that uses this port, or choose another (port 0 picks a free \
                     one)"
                }
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need a privilege; choose a higher one"
                }
                io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
                _ => "check the address and the port",
            },
            Self::OpenFiles { .. } => "raise the limit with 'ulimit -n'",
            _ => "see the message",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_named_with_its_remedy() {
        let error = ServeError::Server(ServerError::Listen {
            service: "notification",
            address: "127.0.0.1:1863".parse().unwrap(),
            reason: io::ErrorKind::AddrInUse.into(),
        });
        let text = error.to_string();
        assert!(text.contains("127.0.0.1:1863 (notification)"), "{text}");
        assert!(error.remedy().contains("choose another"));
        assert!(!error.is_usage());
    }
}
