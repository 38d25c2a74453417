//! The throttle for failed logins.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::accounts::folded;
use super::limits::ClientNetwork;
use super::sync::lock;

/// How many entries each table holds.
const MAX_ENTRIES: usize = 3 * 4096;

/// The limit per address and per account, as a multiple of the limit for one account from one
/// address.
const SHARED_FACTOR: u32 = 10;

/// How long failed logins count.
const WINDOW: Duration = Duration::from_secs(60);

/// Failed logins of the last minute: by address, by account, and by both.
///
/// Guessing at one account is stopped without locking out neighbours behind the same NAT; an
/// address that guesses at many accounts, and an account attacked from many addresses, reach the
/// higher limits.
#[derive(Debug)]
pub(super) struct LoginThrottle {
    max: u32,
    /// Randomly seeded, so that nobody can find accounts whose hashes collide.
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    failures: HashMap<Key, Record>,
    /// Accounts with the addresses they have signed in from; failures of others do not block them.
    trusted: HashSet<Key>,
    /// When expired records were last removed.
    swept: Option<Instant>,
}

impl Table {
    /// Makes room for one more record. Sweeping the whole table for each would be slow.
    fn make_room(&mut self, now: Instant) {
        let is_due = |swept: Instant| now.saturating_duration_since(swept) >= WINDOW / 4;
        if self.swept.is_none_or(is_due) {
            self.failures.retain(|_, record| record.is_current(now));
            self.swept = Some(now);
        }
        // An attack from thousands of addresses: one record is dropped early.
        if self.failures.len() >= MAX_ENTRIES
            && let Some(any) = self.failures.keys().next().copied()
        {
            self.failures.remove(&any);
        }
    }

    /// Counts a failure of a login.
    fn count(&mut self, login: &Login, now: Instant) -> Charge {
        Charge(login.0.map(|key| {
            if !self.failures.contains_key(&key) && self.failures.len() >= MAX_ENTRIES {
                self.make_room(now);
            }
            let fresh = Record {
                since: now,
                count: 0,
            };
            let record = self.failures.entry(key).or_insert(fresh);
            if !record.is_current(now) {
                *record = fresh;
            }
            record.count = record.count.saturating_add(1);
            (key, record.since)
        }))
    }

    /// Whether a limit that applies is reached; `max` is the limit of the first key.
    fn is_throttled(&self, login: &Login, max: u32, now: Instant) -> bool {
        let is_reached = |key: &Key, max| {
            let record = self.failures.get(key);
            record.is_some_and(|record| record.is_current(now) && record.count >= max)
        };
        let [own, shared @ ..] = &login.0;
        let shared_max = max.saturating_mul(SHARED_FACTOR);
        let is_shared_reached = shared.iter().any(|key| is_reached(key, shared_max));
        is_reached(own, max) || (is_shared_reached && !self.trusted.contains(own))
    }
}

/// What failures are counted by: an address, an account (its hash), or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(Option<ClientNetwork>, Option<u64>);

/// A login: the keys that its failure counts for, the most specific one first.
#[derive(Debug)]
pub(super) struct Login([Key; 3]);

#[derive(Clone, Copy, Debug)]
struct Record {
    since: Instant,
    count: u32,
}

/// A login that is counted as failed until its password is checked, so that many at once cannot pass
/// the limit.
#[derive(Debug)]
pub(super) struct Charge([(Key, Instant); 3]);

/// A limit of failed logins is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Throttled;

impl LoginThrottle {
    pub(super) fn new(max_failures: u32) -> Self {
        Self {
            max: max_failures.max(1),
            hasher: RandomState::new(),
            table: Mutex::default(),
        }
    }

    /// A login to this account from this address.
    pub(super) fn login(&self, ip: IpAddr, account: &str) -> Login {
        let network = Some(ClientNetwork::of(ip));
        let account = Some(self.hasher.hash_one(folded(account)));
        Login([
            Key(network, account),
            Key(network, None),
            Key(None, account),
        ])
    }

    /// Counts a failed login.
    pub(super) fn record_failure(&self, login: &Login, now: Instant) {
        lock(&self.table).count(login, now);
    }

    /// Counts a login as failed before its password is checked, unless a limit is reached.
    pub(super) fn charge(&self, login: &Login, now: Instant) -> Result<Charge, Throttled> {
        let mut table = lock(&self.table);
        match table.is_throttled(login, self.max, now) {
            true => Err(Throttled),
            false => Ok(table.count(login, now)),
        }
    }

    /// Takes a charge back: the password was right, or was not checked.
    pub(super) fn refund(&self, charge: Charge) {
        let mut table = lock(&self.table);
        for (key, since) in charge.0 {
            // A record of a later minute does not hold the charge.
            if let Entry::Occupied(mut record) = table.failures.entry(key)
                && record.get().since == since
            {
                record.get_mut().count -= 1;
                // Honest logins must not fill the table.
                if record.get().count == 0 {
                    record.remove();
                }
            }
        }
    }

    /// Marks an account as trusted from an address: only its own failures there block it.
    pub(super) fn record_success(&self, login: &Login) {
        let trusted = &mut lock(&self.table).trusted;
        if trusted.insert(login.0[0])
            && trusted.len() > MAX_ENTRIES
            && let Some(any) = trusted.iter().find(|key| **key != login.0[0]).copied()
        {
            trusted.remove(&any);
        }
    }

    /// Whether a limit is reached.
    pub(super) fn is_throttled(&self, login: &Login, now: Instant) -> bool {
        lock(&self.table).is_throttled(login, self.max, now)
    }
}

