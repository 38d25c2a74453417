//! The account file: read, or changed by one program at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::error::CommandError;
use crate::cli::runtime::Runtime;
use crate::cli::serve::MAX_ACCOUNTS;
use crate::report::{OutputFile, output_file};
use crate::secret::Zeroizing;
use crate::server::{BadAccountList, secret_file};

/// How long another program may take for its change.
const LOCK_TIME: Duration = Duration::from_secs(10);

/// The file, and the option or variable that names it.
pub(super) struct AccountFile<'a> {
    pub(super) option: String,
    pub(super) path: &'a Path,
}

impl AccountFile<'_> {
    /// What it holds.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, CommandError> {
        self.read_present()?
            .ok_or_else(|| self.error(io::Error::from(io::ErrorKind::NotFound)))
    }

    /// What it holds; `None` if there is no such file.
    pub(super) fn read_present(&self) -> Result<Option<Zeroizing<String>>, CommandError> {
        let mut bytes = match secret_file::read(self.path, MAX_ACCOUNTS) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| self.error(error))?,
        };
        let text = String::from_utf8(std::mem::take(&mut *bytes));
        let text = text.map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            self.error("it is not UTF-8")
        })?;
        Ok(Some(Zeroizing::new(text)))
    }

    /// Puts what `edit` makes of its text in its place, unless that is nothing. No other program of
    /// this kind changes it meanwhile, and it holds all of the old text or all of the new one.
    pub(super) fn change<T>(
        &self,
        runtime: &mut Runtime,
        edit: impl FnOnce(&str) -> Result<(Option<Zeroizing<String>>, T), BadAccountList>,
    ) -> Result<T, CommandError> {
        let target = output_file::target(self.path).map_err(|error| self.error(error))?;
        let directory = output_file::directory_of(&target).to_owned();
        let lock = self.lock(directory, runtime)?;
        let old = self.read_present()?.unwrap_or_default();
        let (new, done) = edit(&old).map_err(|error| self.error(error))?;
        let Some(new) = new else {
            return Ok(done);
        };
        if new.len() > MAX_ACCOUNTS {
            return Err(self.error(format!("it would be larger than {MAX_ACCOUNTS} bytes")));
        }
        let mut file = OutputFile::open_secret(self.path)
            .map_err(|error| self.error(format!("cannot be replaced: {error}")))?;
        file.write(&new)
            .map_err(|error| CommandError::unwritten(self.path.display(), error))?;
        // Some file systems cannot, and the change is complete.
        let _ = lock.map(|directory| directory.sync_all());
        Ok(done)
    }

    /// Waits until no other program changes files in this directory. The file itself is replaced by
    /// every change, so it cannot be what is locked.
    fn lock(
        &self,
        directory: PathBuf,
        runtime: &mut Runtime,
    ) -> Result<Option<File>, CommandError> {
        let locked = async {
            let lock = tokio::task::spawn_blocking(move || lock(&directory));
            tokio::time::timeout(LOCK_TIME, lock).await
        };
        let Ok(locked) = runtime.until_signal(locked)? else {
            return Err(self.error("another program has locked its directory"));
        };
        locked
            .context("the task was lost")?
            .map_err(|error| self.error(error))
    }

    /// Something is wrong with the file.
    pub(super) fn error(&self, why: impl std::fmt::Display) -> CommandError {
        CommandError::value(&self.option, format!("{}: {why}", self.path.display()))
    }
}

/// The directory, which stays locked until it is closed.
#[cfg(unix)]
fn lock(directory: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};
    let file = File::open(directory)?;
    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
    Ok(Some(file))
}

/// Directories cannot be locked there.
#[cfg(not(unix))]
fn lock(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}
