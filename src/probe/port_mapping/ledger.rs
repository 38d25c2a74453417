//! What is open at the router, or may be.

use std::mem::take;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::router::{Router, Way};
use super::{CLOSING, OpenedPorts, Protocol};
use crate::conntype::Opening;
use crate::probe::exchange::Ignored;

/// What is open at the router, or may be: written down before it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    state: Opening,
}

/// A mapping that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) gateway: Ipv4Addr,
    pub(super) local: Ipv4Addr,
    pub(super) way: Way,
    pub(super) protocol: Protocol,
    pub(super) internal: u16,
    pub(super) external: u16,
    /// Whether the router said that it is open.
    pub(super) is_confirmed: bool,
}

impl Ledger {
    /// What came of opening ports so far.
    #[must_use]
    pub fn state(&self) -> Opening {
        self.with(|inner| inner.state)
    }

    pub(super) fn begin(&self) {
        self.with(|inner| inner.state = Opening::default());
    }

    pub(super) fn note(&self, entry: Entry) -> usize {
        self.with(|inner| {
            inner.entries.push(entry);
            inner.entries.len() - 1
        })
    }

    pub(super) fn confirm(&self, at: usize, external: u16) {
        self.with(|inner| {
            if let Some(entry) = inner.entries.get_mut(at) {
                entry.external = external;
                entry.is_confirmed = true;
            }
        });
    }

    /// Of what was refused nothing is to be closed, which could be another's.
    pub(super) fn forget(&self, at: usize) {
        self.with(|inner| {
            if at < inner.entries.len() {
                inner.entries.remove(at);
            }
        });
    }

    pub(super) fn opened(&self, opened: OpenedPorts) {
        self.with(|inner| inner.state.opened = Some(opened));
    }

    /// Closes what is open, or may be. Takes at most [`CLOSING`].
    pub async fn close(&self) {
        let entries = self.with(|inner| inner.entries.clone());
        if entries.is_empty() {
            return;
        }
        let ignored = Ignored::default();
        let each = entries.iter().map(|entry| {
            let router = Router {
                gateway: entry.gateway,
                local: entry.local,
                ignored: &ignored,
            };
            async move { router.unmap(entry).await }
        });
        let closed = timeout(CLOSING, join_all(each)).await;
        let closed = closed.is_ok_and(|each| each.into_iter().all(|closed| closed));
        self.with(|inner| {
            drop(take(&mut inner.entries));
            inner.state.closed = Some(closed && inner.state.closed.unwrap_or(true));
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
