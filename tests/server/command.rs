//! The built `serve` command.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

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
