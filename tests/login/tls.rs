//! Certificates that must not be trusted, and versions of TLS that must work, on the built binary.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use support::{Run, Scripted, Serve, file, skipped, text};
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
        let served = Serve::start(&["--tls-cert", text(&cert), "--tls-key", text(&key)]);
        Run::of(served.tool_with_ca(&[text(&ca)]).arg("--json"))
    }
}

#[test]
fn a_ca_file_is_trusted() {
    assert_eq!(
        Shown::new("127.0.0.1", 2020..2100).tried().json()["label"],
        "Direct-Connect"
    );
}

#[test]
fn wrong_certificates_are_distinguished() {
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

/// A certificate that signs itself, as `openssl req -x509` makes them.
fn self_signed(name: &str, years: std::ops::Range<i32>, is_ca: bool) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    Shown {
        dir: tempfile::tempdir().unwrap(),
        authority: certificate.pem(),
        certificate,
        key,
    }
}

#[test]
fn a_given_certificate_is_trusted_for_its_name_while_valid() {
    let wrong = Some("certificate-wrong-name");
    for (name, years, is_ca, error) in [
        ("127.0.0.1", 2020..2100, true, None),
        ("127.0.0.1", 2020..2100, false, None),
        ("other.example", 2020..2100, true, wrong),
        ("other.example", 2020..2100, false, wrong),
        ("127.0.0.1", 2001..2002, true, Some("certificate-expired")),
        (
            "127.0.0.1",
            2090..2100,
            true,
            Some("certificate-not-yet-valid"),
        ),
    ] {
        let run = self_signed(name, years.clone(), is_ca).tried();
        let json = run.json();
        let found = json["error"]["code"].as_str();
        assert_eq!(found, error, "{name} {years:?} {is_ca}: {json:#}");
    }
    // A leaf of an authority that was not given.
    let mut leaf = Shown::new("127.0.0.1", 2020..2100);
    leaf.authority = leaf.certificate.pem();
    assert_eq!(leaf.tried().json()["label"], "Direct-Connect");
}

#[test]
fn another_certificate_of_the_same_name_is_not_trusted() {
    let mut shown = self_signed("127.0.0.1", 2020..2100, true);
    shown.authority = self_signed("127.0.0.1", 2020..2100, true).authority;
    let json = shown.tried().json();
    let code = json["error"]["code"].as_str().unwrap();
    assert!(code.starts_with("certificate-"), "{json:#}");
    let text = json["error"].to_string();
    assert!(!text.contains("Other("), "{text}");
    assert!(text.contains("--ca-file"), "{text}");
}

/// The tool against a nexus that says these bytes to a `ClientHello`, and closes.
fn said(served: &Serve, bytes: &'static [u8]) -> serde_json::Value {
    let nexus = Scripted::start(move |stream, _| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(bytes);
    });
    let url = format!("https://{}/", nexus.address);
    let run = Run::of(
        served
            .tool_with_ca(&[])
            .args(["--json", "--nexus-url", &url]),
    );
    assert_eq!(run.code, 3, "{}", run.stderr);
    run.json()["error"].clone()
}

#[test]
fn tls_alerts_have_errors_of_their_own() {
    let served = Serve::start(&[]);
    // ServerHello of TLS 1.0: version, random, no session, a cipher suite, no compression.
    const TLS_1_0: &[u8] = b"\x16\x03\x01\0\x2a\x02\0\0\x26\x03\x01\
        01234567890123456789012345678901\0\xc0\x13\0";
    for (bytes, code) in [
        (&b"\x15\x03\x01\0\x02\x02\x46"[..], "tls-too-old"), // protocol_version
        (TLS_1_0, "tls-too-old"),
        (b"\x15\x03\x01\0\x02\x02\x28", "tls-no-common-cipher"), // handshake_failure
        (b"\x15\x03\x01\0\x02\x02\x50", "tls-refused"),          // internal_error
        (b"\x15\x03\x01\0\x02\x02\x31", "tls-refused"),          // access_denied
        (b"\x15\x03\x01\0\x02\x02\x70", "tls-unknown-name"),     // unrecognized_name
        (b"\x15\x03\x01\0\x02\x02\x74", "tls-client-certificate"), // certificate_required
        (b"\x15\x03\x01\0\x02\x02\x00", "tls-failed"),           // close_notify
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no-tls"),
        (b"", "tls-failed"),
    ] {
        let error = said(&served, bytes);
        assert_eq!(error["code"], code, "{bytes:?}: {error:#}");
        let old = error.to_string().contains("1.0 or 1.1");
        assert_eq!(old, code == "tls-too-old", "{error:#}");
    }
}

