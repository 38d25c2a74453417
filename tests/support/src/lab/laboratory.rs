//! The laboratory itself: makes hosts, joins them, and takes everything away again.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::host::{ETC, Host, NAMESPACES};
use super::line::{Line, LineOptions};
use super::link::{self, Link};
use super::{Error, process};

/// A set of hosts and the wires between them, removed when dropped, after a panic too.
///
/// Labs do not see each other: every address may be used in every lab, and tests may run in
/// parallel.
#[derive(Debug)]
pub struct Lab {
    /// What the namespaces of this lab start with; unique on this machine.
    prefix: String,
    hosts: Mutex<Vec<Host>>,
}

impl Lab {
    /// A lab without hosts. The name is for people who read `ip netns list`.
    ///
    /// # Errors
    ///
    /// When the name has anything but lower-case letters, digits and `-`, or more than 24 of them.
    pub fn new(name: &str) -> Result<Self, Error> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        check_name(name, 24)?;
        let (pid, number) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        Ok(Self {
            prefix: format!("{FAMILY}{pid}-{number}-{name}-"),
            hosts: Mutex::default(),
        })
    }

    /// A new host: an own network namespace with the loopback device up.
    ///
    /// The name becomes part of the device names on the hosts it is linked to, thus at most 12
    /// characters.
    ///
    /// # Errors
    ///
    /// When the name is not usable, or the namespace cannot be made.
    pub fn host(&self, name: &str) -> Result<Host, Error> {
        check_name(name, 12)?;
        let host = Host::create(name, &format!("{}{name}", self.prefix))?;
        self.hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(host.clone());
        host.settle()?;
        Ok(host)
    }

    /// Joins two hosts by a wire (a veth pair), up and with an address at each end.
    ///
    /// Addresses are written `192.0.2.1/24` or `2001:db8::1/64`, several with blanks between them,
    /// of either family. IPv6 addresses skip duplicate detection, to be usable at once.
    ///
    /// # Errors
    ///
    /// When `ip` refuses: mostly an address that is not one.
    pub fn link(&self, a: &Host, addr_a: &str, b: &Host, addr_b: &str) -> Result<Link, Error> {
        self.check_ours([a, b])?;
        link::veth(a, addr_a, b, addr_b)
    }

    /// Joins several hosts to one switch inside `router`, which has `addr` on it.
    ///
    /// Returns one link for each host of `members`, whose first end is the router's bridge.
    ///
    /// # Errors
    ///
    /// When `ip` refuses.
    pub fn lan(
        &self,
        router: &Host,
        addr: &str,
        members: &[(&Host, &str)],
    ) -> Result<Vec<Link>, Error> {
        self.check_ours(members.iter().map(|member| member.0).chain([router]))?;
        link::lan(router, addr, members)
    }

    /// Joins two hosts by a line that delays and loses packets, see [`Line`].
    ///
    /// # Errors
    ///
    /// When a TUN device cannot be made or `ip` refuses an address.
    pub fn delay_line(
        &self,
        a: &Host,
        addr_a: &str,
        b: &Host,
        addr_b: &str,
        options: &LineOptions,
    ) -> Result<Line, Error> {
        self.check_ours([a, b])?;
        Line::start(a, addr_a, b, addr_b, options)
    }

    /// A wire into another lab would stay when this one goes, or the other way round.
    fn check_ours<'a>(&self, hosts: impl IntoIterator<Item = &'a Host>) -> Result<(), Error> {
        let stranger = hosts
            .into_iter()
            .find(|h| !h.namespace().starts_with(&self.prefix));
        stranger.map_or(Ok(()), |host| {
            Err(Error::new(format!(
                "{} is of another lab",
                host.namespace()
            )))
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let hosts = self.hosts.get_mut().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<&str> = hosts.iter().map(Host::namespace).collect();
        remove_all(&names);
    }
}

/// What every namespace of every lab starts with; [`sweep`] touches nothing else.
const FAMILY: &str = "cnlab-";

/// How long a killed process may take to leave its namespace. It needs microseconds; a process in
/// an uninterruptible system call needs longer.
const LEAVE: Duration = Duration::from_secs(2);

fn check_name(name: &str, longest: usize) -> Result<(), Error> {
    let usable = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=longest).contains(&name.len()) && name.chars().all(usable) {
        return Ok(());
    }
    Err(Error::new(format!(
        "a lab or host name must be 1 to {longest} of a-z, 0-9, -: {name:?}"
    )))
}

/// Removes labs whose process is gone: one killed by a timeout or Ctrl-C ran no `drop`.
fn sweep() {
    let Ok(entries) = fs::read_dir(NAMESPACES) else {
        return;
    };
    let stale: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| owner(name).is_some_and(is_gone))
        .collect();
    remove_all(&stale.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The process that made a namespace of this name.
fn owner(namespace: &str) -> Option<u32> {
    namespace
        .strip_prefix(FAMILY)?
        .split_once('-')?
        .0
        .parse()
        .ok()
}

/// Whether what this process id left is stale. Ours counts as gone, for a sweep comes before the
/// first lab: what bears our id then was left by another process that had it before us.
fn is_gone(pid: u32) -> bool {
    pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists()
}

/// Ends every process in the namespaces, then removes them with what they hold.
///
/// Guards have ended their own processes by now; this is for daemons that left their process group.
fn remove_all(namespaces: &[&str]) {
    // Held open until the end, for the kernel gives the number of a namespace that is gone to the
    // next new one, whose processes are not ours to kill.
    let held: Vec<File> = namespaces
        .iter()
        .filter_map(|name| File::open(Path::new(NAMESPACES).join(name)).ok())
        .collect();
    let inodes: Vec<u64> = held
        .iter()
        .filter_map(|file| Some(file.metadata().ok()?.ino()))
        .collect();
    kill_inside(&inodes);
    for name in namespaces {
        let mut command = Command::new("ip");
        command.args(["netns", "del", name]);
        if let Err(e) = process::run(command, None) {
            complain(&e);
        }
        let _ = fs::remove_dir_all(Path::new(ETC).join(name));
    }
    // One that was on its way in.
    kill_inside(&inodes);
}

/// Kills until nothing runs there any more, for a time.
fn kill_inside(inodes: &[u64]) {
    let deadline = Instant::now() + LEAVE;
    loop {
        let inside = processes_inside(inodes);
        if inside.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in inside {
            // One that has just ended by itself is no error.
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Processes other than this one whose network namespace is one of these.
fn processes_inside(inodes: &[u64]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let inode = fs::metadata(entry.path().join("ns/net")).ok()?.ino();
            (inodes.contains(&inode) && pid.cast_unsigned() != std::process::id())
                .then_some(Pid::from_raw(pid))
        })
        .collect()
}

/// Says on stderr what `drop` cannot return.
#[allow(clippy::print_stderr, reason = "drop has nowhere else to say it")]
fn complain(e: &Error) {
    eprintln!("lab: {e}");
}
