//! The built `serve` command.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// How long a line of the log may take.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(20);

struct Served {
    child: Child,
    at: Value,
}

fn serve(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msnp9-conntype"));
    command
        .arg("serve")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MSNP9_")) {
        command.env_remove(name);
    }
    command
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// Starts it and reads its one line.
    fn start(words: &[&str]) -> Self {
        let mut child = serve(words).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let at = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no addresses: {line}"));
        Self { child, at }
    }

    /// Sends a signal and waits; exit code, and what was said on stderr.
    fn stop(mut self, signal: &str) -> (i32, String) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code().unwrap(), said)
    }
}

/// Exit code and stderr of a command that cannot start.
fn fails(words: &[&str]) -> (i32, String) {
    let output = serve(words).output().unwrap();
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
#[cfg(unix)]
fn it_says_where_it_listens_and_stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    for signal in ["-TERM", "-INT"] {
        let any = "127.0.0.1:0";
        let served = Served::start(&[
            "--listen",
            any,
            "--passport-listen",
            any,
            "--gateway-listen",
            any,
            "--write-ca",
            ca.to_str().unwrap(),
        ]);
        let ns = served.at["notification"][0].as_str().unwrap();
        let nexus = served.at["nexus_url"].as_str().unwrap();
        assert!(nexus.starts_with("https://127.0.0.1:"), "{nexus}");
        assert!(served.at["gateway"][0].is_string());
        let pem = std::fs::read_to_string(&ca).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("KEY"));
        let mut client = TcpStream::connect(ns).unwrap();
        client.write_all(b"VER 1 MSNP9\r\n").unwrap();
        let mut answer = [0; 18];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"VER 1 MSNP9 CVR0\r\n");
        let (code, said) = served.stop(signal);
        assert_eq!(code, 0, "{said}");
        let summary = said.lines().last().unwrap();
        assert!(summary.starts_with("connections: 1, logins: 0, "), "{said}");
    }
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = fails(&["--listen", &address, "--passport-listen", "none"]);
    assert!(code != 0 && code != 2, "{code}: {said}");
    let line = said.lines().last().unwrap();
    assert!(
        line.contains(&address) && line.contains("choose another"),
        "{said}"
    );
}

#[test]
fn settings_that_cannot_be_are_usage_errors() {
    for words in [
        &["--listen", "0.0.0.0:0"][..],
        &["--listen", "none", "--passport-listen", "none"],
        &["--accounts", "/nonexistent/accounts"],
        &[
            "--tls-cert",
            "/nonexistent/a",
            "--tls-key",
            "/nonexistent/b",
            "--listen",
            "127.0.0.1:0",
            "--passport-listen",
            "127.0.0.1:0",
        ],
        &["--max-connections", "0"],
    ] {
        let (code, said) = fails(words);
        assert_eq!(code, 2, "{words:?}: {said}");
        assert!(!said.is_empty());
    }
}

/// A server in the background whose stderr is read line by line.
#[cfg(unix)]
struct Logged {
    served: Served,
    log: Receiver<String>,
}

#[cfg(unix)]
impl Logged {
    fn start(words: &[&str], variables: &[(&str, &str)]) -> Self {
        let any = [
            "--listen",
            "127.0.0.1:0",
            "--passport-listen",
            "127.0.0.1:0",
        ];
        let mut child = serve(&[&any[..], words].concat())
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let at = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no addresses: {line}"));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (to, log) = channel();
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| to.send(line))
        });
        Self {
            served: Served { child, at },
            log,
        }
    }

    /// Reads the log until a line has all of these.
    fn wait_for(&self, parts: &[&str]) -> String {
        let mut before = Vec::new();
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
            before.push(line);
        }
        panic!("{parts:?} never came:\n{}", before.join("\n"));
    }

    fn signal(&self, signal: &str) {
        let id = self.served.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Everything else that is logged until it ends.
    fn stop(mut self) -> Vec<String> {
        self.signal("-TERM");
        let rest = self.log.iter().collect();
        self.served.child.wait().unwrap();
        rest
    }

    /// The tool logs in here; its label.
    fn log_in(&self, ca: &std::path::Path, user: &str, password: &str) -> String {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_msnp9-conntype"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MSNP9_")) {
            tool.env_remove(name);
        }
        let output = tool
            .args(["-q", "--user", user, "--server"])
            .arg(self.served.at["notification"][0].as_str().unwrap())
            .arg("--nexus-url")
            .arg(self.served.at["nexus_url"].as_str().unwrap())
            .arg("--ca-file")
            .arg(ca)
            .env("MSNP9_PASSWORD", password)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

