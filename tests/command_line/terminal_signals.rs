//! Signals, impatience and terminals that vanish.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Run, text, tool};

use crate::terminal::{Session, login, noticing};

fn start(command: &mut Command) -> Child {
    command.env("MSNP9_PASSWORD", "x").spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// A stream that takes nothing more, and the end that nobody reads.
fn full() -> (UnixStream, Stdio) {
    let (unread, mut end) = UnixStream::pair().unwrap();
    end.set_nonblocking(true).unwrap();
    while end.write(&[0; 4096]).is_ok() {}
    end.set_nonblocking(false).unwrap();
    (unread, OwnedFd::from(end).into())
}

/// Interrupts until the end, as a person does that nothing happens for.
fn interrupt_until_the_end(child: &mut Child) -> (u32, Option<i32>) {
    let patience = Instant::now() + Duration::from_secs(30);
    for times in 1.. {
        send(child, Signal::SIGINT);
        let next = Instant::now() + Duration::from_millis(150);
        while Instant::now() < next {
            if let Some(status) = child.try_wait().unwrap() {
                return (times, status.code());
            }
            std::thread::yield_now();
        }
        assert!(Instant::now() < patience, "nothing ends it");
    }
    unreachable!()
}

/// Waits until SIGINT no longer ends the program by itself.
fn wait_for_handler(child: &Child) {
    let status = format!("/proc/{}/status", child.id());
    let is_caught = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught & 1 << (Signal::SIGINT as u32 - 1) != 0
    };
    while !is_caught() {
        std::thread::yield_now();
    }
}

#[test]
fn a_second_interrupt_ends_what_nobody_reads() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("result");
    // The document meets a full pipe; or the log does, while the file waits for its result.
    for more in [&["--json"][..], &["-vv", "--output", text(&file)]] {
        let (_silent, server, nexus, arrival) = noticing();
        let mut command = tool();
        command.args(login(&server, &nexus, more));
        let (_unread, end) = full();
        let mut child = if let ["--json"] = more {
            let child = start(command.stdout(end).stderr(Stdio::null()));
            arrival.recv().unwrap();
            child
        } else {
            let child = start(command.stderr(end));
            wait_for_handler(&child);
            assert_eq!(directory.path().read_dir().unwrap().count(), 1);
            child
        };
        let (times, code) = interrupt_until_the_end(&mut child);
        assert_eq!(code, Some(130), "{more:?}");
        assert!(times > 1, "{more:?}");
        assert_eq!(directory.path().read_dir().unwrap().count(), 0, "{more:?}");
    }
}

/// How a run ends that gets a signal again and again within the time that these count as one, and
/// prints its document only then; `None` where this machine was too busy to be so quick.
fn hurried(signal: Signal) -> Option<Run> {
    let (_silent, server, nexus, arrival) = noticing();
    let mut command = tool();
    command.args(login(&server, &nexus, &["--json", "-q"]));
    let (mut unread, end) = full();
    let mut child = start(command.stdout(end));
    // The end in there would keep the stream open.
    drop(command);
    arrival.recv().unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(30) {
        send(&child, signal);
    }
    let is_quick = began.elapsed() < Duration::from_millis(90);
    let mut printed = String::new();
    unread.read_to_string(&mut printed).unwrap();
    is_quick.then(|| Run {
        code: child.wait().unwrap().code().unwrap_or(-1),
        stdout: printed.trim_start_matches('\0').to_owned(),
        stderr: String::new(),
    })
}

#[test]
fn a_signal_that_comes_twice_at_once_counts_once() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        // A machine that is never quick enough in so many tries is not one to test this on.
        let mut runs = std::iter::repeat_with(|| hurried(signal)).take(200);
        let run = runs.find_map(|run| run).unwrap();
        let json = run.json();
        run.assert_failure(
            code,
            "interrupted",
            json["error"]["stage"].as_str().unwrap(),
        );
    }
}

#[test]
fn a_terminal_that_vanishes_ends_the_run() {
    let (_silent, server, nexus, arrival) = noticing();
    for password in [&[][..], &[("MSNP9_PASSWORD", "x")]] {
        let mut session = Session::start(80, &login(&server, &nexus, &[]), password);
        match password {
            [] => session.wait_for("Password of a@b.c: "),
            _ => arrival.recv().unwrap(),
        }
        // The result went to the terminal.
        assert_eq!(session.vanish().code(), Some(74), "{password:?}");
    }
}

#[test]
fn a_run_without_a_terminal_leaves_hangups_to_nohup() {
    use std::os::unix::process::ExitStatusExt as _;
    let (_silent, server, nexus, arrival) = noticing();
    let mut command = tool();
    command.args(login(&server, &nexus, &[]));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = start(&mut command);
    arrival.recv().unwrap();
    send(&child, Signal::SIGHUP);
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGHUP as i32));
}

#[test]
fn a_prompt_that_was_stopped_hides_what_is_typed_again() {
    let (_silent, server, nexus, _arrival) = noticing();
    let words = login(&server, &nexus, &["--timeout", "0.5"]);
    let mut session = Session::start(80, &words, &[]);
    session.wait_for("Password of a@b.c: ");
    session.signal(Signal::SIGSTOP);
    session.make_whole();
    session.signal(Signal::SIGCONT);
    let patience = Instant::now() + Duration::from_secs(30);
    while session.is_whole() {
        assert!(Instant::now() < patience, "what is typed stays visible");
    }
    session.type_in("hidden-word\n");
    let screen = session.end();
    assert!(!screen.text.contains("hidden-word"), "{}", screen.text);
}
