//! Stateless tickets: account and expiry, signed.
//!
//! `t=<payload>&p=<signature>`, both in Base64 for URLs (RFC 4648, section 5): clients of the time
//! fail on commas, quotes, spaces and `%`. Under 900 bytes, because one client has a buffer of 1024.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::encoded_len;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use ring::digest::SHA256_OUTPUT_LEN;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use tracing::error;

use super::sync::lock;
use crate::secret::SecretString;

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
        let lengths = [payload.len(), signature.as_ref().len()];
        let encoded: usize = lengths
            .map(|n| encoded_len(n, false).unwrap_or(0))
            .iter()
            .sum();
        let mut ticket = String::with_capacity("t=&p=".len() + encoded);
        ticket.push_str("t=");
        BASE64.encode_string(&payload, &mut ticket);
        ticket.push_str("&p=");
        BASE64.encode_string(signature, &mut ticket);
        SecretString::from(ticket)
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

    /// Reads the account that a ticket was issued for; `None` if it is forged, incomplete or expired.
    pub(super) fn account<T>(
        &self,
        ticket: &str,
        now: u64,
        read: impl FnOnce(&str) -> T,
    ) -> Option<T> {
        let (payload, signature) = ticket.strip_prefix("t=")?.split_once('&')?;
        let signature = signature.strip_prefix("p=")?;
        let mut space = [0; FIXED + MAX_ACCOUNT];
        let length = BASE64.decode_slice(payload, &mut space).ok()?;
        let payload = &space[..length];
        let mut space = [0; SHA256_OUTPUT_LEN];
        let length = BASE64.decode_slice(signature, &mut space).ok()?;
        let signature = &space[..length];
        // Constant time. The payload is not read before its signature is verified.
        let is_signed = |key: &TicketKey| hmac::verify(&key.0, payload, signature).is_ok();
        if !self.keys().iter().any(is_signed) {
            return None;
        }
        let (fixed, account) = payload.split_at_checked(FIXED)?;
        let expires = u64::from_be_bytes(fixed.get(1..9)?.try_into().ok()?);
        let longest = (TICKET_LIFETIME + MAX_SKEW).as_secs();
        let is_current = now < expires && expires - now <= longest;
        if fixed.first() != Some(&VERSION) || !is_current {
            return None;
        }
        std::str::from_utf8(account).ok().map(read)
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
    const SIZE: usize = 4096;

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
    use crate::secret::ExposeSecret;

    const NOW: u64 = 1_700_000_000;

    fn keys(byte: u8) -> TicketKeys {
        TicketKeys::new(key(byte), [])
    }

    fn key(byte: u8) -> TicketKey {
        TicketKey::new(&[byte; 32]).unwrap()
    }

    fn account(keys: &TicketKeys, ticket: &str, now: u64) -> Option<String> {
        keys.account(ticket, now, str::to_owned)
    }

    #[test]
    fn a_ticket_is_valid_for_its_account_until_it_expires() {
        let ticket = keys(7).issue("user@example.com", NOW + 60, 1);
        let account = |now| account(&keys(7), ticket.expose_secret(), now);
        assert_eq!(account(NOW).as_deref(), Some("user@example.com"));
        assert_eq!(account(NOW + 59).as_deref(), Some("user@example.com"));
        assert_eq!(account(NOW + 60), None);
    }

    #[test]
    fn a_ticket_does_not_outlive_a_clock_that_is_set_back() {
        let ticket = keys(7).issue("user@example.com", NOW + 60, 1);
        let is_valid = |now| account(&keys(7), ticket.expose_secret(), now).is_some();
        assert!(is_valid(NOW - 60));
        assert!(!is_valid(NOW - 61) && !is_valid(NOW - 3600) && !is_valid(0));
        // Nor one that is set forward.
        assert!(!is_valid(NOW + 3600) && !is_valid(u64::MAX));
    }

    #[test]
    fn another_key_or_a_changed_character_invalidates_a_ticket() {
        let ticket = keys(7).issue("user@example.com", NOW + 60, 1);
        let good = ticket.expose_secret();
        assert_eq!(account(&keys(8), good, NOW), None);
        for at in 0..good.len() {
            let mut bad = good.as_bytes().to_vec();
            bad[at] = if bad[at] == b'1' { b'2' } else { b'1' };
            let bad = String::from_utf8(bad).unwrap();
            assert_eq!(account(&keys(7), &bad, NOW), None, "character {at}");
            assert_eq!(account(&keys(7), &good[..at], NOW), None, "cut at {at}");
        }
    }

    #[test]
    fn the_first_key_signs_and_all_keys_verify() {
        let accepts = |to: &TicketKeys, from: &TicketKeys| {
            let ticket = from.issue("user@example.com", NOW + 60, 1);
            account(to, ticket.expose_secret(), NOW).is_some()
        };
        let (old, new) = (keys(7), keys(8));
        let both = TicketKeys::new(key(8), [key(7)]);
        assert!(accepts(&both, &old) && accepts(&both, &both) && accepts(&new, &both));
        assert!(!accepts(&old, &both));
        let in_use = old.clone();
        old.replace(&both);
        assert!(accepts(&new, &in_use));
        assert_eq!(format!("{new:?}").matches("TicketKey(..)").count(), 1);
    }

    #[test]
    fn the_longest_ticket_is_short_and_without_unusual_characters() {
        let name = format!("x{}@xyz", "ü".repeat(62));
        assert_eq!(name.len(), MAX_ACCOUNT);
        let ticket = keys(7).issue(&name, NOW + 60, u64::MAX);
        let ticket = ticket.expose_secret();
        assert_eq!(account(&keys(7), ticket, NOW), Some(name));
        assert!(ticket.len() < 300, "{}", ticket.len());
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"=&-_".contains(&byte);
        assert!(ticket.bytes().all(is_usual));
        assert_ne!(
            keys(7).issue("a@b", 1, 1).expose_secret(),
            keys(7).issue("a@b", 1, 2).expose_secret()
        );
    }

    #[test]
    fn random_numbers_differ() {
        // Across more than one filling of the pool, in pieces that do not divide it.
        let pieces: HashSet<_> = (0..1000).map(|_| random::<12>().unwrap()).collect();
        assert!(pieces.len() == 1000 && !pieces.contains(&[0; 12]));
    }

    #[test]
    fn a_key_has_a_minimum_length_and_an_empty_debug_form() {
        assert_eq!(format!("{:?}", key(7)), "TicketKey(..)");
        assert_eq!(TicketKey::new(&[0; 15]).err(), Some(ShortKey));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_handled(text in ".*", word in "[-_0-9A-Za-z]{0,250}") {
            let _ = account(&keys(7), &text, NOW);
            let _ = account(&keys(7), &format!("t={word}&p={}", "A".repeat(43)), NOW);
        }
    }
}
