//! Tasks during the run: reloading files on SIGHUP, and logging the counters.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use super::files::Files;
use crate::server::{Acceptor, Accounts, Stats, TicketKeys};

/// What the tasks need.
pub(super) struct Maintenance {
    pub(super) files: Files,
    /// The accounts that the server uses.
    pub(super) accounts: Accounts,
    /// The keys of tickets that the server uses, if they are from files.
    pub(super) ticket_keys: Option<TicketKeys>,
    /// Where the certificate is used.
    pub(super) acceptor: Option<Acceptor>,
    pub(super) stats: Arc<Stats>,
    /// The interval at which the counters are logged.
    pub(super) stats_every: Option<Duration>,
}

impl Maintenance {
    /// Reloads the files. If one is invalid, its previous content stays in use.
    #[cfg(unix)]
    fn reload(&self) {
        if let (Some(file), Accounts::List(list)) = (&self.files.accounts, &self.accounts) {
            file.warn_if_shared();
            match file.accounts() {
                Ok(new) => {
                    list.replace(&new);
                    info!(path = %file.path.display(), "accounts reloaded");
                }
                Err(error) => error!(%error, "accounts not reloaded"),
            }
        }
        if let Some(keys) = &self.ticket_keys {
            match self.files.ticket_keys() {
                Ok(new) => {
                    new.iter().for_each(|new| keys.replace(new));
                    info!("ticket keys reloaded");
                }
                Err(error) => error!(%error, "ticket keys not reloaded"),
            }
        }
        if let (Some((chain, key)), Some(acceptor)) = (&self.files.certificate, &self.acceptor) {
            match acceptor.replace(&chain.path, &key.path) {
                Ok(()) => info!(path = %chain.path.display(), "certificate reloaded"),
                Err(error) => {
                    let error = self.files.named(error);
                    error!(%error, "certificate not reloaded");
                }
            }
        }
    }

    /// Performs the tasks forever.
    #[cfg(unix)]
    pub(super) fn run(self) -> io::Result<impl Future<Output = ()>> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        let mut user = signal(SignalKind::user_defined1())?;
        Ok(async move {
            loop {
                tokio::select! {
                    _ = hangup.recv() => self.reload(),
                    _ = user.recv() => self.stats.counts().log(),
                    () = pause(self.stats_every) => self.stats.counts().log(),
                }
            }
        })
    }

    /// Performs the tasks forever.
    #[cfg(not(unix))]
    pub(super) fn run(self) -> io::Result<impl Future<Output = ()>> {
        Ok(async move {
            loop {
                pause(self.stats_every).await;
                self.stats.counts().log();
            }
        })
    }
}

async fn pause(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
