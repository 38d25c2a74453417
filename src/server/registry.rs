//! Who is signed in: one session an account, as on every server of the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::accounts::folded;

/// The accounts that are signed in. As large as there are sessions, and those are counted.
#[derive(Debug, Default)]
pub(super) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    sessions: HashMap<String, (u64, oneshot::Sender<()>)>,
}

/// One session's place; it is free again when this goes.
#[derive(Debug)]
pub(super) struct Place {
    registry: Arc<Registry>,
    account: String,
    number: u64,
    /// Completes when the account signs in elsewhere.
    pub(super) evicted: oneshot::Receiver<()>,
}

impl Place {
    /// Completes when the place, if there is one, is lost to another session; once.
    pub(super) async fn lost(place: &mut Option<Self>) {
        match place {
            // Its other end goes only with a word to this one.
            Some(place) => drop((&mut place.evicted).await),
            None => std::future::pending().await,
        }
    }
}

impl Registry {
    /// Takes the account's place; a session that has it loses it and is told so. Whether there
    /// was one comes along.
    pub(super) fn sign_in(self: &Arc<Self>, account: &str) -> (Place, bool) {
        let (tell, evicted) = oneshot::channel();
        let account = folded(account);
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        let before = inner.sessions.insert(account.clone(), (number, tell));
        drop(inner);
        let had_one = before.is_some_and(|(_, tell)| tell.send(()).is_ok());
        let place = Place {
            registry: Arc::clone(self),
            account,
            number,
            evicted,
        };
        (place, had_one)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is half done when a holder of this lock panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        if let Some((number, _)) = inner.sessions.get(&self.account)
            && *number == self.number
        {
            inner.sessions.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_session_evicts_the_first_and_keeps_its_place() {
        let registry = Arc::new(Registry::default());
        let (mut first, had_one) = registry.sign_in("user@example.com");
        assert!(!had_one);
        assert!(first.evicted.try_recv().is_err());
        let (mut second, had_one) = registry.sign_in("User@Example.com");
        assert!(had_one);
        assert!(first.evicted.try_recv().is_ok());
        drop(first);
        assert_eq!(registry.lock().sessions.len(), 1);
        assert!(second.evicted.try_recv().is_err());
        drop(second);
        assert!(registry.lock().sessions.is_empty());
    }
}
