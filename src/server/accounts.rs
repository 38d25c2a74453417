//! The accounts that may sign in.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ring::hmac;
use ring::rand::SystemRandom;

use super::sync::lock;
use crate::msnp::Account;
use crate::secret::{ExposeSecret, SecretString};

/// The accounts that may sign in.
#[derive(Clone, Debug, Default)]
pub enum Accounts {
    /// Any account with an `@` and any password: for tests and for use on one machine.
    #[default]
    Open,
    /// Only the listed accounts.
    List(AccountList),
}

/// Accounts with keyed digests of their passwords. Clones share one list.
#[derive(Clone)]
pub struct AccountList(Arc<Mutex<Digests>>);

#[derive(Clone)]
struct Digests {
    key: hmac::Key,
    by_account: HashMap<String, hmac::Tag>,
    /// Verified against if the account is not listed, so that the time taken is the same.
    dummy: hmac::Tag,
}

/// Why an account list is invalid. The text never contains a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAccountList {
    /// A line lacks a colon, the account or the password.
    #[error("line {0} is not 'account:password'")]
    NotAPair(usize),
    /// An account is invalid.
    #[error("line {0}: an account needs an '@', has at most 129 bytes and no spaces")]
    BadAccount(usize),
    /// An account is listed twice.
    #[error("line {0}: the account is listed twice")]
    Duplicate(usize),
    /// No account is listed.
    #[error("it lists no account")]
    Empty,
    /// The operating system provides no random numbers.
    #[error("the operating system provides no random numbers")]
    NoRandomness,
}

impl AccountList {
    /// Parses lines of `account:password`; empty lines and lines that begin with `#` are skipped.
    /// Everything after the first colon is the password.
    ///
    /// # Errors
    /// [`BadAccountList`] with the line number.
    pub fn parse(text: &str) -> Result<Self, BadAccountList> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| BadAccountList::NoRandomness)?;
        let mut by_account = HashMap::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_start_matches('\u{feff}');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (account, password) = line
                .split_once(':')
                .filter(|(account, password)| !account.trim().is_empty() && !password.is_empty())
                .ok_or(BadAccountList::NotAPair(number))?;
            let account = well_formed(account.trim()).ok_or(BadAccountList::BadAccount(number))?;
            let tag = hmac::sign(&key, password.as_bytes());
            if by_account.insert(folded(account.as_str()), tag).is_some() {
                return Err(BadAccountList::Duplicate(number));
            }
        }
        if by_account.is_empty() {
            return Err(BadAccountList::Empty);
        }
        let dummy = hmac::sign(&key, b"");
        Ok(Self(Arc::new(Mutex::new(Digests {
            key,
            by_account,
            dummy,
        }))))
    }

    /// Replaces the accounts by those of `new`. Sessions that are signed in continue.
    pub fn replace(&self, new: &Self) {
        // Cloned first, so that the two locks are never held at once.
        let digests = lock(&new.0).clone();
        *lock(&self.0) = digests;
    }
}

impl fmt::Debug for AccountList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountList of {}", lock(&self.0).by_account.len())
    }
}

impl Accounts {
    /// Whether the account exists.
    pub(super) fn contains(&self, account: &str) -> bool {
        match self {
            Self::Open => true,
            Self::List(list) => lock(&list.0).by_account.contains_key(&folded(account)),
        }
    }

    /// Whether the account may sign in with this password.
    pub(super) fn verify(&self, account: &str, password: &SecretString) -> bool {
        let Self::List(list) = self else {
            return true;
        };
        let digests = lock(&list.0);
        let known = digests.by_account.get(&folded(account));
        let tag = known.unwrap_or(&digests.dummy).as_ref();
        // Digests are compared in constant time: neither length nor common prefix leaks.
        let password = password.expose_secret().as_bytes();
        hmac::verify(&digests.key, password, tag).is_ok() && known.is_some()
    }
}

/// The account, if it is a valid [`Account`] with text on both sides of an `@`.
pub(super) fn well_formed(text: &str) -> Option<Account> {
    let (name, domain) = text.rsplit_once('@')?;
    if name.is_empty() || domain.is_empty() {
        return None;
    }
    text.parse().ok()
}

/// The account in the form used for comparison, which ignores case.
pub(super) fn folded(account: &str) -> String {
    account.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<AccountList, BadAccountList> {
        AccountList::parse(text)
    }

    #[test]
    fn only_a_listed_account_with_its_password_may_sign_in() {
        let list = Accounts::List(
            list("# people\n\nann@example.com:s3cret:with colon \nBob@example.com: x\n").unwrap(),
        );
        let verify = |account: &str, password: &str| list.verify(account, &password.into());
        assert!(verify("ann@example.com", "s3cret:with colon "));
        assert!(verify("ANN@example.com", "s3cret:with colon "));
        assert!(verify("bob@EXAMPLE.com", " x"));
        assert!(!verify("ann@example.com", "s3cret"));
        assert!(!verify("ann@example.com", ""));
        assert!(!verify("eve@example.com", ""));
        assert!(list.contains("bob@example.com") && !list.contains("eve@example.com"));
        assert!(Accounts::Open.verify("eve@example.com", &"".into()));
    }

    #[test]
    fn replacing_a_list_affects_all_its_clones() {
        let old = list("ann@example.com:old\n").unwrap();
        let accounts = Accounts::List(old.clone());
        old.replace(&list("ann@example.com:new\nbob@example.com:x\n").unwrap());
        assert!(!accounts.verify("ann@example.com", &"old".into()));
        assert!(accounts.verify("ann@example.com", &"new".into()));
        assert!(accounts.contains("bob@example.com"));
    }

    #[test]
    fn an_invalid_list_names_its_line_but_no_password() {
        for (text, error) in [
            ("", BadAccountList::Empty),
            ("# nobody\n", BadAccountList::Empty),
            ("a@b.c", BadAccountList::NotAPair(1)),
            ("\n:x", BadAccountList::NotAPair(2)),
            ("a@b.c:", BadAccountList::NotAPair(1)),
            ("ab.c:marker", BadAccountList::BadAccount(1)),
            ("@b:marker", BadAccountList::BadAccount(1)),
            ("a b@c:marker", BadAccountList::BadAccount(1)),
            ("a@b.c:x\nA@B.c:marker", BadAccountList::Duplicate(2)),
        ] {
            let got = list(text).unwrap_err();
            assert_eq!(got, error, "{text:?}");
            assert!(!got.to_string().contains("marker"));
        }
    }

    #[test]
    fn debug_shows_no_account() {
        let shown = format!("{:?}", Accounts::List(list("a@b.c:marker").unwrap()));
        assert_eq!(shown, "List(AccountList of 1)");
    }
}
