//! How many, how often, and what was counted.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::config::Limits;
use crate::conntype::normalise;

/// How many addresses with refused logins are remembered.
const MAX_SUSPECTS: usize = 4096;

/// How long refused logins are remembered.
const WINDOW: Duration = Duration::from_secs(60);

/// Lets connections in, and counts who is inside.
#[derive(Debug)]
pub(super) struct Gate {
    max: usize,
    max_per_address: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    /// Only addresses that are inside, so no more than there are connections.
    by_address: HashMap<Key, usize>,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many in all.
    Total,
    /// Too many from this address.
    Address,
}

/// The right to be inside, until it goes.
#[derive(Debug)]
pub(super) struct Permit {
    gate: Arc<Gate>,
    key: Key,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            max: limits.max_connections.max(1),
            max_per_address: limits.max_per_address.max(1),
            inside: Mutex::default(),
        })
    }

    /// Lets one more in from `ip`.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, Full> {
        let key = Key::of(ip);
        let mut inside = lock(&self.inside);
        if inside.total >= self.max {
            return Err(Full::Total);
        }
        let count = inside.by_address.entry(key).or_default();
        if *count >= self.max_per_address {
            return Err(Full::Address);
        }
        *count += 1;
        inside.total += 1;
        Ok(Permit {
            gate: Arc::clone(self),
            key,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inside = lock(&self.gate.inside);
        inside.total -= 1;
        if let Some(count) = inside.by_address.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                inside.by_address.remove(&self.key);
            }
        }
    }
}

/// One address, or the network a single IPv6 customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(IpAddr);

impl Key {
    fn of(ip: IpAddr) -> Self {
        Self(match normalise(ip) {
            IpAddr::V6(ip) if !ip.is_loopback() => {
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)))
            }
            ip => ip,
        })
    }
}

/// Refused logins by address, the last minute's.
#[derive(Debug)]
pub(super) struct Failures {
    max: u32,
    suspects: Mutex<HashMap<Key, Suspect>>,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    since: Instant,
    count: u32,
}

impl Failures {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            max: limits.max_failures.max(1),
            suspects: Mutex::default(),
        }
    }

    /// Remembers one more.
    pub(super) fn count(&self, ip: IpAddr, now: Instant) {
        let key = Key::of(ip);
        let mut suspects = lock(&self.suspects);
        if !suspects.contains_key(&key) && suspects.len() >= MAX_SUSPECTS {
            suspects.retain(|_, suspect| suspect.is_current(now));
            // Somebody has thousands of addresses; one of them is forgotten early.
            if suspects.len() >= MAX_SUSPECTS
                && let Some(any) = suspects.keys().next().copied()
            {
                suspects.remove(&any);
            }
        }
        let suspect = suspects.entry(key).or_insert(Suspect {
            since: now,
            count: 0,
        });
        if !suspect.is_current(now) {
            *suspect = Suspect {
                since: now,
                count: 0,
            };
        }
        suspect.count = suspect.count.saturating_add(1);
    }

    /// Whether there were too many.
    pub(super) fn is_throttled(&self, ip: IpAddr, now: Instant) -> bool {
        let suspects = lock(&self.suspects);
        suspects
            .get(&Key::of(ip))
            .is_some_and(|suspect| suspect.is_current(now) && suspect.count >= self.max)
    }
}

impl Suspect {
    fn is_current(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < WINDOW
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is half done when a holder of these locks panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened, counted while the server runs.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub(super) $name: AtomicU64,)*
        }

        /// [`Stats`] at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// All of them now.
            #[must_use]
            pub fn counts(&self) -> Counts {
                Counts {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}

stats! {
    /// Connections let in.
    accepted,
    /// Connections and gateway sessions refused because there were too many in all.
    refused_total,
    /// Connections and gateway sessions refused because one address had too many.
    refused_per_address,
    /// Logins not looked at because too many of one address had been refused.
    refused_logins,
    /// Times the system could not take a connection, for want of file descriptors say.
    accept_errors,
    /// Tickets handed out.
    tickets,
    /// Sessions signed in.
    logins,
    /// Passwords, accounts and tickets refused.
    failed_logins,
    /// Sessions ended because their account signed in again.
    evictions,
    /// Clients sent from the dispatch to the notification server.
    referrals,
    /// HTTP requests answered, those to the gateway included.
    http_requests,
    /// Sessions opened through the gateway.
    gateway_sessions,
    /// Connections and sessions ended because of what they sent.
    protocol_errors,
    /// Connections and sessions ended because of what they did not send, or did not read.
    timeouts,
}

impl Stats {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// One line for a person.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            logins,
            failed_logins,
            timeouts,
            protocol_errors,
            ..
        } = self;
        let refused = self.refused_total + self.refused_per_address + self.refused_logins;
        write!(
            f,
            "connections: {accepted}, logins: {logins}, logins refused: {failed_logins}, turned \
             away: {refused}, timed out: {timeouts}, protocol errors: {protocol_errors}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn gate(max_connections: usize, max_per_address: usize) -> Arc<Gate> {
        Gate::new(&Limits {
            max_connections,
            max_per_address,
            ..Limits::default()
        })
    }

    #[test]
    fn an_address_and_all_together_have_their_limits() {
        let gate = gate(3, 2);
        let one = gate.admit(ip("192.0.2.1")).unwrap();
        let _two = gate.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(gate.admit(ip("192.0.2.1")).err(), Some(Full::Address));
        let three = gate.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(gate.admit(ip("192.0.2.3")).err(), Some(Full::Total));
        drop(one);
        assert!(gate.admit(ip("192.0.2.1")).is_ok());
        drop(three);
        assert_eq!(lock(&gate.inside).by_address.len(), 1);
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let gate = gate(9, 1);
        let _one = gate.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(gate.admit(ip("2001:db8::2")).err(), Some(Full::Address));
        assert!(gate.admit(ip("2001:db8:0:1::1")).is_ok());
        assert!(gate.admit(ip("::1")).is_ok());
    }

    #[test]
    fn a_gate_without_room_has_room_for_one() {
        assert!(gate(0, 0).admit(ip("192.0.2.1")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn refused_logins_are_forgotten_after_a_minute() {
        let failures = Failures::new(&Limits {
            max_failures: 2,
            ..Limits::default()
        });
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        failures.count(one, Instant::now());
        assert!(!failures.is_throttled(one, Instant::now()));
        failures.count(one, Instant::now());
        assert!(failures.is_throttled(one, Instant::now()));
        assert!(!failures.is_throttled(other, Instant::now()));
        tokio::time::advance(WINDOW).await;
        assert!(!failures.is_throttled(one, Instant::now()));
        failures.count(one, Instant::now());
        assert!(!failures.is_throttled(one, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_suspects_is_bounded() {
        let failures = Failures::new(&Limits::default());
        for n in 0..2 * MAX_SUSPECTS as u32 {
            failures.count(IpAddr::V4(n.into()), Instant::now());
        }
        assert_eq!(lock(&failures.suspects).len(), MAX_SUSPECTS);
    }

    #[test]
    fn the_summary_is_one_line() {
        let stats = Stats::default();
        Stats::count(&stats.accepted);
        let line = stats.counts().to_string();
        assert!(line.starts_with("connections: 1, logins: 0, "), "{line}");
        assert!(!line.contains('\n'));
    }
}