#[test]
#[cfg(unix)]
fn it_logs_who_signs_in_and_who_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, accounts) = (dir.path().join("ca.pem"), dir.path().join("accounts"));
    std::fs::write(&accounts, "ann@example.com:right\n").unwrap();
    let files = [
        "--write-ca",
        ca.to_str().unwrap(),
        "--accounts",
        accounts.to_str().unwrap(),
    ];
    let text = Logged::start(&files, &[]);
    text.wait_for(&["WARN", "chmod 600"]);
    text.wait_for(&["INFO", "listening"]);
    assert_eq!(
        text.log_in(&ca, "ann@example.com", "wrong-marker"),
        "Unknown-Connect"
    );
    let line = text.wait_for(&["INFO", "password refused", "ann@example.com", "127.0.0.1:"]);
    assert!(
        line.starts_with("20") && line.contains("T"),
        "no time: {line}"
    );
    assert_eq!(
        text.log_in(&ca, "ann@example.com", "right"),
        "Direct-Connect"
    );
    text.wait_for(&["INFO", "signed in", "ann@example.com", "127.0.0.1:"]);
    text.signal("-USR1");
    text.wait_for(&["INFO", "counters", " logins=1 ", " failed_logins=1 "]);

    // The list is read anew; one that cannot be used changes nothing.
    std::fs::write(&accounts, "bob@example.com:right\n").unwrap();
    text.signal("-HUP");
    text.wait_for(&["INFO", "accounts reloaded"]);
    assert_eq!(
        text.log_in(&ca, "bob@example.com", "right"),
        "Direct-Connect"
    );
    assert_eq!(
        text.log_in(&ca, "ann@example.com", "right"),
        "Unknown-Connect"
    );
    std::fs::write(&accounts, "nonsense marker\n").unwrap();
    text.signal("-HUP");
    text.wait_for(&["ERROR", "not reloaded"]);
    assert_eq!(
        text.log_in(&ca, "bob@example.com", "right"),
        "Direct-Connect"
    );
    let rest = text.stop().join("\n");
    assert!(!rest.contains("marker"), "{rest}");

    std::fs::write(&accounts, "ann@example.com:right\n").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&accounts, std::fs::Permissions::from_mode(0o600)).unwrap();
    let more = [&files[..], &["--log-format", "json", "--stats-every", "1"]].concat();
    let json = Logged::start(&more, &[]);
    let line = json.wait_for(&["listening"]);
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["level"], "INFO");
    assert!(read["timestamp"].is_string(), "{line}");
    assert_eq!(read["service"], "notification");
    assert_eq!(read["address"], json.served.at["notification"][0]);
    json.log_in(&ca, "ann@example.com", "right");
    let line = json.wait_for(&["signed in"]);
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["account"], "ann@example.com");
    let line = json.wait_for(&["counters"]);
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&read["message"], &read["logins"]),
        (&"counters".into(), &1.into())
    );
    let rest = json.stop();
    assert!(!rest.join("\n").contains("chmod"));
    let summary: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(
        (&summary["message"], &summary["level"], &summary["logins"]),
        (&"stopped".into(), &"INFO".into(), &1.into())
    );
    assert!(summary["timestamp"].is_string(), "{summary}");
}

