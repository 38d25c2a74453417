//! Stateless tickets: account and expiry, signed.
//!
//! `t=<payload>&p=<signature>`, both in hex: clients of the time fail on commas, quotes, spaces and
//! `%`. Under 900 bytes, because one client has a buffer of 1024.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base16ct::{lower, mixed};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::zeroize::Zeroizing;
use tracing::error;

use super::sync::lock;
use crate::secret::{ExposeSecret, SecretString};

/// How long a ticket is valid.
pub(super) const TICKET_LIFETIME: Duration = Duration::from_secs(60);

/// How far the clocks of servers that share a key may differ. A ticket that is valid for longer was
/// issued before a clock was set back, and must not outlive it.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// First byte of the payload; expiry, nonce and account follow.
const VERSION: u8 = 1;

/// Length of version, expiry and nonce, in bytes.
const FIXED: usize = 1 + 8 + 8;

/// The longest account in a ticket, in bytes; sessions accept none longer.
const MAX_ACCOUNT: usize = 129;

/// A key that signs tickets.
#[derive(Clone)]
pub struct TicketKey(hmac::Key);

/// The keys of tickets: the first one signs, all of them verify, so that servers behind one name
/// change keys without refusing a ticket. Clones share them.
#[derive(Clone, Debug)]
pub struct TicketKeys(Arc<Mutex<Arc<[TicketKey]>>>);

/// The ticket key is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ticket key needs at least 16 bytes")]
pub struct ShortKey;

impl TicketKey {
    /// A key of at least 16 bytes, shared by servers that accept each other's tickets.
    ///
    /// # Errors
    /// [`ShortKey`].
    pub fn new(bytes: &[u8]) -> Result<Self, ShortKey> {
        if bytes.len() < 16 {
            return Err(ShortKey);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    fn generate() -> Option<Self> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .ok()
            .map(Self)
    }

    fn issue(&self, account: &str, expires: u64, nonce: u64) -> SecretString {
        let (expires, nonce) = (expires.to_be_bytes(), nonce.to_be_bytes());
        let payload = [&[VERSION], &expires[..], &nonce, account.as_bytes()].concat();
        let signature = hmac::sign(&self.0, &payload);
        // As long as it becomes: growing would leave a copy behind.
        let digits = 2 * (payload.len() + signature.as_ref().len());
        let mut ticket = String::with_capacity("t=&p=".len() + digits);
        ticket.push_str("t=");
        push_hex(&payload, &mut ticket);
        ticket.push_str("&p=");
        push_hex(signature.as_ref(), &mut ticket);
        SecretString::from(ticket)
    }

    fn account(&self, ticket: &SecretString, now: u64) -> Option<String> {
        let (payload, signature) = ticket.expose_secret().strip_prefix("t=")?.split_once('&')?;
        let signature = signature.strip_prefix("p=")?;
        let (mut bytes, mut digest) = ([0; FIXED + MAX_ACCOUNT], [0; 32]);
        // Neither may be longer than the space for it.
        let payload = mixed::decode(payload, &mut bytes).ok()?;
        let signature = mixed::decode(signature, &mut digest).ok()?;
        // Constant time. The payload is not read before its signature is verified.
        hmac::verify(&self.0, payload, signature).ok()?;
        let (fixed, account) = payload.split_at_checked(FIXED)?;
        let expires = u64::from_be_bytes(fixed.get(1..9)?.try_into().ok()?);
        let longest = (TICKET_LIFETIME + MAX_SKEW).as_secs();
        let is_current = now < expires && expires - now <= longest;
        if fixed.first() != Some(&VERSION) || !is_current {
            return None;
        }
        Some(std::str::from_utf8(account).ok()?.to_owned())
    }
}

/// Appends `bytes` in hex to a text with room for them.
fn push_hex(bytes: &[u8], text: &mut String) {
    let mut digits = Zeroizing::new([0; 64]);
    for piece in bytes.chunks(32) {
        text.push_str(lower::encode_str(piece, &mut *digits).unwrap_or_default());
    }
}

impl TicketKeys {
    /// Keys that sign (the first one) and verify (all of them).
    #[must_use]
    pub fn new(first: TicketKey, others: impl IntoIterator<Item = TicketKey>) -> Self {
        let keys = std::iter::once(first).chain(others).collect();
        Self(Arc::new(Mutex::new(keys)))
    }

    /// One random key; `None` if the operating system provides no random numbers.
    pub(super) fn generate() -> Option<Self> {
        Some(Self::new(TicketKey::generate()?, []))
    }

    /// Uses the keys of `new` from now on.
    pub fn replace(&self, new: &Self) {
        // Cloned first, so that the two locks are never held at once.
        let keys = new.keys();
        *lock(&self.0) = keys;
    }

    fn keys(&self) -> Arc<[TicketKey]> {
        Arc::clone(&lock(&self.0))
    }

    /// A ticket for `account` that is valid before `expires` (Unix time, seconds). `nonce` makes
    /// tickets of the same second differ.
    pub(super) fn issue(&self, account: &str, expires: u64, nonce: u64) -> SecretString {
        self.keys()[0].issue(account, expires, nonce)
    }

