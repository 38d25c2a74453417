//! The certificate that Passport shows.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::config::{CertificateSource, ServerError};
use crate::address::Address;
use crate::secret::{ExposeSecret, SecretSlice};

/// How long a generated certificate is good: the most that all TLS clients accept.
const LIFETIME: Duration = Duration::from_secs(825 * 24 * 60 * 60);

/// How much is read of a file of certificates or keys, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// How far it reaches back, for clients whose clock is slow.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What accepts TLS; its certificate can be replaced while it does. Clones are one.
#[derive(Clone)]
pub(super) struct Acceptor(Arc<RwLock<TlsAcceptor>>);

impl Acceptor {
    /// The acceptor with the certificate of this moment.
    pub(super) fn now(&self) -> TlsAcceptor {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shows another certificate from now on.
    pub(super) fn replace(&self, chain: &Path, key: &Path) -> Result<(), ServerError> {
        let (chain, key) = read(chain, key)?;
        let acceptor = accept_with(chain, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }
}

/// What is needed to accept TLS.
pub(super) struct Tls {
    pub(super) acceptor: Acceptor,
    /// The certificate of the authority, where it was made here.
    pub(super) authority_pem: Option<String>,
}

/// Prepares the certificate; `addresses` are those listened on, `host` is what the nexus names.
pub(super) fn prepare(
    source: &CertificateSource,
    addresses: &[IpAddr],
    host: Option<&Address>,
) -> Result<Tls, ServerError> {
    let (chain, key, authority_pem) = match source {
        CertificateSource::Files { chain, key } => {
            let (chain, key) = read(chain, key)?;
            (chain, key, None)
        }
        CertificateSource::Generated { names } => {
            let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
            let listened = addresses.iter().filter(|ip| !ip.is_unspecified());
            all.extend(listened.map(IpAddr::to_string));
            all.extend(host.map(|at| at.host.clone()));
            all.extend(names.iter().cloned());
            all.sort_unstable();
            all.dedup();
            let made = generate(all).map_err(unusable)?;
            (vec![made.certificate], made.key, Some(made.authority_pem))
        }
    };
    Ok(Tls {
        acceptor: Acceptor(Arc::new(RwLock::new(accept_with(chain, key)?))),
        authority_pem,
    })
}

fn accept_with(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, ServerError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                ServerError::Certificate("the key is not that of the certificate".to_owned())
            }
            other => unusable(other),
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The version that a client offers at most, where it is too old for us. TLS 1.3 says 1.2 here.
pub(super) async fn offered_version(stream: &TcpStream) -> Option<&'static str> {
    // Record: type, version, length; handshake: type, length, and the version that is offered.
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

fn unusable(error: impl std::fmt::Display) -> ServerError {
    ServerError::Certificate(error.to_string())
}

fn read(
    chain: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ServerError> {
    let named = |path: &Path, why: &dyn std::fmt::Display| {
        ServerError::Certificate(format!("{}: {why}", path.display()))
    };
    let text = |path: &Path| {
        let mut bytes = Vec::new();
        let done = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
        done.map(|_| bytes).map_err(|error| named(path, &error))
    };
    let certificates = CertificateDer::pem_slice_iter(&text(chain)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| named(chain, &"it is not a PEM file"))?;
    if certificates.is_empty() {
        return Err(named(chain, &"no certificate is in it"));
    }
    let pem = SecretSlice::from(text(key)?);
    let key = PrivateKeyDer::from_pem_slice(pem.expose_secret())
        .map_err(|_| named(key, &"there is no private key in it"))?;
    Ok((certificates, key))
}

struct Made {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    authority_pem: String,
}

/// Makes an authority and one certificate by it. The authority's key goes when this returns, so
/// that nobody can ever have it sign anything else.
fn generate(names: Vec<String>) -> Result<Made, rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = "msnp9-conntype test authority";
    authority.distinguished_name.push(DnType::CommonName, name);
    limit(&mut authority);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name
        .push(DnType::CommonName, "localhost");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    limit(&mut leaf);
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &authority)?.der().clone();
    Ok(Made {
        certificate,
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        authority_pem: authority.pem(),
    })
}

fn limit(params: &mut CertificateParams) {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970.saturating_sub(MARGIN);
    params.not_after = params.not_before + LIFETIME;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> Result<Tls, ServerError> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        prepare(
            &CertificateSource::Generated { names },
            &["192.0.2.1".parse().unwrap(), "0.0.0.0".parse().unwrap()],
            Some(&Address::parse("passport.example:8443", 443).unwrap()),
        )
    }

    #[test]
    fn an_authority_is_made_and_its_key_is_not_shown() {
        let pem = made(&["login.example", "2001:db8::5"])
            .unwrap()
            .authority_pem
            .unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!pem.contains("KEY"));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        assert!(matches!(made(&["zoë"]), Err(ServerError::Certificate(_))));
    }

    #[test]
    fn files_are_read_and_named_when_they_cannot_be() {
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
        assert!(prepare(&source, &[], None).unwrap().authority_pem.is_none());

        std::fs::write(&chain, "").unwrap();
        let error = prepare(&source, &[], None).err().unwrap().to_string();
        assert!(error.contains("chain.pem: no certificate"), "{error}");
        std::fs::remove_file(&chain).unwrap();
        let error = prepare(&source, &[], None).err().unwrap().to_string();
        assert!(error.contains("chain.pem"), "{error}");
        std::fs::write(&chain, cert.pem()).unwrap();
        std::fs::write(&key, cert.pem()).unwrap();
        let error = prepare(&source, &[], None).err().unwrap().to_string();
        assert!(error.contains("key.pem"), "{error}");
    }
}
