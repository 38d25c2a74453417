//! The files that options of `serve` name: bounded, and warned of where others can read them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::ServeError;
use crate::secret::{ExposeSecret, SecretSlice};
use crate::server::{AccountList, TicketKey};

/// The largest file of accounts that is read, in bytes.
const MAX_ACCOUNTS: u64 = 16 * 1024 * 1024;

/// The largest file with a key for tickets that is read, in bytes.
const MAX_KEY: u64 = 64 * 1024;

pub(super) fn accounts(path: &Path) -> Result<AccountList, ServeError> {
    let bytes = read(path, MAX_ACCOUNTS)?;
    let text =
        std::str::from_utf8(bytes.expose_secret()).map_err(|_| unfit(path, "is not UTF-8"))?;
    AccountList::parse(text).map_err(|why| ServeError::Accounts {
        path: path.to_owned(),
        why,
    })
}

pub(super) fn ticket_key(path: &Path) -> Result<TicketKey, ServeError> {
    let bytes = read(path, MAX_KEY)?;
    TicketKey::new(bytes.expose_secret()).map_err(|why| unfit(path, &why.to_string()))
}

/// Says so where a file that holds secrets can be read by other users.
#[cfg(unix)]
pub(super) fn warn_if_shared(path: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(file) = path.metadata() else { return };
    if file.is_file() && file.mode() & 0o077 != 0 {
        let path = path.display();
        tracing::warn!(%path, "other users can read this file, which holds secrets: chmod 600 it");
    }
}

#[cfg(not(unix))]
pub(super) fn warn_if_shared(_: &Path) {}

/// Reads at most `most` bytes; a file with more is refused, whatever length it claims.
fn read(path: &Path, most: u64) -> Result<SecretSlice<u8>, ServeError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| unfit(path, &error.to_string()))?;
    let is_too_large = bytes.len() as u64 > most;
    let bytes = SecretSlice::from(bytes);
    match is_too_large {
        true => Err(unfit(path, &format!("is larger than {most} bytes"))),
        false => Ok(bytes),
    }
}

fn unfit(path: &Path, why: &str) -> ServeError {
    ServeError::File {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
