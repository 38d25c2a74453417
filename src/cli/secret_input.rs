//! Where the password comes from; never from the command line itself.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::msnp::Account;
use crate::secret::{self, SecretString};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 4096;

/// The password: from the file, from `MSNP9_PASSWORD`, or from whoever sits at the terminal.
pub(super) fn password(file: Option<&Path>, account: &Account) -> Result<SecretString> {
    let text = match file {
        Some(path) if path == Path::new("-") => {
            first_line(io::stdin().lock()).context("read the password from stdin")?
        }
        Some(path) => File::open(path)
            .and_then(first_line)
            .with_context(|| format!("read the password from {}", path.display()))?,
        None => match std::env::var("MSNP9_PASSWORD") {
            Ok(text) => text,
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(anyhow!("MSNP9_PASSWORD is no UTF-8"));
            }
            Err(std::env::VarError::NotPresent) => ask(account)?,
        },
    };
    secret::password(text).context("the password cannot be used")
}

fn ask(account: &Account) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(anyhow!(
            "no password: give --password-file FILE (or '-' for stdin), or set MSNP9_PASSWORD"
        ));
    }
    rpassword::prompt_password(format!("Password of {account}: ")).context("ask for the password")
}

/// The first line; a file with more than that is taken at its word only up to there.
fn first_line(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MAX_FILE).read_to_string(&mut text)?;
    let line = text.split('\n').next().unwrap_or_default();
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
