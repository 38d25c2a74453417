//! The files that options of `serve` name.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use super::args::ServeArgs;
use super::error::ServeError;
use crate::server::{AccountList, ServerError, TicketKey, TicketKeys, secret_file};

/// The largest account file, in bytes.
pub(in crate::cli) const MAX_ACCOUNTS: usize = 16 * 1024 * 1024;

/// The largest ticket key file, in bytes.
const MAX_KEY: usize = 64 * 1024;

/// The files that the options name.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) accounts: Option<NamedFile>,
    ticket_keys: Vec<NamedFile>,
    /// The certificate and the key.
    pub(super) certificate: Option<(NamedFile, NamedFile)>,
    pub(super) write_ca: Option<NamedFile>,
}

impl Files {
    pub(super) fn of(args: &ServeArgs) -> Self {
        let file = |option, path: &PathBuf| NamedFile {
            option: args.origins.name(option),
            path: path.clone(),
        };
        let named = |option, path: &Option<PathBuf>| path.as_ref().map(|path| file(option, path));
        Self {
            accounts: named("--accounts", &args.accounts),
            ticket_keys: (args.ticket_keys.iter())
                .map(|path| file("--ticket-key", path))
                .collect(),
            certificate: named("--tls-cert", &args.tls_cert).zip(named("--tls-key", &args.tls_key)),
            write_ca: named("--write-ca", &args.write_ca),
        }
    }

    /// Warns about files with secrets that other users can read.
    pub(super) fn warn_if_shared(&self) {
        let key = self.certificate.as_ref().map(|(_, key)| key);
        let files = self.accounts.iter().chain(&self.ticket_keys).chain(key);
        files.for_each(NamedFile::warn_if_shared);
    }

    /// The keys of tickets, if they are from files.
    pub(super) fn ticket_keys(&self) -> Result<Option<TicketKeys>, ServeError> {
        let keys: Result<Vec<_>, _> = self.ticket_keys.iter().map(NamedFile::ticket_key).collect();
        let mut keys = keys?.into_iter();
        Ok(keys.next().map(|first| TicketKeys::new(first, keys)))
    }

    /// The server's error in terms of the options.
    pub(super) fn named(&self, error: ServerError) -> ServeError {
        match (error, &self.certificate) {
            (ServerError::CertificateFile { is_key, reason, .. }, Some((chain, key))) => {
                if is_key { key } else { chain }.invalid(reason)
            }
            (ServerError::Certificate(reason), Some((chain, _))) => chain.invalid(reason),
            (ServerError::NoReferralTarget, _) => ServeError::Usage(
                "--dispatch-listen needs --advertise HOST[:PORT] if --listen is 'none'".to_owned(),
            ),
            (error, _) => ServeError::Server(error),
        }
    }
}

/// A file, and the option or variable that names it.
#[derive(Clone)]
pub(super) struct NamedFile {
    option: String,
    pub(super) path: PathBuf,
}

impl NamedFile {
    pub(super) fn accounts(&self) -> Result<AccountList, ServeError> {
        let bytes = self.read(MAX_ACCOUNTS)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.invalid("it is not UTF-8"))?;
        let list = AccountList::parse(text).map_err(|error| self.invalid(error))?;
        let plain = list.plain();
        if plain > 0 {
            tracing::warn!(
                path = %self.path.display(),
                plain,
                "passwords are stored as they are; 'msnp9-conntype account add' stores a hash in \
                 place of each"
            );
        }
        Ok(list)
    }

    fn ticket_key(&self) -> Result<TicketKey, ServeError> {
        TicketKey::new(&self.read(MAX_KEY)?).map_err(|error| self.invalid(error))
    }

    pub(super) fn write(&self, text: &str) -> Result<(), ServeError> {
        fs::write(&self.path, text).map_err(|error| self.invalid(error))
    }

    /// Warns if other users can read a file with secrets.
    pub(super) fn warn_if_shared(&self) {
        #[cfg(unix)]
        if is_shared(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, "other users can read this file with secrets; run chmod 600 on it");
        }
    }

    fn invalid(&self, reason: impl Display) -> ServeError {
        ServeError::File {
            option: self.option.clone(),
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }

    fn read(&self, max: usize) -> Result<impl std::ops::Deref<Target = Vec<u8>>, ServeError> {
        secret_file::read(&self.path, max).map_err(|error| self.invalid(error))
    }
}

#[cfg(unix)]
fn is_shared(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.mode() & 0o077 != 0)
}
