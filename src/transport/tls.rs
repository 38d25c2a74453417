//! TLS, and what its errors mean.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError,
    RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::describe;
use crate::address::Address;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::run_log::Purpose;

/// Why a file's certificates cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPem {
    /// It is not PEM.
    #[error("it is not a PEM file")]
    Unreadable,
    /// It is PEM, but holds no certificate.
    #[error("it holds no certificate")]
    Empty,
    /// One of its certificates is damaged or of an unknown kind.
    #[error("it holds a certificate that is damaged or of an unknown kind")]
    Unusable,
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// [`BadPem`] where there are none, or one cannot be used.
pub fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPem> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| BadPem::Unreadable)?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots
            .add(certificate.clone())
            .map_err(|_| BadPem::Unusable)?;
    }
    match found.is_empty() {
        true => Err(BadPem::Empty),
        false => Ok(found),
    }
}

/// The client's side of TLS: the public roots and the certificates of the user; TLS 1.3 and 1.2.
pub(crate) struct Connector {
    inner: TlsConnector,
    /// Whether a server has asked for a client certificate.
    asked: Arc<NoCertificate>,
}

/// Has no client certificate, and remembers that the server asked for one.
#[derive(Debug, Default)]
struct NoCertificate(AtomicBool);

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        // Otherwise rustls would not ask.
        true
    }
}

impl Connector {
    /// A connector that trusts the public roots and these certificates, which
    /// [`read_certificates`] has checked.
    pub(crate) fn new(extra: &[CertificateDer<'static>]) -> Result<Self, Failure> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        roots.add_parsable_certificates(extra.iter().cloned());
        let bug = |error: &dyn std::fmt::Display| {
            Failure::new(Stage::Bug, ErrorCode::Bug, format!("TLS: {error}"))
        };
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| bug(&error))?;
        let verifier = Verifier {
            webpki,
            given: extra.to_vec(),
        };
        let asked = Arc::new(NoCertificate::default());
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| bug(&error))?
            // The name warns of verifiers that accept anything. This one accepts what webpki
            // accepts, and the very certificates that were given.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.client_auth_cert_resolver = Arc::clone(&asked) as Arc<dyn ResolvesClientCert>;
        Ok(Self {
            inner: TlsConnector::from(Arc::new(config)),
            asked,
        })
    }

    /// Whether the server of the last handshake asked for a client certificate.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.0.load(Ordering::Relaxed)
    }

    /// The handshake with `to`.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        to: &Address,
        purpose: Purpose,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let stage = purpose.stage(Stage::Tls);
        let name = ServerName::try_from(to.host.clone()).map_err(|_| {
            Failure::new(
                stage,
                ErrorCode::BadName,
                format!("no certificate can be valid for the name {}", to.host),
            )
        })?;
        self.asked.0.store(false, Ordering::Relaxed);
        let done = self.inner.connect(name, stream).await;
        done.map_err(|error| match tls_error(&error) {
            // TLS 1.2 has one alert for everything that a server dislikes about a client.
            Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure))
                if self.was_asked() =>
            {
                client_certificate(to, stage)
            }
            Some(error) => failed(error, to, stage),
            None => {
                let why = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "closed during the TLS handshake".to_owned(),
                    _ => format!("the TLS handshake failed: {}", describe(&error)),
                };
                Failure::new(stage, ErrorCode::TlsFailed, format!("{to}: {why}"))
            }
        })
    }
}

/// Verifies as webpki does, and accepts a certificate of the user's as exactly that server's:
/// `openssl req -x509` makes one that calls itself an authority, which webpki refuses for servers.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .webpki
            .verify_server_cert(end_entity, intermediates, name, ocsp, now);
        // Its issuer and what it calls itself do not matter where it is the one given. That it
        // is out of date does: webpki checks that first.
        let is_about_the_issuer = matches!(
            verified,
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer
                    | CertificateError::BadSignature
                    | CertificateError::Other(_)
            ))
        );
        if is_about_the_issuer && self.given.iter().any(|given| given == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signed)
            .map_err(of_handshake)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signed)
            .map_err(of_handshake)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// The one place that chooses the cryptography.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The signature of the handshake itself cannot be verified, as with keys that are too short. The
/// signature over the certificate is checked separately.
#[derive(Debug, thiserror::Error)]
#[error("the signature of the handshake cannot be verified with the certificate's key")]
struct HandshakeSignature;

fn of_handshake(error: rustls::Error) -> rustls::Error {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            let other = OtherError(Arc::new(HandshakeSignature));
            CertificateError::Other(other).into()
        }
        other => other,
    }
}

