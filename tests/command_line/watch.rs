//! `--every`: check after check, with the built binary and `serve`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{Process, Run, Scripted, Serve, text, tool, wait_for_close};

use super::terminal::Session;

/// How long a check may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

fn watch(server: &Serve, words: &[&str]) -> Command {
    let mut command = server.tool();
    command.args(["--every", "1s"]).args(words);
    command
}

fn document(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_line_is_printed_for_each_check_until_the_count() {
    let server = Serve::start(&["--open"]);
    for (words, count) in [(&["--count", "2"][..], 2), (&["--count=1", "--json"], 1)] {
        let run = Run::of(&mut watch(&server, words));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{words:?}");
        let documents: Vec<_> = run.stdout.lines().map(document).collect();
        assert_eq!(documents.len(), count);
        assert!(documents.iter().all(|one| one["label"] == "Direct-Connect"));
        if let [first, second] = &documents[..] {
            assert_ne!(first["local"], second["local"]);
            assert_ne!(first["started_at"], second["started_at"]);
        }
    }
}

#[test]
fn an_output_file_holds_the_latest_check() {
    let server = Serve::start(&["--open"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("result");
    let mut command = watch(
        &server,
        &["--count", "2", "--json", "--output", text(&path)],
    );
    let before = std::time::SystemTime::now();
    let run = Run::of(&mut command);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    let document = document(&std::fs::read_to_string(&path).unwrap());
    let started = humantime::parse_rfc3339(document["started_at"].as_str().unwrap()).unwrap();
    // The second check, after the interval less its jitter.
    assert!(started > before + Duration::from_millis(800));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_check_that_fails_is_a_line_and_the_last_one_gives_the_code() {
    let login = ["--user", "a@b.c", "--every", "1s", "--count", "2"];
    let mut command = tool();
    command.args(["--server", "127.0.0.1:1"]).args(login);
    let run = Run::of(command.env("MSNP9_PASSWORD", "x"));
    assert_eq!(run.code, 3, "{}", run.stderr);
    let codes: Vec<_> = run.stdout.lines().map(document).collect();
    assert_eq!(codes.len(), 2);
    assert!(
        codes
            .iter()
            .all(|one| one["error"]["code"] == "connection-refused")
    );
}

#[test]
fn an_interrupt_between_two_checks_ends_with_the_code_of_the_last() {
    let server = Serve::start(&["--open"]);
    let mut command = server.tool();
    command.args(["--every", "1h", "--expect", "Symmetric-NAT"]);
    let process = Process::start(command).unwrap();
    document(&process.first_line(PATIENCE).unwrap());
    process.signal(Signal::SIGINT).unwrap();
    let output = process.finish(PATIENCE).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
}

#[test]
fn an_interrupt_of_a_later_check_ends_with_the_code_of_the_last_whole_one() {
    let (arrived, arrival) = std::sync::mpsc::channel();
    // The first connection is closed, and the second one never answered.
    let server = Scripted::start(move |stream, number| {
        if number > 0 {
            let _ = arrived.send(());
            wait_for_close(stream);
        }
    });
    let mut command = tool();
    command.args(["--server", &server.address.to_string(), "--user", "a@b.c"]);
    command.args(["--login-url", "http://127.0.0.1:1/", "--insecure-http"]);
    command
        .args(["--every", "1s", "--lockstep"])
        .env("MSNP9_PASSWORD", "x");
    let process = Process::start(command).unwrap();
    let first = document(&process.first_line(PATIENCE).unwrap());
    arrival.recv_timeout(PATIENCE).unwrap();
    process.signal(Signal::SIGINT).unwrap();
    let output = process.finish(PATIENCE).unwrap();
    assert_eq!(
        output.status.code(),
        first["exit_code"].as_i64().map(|code| code as i32)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
}

#[test]
fn an_interrupt_of_the_first_check_is_a_document() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let mut command = tool();
    command.args(["--server", &server, "--user", "a@b.c", "--every", "1h"]);
    command.env("MSNP9_PASSWORD", "x");
    let process = Process::start(command).unwrap();
    let _held = silent.accept().unwrap();
    process.signal(Signal::SIGINT).unwrap();
    let output = process.finish(PATIENCE).unwrap();
    let document = document(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(document["error"]["code"], "interrupted");
    assert_eq!(output.status.code(), Some(130));
}

#[test]
fn a_closed_pipe_ends_the_watch() {
    let server = Serve::start(&["--open"]);
    let mut child = watch(&server, &["--count", "100"]);
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let since = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(since.elapsed() < PATIENCE, "it ran on");
}

#[test]
fn a_pipe_by_name_gets_result_after_result_until_its_reader_leaves() {
    let server = Serve::start(&["--open"]);
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let words = [
        "--count",
        "100",
        "--format",
        "label",
        "--output",
        text(&pipe),
    ];
    let mut child = watch(&server, &words).spawn().unwrap();
    let reader = BufReader::new(std::fs::File::open(&pipe).unwrap());
    let labels: Vec<_> = reader.lines().take(2).collect::<Result<_, _>>().unwrap();
    assert_eq!(labels, ["Direct-Connect"; 2]);
    let since = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(since.elapsed() < PATIENCE, "it ran on");
}

#[test]
fn a_watch_that_makes_no_sense_is_a_usage_error() {
    let login = ["--server", "127.0.0.1:1", "--user", "a@b.c"];
    for (words, named) in [
        (&["--every", "0"][..], "--every"),
        (&["--every", "5x"], "--every"),
        (&["--every", "1h", "--count", "0"], "--count"),
        (&["--count", "3"], "--every"),
        (&["--every", "1h", "--format", "report"], "--output"),
    ] {
        let mut command = tool();
        command.args(login).args(words).env("MSNP9_PASSWORD", "x");
        let run = Run::of(&mut command);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{words:?}");
        assert!(run.stderr.contains(named), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn the_variable_is_for_logins_alone() {
    let words = ["classify", "--local=192.168.1.5:1", "--client-ip=1.1.1.1"];
    let run = Run::of(tool().args(words).env("MSNP9_EVERY", "1s"));
    assert_eq!(run.stdout, "Unknown-NAT\n");
}

#[test]
fn a_terminal_gets_a_line_for_each_change_and_one_that_is_redrawn() {
    let server = Serve::start(&["--open"]);
    let (at, ca) = (server.at("notification").to_string(), server.ca_file());
    let nexus = server.nexus_url();
    let words = [
        "--server",
        &at,
        "--user",
        "a@b.c",
        "--nexus-url",
        &nexus,
        "--every",
        "1s",
    ];
    let variables = [("MSNP9_PASSWORD", "x"), ("MSNP9_CA_FILE", text(&ca))];
    let counted = [&words[..], &["--count", "2"]].concat();
    let screen = Session::start(80, &counted, &variables).end();
    assert_eq!(screen.lines().len(), 1, "{}", screen.text);
    let mut session = Session::start(80, &words, &variables);
    session.wait_for("Direct-Connect, 2 checks, next in 1 s");
    drop(server);
    session.wait_for("Unknown-Connect (was Direct-Connect)");
    session.wait_for("Unknown-Connect, ");
    session.type_in("\x03");
    let screen = session.end();
    assert_eq!(screen.status.code(), Some(3), "{}", screen.text);
    let lines = screen.lines();
    assert!(
        lines[0].ends_with("Z Direct-Connect  127.0.0.1"),
        "{lines:?}"
    );
    assert!(!screen.text.contains("next in"), "{}", screen.text);
    assert_eq!(
        screen.text.matches("Direct-Connect").count(),
        2,
        "{}",
        screen.text
    );
}
