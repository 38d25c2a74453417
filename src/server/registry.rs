//! The accounts that are signed in: one session per account, as on every server of the time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::accounts::folded;
use super::sync::lock;
use crate::msnp::Account;

/// The accounts that are signed in. Bounded by the number of sessions, which is limited.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By account, with the means to evict its session.
    sessions: Mutex<HashMap<Arc<str>, oneshot::Sender<()>>>,
}

/// A session's entry in the registry, which is removed on drop.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<Registry>,
    account: Arc<str>,
    /// Completes when the account signs in elsewhere.
    pub(super) evicted: oneshot::Receiver<()>,
}

impl Registry {
    /// How many accounts are signed in.
    pub(super) fn len(&self) -> usize {
        lock(&self.sessions).len()
    }

    /// Registers a session, and evicts an earlier session of the same account; the second value is
    /// whether there was one.
    pub(super) fn sign_in(self: &Arc<Self>, account: &Account) -> (Registration, bool) {
        let (evict, evicted) = oneshot::channel();
        let account = match folded(account.as_str()) {
            Cow::Borrowed(_) => account.shared(),
            Cow::Owned(folded) => folded.into(),
        };
        // Under the lock: a session that ends must know whether the entry is still its own.
        let mut sessions = lock(&self.sessions);
        let earlier = sessions.insert(Arc::clone(&account), evict);
        let has_evicted = earlier.is_some_and(|evict| evict.send(()).is_ok());
        drop(sessions);
        let registration = Registration {
            registry: Arc::clone(self),
            account,
            evicted,
        };
        (registration, has_evicted)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sessions = lock(&self.registry.sessions);
        // A session that was evicted has received a value, and its entry belongs to another.
        if matches!(self.evicted.try_recv(), Err(TryRecvError::Empty)) {
            sessions.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_session_evicts_the_first() {
        let registry = Arc::new(Registry::default());
        let (mut first, has_evicted) = registry.sign_in(&"user@example.com".parse().unwrap());
        assert!(!has_evicted);
        assert!(first.evicted.try_recv().is_err());
        let (mut second, has_evicted) = registry.sign_in(&"User@Example.com".parse().unwrap());
        assert!(has_evicted);
        assert!(first.evicted.try_recv().is_ok());
        drop(first);
        assert_eq!(registry.len(), 1);
        assert!(second.evicted.try_recv().is_err());
        drop(second);
        assert_eq!(registry.len(), 0);
    }
}
