//! Who may sign in.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ring::hmac;
use ring::rand::SystemRandom;

use crate::msnp::Account;
use crate::secret::{ExposeSecret, SecretString};

/// Who may sign in.
#[derive(Clone, Debug, Default)]
pub enum Accounts {
    /// Any account with an `@` and any password: for tests and for one's own machine.
    #[default]
    Open,
    /// These and no others.
    List(AccountList),
}

/// Accounts with their passwords. Only keyed digests of the passwords are kept. Clones are one list.
#[derive(Clone)]
pub struct AccountList(Arc<RwLock<Digests>>);

struct Digests {
    key: hmac::Key,
    by_account: HashMap<String, hmac::Tag>,
    /// Compared with where there is no such account, so that this takes as long.
    nobody: hmac::Tag,
}

/// Why a list of accounts cannot be used. Passwords are never part of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAccountList {
    /// A line without a colon, or with nothing on one of its sides.
    #[error("line {0} is not 'account:password'")]
    NotAPair(usize),
    /// The account cannot be one.
    #[error("line {0}: the account must have an '@', at most 129 bytes and no blanks")]
    BadAccount(usize),
    /// The account stands there twice.
    #[error("line {0}: the account is listed twice")]
    Twice(usize),
    /// There is none.
    #[error("there is no account in it")]
    Empty,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl AccountList {
    /// Reads lines of `account:password`; empty lines and lines that begin with `#` are skipped.
    /// Everything after the first colon is the password.
    ///
    /// # Errors
    /// [`BadAccountList`] with the number of the line.
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
                return Err(BadAccountList::Twice(number));
            }
        }
        if by_account.is_empty() {
            return Err(BadAccountList::Empty);
        }
        let nobody = hmac::sign(&key, b"");
        Ok(Self(Arc::new(RwLock::new(Digests {
            key,
            by_account,
            nobody,
        }))))
    }

    /// Takes over what another list holds; who is signed in stays so.
    pub fn replace(&self, by: Self) {
        if let Some(lock) = Arc::into_inner(by.0) {
            let digests = lock.into_inner().unwrap_or_else(PoisonError::into_inner);
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = digests;
        }
    }

    fn digests(&self) -> RwLockReadGuard<'_, Digests> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, account: &str) -> bool {
        self.digests().by_account.contains_key(&folded(account))
    }

    fn admits(&self, account: &str, password: &SecretString) -> bool {
        let Digests {
            key,
            by_account,
            nobody,
        } = &*self.digests();
        let known = by_account.get(&folded(account));
        let tag = known.unwrap_or(nobody);
        // Of digests, in constant time: neither the length nor a common start shows.
        let same = hmac::verify(key, password.expose_secret().as_bytes(), tag.as_ref()).is_ok();
        known.is_some() && same
    }
}

impl fmt::Debug for AccountList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountList of {}", self.digests().by_account.len())
    }
}

impl Accounts {
    /// Whether there is such an account.
    pub(super) fn knows(&self, account: &str) -> bool {
        match self {
            Self::Open => true,
            Self::List(list) => list.knows(account),
        }
    }

    /// Whether the account may sign in with this password.
    pub(super) fn admits(&self, account: &str, password: &SecretString) -> bool {
        match self {
            Self::Open => true,
            Self::List(list) => list.admits(account, password),
        }
    }
}

/// The account, if it can be one: as [`Account`] has it, and something on both sides of an `@`.
pub(super) fn well_formed(text: &str) -> Option<Account> {
    let (name, domain) = text.rsplit_once('@')?;
    if name.is_empty() || domain.is_empty() {
        return None;
    }
    text.parse().ok()
}

/// The account as it is compared: case does not tell two accounts apart.
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
    fn only_a_listed_account_with_its_password_is_admitted() {
        let list = Accounts::List(
            list("# people\n\nann@example.com:s3cret:with colon \nBob@example.com: x\n").unwrap(),
        );
        let admits = |account: &str, password: &str| list.admits(account, &password.into());
        assert!(admits("ann@example.com", "s3cret:with colon "));
        assert!(admits("ANN@example.com", "s3cret:with colon "));
        assert!(admits("bob@EXAMPLE.com", " x"));
        assert!(!admits("ann@example.com", "s3cret"));
        assert!(!admits("ann@example.com", ""));
        assert!(!admits("eve@example.com", ""));
        assert!(list.knows("bob@example.com") && !list.knows("eve@example.com"));
        assert!(Accounts::Open.admits("eve@example.com", &"".into()));
    }

    #[test]
    fn a_list_is_replaced_for_all_who_have_it() {
        let old = list("ann@example.com:old\n").unwrap();
        let accounts = Accounts::List(old.clone());
        old.replace(list("ann@example.com:new\nbob@example.com:x\n").unwrap());
        assert!(!accounts.admits("ann@example.com", &"old".into()));
        assert!(accounts.admits("ann@example.com", &"new".into()));
        assert!(accounts.knows("bob@example.com"));
    }

    #[test]
    fn a_bad_list_names_its_line_and_no_password() {
        for (text, error) in [
            ("", BadAccountList::Empty),
            ("# nobody\n", BadAccountList::Empty),
            ("a@b.c", BadAccountList::NotAPair(1)),
            ("\n:x", BadAccountList::NotAPair(2)),
            ("a@b.c:", BadAccountList::NotAPair(1)),
            ("ab.c:marker", BadAccountList::BadAccount(1)),
            ("@b:marker", BadAccountList::BadAccount(1)),
            ("a b@c:marker", BadAccountList::BadAccount(1)),
            ("a@b.c:x\nA@B.c:marker", BadAccountList::Twice(2)),
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