#[test]
#[cfg(unix)]
fn what_is_logged_follows_the_options_and_rust_log() {
    let debug = Logged::start(&["-v"], &[]);
    drop(TcpStream::connect(debug.served.at["notification"][0].as_str().unwrap()).unwrap());
    debug.wait_for(&["DEBUG", "connected"]);
    drop(debug);
    let quiet = Logged::start(&["-q"], &[]).stop();
    assert_eq!(quiet, Vec::<String>::new());
    let filtered = Logged::start(&["-v"], &[("RUST_LOG", "msnp9_conntype=error")]).stop();
    assert_eq!(filtered.len(), 1, "the summary alone: {filtered:?}");
    for (option, lines) in [("-v", 1), ("-q", 0)] {
        let words = [option, "--log-format", "json"];
        let filtered = Logged::start(&words, &[("RUST_LOG", "msnp9_conntype=error")]).stop();
        assert_eq!(filtered.len(), lines, "{filtered:?}");
    }
    let (code, said) = {
        let output = serve(&[]).env("RUST_LOG", "a=b=c").output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("RUST_LOG"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_certificate_is_renewed_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    };
    renew();
    let words = [
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let server = Logged::start(&words, &[]);
    assert_eq!(server.log_in(&cert, "a@b.c", "x"), "Direct-Connect");
    renew();
    assert_eq!(server.log_in(&cert, "a@b.c", "x"), "Unknown-Connect");
    server.signal("-HUP");
    server.wait_for(&["certificate reloaded"]);
    assert_eq!(server.log_in(&cert, "a@b.c", "x"), "Direct-Connect");
}

#[test]
#[cfg(unix)]
fn a_client_whose_tls_is_too_old_is_named_by_its_version() {
    let server = Logged::start(&[], &[]);
    let passport = server.served.at["passport"][0].as_str().unwrap().to_owned();
    for (minor, version) in [(0, "SSL 3.0"), (1, "TLS 1.0"), (2, "TLS 1.1")] {
        let mut client = TcpStream::connect(&passport).unwrap();
        // ClientHello: version, random, no session, one cipher suite, no compression.
        let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
        client.write_all(&hello).unwrap();
        server.wait_for(&["INFO", "too old", version, "127.0.0.1:"]);
    }
}

#[test]
fn what_keeps_it_from_starting_is_one_document_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = ["--json", "--listen", &address, "--passport-listen", "none"];
    let output = serve(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["error"]["code"], "cannot-listen", "{read:#}");
    assert_eq!(
        (&read["error"]["stage"], &read["exit_code"]),
        (&"serve".into(), &1.into())
    );
    assert!(
        read["error"]["remedy"]
            .as_str()
            .unwrap()
            .contains("choose another")
    );
}

#[test]
#[cfg(target_os = "linux")]
fn too_few_open_files_and_files_without_end_are_refused() {
    let tool = env!("CARGO_BIN_EXE_msnp9-conntype");
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64; exec \"$0\" serve --json --listen 127.0.0.1:0",
            tool,
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["error"]["code"], "too-few-open-files", "{read:#}");
    assert!(
        read["error"]["remedy"]
            .as_str()
            .unwrap()
            .contains("ulimit -n")
    );

    for option in ["--accounts", "--ticket-key"] {
        let (code, said) = fails(&[option, "/dev/zero"]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("larger than"), "{said}");
    }
}

#[test]
fn an_invalid_value_is_reported_with_its_option_or_variable() {
    let missing = "/nonexistent/file";
    let loopback = "127.0.0.1:0";
    for (option, variable, more) in [
        ("--accounts", "MSNP9_SERVE_ACCOUNTS", &[][..]),
        ("--ticket-key", "MSNP9_SERVE_TICKET_KEY", &[]),
        (
            "--tls-cert",
            "MSNP9_SERVE_TLS_CERT",
            &["--tls-key", missing],
        ),
        ("--write-ca", "MSNP9_SERVE_WRITE_CA", &[]),
    ] {
        let any = ["--listen", loopback, "--passport-listen", loopback];
        let words = [&any[..], more].concat();
        let (code, text) = fails(&[&words[..], &[option, missing]].concat());
        assert_eq!(code, 2, "{text}");
        let start = format!("msnp9-conntype: {option} {missing}: ");
        assert!(text.lines().last().unwrap().starts_with(&start), "{text}");
        let output = serve(&words).env(variable, missing).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        let start = format!("msnp9-conntype: {variable} {missing}: ");
        assert!(text.lines().last().unwrap().starts_with(&start), "{text}");
    }
    for (variable, value) in [
        ("MSNP9_SERVE_LISTEN", "localhost"),
        ("MSNP9_SERVE_MAX_CONNECTIONS", "0"),
        ("MSNP9_SERVE_PORT_ORDER", "odd"),
    ] {
        let output = serve(&[]).env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!("for {variable}")), "{text}");
    }
    let mut exposed = serve(&["--passport-listen", "none"]);
    let output = exposed
        .env("MSNP9_SERVE_LISTEN", "0.0.0.0:0")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("MSNP9_SERVE_LISTEN 0.0.0.0:0 is reachable"),
        "{text}"
    );
}
