//! Values that cannot be printed: passwords, tickets, headers that hold them.
//!
//! `Debug` shows nothing of the value; there is no `Display` and no serialisation; the memory is
//! wiped on drop. [`redact`] removes secrets from texts that a server sends.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

pub use secrecy::zeroize::Zeroizing;
pub use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Why a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    /// It has no characters.
    #[error("the password is empty")]
    Empty,
    /// It contains CR, LF or NUL, which end a header.
    #[error("the password contains a line break or a NUL character")]
    Forbidden,
    /// It is longer than any server accepts.
    #[error("the password is longer than 1024 bytes")]
    TooLong,
}

/// What [`redact`] puts in place of a secret.
const HIDDEN: &str = "[hidden]";

/// Shorter secrets are redacted only as whole words: their letters occur everywhere.
const SHORT: usize = 4;

/// How many passing secrets are known at a time; a login has up to ten.
const MOST_PASSING: usize = 100;

/// Secrets, each in every form in which it is sent.
#[derive(Default)]
struct Known {
    lasting: Vec<SecretString>,
    /// Such that others replace with time, the latest last.
    passing: Vec<SecretString>,
}

/// The secrets of this process.
static KNOWN: RwLock<Known> = RwLock::new(Known {
    lasting: Vec::new(),
    passing: Vec::new(),
});

/// Registers a secret for [`redact`], in one of the forms in which it is sent: a hostile server may
/// echo it.
pub fn remember(form: &str) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.add(form);
}

/// The same for a ticket, which another one replaces with time. The oldest are forgotten; one that is
/// used again has to be registered again.
pub fn remember_ticket(ticket: &SecretString) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.add_ticket(ticket.expose_secret());
}

/// A text from the network with every registered secret replaced.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    KNOWN
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .redact(text)
}

impl Known {
    fn add(&mut self, form: &str) {
        let is_it = |known: &SecretString| known.expose_secret() == form;
        if !form.is_empty() && !self.lasting.iter().any(is_it) {
            self.lasting.push(SecretString::from(form));
        }
    }

    /// A part of a ticket (`t=…&p=…`) is as good as the whole; shorter ones are its keys.
    fn add_ticket(&mut self, ticket: &str) {
        let parts = ticket.split(['&', '=']).filter(|part| part.len() >= 8);
        for form in parts.chain([ticket]).filter(|form| !form.is_empty()) {
            self.passing.retain(|known| known.expose_secret() != form);
            self.passing.push(SecretString::from(form));
        }
        let too_many = self.passing.len().saturating_sub(MOST_PASSING);
        self.passing.drain(..too_many);
    }

    fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let forms = self.lasting.iter().chain(&self.passing);
        let forms = forms.map(ExposeSecret::expose_secret);
        let mut found: Vec<_> = forms.filter(|form| text.contains(form)).collect();
        // A secret that contains another one goes first.
        found.sort_by_key(|form| std::cmp::Reverse(form.len()));
        let mut shown = Cow::Borrowed(text);
        for secret in found {
            shown = Cow::Owned(hide(&shown, secret));
        }
        shown
    }
}

/// The first `most` characters of a text from the network. Secrets are hidden before it is cut,
/// which could leave a part of one.
#[must_use]
pub fn excerpt(text: &str, most: usize) -> String {
    redact(text).chars().take(most).collect()
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

/// Makes a text a secret, and wipes the text.
#[must_use]
pub fn keep(text: String) -> SecretString {
    // Not from the string itself: that may leave a copy where its capacity is larger.
    SecretString::from(Zeroizing::new(text).as_str())
}

/// Checks that a password can be sent.
///
/// # Errors
/// [`BadPassword`] where it is empty, longer than 1024 bytes, or contains CR, LF or NUL.
pub fn password(text: SecretString) -> Result<SecretString, BadPassword> {
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
            assert_eq!(password(SecretString::from(text)).err(), Some(error));
        }
        assert_eq!(
            password(keep("x".repeat(1025))).err(),
            Some(BadPassword::TooLong)
        );
        assert!(password(SecretString::from("pässwörd, with %")).is_ok());
    }

    #[test]
    fn echoed_secrets_are_redacted_in_every_form_that_is_sent() {
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
    fn only_the_latest_tickets_are_known_and_those_in_use() {
        let mut known = Known::default();
        known.add("lasting-secret");
        known.add_ticket("t=in-use-ticket");
        for number in 0..MOST_PASSING {
            known.add_ticket(&format!("ticket-{number:04}"));
            known.add_ticket("t=in-use-ticket");
        }
        assert_eq!(known.redact("lasting-secret"), HIDDEN);
        assert_eq!(known.redact("t=in-use-ticket"), HIDDEN);
        assert_eq!(known.redact("in-use-ticket"), HIDDEN);
        assert_eq!(known.redact("ticket-0099"), HIDDEN);
        assert_eq!(known.redact("ticket-0001"), "ticket-0001");
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", keep("marker".to_owned()));
        assert!(!shown.contains("marker"), "{shown}");
    }
}
