//! Certificates that must not be trusted, and versions of TLS that must work, on the built binary.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use support::{Run, Scripted, Served, file};
use tempfile::TempDir;

/// An authority, and a certificate of it with the key.
struct Shown {
    dir: TempDir,
    authority: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Shown {
    /// A certificate for `name`, valid in these years.
    fn new(name: &str, years: std::ops::Range<i32>) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let certificate = params.signed_by(&key, &authority).unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            authority: authority.pem(),
            certificate,
            key,
        }
    }

    fn files(&self) -> (PathBuf, PathBuf, PathBuf) {
        (
            file(&self.dir, "ca.pem", &self.authority),
            file(&self.dir, "cert.pem", self.certificate.pem()),
            file(&self.dir, "key.pem", self.key.serialize_pem()),
        )
    }

    /// Logs in to `serve` that shows this certificate.
    fn tried(&self) -> Run {
        let (ca, cert, key) = self.files();
        let word = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let served =
            Served::start_without_ca(&["--tls-cert", &word(&cert), "--tls-key", &word(&key)]);
        Run::of(
            served
                .tool_without_ca()
                .args(["--json", "--ca-file", &word(&ca)]),
        )
    }
}

#[test]
fn a_certificate_of_ones_own_is_trusted() {
    assert_eq!(
        Shown::new("127.0.0.1", 2020..2100).tried().json()["label"],
        "Direct-Connect"
    );
}

#[test]
fn certificates_that_are_wrong_are_told_apart() {
    for (name, years, error) in [
        ("127.0.0.1", 2001..2002, "certificate-expired"),
        ("127.0.0.1", 2090..2100, "certificate-not-yet-valid"),
        ("other.example", 2020..2100, "certificate-wrong-name"),
    ] {
        let run = Shown::new(name, years).tried();
        let json = run.json();
        assert_eq!(json["error"]["code"], error, "{json:#}");
        assert_eq!(
            (json["label"].as_str(), run.code),
            (Some("Unknown-Connect"), 3)
        );
        assert_eq!(json["error"]["stage"], "nexus");
    }
}

/// A nexus over TLS of one version only, which hands out no login page: it is enough that the
/// tool reads its header.
fn nexus(shown: &Shown, version: &'static rustls::SupportedProtocolVersion) -> Scripted {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(shown.key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![shown.certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    Scripted::start(move |stream, _| {
        let Ok(tls) = rustls::ServerConnection::new(Arc::clone(&config)) else {
            return;
        };
        let mut stream = rustls::StreamOwned::new(tls, stream);
        let mut bytes = [0; 4096];
        if matches!(stream.read(&mut bytes), Ok(1..)) {
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nPassportURLs: DALogin=http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            );
        }
    })
}

#[test]
fn tls_1_3_and_1_2_both_work() {
    let shown = Shown::new("127.0.0.1", 2020..2100);
    let (ca, ..) = shown.files();
    let served = Served::start(&[]);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let nexus = nexus(&shown, version);
        let mut command = served.tool_without_ca();
        command.args([
            "--json",
            "--nexus-url",
            &format!("https://{}/", nexus.address),
        ]);
        let run = Run::of(command.arg("--ca-file").arg(&ca));
        // The header came through: what it names is refused, because it is not https.
        assert_eq!(
            run.json()["error"]["code"],
            "plain-http",
            "{version:?}: {}",
            run.stderr
        );
    }
}
