//! The accounts that may sign in.
//!
//! A password is compared with a keyed digest, which costs little. The digest of a plain password is
//! made when the file is read; that of a hashed one after the first login, which has to compute
//! Argon2. Where the list has any hash, each password that no digest admits costs one computation,
//! whether the account is listed or not, so that the time tells nothing.

mod hash;
mod line;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ring::hmac;
use ring::rand::SystemRandom;
use tracing::error;

use super::attempts::{Attempts, Busy};
use super::limits::ClientNetwork;
use super::sync::lock;
use crate::msnp::Account;
use crate::secret::{ExposeSecret, SecretString};

pub use hash::BadHash;
pub(crate) use hash::{NotComputed, PasswordHash};
pub use line::BadAccountList;
pub(crate) use line::{Stored, read as read_line};

/// The accounts that may sign in.
#[derive(Clone, Debug, Default)]
pub enum Accounts {
    /// Any account with an `@` and any password: for tests and for use on one machine.
    #[default]
    Open,
    /// Only the listed accounts.
    List(AccountList),
}

/// Accounts with what their passwords are verified against. Clones share one list.
#[derive(Clone)]
pub struct AccountList(Arc<Mutex<Entries>>);

#[derive(Clone)]
struct Entries {
    key: hmac::Key,
    /// Of the digests that are remembered; it stays when the file is read again.
    remembered_key: hmac::Key,
    by_account: HashMap<String, Entry>,
    /// Verified against where there is no digest, so that the time taken is the same.
    dummy: hmac::Tag,
    /// Computed where an account has no hash; `None` if no account has one.
    dummy_hash: Option<Arc<PasswordHash>>,
    plain: usize,
}

#[derive(Clone)]
enum Entry {
    Plain(hmac::Tag),
    Hashed {
        hash: Arc<PasswordHash>,
        /// Of the password, once it was verified.
        digest: Option<hmac::Tag>,
    },
}

/// What is known of a password without a computation.
#[derive(Debug)]
pub(crate) enum Check {
    Decided(bool),
    Compute(Computation),
}

/// The computation that decides.
#[derive(Debug)]
pub(crate) struct Computation {
    hash: Arc<PasswordHash>,
    /// Whether it is the account's own hash.
    is_own: bool,
}

impl Computation {
    /// Whether the password is right. Takes its time, so not on a thread that others wait for.
    pub(crate) fn run(&self, password: &SecretString) -> Result<bool, NotComputed> {
        Ok(self.hash.matches(password)? && self.is_own)
    }
}

impl AccountList {
    /// Parses lines of `account:password`, where the password may be an Argon2id hash as a PHC
    /// string; empty lines and lines that begin with `#` are skipped. Everything after the first
    /// colon is the password.
    ///
    /// # Errors
    /// [`BadAccountList`] with the line number.
    pub fn parse(text: &str) -> Result<Self, BadAccountList> {
        let generate = || {
            hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
                .map_err(|_| BadAccountList::NoRandomness)
        };
        let key = generate()?;
        let mut by_account = HashMap::new();
        let mut costs = HashMap::<_, usize>::new();
        let mut plain = 0;
        for (line, number) in text.lines().zip(1..) {
            let Some(listed) = read_line(line, number)? else {
                continue;
            };
            let entry = match listed.password {
                Stored::Plain(password) => {
                    plain += 1;
                    Entry::Plain(hmac::sign(&key, password.as_bytes()))
                }
                Stored::Hash(hash) => {
                    *costs.entry(hash.cost()).or_default() += 1;
                    let hash = Arc::new(hash);
                    Entry::Hashed { hash, digest: None }
                }
            };
            let account = folded(listed.account.as_str()).into_owned();
            if by_account.insert(account, entry).is_some() {
                return Err(BadAccountList::Duplicate(number));
            }
        }
        if by_account.is_empty() {
            return Err(BadAccountList::Empty);
        }
        let usual = costs
            .into_iter()
            .max_by_key(|(cost, count)| (*count, *cost));
        let dummy_hash = match usual {
            Some((cost, _)) => {
                let hash = PasswordHash::random(cost).ok_or(BadAccountList::NoRandomness)?;
                Some(Arc::new(hash))
            }
            None => None,
        };
        Ok(Self(Arc::new(Mutex::new(Entries {
            dummy: hmac::sign(&key, b""),
            key,
            remembered_key: generate()?,
            by_account,
            dummy_hash,
            plain,
        }))))
    }