impl Record {
    fn is_current(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(throttle: &LoginThrottle, from: IpAddr, account: &str) {
        throttle.record_failure(&throttle.login(from, account), Instant::now());
    }

    fn succeed(throttle: &LoginThrottle, from: IpAddr, account: &str) {
        throttle.record_success(&throttle.login(from, account));
    }

    fn is_throttled(throttle: &LoginThrottle, from: IpAddr, account: &str) -> bool {
        throttle.is_throttled(&throttle.login(from, account), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn failed_logins_expire_after_a_minute() {
        let throttle = LoginThrottle::new(2);
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        fail(&throttle, one, "a@b.c");
        assert!(!is_throttled(&throttle, one, "a@b.c"));
        fail(&throttle, one, "A@b.c");
        assert!(is_throttled(&throttle, one, "a@b.c"));
        // Neither neighbours behind the same NAT nor the owner elsewhere are locked out.
        assert!(!is_throttled(&throttle, one, "neighbour@b.c"));
        assert!(!is_throttled(&throttle, other, "a@b.c"));
        tokio::time::advance(WINDOW).await;
        assert!(!is_throttled(&throttle, one, "a@b.c"));
        fail(&throttle, one, "a@b.c");
        assert!(!is_throttled(&throttle, one, "a@b.c"));
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_at_many_accounts_or_from_many_addresses_is_throttled() {
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let sprayed = LoginThrottle::new(2);
        for n in 0..2 * SHARED_FACTOR {
            assert!(!is_throttled(&sprayed, one, "new@b.c"));
            fail(&sprayed, one, &format!("user{n}@b.c"));
        }
        assert!(is_throttled(&sprayed, one, "new@b.c"));
        // An account that has signed in from there before is limited by its own failures only.
        succeed(&sprayed, one, "New@b.c");
        assert!(!is_throttled(&sprayed, one, "new@b.c"));
        fail(&sprayed, one, "new@b.c");
        fail(&sprayed, one, "new@b.c");
        assert!(is_throttled(&sprayed, one, "new@b.c"));
        assert!(!is_throttled(&sprayed, other, "new@b.c"));

        let distributed = LoginThrottle::new(2);
        for n in 0..2 * SHARED_FACTOR {
            assert!(!is_throttled(&distributed, one, "a@b.c"));
            fail(&distributed, IpAddr::V4(n.into()), "a@b.c");
        }
        assert!(is_throttled(&distributed, one, "a@b.c"));
        succeed(&distributed, one, "a@b.c");
        assert!(!is_throttled(&distributed, one, "a@b.c"));
        assert!(!is_throttled(&distributed, one, "other@b.c"));
    }

    #[tokio::test(start_paused = true)]
    async fn logins_that_succeed_leave_no_record() {
        let throttle = LoginThrottle::new(2);
        let charge =
            |account| throttle.charge(&throttle.login(ip("192.0.2.1"), account), Instant::now());
        let (one, other) = (charge("a@b.c").unwrap(), charge("b@b.c").unwrap());
        throttle.refund(one);
        // Its own, its address's and its account's.
        assert_eq!(lock(&throttle.table).failures.len(), 3);
        throttle.refund(other);
        assert!(lock(&throttle.table).failures.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn logins_in_flight_count_until_they_are_refunded() {
        let throttle = LoginThrottle::new(2);
        let at = ip("192.0.2.1");
        let charge = || throttle.charge(&throttle.login(at, "a@b.c"), Instant::now());
        let first = charge().unwrap();
        let second = charge().unwrap();
        assert_eq!(charge().unwrap_err(), Throttled);
        assert!(throttle.is_throttled(&throttle.login(at, "a@b.c"), Instant::now()));
        throttle.refund(second);
        let third = charge().unwrap();
        assert_eq!(charge().unwrap_err(), Throttled);

        // What is refunded late takes nothing off the failures of another minute.
        tokio::time::advance(WINDOW).await;
        let [_, _] = [charge().unwrap(), charge().unwrap()];
        throttle.refund(first);
        throttle.refund(third);
        assert_eq!(charge().unwrap_err(), Throttled);
    }

    #[tokio::test(start_paused = true)]
    async fn the_tables_are_bounded() {
        let throttle = LoginThrottle::new(10);
        for n in 0..2 * MAX_ENTRIES as u32 {
            fail(&throttle, IpAddr::V4(n.into()), &n.to_string());
            succeed(&throttle, IpAddr::V4(n.into()), &n.to_string());
        }
        let table = lock(&throttle.table);
        assert!(table.failures.len() <= MAX_ENTRIES);
        assert_eq!(table.trusted.len(), MAX_ENTRIES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_returns_takes_no_trust_from_others() {
        let throttle = LoginThrottle::new(2);
        for n in 0..MAX_ENTRIES as u32 {
            succeed(&throttle, IpAddr::V4(n.into()), "a@b.c");
        }
        let before = lock(&throttle.table).trusted.clone();
        succeed(&throttle, IpAddr::V4(7.into()), "a@b.c");
        assert_eq!(lock(&throttle.table).trusted, before);
        succeed(&throttle, ip("2001:db8::1"), "a@b.c");
        let table = lock(&throttle.table);
        assert!(
            table
                .trusted
                .contains(&throttle.login(ip("2001:db8::1"), "a@b.c").0[0])
        );
        assert_eq!(table.trusted.len(), MAX_ENTRIES);
    }
}
