//! Why a server cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The dispatch server is alone, and no address to refer clients to is configured.
    #[error("the dispatch server has no notification server to refer clients to")]
    NoReferralTarget,
    /// Listening on an address failed.
    #[error("cannot listen on {address} ({service}): {reason}")]
    Listen {
        /// The service that was to listen.
        service: &'static str,
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        reason: io::Error,
    },
    /// A certificate or key file is invalid.
    #[error("{}: {reason}", path.display())]
    CertificateFile {
        /// Whether it is the key rather than the chain.
        is_key: bool,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate or its key is unusable.
    #[error("the certificate is unusable: {0}")]
    Certificate(String),
    /// The operating system provides no random numbers.
    #[error("the operating system provides no random numbers")]
    NoRandomness,
}
