//! The server as a process, and what it counted.

use std::ops::AddAssign;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::tool::{TOOL, tool_by};
use crate::vitals::Vitals;
use crate::{Outcome, Serve};

/// How often the server is measured while it is abused.
const INTERVAL: Duration = Duration::from_millis(50);

/// What the last line of `serve` counts, or what it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) connections: u64,
    pub(super) logins: u64,
    pub(super) logins_refused: u64,
    pub(super) turned_away: u64,
    pub(super) timed_out: u64,
    pub(super) protocol_errors: u64,
}

impl Tally {
    /// Connections that were let in, and nothing else.
    pub(super) fn connections(count: usize) -> Self {
        Self {
            connections: count as u64,
            ..Self::default()
        }
    }

    fn read(line: &str) -> Outcome<Self> {
        let count = |name: &str| -> Outcome<u64> {
            let found = line
                .split(", ")
                .filter_map(|part| part.split_once(": "))
                .find(|(label, _)| *label == name);
            let (_, number) = found.ok_or_else(|| format!("no '{name}' in {line:?}"))?;
            Ok(number.parse()?)
        };
        Ok(Self {
            connections: count("connections")?,
            logins: count("logins")?,
            logins_refused: count("logins refused")?,
            turned_away: count("turned away")?,
            timed_out: count("timed out")?,
            protocol_errors: count("protocol errors")?,
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.logins += other.logins;
        self.logins_refused += other.logins_refused;
        self.turned_away += other.turned_away;
        self.timed_out += other.timed_out;
        self.protocol_errors += other.protocol_errors;
    }
}

/// How a server ended.
pub(super) struct Ended {
    pub(super) is_success: bool,
    pub(super) tally: Tally,
    pub(super) log: String,
}

/// Asks a server to end and reads what it counted.
pub(super) fn stop(server: Serve) -> Outcome<Ended> {
    let run = server.stop();
    Ok(Ended {
        is_success: run.code == 0,
        tally: Tally::read(run.stderr.lines().last().unwrap_or_default())?,
        log: run.stderr,
    })
}

/// Starts `serve` with this limit of open files.
pub(super) fn start_with_open_files(files: usize) -> Outcome<Serve> {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]);
    shell.arg(&*TOOL);
    Ok(Serve::start_by(tool_by(shell), &[])?)
}

/// Measures a process now and then, for the most it ever has.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vitals>,
}

impl Watch {
    pub(super) fn start(pid: u32) -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let measure = move || {
            let mut most = Vitals::default();
            loop {
                // Read before the last measurement, so that there is one after the end.
                let is_last = stopping.load(Ordering::Relaxed);
                if let Ok(now) = Vitals::of(pid) {
                    most.memory_kib = most.memory_kib.max(now.memory_kib);
                    most.files = most.files.max(now.files);
                }
                if is_last {
                    return most;
                }
                std::thread::park_timeout(INTERVAL);
            }
        };
        Ok(Self {
            stop,
            thread: std::thread::Builder::new().spawn(measure)?,
        })
    }

    /// The most there was.
    pub(super) fn stop(self) -> Vitals {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let most = self.thread.join();
        most.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
