//! TLS to the Passport servers.

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

use super::dial::{Errand, words};
use crate::address::Address;
use crate::failure::{Failure, Stage};

/// Why a file holds no certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPem {
    /// It is not PEM.
    #[error("it is not a PEM file")]
    Unreadable,
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
        .map_err(|_| BadPem::Unreadable)?;
    if found.is_empty() {
        Err(BadPem::Empty)
    } else {
        Ok(found)
    }
}

/// The client's side of TLS: the public roots and the certificates of the user; TLS 1.3 and 1.2.
pub(super) struct Connector {
    inner: TlsConnector,
    /// Whether a server has asked for a certificate of ours.
    asked: Arc<NoCertificate>,
}

/// Has no certificate to show, but knows that it was asked for one.
#[derive(Debug, Default)]
struct NoCertificate(AtomicBool);

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        // Else it would not be asked.
        true
    }
}

/// Gets everything ready for handshakes.
pub(super) fn connector(extra: &[CertificateDer<'static>]) -> Result<Connector, Failure> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in extra {
        roots.add(certificate.clone()).map_err(|_| {
            Failure::unreachable(
                Stage::Login,
                "bad-ca-file",
                "a certificate of --ca-file cannot be used",
                "give the authority's certificate as PEM",
            )
        })?;
    }
    let bug = |error: &dyn std::fmt::Display| {
        let remedy = "this is a bug; report it";
        Failure::unreachable(Stage::Login, "tls", error.to_string(), remedy)
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
        // Not what it sounds like: ours accepts what webpki does, and the very certificates given.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.client_auth_cert_resolver = Arc::clone(&asked) as Arc<dyn ResolvesClientCert>;
    Ok(Connector {
        inner: TlsConnector::from(Arc::new(config)),
        asked,
    })
}

/// Verifies as webpki does, and takes a certificate of the user's own for exactly that server's:
/// `openssl req -x509` makes one that calls itself an authority, which webpki takes for no server's.
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
        // Who issued it, and what it calls itself, do not matter where it is the one given. That it
        // is out of date does: webpki looks at that first.
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
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Connector {
    /// Whether the server of the last handshake asked for a certificate of ours.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.0.load(Ordering::Relaxed)
    }

    /// The handshake with `to`.
    pub(super) async fn handshake(
        &self,
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
        self.asked.0.store(false, Ordering::Relaxed);
        let done = self.inner.connect(name, stream).await;
        done.map_err(|error| match tls_error(&error) {
            // TLS 1.2 has one alert for everything that a server dislikes of a client.
            Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure))
                if self.was_asked() =>
            {
                client_certificate(to, stage)
            }
            _ => describe(&error, to, stage),
        })
    }
}

/// A signature of the handshake itself that cannot be verified. Keys that are too short end like
/// this: the signature over the certificate is another matter.
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

/// The failure of a connection that a server ended after it had asked for a certificate of ours.
pub(super) fn client_certificate(to: &Address, stage: Stage) -> Failure {
    let alert = AlertDescription::CertificateRequired;
    let (code, why, remedy) = explain(&rustls::Error::AlertReceived(alert));
    Failure::unreachable(stage, code, format!("{to}: {why}"), remedy)
}

fn describe(error: &io::Error, to: &Address, stage: Stage) -> Failure {
    let (code, why, remedy) = tls_error(error).map_or_else(
        || {
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => "closed during the TLS handshake".to_owned(),
                _ => format!("the TLS handshake failed: {}", words(error)),
            };
            let remedy =
                "check that an HTTPS server is there, and that nothing on the way cuts TLS";
            ("tls-failed", why, remedy)
        },
        explain,
    );
    Failure::unreachable(stage, code, format!("{to}: {why}"), remedy)
}