#[test]
fn a_request_for_a_client_certificate_has_an_error_of_its_own() {
    let shown = Shown::new("127.0.0.1", 2020..2100);
    let (ca, ..) = shown.files();
    let served = Serve::start(&[]);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(shown.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let nexus = nexus(&shown, version, Some(clients.build().unwrap()));
        let mut command = served.tool_with_ca(&[]);
        let url = format!("https://{}/", nexus.address);
        command
            .args(["--json", "--nexus-url", &url])
            .arg("--ca-file");
        let run = Run::of(command.arg(&ca));
        let json = run.json();
        let code = &json["error"]["code"];
        assert_eq!(code, "tls-client-certificate", "{version:?}: {json:#}");
    }
}

/// A nexus over TLS of one version only, which hands out no login page: it is enough that the
/// tool reads its header.
fn nexus(
    shown: &Shown,
    version: &'static rustls::SupportedProtocolVersion,
    clients: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
) -> Scripted {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(shown.key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap();
    let config = match clients {
        Some(verifier) => config.with_client_cert_verifier(verifier),
        None => config.with_no_client_auth(),
    };
    let config = config
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
    let served = Serve::start(&[]);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let nexus = nexus(&shown, version, None);
        let mut command = served.tool_with_ca(&[]);
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

/// `openssl s_server` as the nexus, with the settings of servers that were never renewed.
struct OldServer {
    child: std::process::Child,
    address: String,
}

impl OldServer {
    fn start(dir: &TempDir, name: &str, more: &[&str]) -> Self {
        let path = |end: &str| dir.path().join(format!("{name}.{end}"));
        let mut child = std::process::Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
            .arg(path("pem"))
            .arg("-key")
            .arg(path("key"))
            .args(more)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // It says `ACCEPT 127.0.0.1:port` once it listens.
        let lines = std::io::BufReader::new(child.stdout.take().unwrap());
        let line = std::io::BufRead::lines(lines)
            .map_while(Result::ok)
            .find(|line| line.starts_with("ACCEPT"))
            .unwrap_or_else(|| panic!("{name} does not listen"));
        let address = line.trim_start_matches("ACCEPT ").to_owned();
        Self { child, address }
    }
}

impl Drop for OldServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether openssl does this.
fn openssl(dir: &TempDir, words: &str) -> bool {
    std::process::Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(dir.path())
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn old_keys_ciphers_and_versions_have_errors_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    if !openssl(&dir, "version") {
        return skipped("servers with old keys, ciphers and versions: there is no openssl here");
    }
    let _names = file(&dir, "names", "subjectAltName=IP:127.0.0.1\n");
    let new = "req -newkey rsa:2048 -nodes -subj /CN=x";
    assert!(openssl(
        &dir,
        &format!("{new} -x509 -keyout ca.key -out ca.pem -days 30")
    ));
    for (name, bits, digest) in [
        ("good", 2048, "sha256"),
        ("short", 1024, "sha256"),
        ("sha1", 2048, "sha1"),
    ] {
        let request = new.replace("2048", &bits.to_string());
        assert!(openssl(
            &dir,
            &format!("{request} -keyout {name}.key -out {name}.csr")
        ));
        let sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem \
             -days 30 -{digest} -extfile names"
        );
        assert!(openssl(&dir, &sign), "{name}");
    }
    let served = Serve::start(&[]);
    let weak = ["-cipher", "ALL:@SECLEVEL=0"];
    for (name, more, code) in [
        ("good", &[][..], "nexus-without-header"),
        ("short", &weak, "certificate-weak"),
        ("sha1", &weak, "certificate-weak"),
        (
            "good",
            &["-tls1_2", "-cipher", "AES128-SHA"],
            "tls-no-common-cipher",
        ),
        (
            "good",
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            "tls-too-old",
        ),
    ] {
        let old = OldServer::start(&dir, name, more);
        let url = format!("https://{}/", old.address);
        let mut command = served.tool_with_ca(&[]);
        command
            .args(["--json", "--nexus-url", &url, "--ca-file"])
            .arg(dir.path().join("ca.pem"));
        let json = Run::of(&mut command).json();
        assert_eq!(json["error"]["code"], code, "{name} {more:?}: {json:#}");
    }
}
