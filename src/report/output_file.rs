//! The file that a result is written to: it holds a whole result, or what it held before.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{Builder, NamedTempFile};

use super::print;

/// What belongs to a descriptor of this process: replacing it would replace what that leads to.
const DESCRIPTORS: [&str; 5] = [
    "/dev/fd",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/stderr",
    "/proc",
];

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

    /// Prepares a file that holds secrets: a new one that its owner alone can read. The owner is that
    /// of the file before.
    ///
    /// # Errors
    /// Where it could not be written there, is no file, or would come to have another owner.
    pub fn open_secret(path: &Path) -> io::Result<Self> {
        let present = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            present => Some(present?),
        };
        if present.as_ref().is_some_and(|present| !present.is_file()) {
            return Err(io::Error::other("it is no file"));
        }
        let file = beside(&target(path)?, 0o600)?;
        #[cfg(unix)]
        if let Some(present) = present {
            keep_owner(file.as_file(), &present)?;
        }
        let path = path.to_owned();
        let next = Some(Next::Beside(file));
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
                file.as_file_mut().write_all(text.as_bytes())?;
                // A disk that is full may say so only now.
                file.as_file().sync_all()?;
                let done = file.persist(target(&self.path)?);
                done.map_err(|failed| failed.error)?;
            }
            Next::Itself(mut file) => {
                match file.write_all(text.as_bytes()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        print::reader_has_gone();
                    }
                    done => done?,
                }
                // Opening a pipe again would wait for another reader.
                self.next = Some(Next::Itself(file));
            }
        }
        Ok(())
    }
}

fn prepare(path: &Path) -> io::Result<Next> {
    let present = match std::fs::metadata(path) {
        Ok(present) => {
            // By the path as given, so that the system may refuse to follow a link. Renaming asks for
            // the directory's permission alone.
            let file = OpenOptions::new().append(true).open(path)?;
            let is_descriptor = DESCRIPTORS.iter().any(|known| path.starts_with(known));
            if !present.is_file() || is_descriptor {
                return Ok(Next::Itself(file));
            }
            Some(present)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let target = target(path)?;
    let ends_in_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if target.file_name().is_none() || ends_in_slash {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let found = std::fs::metadata(directory_of(&target))?;
    // The umask applies, as to any new file.
    let file = beside(&target, 0o666)?;
    if let Some(present) = present {
        take_after(file.as_file(), &present, &found)?;
    }
    Ok(Next::Beside(file))
}

/// The directory that a file is in.
pub(crate) fn directory_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A new file with these permissions beside the one that it is to replace.
#[cfg_attr(windows, expect(unused_variables, reason = "there is no mode"))]
fn beside(target: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".msnp9-conntype.").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    let file = builder.tempfile_in(directory_of(target)).map_err(plain)?;
    *BESIDE.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.path().to_owned());
    Ok(file)
}

/// Gives a file the owner of the one that it is to replace, who could not read it otherwise.
#[cfg(unix)]
fn keep_owner(file: &File, present: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    if file.metadata()?.uid() != present.uid() {
        return fchown(file, Some(present.uid()), Some(present.gid()));
    }
    // The group has no permissions.
    let _ = fchown(file, None, Some(present.gid()));
    Ok(())
}

/// Gives a file the owner, the group and the permissions of the one that it is to replace, as far as
/// this user may.
#[cfg(unix)]
fn take_after(file: &File, present: &Metadata, directory: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let user = rustix::process::geteuid().as_raw();
    let is_sticky = directory.mode() & 0o1000 != 0;
    if is_sticky && ![0, present.uid(), directory.uid()].contains(&user) {
        // There only the owner of a file may replace it.
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (owner, group) = (Some(present.uid()), Some(present.gid()));
    let _ = fchown(file, owner, group).or_else(|_| fchown(file, None, group));
    // Never set-user-ID: the result is no program.
    let mut mode = present.mode() & 0o777;
    if file.metadata()?.gid() != present.gid() {
        mode &= !0o070;
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(windows)]
fn take_after(file: &File, present: &Metadata, _: &Metadata) -> io::Result<()> {
    file.set_permissions(present.permissions())
}

/// The system's own words: `tempfile` adds the name of the file beside.
fn plain(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|error| error.source());
    let inner = inner.and_then(|inner| inner.downcast_ref::<io::Error>());
    match inner.unwrap_or(&error).raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// The file itself where the path is a link to it.
pub(crate) fn target(path: &Path) -> io::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        // Whoever made a link that leads nowhere would choose where a file is made.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            Ok(path.to_owned())
        }
        found => found,
    }
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
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let [path, link] = ["real", "link"].map(|name| directory.path().join(name));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4640)).unwrap();
        // Only root can give a file away.
        let _ = std::os::unix::fs::chown(&path, Some(33), Some(34));
        let owners = |path: &Path| {
            path.metadata()
                .map(|found| (found.uid(), found.gid()))
                .unwrap()
        };
        let before = owners(&path);
        symlink(&path, &link).unwrap();
        OutputFile::open(&link).unwrap().write("new").unwrap();
        assert_eq!(read(&path), "new");
        assert!(link.is_symlink());
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(owners(&path), before);
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

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("none"), &link).unwrap();
        assert!(OutputFile::open(&link).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_with_secrets_is_for_its_owner_alone() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets");
        let state = || {
            let found = path.metadata().unwrap();
            (found.uid(), found.mode() & 0o7777)
        };
        let write = || OutputFile::open_secret(&path).unwrap().write("new");
        write().unwrap();
        let (user, mode) = state();
        assert_eq!(mode, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        // Only root can give a file away.
        let given = std::os::unix::fs::chown(&path, Some(33), Some(34));
        write().unwrap();
        assert_eq!(state(), (given.map_or(user, |()| 33), 0o600));
        assert!(OutputFile::open_secret(directory.path()).is_err());
        assert!(OutputFile::open_secret(Path::new("/dev/null")).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
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
