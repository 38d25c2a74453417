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

    /// Counts a failure for each key.
    fn count(&mut self, keys: [Key; 3], now: Instant) -> Charge {
        Charge(keys.map(|key| {
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

    /// Whether a limit is reached, of the keys that apply.
    fn is_throttled(&self, keys: &[(Key, u32); 3], now: Instant) -> bool {
        let is_trusted = self.trusted.contains(&keys[0].0);
        let applicable = if is_trusted { &keys[..1] } else { &keys[..] };
        applicable.iter().any(|(key, max)| {
            let record = self.failures.get(key);
            record.is_some_and(|record| record.is_current(now) && record.count >= *max)
        })
    }
}

/// What failures are counted by: an address, an account (its hash), or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(Option<ClientNetwork>, Option<u64>);

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

    /// The keys that a login counts for, each with its limit; the most specific comes first.
    fn keys(&self, ip: IpAddr, account: &str) -> [(Key, u32); 3] {
        let network = Some(ClientNetwork::of(ip));
        let account = Some(self.hasher.hash_one(folded(account)));
        let shared = self.max.saturating_mul(SHARED_FACTOR);
        [
            (Key(network, account), self.max),
            (Key(network, None), shared),
            (Key(None, account), shared),
        ]
    }

    /// Counts a failed login.
    pub(super) fn record_failure(&self, ip: IpAddr, account: &str, now: Instant) {
        let keys = self.keys(ip, account);
        lock(&self.table).count(keys.map(|(key, _)| key), now);
    }

    /// Counts a login as failed before its password is checked, unless a limit is reached.
    pub(super) fn charge(
        &self,
        ip: IpAddr,
        account: &str,
        now: Instant,
    ) -> Result<Charge, Throttled> {
        let keys = self.keys(ip, account);
        let mut table = lock(&self.table);
        match table.is_throttled(&keys, now) {
            true => Err(Throttled),
            false => Ok(table.count(keys.map(|(key, _)| key), now)),
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
    pub(super) fn record_success(&self, ip: IpAddr, account: &str) {
        let [(key, _), ..] = self.keys(ip, account);
        let trusted = &mut lock(&self.table).trusted;
        if trusted.len() >= MAX_ENTRIES
            && let Some(any) = trusted.iter().next().copied()
        {
            trusted.remove(&any);
        }
        trusted.insert(key);
    }

    /// Whether a limit is reached.
    pub(super) fn is_throttled(&self, ip: IpAddr, account: &str, now: Instant) -> bool {
        let keys = self.keys(ip, account);
        lock(&self.table).is_throttled(&keys, now)
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

    #[tokio::test(start_paused = true)]
    async fn failed_logins_expire_after_a_minute() {
        let throttle = LoginThrottle::new(2);
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let throttled = |ip, account| throttle.is_throttled(ip, account, Instant::now());
        throttle.record_failure(one, "a@b.c", Instant::now());
        assert!(!throttled(one, "a@b.c"));
        throttle.record_failure(one, "A@b.c", Instant::now());
        assert!(throttled(one, "a@b.c"));
        // Neither neighbours behind the same NAT nor the owner elsewhere are locked out.
        assert!(!throttled(one, "neighbour@b.c"));
        assert!(!throttled(other, "a@b.c"));
        tokio::time::advance(WINDOW).await;
        assert!(!throttled(one, "a@b.c"));
        throttle.record_failure(one, "a@b.c", Instant::now());
        assert!(!throttled(one, "a@b.c"));
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_at_many_accounts_or_from_many_addresses_is_throttled() {
        let now = Instant::now();
        let sprayed = LoginThrottle::new(2);
        for n in 0..2 * SHARED_FACTOR {
            assert!(!sprayed.is_throttled(ip("192.0.2.1"), "new@b.c", now));
            sprayed.record_failure(ip("192.0.2.1"), &format!("user{n}@b.c"), now);
        }
        assert!(sprayed.is_throttled(ip("192.0.2.1"), "new@b.c", now));
        // An account that has signed in from there before is limited by its own failures only.
        sprayed.record_success(ip("192.0.2.1"), "New@b.c");
        assert!(!sprayed.is_throttled(ip("192.0.2.1"), "new@b.c", now));
        sprayed.record_failure(ip("192.0.2.1"), "new@b.c", now);
        sprayed.record_failure(ip("192.0.2.1"), "new@b.c", now);
        assert!(sprayed.is_throttled(ip("192.0.2.1"), "new@b.c", now));
        assert!(!sprayed.is_throttled(ip("192.0.2.2"), "new@b.c", now));

        let distributed = LoginThrottle::new(2);
        for n in 0..2 * SHARED_FACTOR {
            assert!(!distributed.is_throttled(ip("192.0.2.1"), "a@b.c", now));
            distributed.record_failure(IpAddr::V4(n.into()), "a@b.c", now);
        }
        assert!(distributed.is_throttled(ip("192.0.2.1"), "a@b.c", now));
        distributed.record_success(ip("192.0.2.1"), "a@b.c");
        assert!(!distributed.is_throttled(ip("192.0.2.1"), "a@b.c", now));
        assert!(!distributed.is_throttled(ip("192.0.2.1"), "other@b.c", now));
    }

    #[tokio::test(start_paused = true)]
    async fn logins_that_succeed_leave_no_record() {
        let throttle = LoginThrottle::new(2);
        let charge = |account| throttle.charge(ip("192.0.2.1"), account, Instant::now());
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
        let charge = || throttle.charge(at, "a@b.c", Instant::now());
        let first = charge().unwrap();
        let second = charge().unwrap();
        assert_eq!(charge().unwrap_err(), Throttled);
        assert!(throttle.is_throttled(at, "a@b.c", Instant::now()));
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
    async fn the_table_is_bounded() {
        let throttle = LoginThrottle::new(10);
        for n in 0..2 * MAX_ENTRIES as u32 {
            throttle.record_failure(IpAddr::V4(n.into()), &n.to_string(), Instant::now());
        }
        assert!(lock(&throttle.table).failures.len() <= MAX_ENTRIES);
    }
}
