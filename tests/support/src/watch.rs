//! Runs the tool and measures its time and memory.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::tool::{Run, with_environment_of};

/// How a watched run ended.
pub struct Watched {
    pub run: Run,
    pub took: Duration,
    /// The most memory it had in use, in KiB, as far as it was seen.
    pub peak: u64,
    /// The signal that ended it, or why it had to be stopped.
    pub died: Option<String>,
}

/// The tool under a limit of its address space, in KiB: beyond it, it aborts.
pub fn bounded(tool: &Command, kib: u64) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(format!("ulimit -v {kib} && exec \"$0\" \"$@\""))
        .arg(tool.get_program())
        .args(tool.get_args())
        .stdin(Stdio::null());
    with_environment_of(&mut shell, tool);
    shell
}

/// Runs a command until it exits or `at_most` has passed. `observe` gets its process id now and
/// then.
pub fn watch(command: &mut Command, at_most: Duration, mut observe: impl FnMut(u32)) -> Watched {
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let (mut peak, mut died) = (0, None);
    let status = loop {
        peak = peak.max(peak_of(child.id()).unwrap_or(0));
        observe(child.id());
        if let Some(status) = child.try_wait().expect("a child's status") {
            break status;
        }
        if started.elapsed() > at_most {
            died = Some(format!("still running after {at_most:?}"));
            break stop(&mut child);
        }
        // Most runs are short; one that waits for a deadline needs no close watch.
        let is_short = started.elapsed() < Duration::from_millis(250);
        std::thread::sleep(Duration::from_millis(if is_short { 4 } else { 20 }));
    };
    let took = started.elapsed();
    let text = |pipe: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8(pipe.join().expect("a pipe is read")).expect("UTF-8 is written")
    };
    Watched {
        run: Run {
            code: status.code().unwrap_or(-1),
            stdout: text(stdout),
            stderr: text(stderr),
        },
        took,
        peak,
        died: died.or_else(|| status.code().is_none().then(|| status.to_string())),
    }
}

fn stop(child: &mut Child) -> ExitStatus {
    let _ = child.kill();
    child.wait().expect("a child's status")
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// `VmHWM`: the most a process had resident so far, in KiB. `None` until it runs a program of its own:
/// for a moment a new process still shows the memory of the one that started it.
fn peak_of(pid: u32) -> Option<u64> {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    if std::env::current_exe().is_ok_and(|own| own == program) {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
