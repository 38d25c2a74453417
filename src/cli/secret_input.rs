//! Where the password comes from; never from the command line itself.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::runtime::Runtime;

use super::{CommandError, signals};
use crate::failure::ErrorCode;
use crate::msnp::Account;
use crate::report::print;
use crate::secret::{self, SecretString};

/// The longest first line that is read, in bytes.
const MAX_FILE: u64 = 4096;

/// The password: from the file, from `MSNP9_PASSWORD`, or from whoever sits at the terminal.
///
/// A pipe has until `timeout` to give its first line; a person has all the time there is.
pub(super) fn password(
    file: Option<&Path>,
    account: &Account,
    timeout: Duration,
    runtime: &Runtime,
) -> Result<SecretString, CommandError> {
    let text = match file {
        Some(path) if path == Path::new("-") && io::stdin().is_terminal() => ask(account, runtime)?,
        Some(path) => from_file(path.to_owned(), timeout, runtime)?,
        None => match std::env::var("MSNP9_PASSWORD") {
            Ok(text) if !text.is_empty() => text,
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(anyhow!("MSNP9_PASSWORD is not UTF-8").into());
            }
            _ if io::stdin().is_terminal() => ask(account, runtime)?,
            _ => {
                return Err(anyhow!(
                    "no password: give --password-file FILE (or '-' for stdin), or set \
                     MSNP9_PASSWORD"
                )
                .into());
            }
        },
    };
    Ok(secret::password(text).context("the password cannot be used")?)
}

/// Asks on the terminal. Whatever ends the question, the terminal is left as it was found.
fn ask(account: &Account, runtime: &Runtime) -> Result<String, CommandError> {
    // Before the prompt: what is typed as soon as it stands there is not shown either.
    let _terminal = Terminal::hide();
    let prompt = format!("Password of {account}: ");
    let typed = signals::blocking(runtime, move || rpassword::prompt_password(prompt))
        // The prompt still stands on the line.
        .inspect_err(|_| print::tell("\n"))?;
    typed.map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => CommandError::Interrupted(ErrorCode::Interrupted),
        io::ErrorKind::UnexpectedEof => {
            print::tell("\n");
            CommandError::Usage(anyhow!("no password was typed"))
        }
        _ => CommandError::Usage(anyhow!(error).context("ask for the password")),
    })
}

fn from_file(path: PathBuf, timeout: Duration, runtime: &Runtime) -> Result<String, CommandError> {
    let name = match path == Path::new("-") {
        true => "stdin".to_owned(),
        false => path.display().to_string(),
    };
    // Opening a named pipe waits, too.
    let read = move || match path == Path::new("-") {
        true => first_line(io::stdin().lock()),
        false => File::open(path).and_then(first_line),
    };
    let read = async { tokio::time::timeout(timeout, tokio::task::spawn_blocking(read)).await };
    let line = match signals::until_signal(runtime, read).map_err(CommandError::Interrupted)? {
        Ok(line) => line.map_err(|error| CommandError::Other(error.into()))?,
        Err(_) => {
            let seconds = timeout.as_secs_f64();
            return Err(anyhow!(
                "no password from {name} within {seconds} s; --timeout gives it longer"
            )
            .into());
        }
    };
    Ok(line.with_context(|| format!("read the password from {name}"))?)
}

/// The terminal's modes, put back on drop: a signal may end the run while they are changed.
#[cfg(unix)]
struct Terminal(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Terminal {
    /// Shows nothing of what is typed, and takes Ctrl-C and its like for characters.
    fn hide() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut hidden = before.clone();
            hidden.local_modes -=
                LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &hidden);
        }
        Self(before)
    }
}

#[cfg(unix)]
impl Drop for Terminal {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(not(unix))]
struct Terminal;

#[cfg(not(unix))]
impl Terminal {
    const fn hide() -> Self {
        Self
    }
}

/// The first line, as soon as it is there.
fn first_line(from: impl Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from.take(MAX_FILE)).read_line(&mut line)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    // Some editors begin a file with a byte order mark.
    Ok(line.strip_prefix('\u{feff}').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for (file, want) in [
            ("a b\n", "a b"),
            ("a\r\nb\n", "a"),
            ("a", "a"),
            ("\n", ""),
            ("", ""),
            ("\u{feff}a\n", "a"),
            ("a\rb\n", "a\rb"),
        ] {
            assert_eq!(first_line(file.as_bytes()).unwrap(), want);
        }
        assert!(first_line(&b"\xff\n"[..]).is_err());
    }
}
