//! Commands as guards: bounded waiting, captured output, and nothing left when dropped.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::Error;

/// A running command in a process group of its own, which is killed and reaped on drop.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    captured: Arc<Captured>,
}

impl Process {
    /// Starts a command without standard input.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub fn start(command: Command) -> Result<Self, Error> {
        Self::start_with(command, None)
    }

    /// Starts a command that reads `input`, if any.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub fn start_with(mut command: Command, input: Option<&str>) -> Result<Self, Error> {
        let what = describe(&command);
        let stdin = if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let mut child = command
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::at(&what))?;
        let captured = Arc::new(Captured::default());
        if let Some(pipe) = child.stdout.take() {
            captured.follow(pipe, |text| &mut text.stdout);
        }
        if let Some(pipe) = child.stderr.take() {
            captured.follow(pipe, |text| &mut text.stderr);
        }
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
            let input = input.to_owned();
            // In a thread, for a program may write more than a pipe holds before it reads. One that
            // ends without reading says why by its exit code, so a broken pipe is no news.
            thread::spawn(move || pipe.write_all(input.as_bytes()));
        }
        Ok(Self {
            what,
            child,
            captured,
        })
    }

    /// The process id, which is that of its process group, too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything written to standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.captured.lock().stdout).into_owned()
    }

    /// Everything written to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.captured.lock().stderr).into_owned()
    }

    /// Waits for a whole line that contains `part`, on either stream, and returns it. Lines that
    /// came before the call count.
    ///
    /// # Errors
    ///
    /// When it does not come in time, or the program ended without it; with the output so far.
    pub fn wait_for_line(&self, part: &str, timeout: Duration) -> Result<String, Error> {
        let find = |text: &Text| {
            let streams = [&text.stdout, &text.stderr];
            streams.into_iter().find_map(|stream| line(stream, part))
        };
        self.wait_for(timeout, &format!("line with {part:?}"), find)
    }

    /// Waits for a whole line of standard error that `fits`, beyond its first `from` bytes, and
    /// returns it with the number of bytes up to its end.
    ///
    /// # Errors
    ///
    /// When it does not come in time, or the program ended without it; with the output so far.
    pub fn stderr_line(
        &self,
        timeout: Duration,
        from: usize,
        fits: impl Fn(&str) -> bool,
    ) -> Result<(String, usize), Error> {
        let find = |text: &Text| {
            let mut end = from;
            let mut lines = text
                .stderr
                .get(from..)?
                .split_inclusive(|byte| *byte == b'\n');
            lines.find_map(|line| {
                end += line.len();
                let line = String::from_utf8_lossy(line.strip_suffix(b"\n")?);
                fits(&line).then(|| (line.into_owned(), end))
            })
        };
        self.wait_for(timeout, "such line", find)
    }

    /// Waits for what `find` finds in the output.
    fn wait_for<T>(
        &self,
        timeout: Duration,
        what: &str,
        find: impl Fn(&Text) -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + timeout;
        let mut text = self.captured.lock();
        loop {
            if let Some(found) = find(&text) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || text.ended == 2 {
                drop(text);
                let why = if left.is_zero() {
                    "in time"
                } else {
                    "before it ended"
                };
                return Err(self.error(&format!("no {what} {why}")));
            }
            text = self.captured.wait(text, left);
        }
    }

    /// Waits for the first line of standard output.
    ///
    /// # Errors
    ///
    /// When it does not come in time, or the program ended without it; with the output so far.
    pub fn first_line(&self, timeout: Duration) -> Result<String, Error> {
        let find = |text: &Text| {
            let end = text.stdout.iter().position(|byte| *byte == b'\n')?;
            Some(String::from_utf8_lossy(&text.stdout[..end]).into_owned())
        };
        self.wait_for(timeout, "first line", find)
    }

    /// The exit status if it has ended.
    ///
    /// # Errors
    ///
    /// When the kernel does not know the process.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(Error::at(&self.what))
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// When it still runs after `timeout`; with the output so far.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.error("still runs"));
            }
            let text = self.captured.lock();
            if text.ended < 2 {
                // The end of both streams is mostly the end of the process, and wakes us at once;
                // the short turn is for a program that closes them early.
                drop(
                    self.captured
                        .wait(text, left.min(Duration::from_millis(20))),
                );
            } else {
                drop(text);
                thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// Waits for the end and returns all that was written.
    ///
    /// # Errors
    ///
    /// When it still runs after `timeout`, or a child of its own keeps the streams open.
    pub fn finish(mut self, timeout: Duration) -> Result<Output, Error> {
        let deadline = Instant::now() + timeout;
        let status = self.wait(timeout)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if !self.captured.wait_for_end(left.max(LAST_WORDS)) {
            return Err(self.error("ended, but something keeps its output open"));
        }
        let mut text = self.captured.lock();
        let (stdout, stderr) = (
            std::mem::take(&mut text.stdout),
            std::mem::take(&mut text.stderr),
        );
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// Sends a signal to the process group: `SIGTERM` to end politely, `SIGSTOP` to freeze.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        killpg(self.group(), signal).map_err(Error::at(&self.what))
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// An error that shows what the program said.
    fn error(&self, problem: &str) -> Error {
        let (stdout, stderr) = (self.stdout(), self.stderr());
        Error::new(format!(
            "{}: {problem}\nstdout: {stdout}\nstderr: {stderr}",
            self.what
        ))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A group whose leader was reaped is not touched: its number may be another's by now.
        if let Ok(None) = self.child.try_wait() {
            let _ = killpg(self.group(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
        self.captured.wait_for_end(LAST_WORDS);
    }
}

/// Runs a short command to its end; anything but success is an error with its words.
pub(crate) fn run(command: Command, input: Option<&str>) -> Result<String, Error> {
    let what = describe(&command);
    let output = Process::start_with(command, input)?.finish(SHORT)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let given = input.map(|text| format!("\n{text}")).unwrap_or_default();
    Err(Error::new(format!(
        "{what}: {}: {}{given}",
        output.status,
        said.trim()
    )))
}

/// How long `ip` and `nft` may take; they need a few milliseconds, on a busy machine some more.
const SHORT: Duration = Duration::from_secs(20);

/// How long the last output may take to arrive after a process has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a process wrote so far, filled by one thread a stream.
#[derive(Debug, Default)]
struct Captured {
    text: Mutex<Text>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// How many of the two streams have ended.
    ended: u8,
}

impl Captured {
    /// Starts a thread that reads `pipe` to its end. It is not joined, but ends with the pipe.
    fn follow(
        self: &Arc<Self>,
        mut pipe: impl Read + Send + 'static,
        stream: fn(&mut Text) -> &mut Vec<u8>,
    ) {
        let captured = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                let read = pipe.read(&mut buffer).unwrap_or(0);
                let mut text = captured.lock();
                stream(&mut text).extend_from_slice(&buffer[..read]);
                text.ended += u8::from(read == 0);
                captured.changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, text: MutexGuard<'a, Text>, timeout: Duration) -> MutexGuard<'a, Text> {
        self.changed
            .wait_timeout(text, timeout)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Waits until both streams have ended; whether they have.
    fn wait_for_end(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut text = self.lock();
        while text.ended < 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            text = self.wait(text, left);
        }
        true
    }
}

/// The first whole line with `part` in it.
fn line(text: &[u8], part: &str) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let found = text
        .split_inclusive('\n')
        .find(|l| l.ends_with('\n') && l.contains(part))?;
    Some(found.trim_end().to_owned())
}

/// A command as a person would type it; its environment is left out.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