/// The TLS error in an error of the stream, if it is one.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What a TLS error is called, what is wrong, and what to do about it.
pub(super) fn explain(error: &rustls::Error) -> (&'static str, String, &'static str) {
    use rustls::{AlertDescription as Alert, Error, PeerIncompatible as Peer};
    const NEWER: &str = "a server that speaks only TLS 1.0 or 1.1 cannot be used: it has to be \
                         updated to TLS 1.2 or later";
    const BUSY: &str = "the server may be full, or refuse this address: try again later";
    const CIPHERS: &str = "the server has to offer a current cipher suite and key exchange (ECDHE \
                           with AES-GCM or ChaCha20-Poly1305)";
    let (code, why, remedy) = match error {
        Error::InvalidCertificate(why) => return certificate(why),
        Error::InvalidMessage(_) => (
            "no-tls",
            "it does not speak TLS",
            "check the port: Passport needs HTTPS (443 is usual)",
        ),
        Error::AlertReceived(Alert::ProtocolVersion)
        | Error::PeerIncompatible(
            Peer::ServerDoesNotSupportTls12Or13 | Peer::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            "tls-too-old",
            "it speaks neither TLS 1.2 nor TLS 1.3",
            NEWER,
        ),
        Error::AlertReceived(Alert::HandshakeFailure | Alert::InsufficientSecurity)
        | Error::PeerIncompatible(_) => (
            "tls-no-common-cipher",
            "it refuses every cipher suite, key exchange or signature that is offered",
            CIPHERS,
        ),
        Error::AlertReceived(
            Alert::CertificateRequired | Alert::NoCertificate | Alert::BadCertificate,
        ) => (
            "tls-client-certificate",
            "it wants a certificate of the client",
            "a server that wants client certificates cannot be used; ask its operator for another \
             address",
        ),
        Error::AlertReceived(Alert::UnrecognisedName) => (
            "tls-unknown-name",
            "it does not know the name that it is asked for",
            "use the name that the server's certificate is for",
        ),
        Error::AlertReceived(Alert::InternalError | Alert::AccessDenied | Alert::UserCanceled) => {
            ("tls-refused", "it refuses the connection (TLS alert)", BUSY)
        }
        Error::AlertReceived(_) => (
            "tls-failed",
            "it breaks the TLS handshake off (TLS alert)",
            "try again; if it stays so, the server's TLS settings do not fit",
        ),
        _ => (
            "tls-failed",
            "the TLS handshake failed",
            "check that an HTTPS server is there, and that nothing on the way changes TLS",
        ),
    };
    (code, why.to_owned(), remedy)
}

fn certificate(why: &CertificateError) -> (&'static str, String, &'static str) {
    const CLOCK: &str = "check this computer's clock";
    const REPLACE: &str = "the operator of the server has to replace the certificate";
    const WEAK: &str = "the operator of the server has to replace it: RSA with 2048 bits or more, \
                        or ECDSA, signed with SHA-256 or better";
    let (code, why, remedy) = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "certificate-expired",
            "its certificate has expired",
            "check this computer's clock; if it is right, the operator has to renew the certificate",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "certificate-not-yet-valid",
            "its certificate is not valid yet",
            CLOCK,
        ),
        CertificateError::NotValidForName => (
            "certificate-wrong-name",
            "its certificate is for another name",
            "use the name that the certificate is for",
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().take(3).map(|name| name_of(name));
            let names = names.collect::<Vec<_>>().join(", ");
            let why = match names.is_empty() {
                true => "its certificate is for no name at all".to_owned(),
                false => format!("its certificate is for another name ({names})"),
            };
            let remedy = "use the name that the certificate is for";
            return ("certificate-wrong-name", why, remedy);
        }
        // A bad signature is an authority that only bears the name of a trusted one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "certificate-untrusted",
            "its certificate comes from an authority that is not trusted",
            "give that authority, or the certificate itself, with --ca-file if you trust it; one \
             that was made anew has to be given anew",
        ),
        CertificateError::Revoked => ("certificate-refused", "its certificate is revoked", REPLACE),
        CertificateError::BadEncoding => (
            "certificate-refused",
            "its certificate is damaged or too old in form (X.509 version 3 is needed)",
            REPLACE,
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            "certificate-refused",
            "its certificate is not for a server",
            REPLACE,
        ),
        other if is_weak(other) => (
            "certificate-weak",
            "its certificate has a key or a signature that is too weak (RSA below 2048 bits, SHA-1)",
            WEAK,
        ),
        CertificateError::Other(_) => (
            "certificate-refused",
            "its certificate cannot be verified: it may call itself an authority, or break a rule of \
             its own authority",
            "give the certificate itself with --ca-file if you trust it",
        ),
        _ => (
            "certificate-refused",
            "its certificate cannot be verified",
            REPLACE,
        ),
    };
    (code, why.to_owned(), remedy)
}

/// Whether the algorithms of a certificate are what is wrong with it.
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
