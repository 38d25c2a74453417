//! The one place that writes to stdout and stderr.

use std::io::{self, Write};

/// Writes the result, whole, and flushes it. A reader that has gone away is no error: nobody is
/// left who wants the rest.
///
/// # Errors
/// Whatever else keeps stdout from taking it, a full disk say.
pub fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Tells a person something on stderr. Where stderr is closed there is nobody to tell.
pub fn tell(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}
