//! The file that a result is written to: it holds a whole result, or what it held before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{Builder, NamedTempFile};

/// The latest file beside, for an end that drops nothing.
static BESIDE: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Removes what an unfinished result leaves, before the program ends at once.
pub(crate) fn remove_unfinished() {
    let beside = BESIDE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*beside {
        let _ = std::fs::remove_file(path);
    }
}

/// A file for results.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    next: Option<Next>,
}

/// What the next result is written to.
#[derive(Debug)]
enum Next {
    /// A new file beside the old one, which it replaces.
    Beside(NamedTempFile),
    /// A pipe or a device, which cannot be replaced.
    Itself(File),
}

impl OutputFile {
    /// Prepares the file for a result. What it holds stays until the result is complete.
    ///
    /// # Errors
    /// Where the result could not be written there: no permission, no such directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let next = Some(prepare(path)?);
        let path = path.to_owned();
        Ok(Self { path, next })
    }

    /// Puts a result in the place of the one before.
    ///
    /// # Errors
    /// Any I/O error, such as a full disk. The file then holds what it held before.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        let next = match self.next.take() {
            Some(next) => next,
            None => prepare(&self.path)?,
        };
        match next {
            Next::Beside(mut file) => {
                file.write_all(text.as_bytes())?;
                // A disk that is full may say so only now.
                file.as_file().sync_all()?;
                file.persist(target(&self.path))
                    .map_err(|failed| failed.error)?;
                Ok(())
            }
            Next::Itself(mut file) => match file.write_all(text.as_bytes()) {
                // The reader wants no more.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                done => done,
            },
        }
    }
}

fn prepare(path: &Path) -> io::Result<Next> {
    let target = target(path);
    let present = match std::fs::metadata(&target) {
        Ok(present) => {
            // Renaming asks for the directory's permission alone.
            let file = OpenOptions::new().append(true).open(&target)?;
            if !present.is_file() {
                return Ok(Next::Itself(file));
            }
            Some(present)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let name = target.file_name();
    let name = name.ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The umask applies, as to any new file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(directory).map_err(plain)?;
    *BESIDE.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.path().to_owned());
    if let Some(present) = present {
        file.as_file().set_permissions(present.permissions())?;
    }
    Ok(Next::Beside(file))
}

/// The system's own words: `tempfile` adds the name of the file beside.
fn plain(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// The file itself where the path is a link to it.
fn target(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_result_replaces_the_one_before_and_leaves_nothing_beside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result");
        let mut file = OutputFile::open(&path).unwrap();
        assert!(!path.exists());
        file.write("one").unwrap();
        assert_eq!(read(&path), "one");
        file.write("two").unwrap();
        assert_eq!(read(&path), "two");
        drop(OutputFile::open(&path).unwrap());
        assert_eq!(read(&path), "two");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let [path, link] = ["real", "link"].map(|name| directory.path().join(name));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        OutputFile::open(&link).unwrap().write("new").unwrap();
        assert_eq!(read(&path), "new");
        assert!(link.is_symlink());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let device = Path::new("/dev/null");
        OutputFile::open(device).unwrap().write("text").unwrap();
        assert!(!device.metadata().unwrap().is_file());
        let full = OutputFile::open(Path::new("/dev/full"))
            .unwrap()
            .write("text");
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_cannot_be_written_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        for path in [
            directory.path().join("none/result"),
            directory.path().into(),
        ] {
            let error = OutputFile::open(&path).unwrap_err();
            assert!(!error.to_string().contains(".tmp"), "{error}");
        }
    }
}
