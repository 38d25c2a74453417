//! The built server as a process: its addresses, its memory, its descriptors, its last words.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::Outcome;

/// How long the server may take to end.
const END_TIME: Duration = Duration::from_secs(5);

/// How often the server is looked at while it is abused.
const GLANCE: Duration = Duration::from_millis(50);

/// What a process of ours has of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    pub memory_kib: u64,
    pub files: usize,
}

impl Vitals {
    pub const fn is_within(&self, most: &Self) -> bool {
        self.memory_kib <= most.memory_kib && self.files <= most.files
    }

    fn of(pid: u32) -> Outcome<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory_kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .ok_or("no VmRSS")?
            .parse()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self { memory_kib, files })
    }
}

/// What the last line of `serve` counts, or what it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub connections: u64,
    pub logins: u64,
    pub logins_refused: u64,
    pub turned_away: u64,
    pub timed_out: u64,
    pub protocol_errors: u64,
}

impl Tally {
    /// Connections that were let in, and nothing else.
    pub fn connections(count: usize) -> Self {
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
#[derive(Debug)]
pub struct Ended {
    pub is_success: bool,
    pub tally: Tally,
    pub said: String,
}

/// A running server.
pub struct Server {
    child: Child,
    /// What it says on stderr, read as it comes.
    said: Option<std::thread::JoinHandle<String>>,
    addresses: Value,
    dir: TempDir,
}

impl Server {
    /// Starts `serve` with all of its services on ports of the system's choice; `files` is its
    /// limit of open files, `accounts` who may sign in.
    pub fn start(files: Option<usize>, accounts: Option<&str>, extra: &[&str]) -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let tool = env!("CARGO_BIN_EXE_msnp9-conntype");
        let mut command = match files {
            None => Command::new(tool),
            Some(files) => {
                let mut command = Command::new("sh");
                let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
                command.args(["-c", &script, tool]);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MSNP9_") {
                command.env_remove(&name);
            }
        }
        command.arg("serve");
        for service in [
            "listen",
            "dispatch-listen",
            "passport-listen",
            "gateway-listen",
        ] {
            command.args([&format!("--{service}"), "127.0.0.1:0"]);
        }
        command.arg("--write-ca").arg(dir.path().join("ca.pem"));
        if let Some(accounts) = accounts {
            let path = dir.path().join("accounts");
            fs::write(&path, accounts)?;
            command.arg("--accounts").arg(path);
        }
        let mut child = command
            .args(extra)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = child.stdout.as_mut().ok_or("no stdout")?;
        BufReader::new(out).read_line(&mut line)?;
        let addresses = serde_json::from_str(&line)?;
        let mut stderr = child.stderr.take().ok_or("no stderr")?;
        let said = std::thread::spawn(move || {
            let mut said = String::new();
            let _ = stderr.read_to_string(&mut said);
            said
        });
        Ok(Self {
            child,
            said: Some(said),
            addresses,
            dir,
        })
    }

    /// The address of that kind: `notification`, `dispatch`, `passport`, `gateway`.
    pub fn at(&self, kind: &str) -> Outcome<SocketAddr> {
        let text = self.addresses[kind][0].as_str().ok_or("no address")?;
        Ok(text.parse()?)
    }

    /// The file with the authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub fn vitals(&self) -> Outcome<Vitals> {
        Vitals::of(self.child.id())
    }

    /// The processor time it has used.
    pub fn cpu(&self) -> Outcome<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // After the name, which may hold anything: user and system time are the 12th and 13th.
        let (_, rest) = stat.rsplit_once(')').ok_or("no name")?;
        let mut words = rest.split_whitespace().skip(11);
        let mut next = || -> Outcome<u64> { Ok(words.next().ok_or("too short")?.parse()?) };
        // The unit is a hundredth of a second on every Linux.
        Ok(Duration::from_millis((next()? + next()?) * 10))
    }

    /// Asks it to end and hears what it counted.
    pub fn stop(mut self) -> Outcome<Ended> {
        kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGTERM,
        )?;
        let until = Instant::now() + END_TIME;
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > until => return Err("the server does not end".into()),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let said = self.said.take().ok_or("stopped before")?;
        let said = said.join().map_err(|_| "stderr cannot be read")?;
        let tally = Tally::read(said.lines().last().unwrap_or_default())?;
        Ok(Ended {
            is_success: status.success(),
            tally,
            said,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks at a server now and then, for the most it ever has.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vitals>>,
}

impl Watch {
    pub fn start(server: &Server) -> Outcome<Self> {
        let pid = server.child.id();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let glance = move || {
            let mut most = Vitals::default();
            loop {
                // Asked for before the last look, so that there is one after the end.
                let is_last = stopping.load(Ordering::Relaxed);
                if let Ok(now) = Vitals::of(pid) {
                    most.memory_kib = most.memory_kib.max(now.memory_kib);
                    most.files = most.files.max(now.files);
                }
                if is_last {
                    return most;
                }
                std::thread::park_timeout(GLANCE);
            }
        };
        Ok(Self {
            stop,
            thread: Some(std::thread::Builder::new().spawn(glance)?),
        })
    }

    /// The most there was.
    pub fn stop(mut self) -> Vitals {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.map_or_else(Vitals::default, |thread| {
            thread.thread().unpark();
            thread.join().unwrap_or_default()
        })
    }
}
