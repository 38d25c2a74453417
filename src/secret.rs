//! Values that cannot be printed: passwords, tickets, whole headers that hold them.
//!
//! `Debug` shows that there is one and nothing of it; there is no `Display` and no
//! serialisation; the memory is wiped when the value goes.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

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

/// What stands in the place of a secret that somebody repeats.
const HIDDEN: &str = "[hidden]";

/// Shorter secrets are looked for as whole words only: their letters are everywhere.
const SHORT: usize = 4;

/// The secrets of this process, in each form in which they travel.
static KNOWN: RwLock<Vec<SecretString>> = RwLock::new(Vec::new());

/// Keeps a secret in mind, in one of the forms in which it travels: a hostile server may repeat it.
pub fn remember(form: &str) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if !form.is_empty() && !known.iter().any(|known| known.expose_secret() == form) {
        known.push(SecretString::from(form));
        // What holds another one goes first.
        known.sort_by_key(|known| std::cmp::Reverse(known.expose_secret().len()));
    }
}

/// A text from the network, fit to be shown: every secret that it repeats is hidden.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let mut shown = Cow::Borrowed(text);
    for secret in known.iter() {
        let secret = secret.expose_secret();
        if shown.contains(secret) {
            shown = Cow::Owned(hide(&shown, secret));
        }
    }
    shown
}

fn hide(text: &str, secret: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let (before, after) = (&rest[..at], &rest[at + secret.len()..]);
        let within_a_word =
            before.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric);
        shown.push_str(before);
        shown.push_str(match secret.len() < SHORT && within_a_word {
            true => secret,
            false => HIDDEN,
        });
        rest = after;
    }
    shown + rest
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
    fn what_is_repeated_is_hidden_in_every_form_that_travels() {
        for form in ["unit,secret", "unit%2Csecret", "unit,secret-and-more", "q1"] {
            remember(form);
        }
        assert_eq!(redact("it said unit,secret!"), "it said [hidden]!");
        assert_eq!(redact("xunit%2Csecretx"), "x[hidden]x");
        assert_eq!(redact("unit,secret-and-more"), "[hidden]");
        assert_eq!(redact("q1, not q12"), "[hidden], not q12");
        assert_eq!(redact("nothing of it"), "nothing of it");
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", password("marker".into()));
        assert!(!shown.contains("marker"), "{shown}");
    }
}
