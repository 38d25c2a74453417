//! How many, how often, and what was counted.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::accounts::folded;
use super::config::Limits;
use crate::conntype::normalise;

/// How many addresses and accounts with refused logins are remembered.
const MAX_SUSPECTS: usize = 3 * 4096;

/// How many times as many refused logins an address has for all accounts, and an account from all
/// addresses, as one account has from one address.
const MANY: u32 = 10;

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

impl Full {
    /// The limit that was reached.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Total => "the server is full",
            Self::Address => "the address has too many connections",
        }
    }
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

/// Refused logins of the last minute: by address, by account, and by both.
///
/// Who guesses at an account is stopped there without stopping his neighbours behind the same NAT,
/// and an address that guesses at many accounts is stopped at those, and in the end at all.
#[derive(Debug)]
pub(super) struct Failures {
    limits: [(Kind, u32); 3],
    /// So that nobody finds two accounts that look alike here.
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    records: HashMap<Suspect, Record>,
    /// Accounts that have signed in, with the address: what others do does not stop them.
    trusted: HashSet<Suspect>,
    /// When those that are over were last taken out.
    swept: Option<Instant>,
}

impl Table {
    /// Makes room for one more. Looking through the whole table for each would be slow.
    fn make_room(&mut self, now: Instant) {
        let is_due = |swept: Instant| now.saturating_duration_since(swept) >= WINDOW / 4;
        if self.swept.is_none_or(is_due) {
            self.records.retain(|_, record| record.is_current(now));
            self.swept = Some(now);
        }
        // Somebody has thousands of addresses; one of them is forgotten early.
        if self.records.len() >= MAX_SUSPECTS
            && let Some(any) = self.records.keys().next().copied()
        {
            self.records.remove(&any);
        }
    }
}

/// What refused logins have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The address.
    Address,
    /// The account, wherever it was tried from.
    Account,
    /// Address and account.
    Both,
}

/// An address, an account (its hash), or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Suspect(Option<Key>, Option<u64>);

#[derive(Clone, Copy, Debug)]
struct Record {
    since: Instant,
    count: u32,
}

impl Failures {
    pub(super) fn new(limits: &Limits) -> Self {
        let max = limits.max_failures.max(1);
        let many = max.saturating_mul(MANY);
        Self {
            limits: [
                (Kind::Address, many),
                (Kind::Account, many),
                (Kind::Both, max),
            ],
            hasher: RandomState::new(),
            table: Mutex::default(),
        }
    }

    fn suspect(&self, kind: Kind, ip: IpAddr, account: &str) -> Suspect {
        let (key, account) = (
            Some(Key::of(ip)),
            Some(self.hasher.hash_one(folded(account))),
        );
        match kind {
            Kind::Address => Suspect(key, None),
            Kind::Account => Suspect(None, account),
            Kind::Both => Suspect(key, account),
        }
    }

    /// Remembers one more.
    pub(super) fn count(&self, ip: IpAddr, account: &str, now: Instant) {
        let mut table = lock(&self.table);
        for (kind, _) in self.limits {
            let suspect = self.suspect(kind, ip, account);
            if !table.records.contains_key(&suspect) && table.records.len() >= MAX_SUSPECTS {
                table.make_room(now);
            }
            let fresh = Record {
                since: now,
                count: 0,
            };
            let record = table.records.entry(suspect).or_insert(fresh);
            if !record.is_current(now) {
                *record = fresh;
            }
            record.count = record.count.saturating_add(1);
        }
    }

    /// Remembers that an account signs in from an address. Neither its neighbours there nor those
    /// who guess at it elsewhere stop it then.
    pub(super) fn succeeded(&self, ip: IpAddr, account: &str) {
        let suspect = self.suspect(Kind::Both, ip, account);
        let trusted = &mut lock(&self.table).trusted;
        if trusted.len() >= MAX_SUSPECTS
            && let Some(any) = trusted.iter().next().copied()
        {
            trusted.remove(&any);
        }
        trusted.insert(suspect);
    }

    /// Whether there were too many.
    pub(super) fn is_throttled(&self, ip: IpAddr, account: &str, now: Instant) -> bool {
        let table = lock(&self.table);
        let both = self.suspect(Kind::Both, ip, account);
        let is_trusted = table.trusted.contains(&both);
        let limits = self.limits.iter();
        let mut limits = limits.filter(|(kind, _)| *kind == Kind::Both || !is_trusted);
        limits.any(|(kind, max)| {
            table
                .records
                .get(&self.suspect(*kind, ip, account))
                .is_some_and(|record| record.is_current(now) && record.count >= *max)
        })
    }
}

impl Record {
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
        let throttled = |ip, account| failures.is_throttled(ip, account, Instant::now());
        failures.count(one, "a@b.c", Instant::now());
        assert!(!throttled(one, "a@b.c"));
        failures.count(one, "A@b.c", Instant::now());
        assert!(throttled(one, "a@b.c"));
        // Neither the neighbours behind one NAT nor the account's owner elsewhere are locked out.
        assert!(!throttled(one, "neighbour@b.c"));
        assert!(!throttled(other, "a@b.c"));
        tokio::time::advance(WINDOW).await;
        assert!(!throttled(one, "a@b.c"));
        failures.count(one, "a@b.c", Instant::now());
        assert!(!throttled(one, "a@b.c"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_at_many_accounts_or_from_many_addresses_is_stopped_in_the_end() {
        let limits = Limits {
            max_failures: 2,
            ..Limits::default()
        };
        let now = Instant::now();
        let sprayed = Failures::new(&limits);
        for n in 0..2 * MANY {
            assert!(!sprayed.is_throttled(ip("192.0.2.1"), "new@b.c", now));
            sprayed.count(ip("192.0.2.1"), &format!("user{n}@b.c"), now);
        }
        assert!(sprayed.is_throttled(ip("192.0.2.1"), "new@b.c", now));
        // Who has signed in from there before still does, and has his own few tries.
        sprayed.succeeded(ip("192.0.2.1"), "New@b.c");
        assert!(!sprayed.is_throttled(ip("192.0.2.1"), "new@b.c", now));
        sprayed.count(ip("192.0.2.1"), "new@b.c", now);
        sprayed.count(ip("192.0.2.1"), "new@b.c", now);
        assert!(sprayed.is_throttled(ip("192.0.2.1"), "new@b.c", now));
        assert!(!sprayed.is_throttled(ip("192.0.2.2"), "new@b.c", now));

        let distributed = Failures::new(&limits);
        for n in 0..2 * MANY {
            assert!(!distributed.is_throttled(ip("192.0.2.1"), "a@b.c", now));
            distributed.count(IpAddr::V4(n.into()), "a@b.c", now);
        }
        assert!(distributed.is_throttled(ip("192.0.2.1"), "a@b.c", now));
        distributed.succeeded(ip("192.0.2.1"), "a@b.c");
        assert!(!distributed.is_throttled(ip("192.0.2.1"), "a@b.c", now));
        assert!(!distributed.is_throttled(ip("192.0.2.1"), "other@b.c", now));
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_suspects_is_bounded() {
        let failures = Failures::new(&Limits::default());
        for n in 0..2 * MAX_SUSPECTS as u32 {
            failures.count(IpAddr::V4(n.into()), &n.to_string(), Instant::now());
        }
        assert!(lock(&failures.table).records.len() <= MAX_SUSPECTS);
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
