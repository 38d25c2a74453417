//! What the system says of this process.

/// What the system says of this process; a figure that it does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Time on processors, user and system, in seconds.
    pub(super) cpu_seconds: Option<f64>,
    /// Memory in use that is not swapped out.
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    /// The limit of open files.
    pub(super) max_files: Option<u64>,
}

#[cfg(target_os = "linux")]
impl Process {
    /// Reads `/proc/self`, which systemd leaves visible with `ProcSubset=pid`.
    pub(super) fn read() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").ok();
        let stat = stat.and_then(|text| Usage::parse(&text));
        Self {
            cpu_seconds: stat
                .map(|usage| usage.ticks as f64 / rustix::param::clock_ticks_per_second() as f64),
            resident_bytes: stat.map(|usage| {
                usage
                    .pages
                    .saturating_mul(rustix::param::page_size() as u64)
            }),
            open_files: open_files(),
            max_files: max_open_files(),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    /// Nothing: other systems have no `/proc/self` of this form.
    pub(super) fn read() -> Self {
        Self::default()
    }
}

/// What `/proc/self/stat` says.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    /// Time on processors, user and system.
    ticks: u64,
    /// Resident memory.
    pages: u64,
}

#[cfg(target_os = "linux")]
impl Usage {
    fn parse(stat: &str) -> Option<Self> {
        // The second field is the name in parentheses, with anything in it; the third follows.
        let (_, rest) = stat.rsplit_once(')')?;
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3)?.parse().ok();
        let (user, system): (u64, u64) = (field(14)?, field(15)?);
        Some(Self {
            ticks: user.saturating_add(system),
            pages: field(24)?,
        })
    }
}

/// The limit of open files of this process, if there is one.
#[cfg(unix)]
pub(crate) fn max_open_files() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
pub(crate) const fn max_open_files() -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn open_files() -> Option<u64> {
    let folder = "/proc/self/fd";
    // Since Linux 6.2 the size is the number, and thousands of entries need not be listed.
    match std::fs::metadata(folder).ok()?.len() {
        0 => {
            let entries = std::fs::read_dir(folder).ok()?.count();
            // One of them is the folder itself.
            u64::try_from(entries).ok()?.checked_sub(1)
        }
        number => Some(number),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 2 0 9000 8192 321 \
                    18446744073709551615 1 1 0";
        let usage = Usage {
            ticks: 300,
            pages: 321,
        };
        assert_eq!(Usage::parse(stat), Some(usage));
        for cut in [
            "",
            "7 (x",
            "7 (x) S 1",
            "7 (x) S 1 7 7 0 -1 0 0 0 0 0 x 50 0",
        ] {
            assert_eq!(Usage::parse(cut), None, "{cut}");
        }
    }

    #[test]
    fn this_process_is_plausible() {
        let before = Process::read();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        let Process {
            cpu_seconds,
            resident_bytes,
            open_files,
            max_files,
        } = Process::read();
        assert!(cpu_seconds >= before.cpu_seconds && cpu_seconds < Some(1e6));
        assert!(resident_bytes > Some(1 << 20) && resident_bytes < Some(1 << 36));
        assert!(open_files >= Some(4) && open_files < max_files);
        drop(file);
    }
}