    /// The account a ticket was issued for; `None` if it is forged, incomplete or expired.
    pub(super) fn account(&self, ticket: &SecretString, now: u64) -> Option<String> {
        self.keys().iter().find_map(|key| key.account(ticket, now))
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(..)")
    }
}

/// Random bytes that are not used yet: one system call for many connections.
struct Pool {
    bytes: [u8; Self::SIZE],
    left: usize,
}

impl Pool {
    const SIZE: usize = 512;

    const EMPTY: Self = Self {
        bytes: [0; Self::SIZE],
        left: 0,
    };

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.left < N {
            let filled = SystemRandom::new().fill(&mut self.bytes);
            filled
                .inspect_err(|_| error!("the operating system provides no random numbers"))
                .ok()?;
            self.left = Self::SIZE;
        }
        let (_, taken) = self.bytes[..self.left].split_last_chunk_mut::<N>()?;
        self.left -= N;
        // What was given out is not kept.
        Some(std::mem::replace(taken, [0; N]))
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::EMPTY) };
}

/// Unpredictable bytes; `None` if the operating system provides none, which is logged.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    POOL.with_borrow_mut(Pool::take)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn key() -> TicketKey {
        TicketKey::new(&[7; 32]).unwrap()
    }

    #[test]
    fn a_ticket_is_valid_for_its_account_until_it_expires() {
        let ticket = key().issue("user@example.com", NOW + 60, 1);
        let account = |now| key().account(&ticket, now);
        assert_eq!(account(NOW).as_deref(), Some("user@example.com"));
        assert_eq!(account(NOW + 59).as_deref(), Some("user@example.com"));
        assert_eq!(account(NOW + 60), None);
    }

    #[test]
    fn a_ticket_does_not_outlive_a_clock_that_is_set_back() {
        let ticket = key().issue("user@example.com", NOW + 60, 1);
        let is_valid = |now| key().account(&ticket, now).is_some();
        assert!(is_valid(NOW - 60));
        assert!(!is_valid(NOW - 61) && !is_valid(NOW - 3600) && !is_valid(0));
        // Nor one that is set forward.
        assert!(!is_valid(NOW + 3600) && !is_valid(u64::MAX));
    }

    #[test]
    fn another_key_or_a_changed_character_invalidates_a_ticket() {
        let ticket = key().issue("user@example.com", NOW + 60, 1);
        let other = TicketKey::new(&[8; 32]).unwrap();
        assert_eq!(other.account(&ticket, NOW), None);
        let good = ticket.expose_secret().to_owned();
        for at in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'1' { b'2' } else { b'1' };
            let bad = SecretString::from(String::from_utf8(bad).unwrap());
            assert_eq!(key().account(&bad, NOW), None, "character {at}");
            let cut = SecretString::from(&good[..at]);
            assert_eq!(key().account(&cut, NOW), None, "cut at {at}");
        }
    }

    #[test]
    fn the_first_key_signs_and_all_keys_verify() {
        let other = || TicketKey::new(&[8; 32]).unwrap();
        let accepts = |to: &TicketKeys, from: &TicketKeys| {
            let ticket = from.issue("user@example.com", NOW + 60, 1);
            to.account(&ticket, NOW).is_some()
        };
        let old = TicketKeys::new(key(), []);
        let both = TicketKeys::new(other(), [key()]);
        let new = TicketKeys::new(other(), []);
        assert!(accepts(&both, &old) && accepts(&both, &both) && accepts(&new, &both));
        assert!(!accepts(&old, &both));
        let in_use = old.clone();
        old.replace(&both);
        assert!(accepts(&new, &in_use));
        assert_eq!(format!("{new:?}").matches("TicketKey(..)").count(), 1);
    }

    #[test]
    fn a_ticket_is_short_and_alphanumeric() {
        let ticket = key().issue(&format!("{}@x", "ü".repeat(63)), u64::MAX, u64::MAX);
        let ticket = ticket.expose_secret();
        assert!(ticket.len() < 900, "{}", ticket.len());
        assert!(
            ticket
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"=&".contains(&byte))
        );
        assert_ne!(
            key().issue("a@b", 1, 1).expose_secret(),
            key().issue("a@b", 1, 2).expose_secret()
        );
    }

    #[test]
    fn random_numbers_differ() {
        // Across more than one filling of the pool, in pieces that do not divide it.
        let pieces: HashSet<_> = (0..200).map(|_| random::<12>().unwrap()).collect();
        assert!(pieces.len() == 200 && !pieces.contains(&[0; 12]));
    }

    #[test]
    fn a_key_has_a_minimum_length_and_an_empty_debug_form() {
        assert_eq!(format!("{:?}", key()), "TicketKey(..)");
        assert_eq!(TicketKey::new(&[0; 15]).err(), Some(ShortKey));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_handled(text in ".*", hex in "[0-9a-f]{0,80}") {
            let _ = key().account(&SecretString::from(text), NOW);
            let _ = key().account(&SecretString::from(format!("t={hex}&p={}", "0".repeat(64))), NOW);
        }
    }
}
