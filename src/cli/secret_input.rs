//! The password's sources: never the command line.

use std::env::VarError;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::Context as _;

use super::args::CheckArgs;
use super::error::CommandError;
use super::runtime::Runtime;
use crate::failure::ErrorCode;
use crate::mask;
use crate::msnp::Account;
use crate::report::print;
use crate::secret::{self, ExposeSecret, SecretString, Zeroizing, keep};

/// The longest first line that is read, in bytes.
const MAX_LINE: usize = 4096;

/// The password: from the file, from `MSNP9_PASSWORD`, or from whoever sits at the terminal.
///
/// A pipe has until the timeout to give its first line; a person has no limit.
pub(super) fn password(
    args: &CheckArgs,
    account: &Account,
    runtime: &mut Runtime,
) -> Result<SecretString, CommandError> {
    const VARIABLE: &str = "MSNP9_PASSWORD";
    let is_terminal = io::stdin().is_terminal();
    let option = args.origins.name("--password-file");
    let (source, password) = match (&args.password_file, std::env::var(VARIABLE).map(keep)) {
        (Some(path), _) if !(is_terminal && path == Path::new("-")) => {
            let password = from_file(path, &option, args, runtime)?;
            (option, password)
        }
        (None, Ok(password)) if !password.expose_secret().is_empty() => {
            (VARIABLE.to_owned(), password)
        }
        (None, Err(VarError::NotUnicode(_))) => {
            return Err(CommandError::value(VARIABLE, "it is not UTF-8"));
        }
        _ if is_terminal => (PROMPT.to_owned(), ask(&prompt(account), runtime)?),
        _ => {
            return Err(CommandError::usage(
                "no password: give --password-file FILE (or '-' for stdin), or set MSNP9_PASSWORD",
            ));
        }
    };
    usable(&source, password)
}

/// The password that an account is to have: asked for twice on the terminal; without one, the first
/// line of stdin.
pub(super) fn new_password(
    account: &Account,
    runtime: &mut Runtime,
) -> Result<SecretString, CommandError> {
    if !io::stdin().is_terminal() {
        return from_stdin(runtime);
    }
    // Between the two prompts, too.
    #[cfg(unix)]
    let _terminal = Terminal::hide();
    let password = ask(&format!("New password of {account}: "), runtime)?;
    let password = usable(PROMPT, password)?;
    let again = ask("The same password again: ", runtime)?;
    match password.expose_secret() == again.expose_secret() {
        true => Ok(password),
        false => Err(CommandError::value(PROMPT, "the two passwords differ")),
    }
}

/// The password that an account may have already: asked for on the terminal; without one, the first
/// line of stdin.
pub(super) fn known_password(
    account: &Account,
    runtime: &mut Runtime,
) -> Result<SecretString, CommandError> {
    match io::stdin().is_terminal() {
        true => usable(PROMPT, ask(&prompt(account), runtime)?),
        false => from_stdin(runtime),
    }
}

fn from_stdin(runtime: &mut Runtime) -> Result<SecretString, CommandError> {
    let read = || first_line(open(Path::new("-"))?);
    let line = runtime.blocking(read)?;
    usable(
        "stdin",
        line.map_err(|why| CommandError::value("stdin", why))?,
    )
}

fn usable(source: &str, password: SecretString) -> Result<SecretString, CommandError> {
    secret::password(password).map_err(|why| CommandError::value(source, why))
}

/// What errors call the terminal.
const PROMPT: &str = "the prompt";

fn prompt(account: &Account) -> String {
    format!("Password of {account}: ")
}

/// Asks on the terminal. Whatever ends the prompt, the terminal's modes are restored.
fn ask(prompt: &str, runtime: &mut Runtime) -> Result<SecretString, CommandError> {
    // Before the prompt appears: what is typed at once is not shown either.
    #[cfg(unix)]
    let _terminal = Terminal::hide();
    #[cfg(unix)]
    let hiding = runtime.beside(keep_hidden());
    let prompt = mask::text(prompt).into_owned();
    let typed = runtime.blocking(move || rpassword::prompt_password(prompt).map(keep));
    #[cfg(unix)]
    hiding.abort();
    let typed = typed.inspect_err(|error| {
        // The prompt still stands on the line. After SIGINT that line has ended already.
        if matches!(error, CommandError::Interrupted(ErrorCode::Terminated)) {
            print::message("\n");
        }
    })?;
    typed.map_err(|error| match error.kind() {
        // It vanished, and SIGHUP is on its way.
        _ if !io::stdin().is_terminal() => CommandError::Interrupted(ErrorCode::Terminated),
        io::ErrorKind::Interrupted => CommandError::Interrupted(ErrorCode::Interrupted),
        io::ErrorKind::UnexpectedEof => {
            print::message("\n");
            CommandError::usage("no password was typed")
        }
        _ => CommandError::value("cannot ask for the password", error),
    })
}

fn from_file(
    path: &Path,
    option: &str,
    args: &CheckArgs,
    runtime: &mut Runtime,
) -> Result<SecretString, CommandError> {
    let file = path.to_owned();
    let name = match path == Path::new("-") {
        true => "stdin".to_owned(),
        false => path.display().to_string(),
    };
    // Opening a named pipe waits, too.
    let read = move || first_line(open(&file)?);
    let read =
        async { tokio::time::timeout(args.timeout, tokio::task::spawn_blocking(read)).await };
    let Ok(read) = runtime.until_signal(read)? else {
        let (seconds, longer) = (args.timeout.as_secs_f64(), args.origins.name("--timeout"));
        let why = format!("no password from {name} within {seconds} s; increase {longer}");
        return Err(CommandError::value(option, why));
    };
    let line = read.context("the task was lost")?;
    line.map_err(|why| CommandError::value(option, format!("cannot read {name}: {why}")))
}

/// Opens a file; `-` is stdin, without the buffer of the standard library, which keeps a copy.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if path != Path::new("-") {
        return File::open(path);
    }
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned()?;
    Ok(File::from(handle))
}

/// The terminal's modes, restored on drop: a signal may end the run while they are changed.
#[cfg(unix)]
struct Terminal(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Terminal {
    /// Turns off the echo, and the signals of keys such as Ctrl-C.
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

/// Hides what is typed again after each stop: the shell has used the terminal in between.
#[cfg(unix)]
async fn keep_hidden() {
    use tokio::signal::unix::{SignalKind, signal};
    let resumed = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
    if let Ok(mut resumed) = signal(resumed) {
        while resumed.recv().await.is_some() {
            // What was there before the first time is what to restore.
            std::mem::forget(Terminal::hide());
        }
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

/// The first line, as soon as it is there. No buffer keeps a copy.
fn first_line(mut from: impl Read) -> io::Result<SecretString> {
    let mut line = Zeroizing::new([0; MAX_LINE]);
    let mut length = 0;
    let end = loop {
        let got = match from.read(&mut line[length..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            got => got?,
        };
        let end = line[length..length + got]
            .iter()
            .position(|byte| *byte == b'\n');
        if let Some(at) = end {
            break length + at;
        }
        length += got;
        if got == 0 {
            break length;
        }
    };
    let line =
        std::str::from_utf8(&line[..end]).map_err(|_| io::Error::other("it is not UTF-8"))?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    // Some editors begin a file with a byte order mark.
    Ok(SecretString::from(
        line.strip_prefix('\u{feff}').unwrap_or(line),
    ))
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
            assert_eq!(first_line(file.as_bytes()).unwrap().expose_secret(), want);
        }
        assert!(first_line(&b"\xff\n"[..]).is_err());
    }
}
