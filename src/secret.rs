//! Values that cannot be printed: passwords, tickets, whole headers that hold them.
//!
//! `Debug` shows that there is one and nothing of it; there is no `Display` and no
//! serialisation; the memory is wiped when the value goes.

pub use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Why a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    /// Nothing is there.
    #[error("the password is empty")]
    Empty,
    /// A line end or NUL is in it: it would end the header it is put into, somewhere.
    #[error("the password holds a line break or a NUL character")]
    Forbidden,
    /// It is longer than any server takes.
    #[error("the password is longer than 1024 bytes")]
    TooLong,
}

/// A password that may be sent.
///
/// # Errors
/// [`BadPassword`] where it is empty, longer than 1024 bytes, or holds CR, LF or NUL.
pub fn password(text: String) -> Result<SecretString, BadPassword> {
    let text = SecretString::from(text);
    let bytes = text.expose_secret().as_bytes();
    if bytes.is_empty() {
        return Err(BadPassword::Empty);
    }
    if bytes.len() > 1024 {
        return Err(BadPassword::TooLong);
    }
    if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(BadPassword::Forbidden);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_could_end_a_header_is_refused() {
        for (text, error) in [
            ("", BadPassword::Empty),
            ("a\nb", BadPassword::Forbidden),
            ("a\r", BadPassword::Forbidden),
            ("\0", BadPassword::Forbidden),
        ] {
            assert_eq!(password(text.into()).err(), Some(error));
        }
        assert_eq!(password("x".repeat(1025)).err(), Some(BadPassword::TooLong));
        assert!(password("pässwörd, with %".into()).is_ok());
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", password("marker".into()));
        assert!(!shown.contains("marker"), "{shown}");
    }
}
