//! The lab itself: nothing is left after a drop, a panic, or a kill.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::alone;
use support::lab::{Error, Host, Lab, Process, topology};

const PATIENCE: Duration = Duration::from_secs(20);

/// Tells [`leaves_a_lab_behind`] that it was not just run with all the others.
const LEAVE: &str = "NAT_LAB_LEAVE";

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn nothing_is_left_after_a_panic() -> Result<(), Error> {
    let _alone = alone();
    let mut namespaces = Vec::new();
    let mut pids = Vec::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| -> Result<(), Error> {
        let net = topology::slow_and_lossy()?;
        namespaces.extend([&net.client, &net.server].map(|h| h.namespace().to_owned()));
        net.client.etc("hosts", "203.0.113.80 server.example\n")?;
        let sleeper = net.client.spawn("sleep", ["1000"])?;
        // A daemon in a session of its own, out of reach of its guard.
        let mut daemon = net.server.spawn("sh", ["-c", "setsid -f sleep 1000"])?;
        daemon.wait(PATIENCE)?;
        pids.push(sleeper.id());
        pids.extend(processes_in(&net.server)?);
        panic!("a test that fails");
    }));
    check(panicked.is_err(), || format!("{panicked:?}"))?;
    check(namespaces.len() == 2 && pids.len() == 2, || {
        format!("{namespaces:?} {pids:?}")
    })?;
    for name in namespaces {
        for folder in ["/run/netns", "/etc/netns"] {
            let path = Path::new(folder).join(&name);
            check(!path.exists(), || format!("{} is left", path.display()))?;
        }
    }
    let running = pids
        .into_iter()
        .filter(|pid| is_running(*pid))
        .collect::<Vec<_>>();
    check(running.is_empty(), || format!("{running:?} still run"))
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn the_next_run_removes_what_a_killed_run_left() -> Result<(), Error> {
    let _alone = alone();
    let mut left = this_test("self_guards::leaves_a_lab_behind");
    left.env(LEAVE, "1");
    let mut run = Process::start(left)?;
    let line = run.wait_for_line("cnlab-", PATIENCE)?;
    let name = line
        .split_whitespace()
        .find(|word| word.starts_with("cnlab-"))
        .unwrap_or_default();
    let path = Path::new("/run/netns").join(name);
    run.signal(Signal::SIGKILL)?;
    run.wait(PATIENCE)?;
    check(path.exists(), || {
        format!("{} went by itself", path.display())
    })?;
    let next = Process::start(this_test("self_guards::starts_another_lab"))?.finish(PATIENCE)?;
    check(next.status.success(), || format!("{next:?}"))?;
    check(!path.exists(), || format!("{} is left", path.display()))
}

#[test]
#[ignore = "only a part of the_next_run_removes_what_a_killed_run_left"]
fn starts_another_lab() -> Result<(), Error> {
    Lab::new("next").map(drop)
}

#[test]
#[ignore = "only a part of the_next_run_removes_what_a_killed_run_left"]
#[allow(clippy::print_stdout, reason = "the other test reads it")]
fn leaves_a_lab_behind() -> Result<(), Error> {
    if std::env::var_os(LEAVE).is_none() {
        return Ok(());
    }
    let lab = Lab::new("left")?;
    let host = lab.host("host")?;
    let mut sleeper = host.spawn("sh", ["-c", "echo here; exec sleep 60"])?;
    sleeper.wait_for_line("here", PATIENCE)?;
    println!("\n{}", host.namespace());
    sleeper.wait(PATIENCE).map(drop)
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn a_process_and_its_children_end_with_its_guard() -> Result<(), Error> {
    let _alone = alone();
    let lab = Lab::new("group")?;
    let host = lab.host("host")?;
    let shell = host.spawn("sh", ["-c", "sleep 1000 & echo child $!; wait"])?;
    let line = shell.wait_for_line("child", PATIENCE)?;
    let child: u32 = line
        .trim_start_matches("child ")
        .parse()
        .map_err(|_| Error::new(line))?;
    let pids = [shell.id(), child];
    check(pids.into_iter().all(is_running), || format!("{pids:?}"))?;
    drop(shell);
    // The child's own end is not ours to wait for; init reaps it.
    let deadline = Instant::now() + PATIENCE;
    while pids.into_iter().any(is_running) && Instant::now() < deadline {
        std::thread::yield_now();
    }
    check(!pids.into_iter().any(is_running), || {
        format!("{pids:?} still run")
    })
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn a_host_has_its_own_names() -> Result<(), Error> {
    let _alone = alone();
    let lab = Lab::new("names")?;
    let host = lab.host("host")?;
    host.etc(
        "hosts",
        "203.0.113.80 messenger.example\n2001:db8::80 messenger.example\n",
    )?;
    let getent = host.spawn("getent", ["ahosts", "messenger.example"])?;
    getent.wait_for_line("203.0.113.80", PATIENCE)?;
    getent.wait_for_line("2001:db8::80", PATIENCE).map(drop)
}

/// An error with these words if `holds` is not so.
pub(crate) fn check(holds: bool, words: impl FnOnce() -> String) -> Result<(), Error> {
    if holds {
        Ok(())
    } else {
        Err(Error::new(words()))
    }
}

/// This test program, asked for one test.
fn this_test(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    if let Ok(path) = std::env::current_exe() {
        command = Command::new(path);
    }
    command.args(["--exact", name, "--include-ignored", "--nocapture"]);
    command
}

/// Whether a process runs; a zombie does not.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn processes_in(host: &Host) -> Result<Vec<u32>, Error> {
    let mut command = Command::new("ip");
    command.args(["netns", "pids", host.namespace()]);
    let output = Process::start(command)?.finish(PATIENCE)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect())
}