/// The failure of a connection that a server ended after it had asked for a client certificate.
pub(super) fn client_certificate(to: &Address, stage: Stage) -> Failure {
    let alert = AlertDescription::CertificateRequired;
    failed(&rustls::Error::AlertReceived(alert), to, stage)
}

/// The TLS error in an error of the stream, if it is one.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Converts a TLS error.
pub(super) fn failed(error: &rustls::Error, to: &Address, stage: Stage) -> Failure {
    use rustls::{AlertDescription as Alert, Error, PeerIncompatible as Peer};
    let (code, why) = match error {
        Error::InvalidCertificate(why) => certificate(why),
        Error::InvalidMessage(_) => (ErrorCode::NotTls, "it does not speak TLS".into()),
        Error::AlertReceived(Alert::ProtocolVersion)
        | Error::PeerIncompatible(
            Peer::ServerDoesNotSupportTls12Or13 | Peer::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            ErrorCode::TlsTooOld,
            "it speaks neither TLS 1.2 nor TLS 1.3".into(),
        ),
        Error::AlertReceived(Alert::HandshakeFailure | Alert::InsufficientSecurity)
        | Error::PeerIncompatible(_) => (
            ErrorCode::TlsNoCommonCipher,
            "it refuses every cipher suite, key exchange or signature that is offered".into(),
        ),
        Error::AlertReceived(
            Alert::CertificateRequired | Alert::NoCertificate | Alert::BadCertificate,
        ) => (
            ErrorCode::TlsClientCertificate,
            "it requires a client certificate".into(),
        ),
        Error::AlertReceived(Alert::UnrecognisedName) => (
            ErrorCode::TlsUnknownName,
            "it does not know the name that it is asked for".into(),
        ),
        Error::AlertReceived(Alert::InternalError | Alert::AccessDenied | Alert::UserCanceled) => (
            ErrorCode::TlsRefused,
            "it refuses the connection (TLS alert)".into(),
        ),
        Error::AlertReceived(_) => (
            ErrorCode::TlsFailed,
            "it broke off the TLS handshake (TLS alert)".into(),
        ),
        _ => (ErrorCode::TlsFailed, "the TLS handshake failed".into()),
    };
    Failure::new(stage, code, format!("{to}: {why}"))
}

fn certificate(why: &CertificateError) -> (ErrorCode, Cow<'static, str>) {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            ErrorCode::CertificateExpired,
            "its certificate has expired".into(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            ErrorCode::CertificateNotYetValid,
            "its certificate is not valid yet".into(),
        ),
        CertificateError::NotValidForName => (
            ErrorCode::CertificateWrongName,
            "its certificate is for another name".into(),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().take(3).map(|name| name_of(name));
            let names = names.collect::<Vec<_>>().join(", ");
            let why = match names.is_empty() {
                true => "its certificate is for no name at all".into(),
                false => format!("its certificate is for another name ({names})").into(),
            };
            (ErrorCode::CertificateWrongName, why)
        }
        // A bad signature is an authority that only bears the name of a trusted one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            ErrorCode::CertificateUntrusted,
            "its certificate comes from an authority that is not trusted".into(),
        ),
        CertificateError::Revoked => (
            ErrorCode::CertificateRefused,
            "its certificate is revoked".into(),
        ),
        CertificateError::BadEncoding => (
            ErrorCode::CertificateRefused,
            "its certificate is damaged or too old in form (X.509 version 3 is needed)".into(),
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            ErrorCode::CertificateRefused,
            "its certificate is not for a server".into(),
        ),
        other if is_weak(other) => (
            ErrorCode::CertificateWeak,
            "its certificate has a key or a signature that is too weak (RSA below 2048 bits, SHA-1)"
                .into(),
        ),
        CertificateError::Other(_) => (
            ErrorCode::CertificateRefused,
            "its certificate cannot be verified: it may call itself an authority, or break a rule \
             of its own authority"
                .into(),
        ),
        _ => (
            ErrorCode::CertificateRefused,
            "its certificate cannot be verified".into(),
        ),
    }
}

/// Whether the certificate's algorithms are too weak.
#[expect(deprecated, reason = "it is still a variant that may come")]
fn is_weak(error: &CertificateError) -> bool {
    match error {
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => true,
        CertificateError::Other(OtherError(why)) => why.is::<HandshakeSignature>(),
        _ => false,
    }
}

/// A name of a certificate, as rustls shows it (`DnsName("a")`), without its kind.
fn name_of(shown: &str) -> String {
    let inner = shown.split_once('(').map_or(shown, |(_, rest)| rest);
    inner.trim_end_matches(')').trim_matches('"').to_owned()
}
