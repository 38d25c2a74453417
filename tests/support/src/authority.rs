//! A certificate authority for one run of the tests, and servers' certificates by it.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

/// The authority, its certificate in a file, and a server on 127.0.0.1 that it vouches for.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    server: Arc<ServerConfig>,
    dir: TempDir,
}

impl Authority {
    pub fn generate() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let server = certify(&issuer, &["127.0.0.1"], false);
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).expect("the authority is written");
        Self {
            issuer,
            server,
            dir,
        }
    }

    /// The file with the authority's certificate.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for 127.0.0.1, good today.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// A certificate for these names instead.
    pub fn server_named(&self, names: &[&str]) -> Arc<ServerConfig> {
        certify(&self.issuer, names, false)
    }

    /// A certificate for these names and its key, in files of this name with `.pem` and `.key`.
    pub fn files(&self, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let (certificate, key) = leaf(&self.issuer, names, false);
        let write = |end: &str, text: String| {
            let path = self.dir.path().join(format!("{name}.{end}"));
            std::fs::write(&path, text).expect("a file is written");
            path
        };
        (
            write("pem", certificate.pem()),
            write("key", key.serialize_pem()),
        )
    }

    /// A certificate for 127.0.0.1 that was good long ago.
    pub fn server_of_yesteryear(&self) -> Arc<ServerConfig> {
        certify(&self.issuer, &["127.0.0.1"], true)
    }
}

fn leaf(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    names: &[&str],
    expired: bool,
) -> (Certificate, KeyPair) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    if expired {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    (certificate, key)
}

fn certify(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    names: &[&str],
    expired: bool,
) -> Arc<ServerConfig> {
    let (certificate, key) = leaf(issuer, names, expired);
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .expect("a certificate that fits its key");
    Arc::new(config)
}
