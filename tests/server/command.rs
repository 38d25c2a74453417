//! The built `serve` command: what it prints, its log, signals, and what keeps it from starting.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{Document, Run, Serve, TOOL, file, text, tool, tool_by};

/// Exit code and stderr of a command that cannot start.
fn fails(words: &[&str]) -> (i32, String) {
    let run = Run::of(tool().arg("serve").args(words));
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    (run.code, run.stderr)
}

/// The label of a login by the tool, which trusts this authority.
fn log_in(served: &Serve, ca: &Path, user: &str, password: &str) -> String {
    let mut command = served.tool_with_ca(&[text(ca)]);
    command
        .args(["-q", "--user", user])
        .env("MSNP9_PASSWORD", password);
    Run::of(&mut command).stdout.trim().to_owned()
}

#[test]
fn it_prints_where_it_listens_and_stops_on_a_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let served = Serve::start(&[]);
        let nexus = served.addresses()["nexus_url"].as_str().unwrap();
        assert_eq!(nexus, served.nexus_url());
        let pem = std::fs::read_to_string(served.ca_file()).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("KEY"));
        let mut client = TcpStream::connect(served.at("notification")).unwrap();
        client.write_all(b"VER 1 MSNP9\r\n").unwrap();
        let mut answer = [0; 18];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"VER 1 MSNP9 CVR0\r\n");
        let run = served.stop_by(signal);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
        let summary = run.stderr.lines().last().unwrap();
        assert!(
            summary.starts_with("connections: 1, logins: 0, "),
            "{summary}"
        );
    }
}

#[test]
fn another_sigint_ends_it_while_it_drains() {
    let served = Serve::start(&["--drain-time", "600"]);
    served.signal(Signal::SIGTERM);
    served.log_line(&["draining"]);
    let pid = Pid::from_raw(served.pid().try_into().unwrap());
    // Right after the first, a signal is the same one.
    let again = std::thread::spawn(move || {
        while kill(pid, Signal::SIGINT).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let run = served.stop_by(Signal::SIGINT);
    assert_eq!(run.code, 130, "{}", run.stderr);
    again.join().unwrap();
}

#[test]
fn a_port_in_use_is_an_error_with_a_remedy() {
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
fn impossible_settings_are_usage_errors() {
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

#[test]
fn it_logs_who_signs_in_and_who_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = file(&dir, "accounts", "ann@example.com:right\n");
    let served = Serve::start(&["--accounts", text(&accounts)]);
    let ca = served.ca_file();
    let log_in = |user: &str, password: &str| log_in(&served, &ca, user, password);
    served.log_line(&["WARN", "chmod 600"]);
    served.log_line(&["INFO", "listening"]);
    assert_eq!(log_in("ann@example.com", "wrong-marker"), "Unknown-Connect");
    let line = served.log_line(&["INFO", "password refused", "ann@example.com", "127.0.0.1:"]);
    let is_dated = line.starts_with("20") && line.contains('T');
    assert!(is_dated, "no time: {line}");
    assert_eq!(log_in("ann@example.com", "right"), "Direct-Connect");
    served.log_line(&["INFO", "signed in", "ann@example.com", "127.0.0.1:"]);
    served.signal(Signal::SIGUSR1);
    served.log_line(&["INFO", "counters", " logins=1 ", " failed_logins=1 "]);

    // The list is read again; one that cannot be used changes nothing.
    file(&dir, "accounts", "bob@example.com:right\n");
    served.signal(Signal::SIGHUP);
    served.log_line(&["INFO", "accounts reloaded"]);
    assert_eq!(log_in("bob@example.com", "right"), "Direct-Connect");
    assert_eq!(log_in("ann@example.com", "right"), "Unknown-Connect");
    file(&dir, "accounts", "nonsense marker\n");
    served.signal(Signal::SIGHUP);
    served.log_line(&["ERROR", "not reloaded"]);
    assert_eq!(log_in("bob@example.com", "right"), "Direct-Connect");
    let log = served.stop().stderr;
    assert!(!log.contains("marker"), "{log}");
}

#[test]
fn the_log_may_be_json_and_have_counters_at_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = file(&dir, "accounts", "ann@example.com:right\n");
    std::fs::set_permissions(&accounts, std::fs::Permissions::from_mode(0o600)).unwrap();
    let served = Serve::start(&[
        "--accounts",
        text(&accounts),
        "--log-format",
        "json",
        "--stats-every",
        "1",
    ]);
    let line = served.log_line(&["listening"]);
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["level"], "INFO");
    assert!(read["timestamp"].is_string(), "{line}");
    assert_eq!(read["service"], "notification");
    assert_eq!(read["address"], served.at("notification").to_string());
    log_in(&served, &served.ca_file(), "ann@example.com", "right");
    let line = served.log_line(&["signed in"]);
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["account"], "ann@example.com");
    let line = served.log_line(&["counters"]);
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["logins"], 1, "{line}");
    let log = served.stop().stderr;
    assert!(!log.contains("chmod"), "{log}");
    let summary: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(summary["message"], "stopped", "{summary}");
    assert_eq!(summary["logins"], 1, "{summary}");
    assert!(summary["timestamp"].is_string(), "{summary}");
}

