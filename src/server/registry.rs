//! The accounts that are signed in: one session per account, as on every server of the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::accounts::folded;
use super::sync::lock;

/// The accounts that are signed in. Bounded by the number of sessions, which is limited.
#[derive(Debug, Default)]
pub(super) struct Registry {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next_id: u64,
    sessions: HashMap<String, (u64, oneshot::Sender<()>)>,
}

/// A session's entry in the registry, which is removed on drop.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<Registry>,
    account: String,
    id: u64,
    /// Completes when the account signs in elsewhere.
    pub(super) evicted: oneshot::Receiver<()>,
}

impl Registry {
    /// Registers a session, and evicts an earlier session of the same account; the second value is
    /// whether there was one.
    pub(super) fn sign_in(self: &Arc<Self>, account: &str) -> (Registration, bool) {
        let (evict, evicted) = oneshot::channel();
        let account = folded(account);
        let mut table = lock(&self.table);
        let id = table.next_id;
        table.next_id += 1;
        let earlier = table.sessions.insert(account.clone(), (id, evict));
        drop(table);
        let has_evicted = earlier.is_some_and(|(_, evict)| evict.send(()).is_ok());
        let registration = Registration {
            registry: Arc::clone(self),
            account,
            id,
            evicted,
        };
        (registration, has_evicted)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut table = lock(&self.registry.table);
        if let Some((id, _)) = table.sessions.get(&self.account)
            && *id == self.id
        {
            table.sessions.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_session_evicts_the_first() {
        let registry = Arc::new(Registry::default());
        let (mut first, has_evicted) = registry.sign_in("user@example.com");
        assert!(!has_evicted);
        assert!(first.evicted.try_recv().is_err());
        let (mut second, has_evicted) = registry.sign_in("User@Example.com");
        assert!(has_evicted);
        assert!(first.evicted.try_recv().is_ok());
        drop(first);
        assert_eq!(lock(&registry.table).sessions.len(), 1);
        assert!(second.evicted.try_recv().is_err());
        drop(second);
        assert!(lock(&registry.table).sessions.is_empty());
    }
}
