//! The account's name, fit to be put into a line.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest account, in bytes (hypothetic.org, general/names).
const MAX_ACCOUNT: usize = 129;

/// An account: 1 to 129 bytes, without blanks and control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(Arc<str>);

/// Why a text cannot be an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAccount {
    /// Nothing is there.
    #[error("the account is empty")]
    Empty,
    /// It is longer than any server takes.
    #[error("the account is longer than {MAX_ACCOUNT} bytes")]
    TooLong,
    /// A blank, a line break or another control character is in it.
    #[error("the account holds a blank or a control character")]
    Forbidden,
}

impl Account {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, without copying it.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Account {
    type Err = BadAccount;

    fn from_str(text: &str) -> Result<Self, BadAccount> {
        if text.is_empty() {
            return Err(BadAccount::Empty);
        }
        if text.len() > MAX_ACCOUNT {
            return Err(BadAccount::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(BadAccount::Forbidden);
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_could_end_a_line_is_refused() {
        assert_eq!("".parse::<Account>(), Err(BadAccount::Empty));
        for bad in ["a b", "a\r\nOUT", "a\0", "a\tb", "a\u{a0}b", "a\u{2028}"] {
            assert_eq!(
                bad.parse::<Account>(),
                Err(BadAccount::Forbidden),
                "{bad:?}"
            );
        }
        assert_eq!("a".repeat(130).parse::<Account>(), Err(BadAccount::TooLong));
        assert_eq!(
            "zoë@example.com".parse::<Account>().unwrap().as_str(),
            "zoë@example.com"
        );
    }
}
