//! The one place that writes to stdout and stderr.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::text::clean;
use crate::mask;
use crate::secret::redact;

/// Whether a status line is on the terminal. The next output replaces it.
static STATUS: AtomicBool = AtomicBool::new(false);

/// Writes the whole result to stdout and flushes it. A closed pipe is not an error: the reader
/// wants no more.
///
/// # Errors
/// Any other I/O error, such as a full disk.
pub fn result(text: &str) -> io::Result<()> {
    erase_status();
    if text.is_empty() {
        return Ok(());
    }
    if STDOUT_WAS_CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("stdout is closed"));
    }
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            reader_has_gone();
            Ok(())
        }
        done => done,
    }
}

/// Whether a result met a closed pipe.
static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

pub(super) fn reader_has_gone() {
    READER_IS_GONE.store(true, Ordering::Relaxed);
}

/// Whether nobody reads further results.
#[must_use]
pub fn reader_is_gone() -> bool {
    READER_IS_GONE.load(Ordering::Relaxed)
}

/// Adds a text to a file that others add to as well.
///
/// # Errors
/// Any I/O error.
pub fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Whether stdout was closed before `main`. The standard library opens `/dev/null` in its place,
/// which takes everything.
static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before the standard library starts, so it makes one system call and nothing else.
#[cfg(unix)]
#[ctor::ctor]
fn observe_stdout() {
    let is_closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
    STDOUT_WAS_CLOSED.store(is_closed, Ordering::Relaxed);
}

/// Writes a message to stderr, masked where the process has a mask.
pub fn message(text: &str) {
    report(&mask::text(text));
}

/// Writes a text to stderr that is masked already where it has to be. Errors are ignored: there is
/// nowhere to report them.
pub fn report(text: &str) {
    erase_status();
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Stderr for the log, with secrets hidden, and masked where the process has a mask.
#[derive(Debug, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = redact(&text);
        io::stderr()
            .lock()
            .write_all(mask::text(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Shows a line on stderr that the next one replaces. Only for terminals, see [`takes_status`].
pub fn status(text: &str) {
    let text = redact(text);
    // A line that wraps is not erased whole. The last columns are for the mark of a cut, for the ^C
    // that the terminal echoes, and for the cursor.
    let line = clean(
        &mask::text(&text),
        width_of(&io::stderr()).saturating_sub(4),
    );
    let _ = write!(io::stderr().lock(), "\r\x1b[2K{line}");
    STATUS.store(true, Ordering::Relaxed);
}

/// Whether stderr is a terminal that can erase a line.
#[must_use]
pub fn takes_status() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stderr().is_terminal() && !(cfg!(unix) && is_dumb)
}

/// Whether one of the standard streams is a terminal.
#[must_use]
pub fn is_on_a_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// Ends the line on which the terminal echoed `^C`. A status line takes it along when it is erased.
pub fn end_echoed_line() {
    if STATUS.load(Ordering::Relaxed) {
        return;
    }
    if io::stderr().is_terminal() {
        let _ = io::stderr().lock().write_all(b"\n");
    } else if io::stdout().is_terminal() {
        let _ = io::stdout().lock().write_all(b"\n");
    }
}

/// Erases the status line.
pub fn erase_status() {
    if STATUS.swap(false, Ordering::Relaxed) {
        let _ = io::stderr().lock().write_all(b"\r\x1b[2K");
    }
}

/// The columns of the terminal behind a stream; 80 where it is not a terminal.
#[cfg(unix)]
pub fn width_of(stream: &impl std::os::fd::AsFd) -> usize {
    terminal_size::terminal_size_of(stream).map_or(80, |(width, _)| usize::from(width.0))
}

/// The columns of the terminal behind a stream; 80 where it is not a terminal.
#[cfg(windows)]
pub fn width_of(stream: &impl std::os::windows::io::AsHandle) -> usize {
    terminal_size::terminal_size_of(stream).map_or(80, |(width, _)| usize::from(width.0))
}
