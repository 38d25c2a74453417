//! TLS for Passport: its certificate, and the handshake.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::SupportedCipherSuite;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info};

use super::config::CertificateSource;
use super::error::ServerError;
use super::secret_file;
use super::sync::lock;
use crate::address::Address;

/// The validity of a generated certificate: the longest that all TLS clients accept.
const LIFETIME: Duration = Duration::from_secs(825 * 24 * 60 * 60);

/// The largest certificate or key file, in bytes.
const MAX_FILE: usize = 1024 * 1024;

/// How far the validity reaches back, for clients whose clock is slow.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Accepts TLS with a certificate that can be replaced. Clones share it.
#[derive(Clone)]
pub struct Acceptor(Arc<Mutex<TlsAcceptor>>);

impl Acceptor {
    /// Performs the handshake, and logs why it fails.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<TlsStream<TcpStream>> {
        // Before the handshake, which consumes the input.
        let old_version = old_version(&stream).await;
        let acceptor = lock(&self.0).clone();
        let handshake = acceptor.accept(stream).await;
        handshake
            .inspect_err(|error| match old_version {
                Some(old) => info!(%peer, "TLS too old: the client offers {old}"),
                None => debug!(%peer, %error, "TLS handshake failed"),
            })
            .ok()
    }

    /// Uses the certificate of these files from now on.
    ///
    /// # Errors
    /// [`ServerError`] if they are invalid; the previous certificate stays in use.
    pub fn replace(&self, chain: &Path, key: &Path) -> Result<(), ServerError> {
        let acceptor = read(chain, key).and_then(acceptor)?;
        *lock(&self.0) = acceptor;
        Ok(())
    }
}

/// Prepares TLS: the acceptor, and the generated authority's certificate in PEM, if there is one.
/// `addresses` are the listening addresses, `host` is the name in the nexus.
pub(super) fn prepare(
    source: &CertificateSource,
    addresses: &[SocketAddr],
    host: Option<&Address>,
) -> Result<(Acceptor, Option<String>), ServerError> {
    let (identity, authority_pem) = match source {
        CertificateSource::Files { chain, key } => (read(chain, key)?, None),
        CertificateSource::Generated { names } => {
            let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
            let specific = addresses
                .iter()
                .map(SocketAddr::ip)
                .filter(|ip| !ip.is_unspecified());
            all.extend(specific.map(|ip| ip.to_string()));
            all.extend(host.map(|address| address.host.clone()));
            all.extend(names.iter().cloned());
            all.sort_unstable();
            all.dedup();
            let (identity, pem) = generate(all).map_err(unusable)?;
            (identity, Some(pem))
        }
    };
    let acceptor = Acceptor(Arc::new(Mutex::new(acceptor(identity)?)));
    Ok((acceptor, authority_pem))
}

/// A certificate chain and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn acceptor((chain, key): Identity) -> Result<TlsAcceptor, ServerError> {
    let mut provider = rustls::crypto::ring::default_provider();
    // By the library's order, SHA-384 would take a tenth of the handshake; for SHA-256, processors have
    // instructions.
    let has_sha_256 = |suite: &SupportedCipherSuite| {
        let common = match suite {
            SupportedCipherSuite::Tls12(suite) => &suite.common,
            SupportedCipherSuite::Tls13(suite) => &suite.common,
        };
        common.hash_provider.algorithm() == HashAlgorithm::SHA256
    };
    let (first, others): (Vec<_>, Vec<_>) =
        provider.cipher_suites.into_iter().partition(has_sha_256);
    provider.cipher_suites = [first, others].concat();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                unusable("the key belongs to another certificate")
            }
            other => unusable(other),
        })?;
    // Most clients prefer SHA-384 too.
    config.ignore_client_order = true;
    // A client has one connection at a time, and each resumption brings another ticket.
    config.send_tls13_tickets = 1;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The highest version the client offers, if it is not supported. TLS 1.3 states 1.2 here.
async fn old_version(stream: &TcpStream) -> Option<&'static str> {
    // Record: type, version, length. Handshake: type, length, offered version.
    let mut hello = [0; 11];
    let length = stream.peek(&mut hello).await.ok()?;
    match hello.get(..length)? {
        [22, _, _, _, _, 1, _, _, _, 3, minor] => match minor {
            0 => Some("SSL 3.0"),
            1 => Some("TLS 1.0"),
            2 => Some("TLS 1.1"),
            _ => None,
        },
        _ => None,
    }
}

fn unusable(error: impl Display) -> ServerError {
    ServerError::Certificate(error.to_string())
}

fn read(chain: &Path, key: &Path) -> Result<Identity, ServerError> {
    let invalid = |is_key: bool, reason: &dyn Display| ServerError::CertificateFile {
        is_key,
        path: if is_key { key } else { chain }.to_owned(),
        reason: reason.to_string(),
    };
    let pem = secret_file::read(chain, MAX_FILE).map_err(|error| invalid(false, &error))?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| invalid(false, &"it is not a PEM file"))?;
    if certificates.is_empty() {
        return Err(invalid(false, &"it contains no certificate"));
    }
    let pem = secret_file::read(key, MAX_FILE).map_err(|error| invalid(true, &error))?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| invalid(true, &"it contains no private key"))?;
    Ok((certificates, key))
}

/// Generates an authority and a certificate signed by it; the text is the authority's certificate
/// in PEM. The authority's key is dropped here, so that it never signs anything else.
fn generate(names: Vec<String>) -> Result<(Identity, String), rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = "msnp9-conntype test authority";
    authority.distinguished_name.push(DnType::CommonName, name);
    set_validity(&mut authority);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name
        .push(DnType::CommonName, "localhost");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    set_validity(&mut leaf);
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &authority)?.der().clone();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    Ok(((vec![certificate], key), authority.pem()))
}

fn set_validity(params: &mut CertificateParams) {
    let since = SystemTime::now() - MARGIN;
    params.not_before = since.into();
    params.not_after = (since + LIFETIME).into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(names: &[&str]) -> Result<(Acceptor, Option<String>), ServerError> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        prepare(
            &CertificateSource::Generated { names },
            &["192.0.2.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap()],
            Some(&Address::parse("passport.example:8443", 443).unwrap()),
        )
    }

    #[test]
    fn an_authority_is_generated_without_exposing_its_key() {
        let (_, pem) = generated(&["login.example", "2001:db8::5"]).unwrap();
        let pem = pem.unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!pem.contains("KEY"));
    }

    #[test]
    fn an_invalid_name_is_refused() {
        assert!(matches!(
            generated(&["zoë"]),
            Err(ServerError::Certificate(_))
        ));
    }

    #[test]
    fn invalid_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
        let pair = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["x.example".to_owned()])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        std::fs::write(&chain, cert.pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let source = CertificateSource::Files {
            chain: chain.clone(),
            key: key.clone(),
        };
        assert!(prepare(&source, &[], None).unwrap().1.is_none());

        std::fs::write(&chain, "").unwrap();
        let error = prepare(&source, &[], None).err().unwrap().to_string();
        assert!(
            error.contains("chain.pem: it contains no certificate"),
            "{error}"
        );
        std::fs::remove_file(&chain).unwrap();
        let error = prepare(&source, &[], None).err().unwrap().to_string();
        assert!(error.contains("chain.pem"), "{error}");
        std::fs::write(&chain, cert.pem()).unwrap();
        std::fs::write(&key, cert.pem()).unwrap();
        let error = prepare(&source, &[], None).err().unwrap().to_string();
        assert!(error.contains("key.pem"), "{error}");
    }
}
