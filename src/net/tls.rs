//! TLS to the Passport servers.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dial::{Errand, words};
use crate::address::Address;
use crate::failure::{Failure, Stage};

/// Why a file holds no certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPem {
    /// It is no PEM.
    #[error("it is no PEM: {0}")]
    Unreadable(String),
    /// It is PEM, but holds no certificate.
    #[error("it holds no certificate")]
    Empty,
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// [`BadPem`] where there are none.
pub fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPem> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| BadPem::Unreadable(error.to_string()))?;
    if found.is_empty() {
        Err(BadPem::Empty)
    } else {
        Ok(found)
    }
}

/// The client's side of TLS: the public roots and those of the user; TLS 1.3 and 1.2.
pub(super) fn connector(extra: &[CertificateDer<'static>]) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in extra {
        roots.add(certificate.clone()).map_err(|error| {
            Failure::unreachable(
                Stage::Login,
                "bad-ca-file",
                format!("a certificate of --ca-file cannot be used: {error}"),
                "give the authority's certificate as PEM",
            )
        })?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            Failure::unreachable(
                Stage::Login,
                "tls",
                error.to_string(),
                "this is a bug; report it",
            )
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The one place that chooses the cryptography.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The handshake with `to`.
pub(super) async fn handshake(
    connector: &TlsConnector,
    stream: TcpStream,
    to: &Address,
    errand: Errand,
) -> Result<TlsStream<TcpStream>, Failure> {
    let stage = errand.stage(Stage::Connect);
    let name = ServerName::try_from(to.host.clone()).map_err(|_| {
        Failure::unreachable(
            stage,
            "bad-name",
            format!("no certificate can be valid for the name {}", to.host),
            "use the server's ASCII name or its address",
        )
    })?;
    connector
        .connect(name, stream)
        .await
        .map_err(|error| describe(&error, to, stage))
}

fn describe(error: &io::Error, to: &Address, stage: Stage) -> Failure {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (code, why, remedy) = match tls {
        Some(rustls::Error::InvalidCertificate(why)) => certificate(why),
        Some(rustls::Error::InvalidMessage(_)) => (
            "no-tls",
            "what answers there talks no TLS".to_owned(),
            "check the port: Passport needs HTTPS (443 is usual)",
        ),
        Some(rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_)) => (
            "tls-too-old",
            format!("the TLS handshake failed ({error})"),
            "a server that speaks only TLS 1.0 or 1.1 cannot be used: it needs TLS 1.2 or later",
        ),
        _ => (
            "tls-failed",
            match error.kind() {
                io::ErrorKind::UnexpectedEof => "closed during the TLS handshake".to_owned(),
                _ => format!("the TLS handshake failed: {}", words(error)),
            },
            "check that an HTTPS server is there, and that nothing on the way cuts TLS",
        ),
    };
    Failure::unreachable(stage, code, format!("{to}: {why}"), remedy)
}

fn certificate(why: &CertificateError) -> (&'static str, String, &'static str) {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "certificate-expired",
            format!("its certificate is out of date ({why})"),
            "check this host's clock; otherwise the server's keeper has to renew it",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "certificate-not-yet-valid",
            format!("its certificate is not valid yet ({why})"),
            "check this host's clock",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "certificate-wrong-name",
            format!("its certificate is for another name ({why})"),
            "use the name that the certificate is for",
        ),
        // A bad signature is an authority that only bears the name of a trusted one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "certificate-untrusted",
            "its certificate comes from an authority that is not trusted".to_owned(),
            "give that authority with --ca-file if you trust it; one that was made anew has to be \
             given anew",
        ),
        other => (
            "certificate-refused",
            format!("its certificate is not accepted ({other})"),
            "the server's keeper has to replace it; --ca-file trusts an authority of your own",
        ),
    }
}