    /// Replaces the accounts by those of `new`. Sessions that are signed in continue, and passwords
    /// that were verified need no other computation where the hash is the same.
    pub fn replace(&self, new: &Self) {
        // Cloned first, so that the two locks are never held at once.
        let mut next = lock(&new.0).clone();
        let mut current = lock(&self.0);
        next.remembered_key = current.remembered_key.clone();
        for (account, entry) in &mut next.by_account {
            if let Entry::Hashed { hash, digest } = entry {
                *digest = match current.by_account.get(account) {
                    Some(Entry::Hashed { hash: old, digest }) if old == hash => *digest,
                    _ => None,
                };
            }
        }
        *current = next;
    }

    /// How many passwords are stored as they are.
    #[must_use]
    pub fn plain(&self) -> usize {
        lock(&self.0).plain
    }

    /// What is known of the password without a computation.
    pub(crate) fn check(&self, account: &str, password: &SecretString) -> Check {
        let entries = lock(&self.0);
        let entry = entries.by_account.get(&*folded(account));
        let (key, digest) = match entry {
            Some(Entry::Plain(digest)) => (&entries.key, Some(digest)),
            Some(Entry::Hashed { digest, .. }) => (&entries.remembered_key, digest.as_ref()),
            None => (&entries.key, None),
        };
        // Digests are compared in constant time: neither length nor common prefix leaks.
        let tag = digest.unwrap_or(&entries.dummy).as_ref();
        let is_right = hmac::verify(key, password.expose_secret().as_bytes(), tag).is_ok();
        match (is_right && digest.is_some(), entry, &entries.dummy_hash) {
            (true, ..) => Check::Decided(true),
            (false, Some(Entry::Hashed { hash, .. }), _) => Check::Compute(Computation {
                hash: Arc::clone(hash),
                is_own: true,
            }),
            (false, _, Some(dummy)) => Check::Compute(Computation {
                hash: Arc::clone(dummy),
                is_own: false,
            }),
            (false, _, None) => Check::Decided(false),
        }
    }

    /// Remembers a password that a hash was computed of, if the account still has that hash.
    fn remember(&self, account: &str, password: &SecretString, verified: &PasswordHash) {
        let mut entries = lock(&self.0);
        let made = hmac::sign(&entries.remembered_key, password.expose_secret().as_bytes());
        if let Some(Entry::Hashed { hash, digest }) = entries.by_account.get_mut(&*folded(account))
            && **hash == *verified
        {
            *digest = Some(made);
        }
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
            Self::List(list) => lock(&list.0).by_account.contains_key(&*folded(account)),
        }
    }

    /// Whether the account may sign in with this password, if that is known without a computation.
    pub(super) fn known(&self, account: &str, password: &SecretString) -> Option<bool> {
        match self {
            Self::Open => Some(true),
            Self::List(list) => match list.check(account, password) {
                Check::Decided(is_right) => Some(is_right),
                Check::Compute(_) => None,
            },
        }
    }

    /// Whether the account may sign in with this password. Waits for its turn where that needs a
    /// computation.
    ///
    /// # Errors
    /// [`Busy`]: nothing is known of the password, because too many are being checked.
    pub(super) async fn verify(
        &self,
        account: &str,
        password: &SecretString,
        from: ClientNetwork,
        attempts: &Arc<Attempts>,
    ) -> Result<bool, Busy> {
        let Self::List(list) = self else {
            return Ok(true);
        };
        if let Check::Decided(is_right) = list.check(account, password) {
            return Ok(is_right);
        }
        let turn = attempts.turn(from).await?;
        // The list may have changed, or the password have been verified in another login.
        let computation = match list.check(account, password) {
            Check::Decided(is_right) => return Ok(is_right),
            Check::Compute(computation) => computation,
        };
        let hash = Arc::clone(&computation.hash);
        let secret = password.clone();
        let computed = turn.compute(move || computation.run(&secret)).await?;
        let is_right = computed.map_err(|why: NotComputed| {
            error!(%why, "password not checked");
            Busy
        })?;
        if is_right {
            list.remember(account, password, &hash);
        }
        Ok(is_right)
    }
}

/// The account, if it is a valid [`Account`] with text on both sides of an `@`.
pub(crate) fn well_formed(text: &str) -> Option<Account> {
    let (name, domain) = text.rsplit_once('@')?;
    if name.is_empty() || domain.is_empty() {
        return None;
    }
    text.parse().ok()
}

/// The account in the form used for comparison, which ignores case.
pub(crate) fn folded(account: &str) -> Cow<'_, str> {
    // Most are so already.
    match account
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        true => Cow::Borrowed(account),
        false => Cow::Owned(account.to_lowercase()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
