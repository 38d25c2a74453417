//! Files with secrets: read up to a limit, and wiped from memory after use.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use secrecy::zeroize::Zeroizing;

/// Reads a file of at most `max` bytes, whatever length it claims.
///
/// # Errors
/// That of the operating system, or `FileTooLarge`.
pub(crate) fn read(path: &Path, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = File::open(path)?;
    let mut content = Zeroizing::new(vec![0; 4096.min(max + 1)]);
    let mut length = 0;
    loop {
        match file.read(&mut content[length..])? {
            0 => break,
            read => length += read,
        }
        if length > max {
            let text = format!("it is larger than {max} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        if length == content.len() {
            // Not by growing in place, which could leave a copy behind.
            let mut larger = Zeroizing::new(vec![0; (2 * length).min(max + 1)]);
            larger[..length].copy_from_slice(&content);
            content = larger;
        }
    }
    content.truncate(length);
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for length in [0, 1, 4096, 4097, 20_000] {
            let written = vec![b'x'; length];
            std::fs::write(&path, &written).unwrap();
            assert_eq!(*read(&path, 20_000).unwrap(), written);
        }
        let error = read(&path, 19_999).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 19999 bytes");
        assert!(read(&dir.path().join("missing"), 1).is_err());
    }
}
