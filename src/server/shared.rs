//! What all connections of one server have in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::config::Limits;
use super::desk::{Desk, Moment};
use super::limits::{Full, Gate, Permit, Stats};
use super::registry::{Place, Registry};
use super::session::Why;
use super::ticket::random;
use crate::address::Address;

/// What all connections of one server have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) desk: Desk,
    pub(super) limits: Limits,
    pub(super) gate: Arc<Gate>,
    pub(super) registry: Arc<Registry>,
    pub(super) stats: Arc<Stats>,
    pub(super) advertise: Option<Address>,
    pub(super) passport_host: Option<Address>,
    pub(super) gateway_host: Option<Address>,
    pub(super) gateway_keeps_id: bool,
    /// Connections that were turned away and are still waited for.
    pub(super) turned_away: AtomicUsize,
    /// Where the notification server listens.
    pub(super) notification: Vec<SocketAddr>,
}

impl Shared {
    /// Now, with somebody who asks.
    pub(super) fn moment(&self, peer: SocketAddr) -> Moment {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Moment {
            now: now.map_or(0, |since| since.as_secs()),
            peer,
            clock: Instant::now(),
        }
    }

    /// A number that nobody guesses and that does not come again; `None` where the system gives no
    /// random numbers, and then nothing that needs one goes on.
    pub(super) fn nonce(&self) -> Option<u128> {
        let number = random().map(u128::from_be_bytes);
        if number.is_none() {
            tracing::error!("the system gives no random numbers");
        }
        number
    }

    /// Lets one more connection or gateway session in, or counts that it was not.
    pub(super) fn admit(&self, peer: SocketAddr) -> Result<Permit, Full> {
        self.gate.admit(peer.ip()).inspect_err(|full| {
            Stats::count(match full {
                Full::Total => &self.stats.refused_total,
                Full::Address => &self.stats.refused_per_address,
            });
        })
    }

    /// Signs an account in, and out where it was before.
    pub(super) fn sign_in(&self, account: &str) -> Place {
        let (place, had_one) = self.registry.sign_in(account);
        Stats::count(&self.stats.logins);
        if had_one {
            Stats::count(&self.stats.evictions);
        }
        place
    }

    /// Counts a session that the server ends.
    pub(super) fn count_end(&self, why: Why, peer: SocketAddr, account: Option<&str>) {
        let counter = match why {
            Why::Left => return,
            Why::Refused => &self.stats.failed_logins,
            Why::Throttled => &self.stats.refused_logins,
            Why::Protocol | Why::Ping => &self.stats.protocol_errors,
        };
        let account = account.unwrap_or_default();
        match why {
            Why::Refused => tracing::info!(%peer, account, "ticket refused"),
            Why::Throttled => {
                tracing::info!(%peer, account, "ticket not looked at: too many were refused");
            }
            _ => tracing::debug!(%peer, ?why, "session ended"),
        }
        Stats::count(counter);
    }

    /// What the dispatch server at `local` names as the notification server: an address that
    /// can be reached the way the client came.
    pub(super) fn notification_for(&self, local: SocketAddr) -> String {
        if let Some(advertise) = &self.advertise {
            return advertise.to_string();
        }
        let all = &self.notification;
        let fits = |wanted: &dyn Fn(&SocketAddr) -> bool| all.iter().find(|ns| wanted(ns)).copied();
        fits(&|ns| ns.ip() == local.ip())
            .or_else(|| {
                fits(&|ns| ns.ip().is_unspecified() && ns.is_ipv4() == local.is_ipv4())
                    .map(|ns| SocketAddr::new(local.ip(), ns.port()))
            })
            .or_else(|| fits(&|ns| !ns.ip().is_unspecified() && ns.is_ipv4() == local.is_ipv4()))
            .or_else(|| all.first().copied())
            .unwrap_or(local)
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::desk::tests::desk;

    fn shared(notification: &[&str], advertise: Option<&str>) -> Shared {
        let limits = Limits::default();
        Shared {
            desk: desk(),
            gate: Gate::new(&limits),
            limits,
            registry: Arc::default(),
            stats: Arc::default(),
            advertise: advertise.map(|text| Address::parse(text, 1863).unwrap()),
            passport_host: None,
            gateway_host: None,
            gateway_keeps_id: false,
            turned_away: 0.into(),
            notification: notification.iter().map(|at| at.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_client_is_referred_to_where_it_can_go() {
        let cases: [(&[&str], Option<&str>, &str, &str); 7] = [
            (&["127.0.0.1:9"], None, "127.0.0.1:8", "127.0.0.1:9"),
            (&["0.0.0.0:9"], None, "192.0.2.1:8", "192.0.2.1:9"),
            (
                &["0.0.0.0:9", "[::]:7"],
                None,
                "[2001:db8::1]:8",
                "[2001:db8::1]:7",
            ),
            (
                &["192.0.2.2:9", "192.0.2.1:7"],
                None,
                "192.0.2.1:8",
                "192.0.2.1:7",
            ),
            (
                &["[::1]:9", "192.0.2.2:7"],
                None,
                "192.0.2.1:8",
                "192.0.2.2:7",
            ),
            (&["[::1]:9"], None, "127.0.0.1:8", "[::1]:9"),
            (
                &["0.0.0.0:9"],
                Some("ns.example"),
                "127.0.0.1:8",
                "ns.example:1863",
            ),
        ];
        for (notification, advertise, local, want) in cases {
            let shared = shared(notification, advertise);
            assert_eq!(shared.notification_for(local.parse().unwrap()), want);
        }
    }

    #[test]
    fn numbers_do_not_come_again() {
        let shared = shared(&[], None);
        assert_ne!(shared.nonce().unwrap(), shared.nonce().unwrap());
    }
}
