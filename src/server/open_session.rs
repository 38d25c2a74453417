//! A session that is open, for the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::session::Role;
use super::stats::Stats;

/// A session that is open: counted until it is dropped, and then its duration is recorded.
#[derive(Debug)]
pub(super) struct OpenSession {
    stats: Arc<Stats>,
    role: Role,
    opened: Instant,
}

impl OpenSession {
    pub(super) fn new(role: Role, stats: &Arc<Stats>, opened: Instant) -> Self {
        let open = Self {
            stats: Arc::clone(stats),
            role,
            opened,
        };
        open.gauge().fetch_add(1, Ordering::Relaxed);
        open
    }

    /// How long it has been open.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Records the time from its start to `now`, when it signed in.
    pub(super) fn record_login(&self, now: Instant) {
        self.stats.durations.login.record(now - self.opened);
    }

    fn gauge(&self) -> &AtomicU64 {
        let open = &self.stats.open;
        match self.role {
            Role::Notification => &open.notification,
            Role::Gateway => &open.gateway,
            Role::Dispatch => &open.dispatch,
        }
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.gauge().fetch_sub(1, Ordering::Relaxed);
        self.stats.durations.session.record(self.age());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_is_counted_while_it_is_open_and_timed_when_it_ends() {
        let stats = Arc::<Stats>::default();
        let open = |role| OpenSession::new(role, &stats, Instant::now());
        let samples = || stats.open.family().samples;
        let _dispatch = open(Role::Dispatch);
        let (one, two) = (open(Role::Gateway), open(Role::Gateway));
        let want = |gateway| [("notification", 0), ("gateway", gateway), ("dispatch", 1)];
        assert_eq!(samples(), want(2));
        tokio::time::advance(Duration::from_secs(2)).await;
        one.record_login(Instant::now());
        tokio::time::advance(Duration::from_secs(3)).await;
        drop((one, two));
        assert_eq!(samples(), want(0));
        assert_eq!(stats.durations.login.read().0, 2.0);
        assert_eq!(stats.durations.session.read().0, 10.0);
    }
}