#[test]
fn the_log_follows_the_options_and_rust_log() {
    let debug = Serve::start(&["-v"]);
    drop(TcpStream::connect(debug.at("notification")).unwrap());
    debug.log_line(&["DEBUG", "connected"]);
    assert_eq!(Serve::start(&["-q"]).stop().stderr, "");
    let filtered = |words: &[&str]| {
        let mut filter = tool();
        filter.env("RUST_LOG", "msnp9_conntype=error");
        let log = Serve::start_by(filter, words).unwrap().stop().stderr;
        (log.lines().count(), log)
    };
    let (lines, log) = filtered(&["-v"]);
    assert_eq!(lines, 1, "the summary alone: {log}");
    let (lines, log) = filtered(&["-v", "--log-format", "json"]);
    assert_eq!(lines, 1, "the summary alone: {log}");
    assert_eq!(filtered(&["-q", "--log-format", "json"]).0, 0);
    let run = Run::of(tool().arg("serve").env("RUST_LOG", "a=b=c"));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("RUST_LOG"), "{}", run.stderr);
}

#[test]
fn a_certificate_is_replaced_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = file(&dir, "key.pem", made.signing_key.serialize_pem());
        (file(&dir, "cert.pem", made.cert.pem()), key)
    };
    let (cert, key) = renew();
    let served = Serve::start(&["--tls-cert", text(&cert), "--tls-key", text(&key)]);
    let log_in = || log_in(&served, &cert, "a@b.c", "x");
    assert_eq!(log_in(), "Direct-Connect");
    renew();
    assert_eq!(log_in(), "Unknown-Connect");
    served.signal(Signal::SIGHUP);
    served.log_line(&["certificate reloaded"]);
    assert_eq!(log_in(), "Direct-Connect");
}

#[test]
fn a_client_with_old_tls_is_logged_with_its_version() {
    let served = Serve::start(&[]);
    for (minor, version) in [(0, "SSL 3.0"), (1, "TLS 1.0"), (2, "TLS 1.1")] {
        let mut client = TcpStream::connect(served.at("passport")).unwrap();
        // ClientHello: version, random, no session, one cipher suite, no compression.
        let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
        client.write_all(&hello).unwrap();
        served.log_line(&["INFO", "too old", version, "127.0.0.1:"]);
    }
}

#[test]
fn a_failed_start_with_json_is_one_document() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = ["--json", "--listen", &address, "--passport-listen", "none"];
    let run = Run::of(tool().arg("serve").args(words));
    assert_eq!(run.code, 1);
    let json = run.document(Document::Serve);
    assert_eq!(json["error"]["code"], "cannot-listen", "{json:#}");
    assert_eq!(json["error"]["stage"], "serve");
    assert_eq!(json["exit_code"], 1);
    let remedy = json["error"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("choose another"), "{remedy}");
}

#[test]
#[cfg(target_os = "linux")]
fn too_few_open_files_and_endless_files_are_refused() {
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "ulimit -n 64; exec \"$0\" serve --json --listen 127.0.0.1:0",
        ])
        .arg(&*TOOL);
    let run = Run::of(&mut tool_by(shell));
    assert_eq!(run.code, 1);
    let json = run.document(Document::Serve);
    assert_eq!(json["error"]["code"], "too-few-open-files", "{json:#}");
    let remedy = json["error"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("ulimit -n"), "{remedy}");

    for option in ["--accounts", "--ticket-key"] {
        let (code, stderr) = fails(&[option, "/dev/zero"]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("larger than"), "{stderr}");
    }
}

#[test]
fn an_invalid_value_is_reported_with_its_option_or_variable() {
    let refused = |words: &[&str], variable, value| {
        let run = Run::of(tool().arg("serve").args(words).env(variable, value));
        assert_eq!(run.code, 2, "{}", run.stderr);
        run.stderr
    };
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none/file");
    let missing = text(&missing);
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
        let text = refused(&words, variable, missing);
        let start = format!("msnp9-conntype: {variable} {missing}: ");
        assert!(text.lines().last().unwrap().starts_with(&start), "{text}");
    }
    for (variable, value) in [
        ("MSNP9_SERVE_LISTEN", "localhost"),
        ("MSNP9_SERVE_MAX_CONNECTIONS", "0"),
        ("MSNP9_SERVE_PORT_ORDER", "odd"),
    ] {
        let text = refused(&[], variable, value);
        assert!(text.contains(&format!("for {variable}")), "{text}");
    }
    let words = ["--passport-listen", "none"];
    let text = refused(&words, "MSNP9_SERVE_LISTEN", "0.0.0.0:0");
    assert!(
        text.contains("MSNP9_SERVE_LISTEN 0.0.0.0:0 is reachable"),
        "{text}"
    );
}
