//! The lines of an account file.

use super::hash::{BadHash, PasswordHash};
use super::well_formed;
use crate::msnp::Account;

/// An account in a file.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    pub(crate) account: Account,
    pub(crate) password: Stored<'a>,
}

/// What a line says of the password.
pub(crate) enum Stored<'a> {
    Plain(&'a str),
    Hash(PasswordHash),
}

impl std::fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Hash(_) => "Hash",
        })
    }
}

/// Why an account list is invalid. The text never contains a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAccountList {
    /// A line lacks a colon, the account or the password.
    #[error("line {0} is not 'account:password'")]
    NotAPair(usize),
    /// An account is invalid.
    #[error("line {0}: an account needs an '@', has at most 129 bytes and no spaces")]
    BadAccount(usize),
    /// A password begins like a hash, and is none that can be used.
    #[error("line {0}: {1}")]
    BadHash(usize, BadHash),
    /// An account is listed twice.
    #[error("line {0}: the account is listed twice")]
    Duplicate(usize),
    /// No account is listed.
    #[error("it lists no account")]
    Empty,
    /// The operating system provides no random numbers.
    #[error("the operating system provides no random numbers")]
    NoRandomness,
}

/// Reads the line with this number, without its end: `None` if it is empty or begins with `#`.
/// Everything after the first colon is the password.
pub(crate) fn read(line: &str, number: usize) -> Result<Option<Listed<'_>>, BadAccountList> {
    let line = line.trim_start_matches('\u{feff}');
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (account, password) = line
        .split_once(':')
        .filter(|(account, password)| !account.trim().is_empty() && !password.is_empty())
        .ok_or(BadAccountList::NotAPair(number))?;
    let account = well_formed(account.trim()).ok_or(BadAccountList::BadAccount(number))?;
    let password = match PasswordHash::is_meant(password) {
        false => Stored::Plain(password),
        true => PasswordHash::parse(password)
            .map(Stored::Hash)
            .map_err(|why| BadAccountList::BadHash(number, why))?,
    };
    Ok(Some(Listed { account, password }))
}
