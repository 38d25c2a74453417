//! What the system says of a process: its memory, its descriptors, its processor time.

use std::fs;
use std::time::Duration;

use crate::Outcome;

/// The memory and the descriptors of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    pub memory_kib: u64,
    pub files: usize,
}

impl Vitals {
    pub(crate) const fn is_within(&self, most: &Self) -> bool {
        self.memory_kib <= most.memory_kib && self.files <= most.files
    }

    pub fn of(pid: u32) -> Outcome<Self> {
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

/// The processor time that the threads of a process have used which are still there.
pub fn processor_time(pid: u32) -> Outcome<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split(' ').next().unwrap_or_default();
        sum += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}

/// How many files this process, and those that it starts, may have open.
pub fn max_open_files() -> Outcome<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .ok_or("no limit of open files in /proc/self/limits")?;
    let soft = line.split_whitespace().next().unwrap_or_default();
    Ok(soft.parse().unwrap_or(u64::MAX))
}

/// The processor time that a process has used.
pub(crate) fn cpu(pid: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name, which may hold anything: user and system time are the 12th and 13th.
    let (_, rest) = stat.rsplit_once(')').ok_or("no name")?;
    let mut words = rest.split_whitespace().skip(11);
    let mut next = || -> Outcome<u64> { Ok(words.next().ok_or("too short")?.parse()?) };
    // The unit is a hundredth of a second on every Linux.
    Ok(Duration::from_millis((next()? + next()?) * 10))
}
