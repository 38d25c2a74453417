//! Argon2id hashes of passwords, as PHC strings: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::secret::{ExposeSecret as _, SecretString, Zeroizing};

/// How every hash of a supported kind begins.
const PREFIX: &str = "$argon2id$v=19$";

/// The most that a hash in a file may cost, so that a mistyped number does not stop the server.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 4;

/// The lengths of salts and hashes, in bytes. Shorter ones are guessed too easily.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;
const OUTPUT: std::ops::RangeInclusive<usize> = 16..=64;

/// What a computation costs. For new hashes, what OWASP recommends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    const NEW: Self = Self {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };
}

/// The hash of a password, with its salt and its cost.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    cost: Cost,
    salt: Box<[u8]>,
    output: Box<[u8]>,
}

/// Why a text is no hash of a supported kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// Another algorithm, or another version of this one.
    #[error("the hash is not one of Argon2id, version 19")]
    Algorithm,
    /// It is incomplete, or has values out of range.
    #[error("the hash is malformed")]
    Malformed,
    /// It costs too much.
    #[error(
        "the hash costs too much: m is at most {MAX_MEMORY_KIB}, t {MAX_PASSES} and p {MAX_LANES}"
    )]
    Cost,
}

/// A hash was not computed: there is not enough memory or randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is not enough memory to hash the password")]
pub(crate) struct NotComputed;

impl PasswordHash {
    /// Whether a password in a file is meant as a hash, whatever its algorithm: `$name$…$…`.
    pub(super) fn is_meant(text: &str) -> bool {
        let is_name = |name: &str| {
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !name.is_empty() && name.bytes().all(is_plain)
        };
        let Some(rest) = text.strip_prefix('$') else {
            return false;
        };
        let parts = rest.split_once('$');
        rest.starts_with("argon2")
            || parts.is_some_and(|(name, rest)| is_name(name) && rest.contains('$'))
    }

    /// Reads a PHC string.
    pub(super) fn parse(text: &str) -> Result<Self, BadHash> {
        let rest = text.strip_prefix(PREFIX).ok_or(BadHash::Algorithm)?;
        let mut parts = rest.split('$');
        let mut next = || parts.next().ok_or(BadHash::Malformed);
        let (cost, salt, output) = (cost(next()?)?, next()?, next()?);
        let decoded = |text: &str, length: std::ops::RangeInclusive<usize>| {
            let bytes = BASE64.decode(text).ok();
            bytes.filter(|bytes| length.contains(&bytes.len()))
        };
        match (decoded(salt, SALT), decoded(output, OUTPUT), parts.next()) {
            (Some(salt), Some(output), None) => Ok(Self {
                cost,
                salt: salt.into(),
                output: output.into(),
            }),
            _ => Err(BadHash::Malformed),
        }
    }

    /// Hashes a new password, with a random salt.
    pub(crate) fn of(password: &SecretString) -> Result<Self, NotComputed> {
        let mut hash = Self::random(Cost::NEW).ok_or(NotComputed)?;
        hash.output = hash.compute(password)?[..].into();
        Ok(hash)
    }

    /// The hash of no password, to compute where an account has none.
    pub(super) fn random(cost: Cost) -> Option<Self> {
        let (mut salt, mut output) = ([0; 16], [0; 32]);
        let random = SystemRandom::new();
        random.fill(&mut salt).ok()?;
        random.fill(&mut output).ok()?;
        Some(Self {
            cost,
            salt: salt.into(),
            output: output.into(),
        })
    }

    pub(super) const fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether this is the hash of a password. Takes as long as its cost has it, so not on a thread
    /// that others wait for.
    pub(crate) fn matches(&self, password: &SecretString) -> Result<bool, NotComputed> {
        let computed = self.compute(password)?;
        // The comparison of HMACs takes the same time wherever two hashes differ.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.salt);
        let own = hmac::sign(&key, &self.output);
        Ok(hmac::verify(&key, &computed, own.as_ref()).is_ok())
    }

    fn compute(&self, password: &SecretString) -> Result<Zeroizing<Vec<u8>>, NotComputed> {
        let Cost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        let params = Params::new(memory_kib, passes, lanes, Some(output.len()));
        let params = params.map_err(|_| NotComputed)?;
        let blocks = params.block_count();
        let mut memory = Zeroizing::new(Vec::new());
        // An allocation that fails otherwise ends the program.
        memory.try_reserve_exact(blocks).map_err(|_| NotComputed)?;
        memory.resize(blocks, Block::new());
        let password = password.expose_secret().as_bytes();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password, &self.salt, &mut output, &mut memory[..])
            .map_err(|_| NotComputed)?;
        Ok(output)
    }
}

/// The PHC string.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        let (salt, output) = (BASE64.encode(&self.salt), BASE64.encode(&self.output));
        write!(
            f,
            "{PREFIX}m={memory_kib},t={passes},p={lanes}${salt}${output}"
        )
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = &self.cost;
        f.debug_struct("PasswordHash")
            .field("cost", cost)
            .finish_non_exhaustive()
    }
}

/// Reads `m=19456,t=2,p=1`.
fn cost(text: &str) -> Result<Cost, BadHash> {
    let mut parts = text.split(',');
    let mut number = |name: &str| {
        let digits = parts.next()?.strip_prefix(name)?;
        let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_short = !digits.starts_with('0') && digits.len() <= 10;
        // Ten digits may still be too many for the type, and are beyond the limit as well.
        (is_decimal && is_short).then_some(())?;
        digits
            .parse::<u64>()
            .ok()
            .map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    };
    let read = (number("m="), number("t="), number("p="), parts.next());
    let (Some(memory_kib), Some(passes), Some(lanes), None) = read else {
        return Err(BadHash::Malformed);
    };
    if memory_kib > MAX_MEMORY_KIB || passes > MAX_PASSES || lanes > MAX_LANES {
        return Err(BadHash::Cost);
    }
    // Argon2 needs two blocks for each quarter of a lane.
    if memory_kib < 8 * lanes {
        return Err(BadHash::Malformed);
    }
    Ok(Cost {
        memory_kib,
        passes,
        lanes,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A hash that costs next to nothing.
    pub(crate) fn cheap(password: &str) -> String {
        let mut hash = PasswordHash::random(Cost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        })
        .unwrap();
        hash.output = hash.compute(&password.into()).unwrap()[..].into();
        hash.to_string()
    }

    /// Made with the reference implementation: `argon2 somesalt -id -t 2 -m 16 -p 1 <<< password`.
    const REFERENCE: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
                             $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn a_hash_of_the_reference_implementation_matches_its_password() {
        let hash = PasswordHash::parse(REFERENCE).unwrap();
        assert_eq!(hash.to_string(), REFERENCE);
        assert_eq!(hash.matches(&"password".into()), Ok(true));
        assert_eq!(hash.matches(&"Password".into()), Ok(false));
    }

    #[test]
    fn new_hashes_have_salts_of_their_own() {
        let [one, two] = ["right", "right"].map(|text| PasswordHash::of(&text.into()).unwrap());
        assert_ne!(one, two);
        let text = one.to_string();
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
        let read = PasswordHash::parse(&text).unwrap();
        assert_eq!(read.matches(&"right".into()), Ok(true));
        assert_eq!(read.matches(&"wrong".into()), Ok(false));
    }

    #[test]
    fn only_complete_hashes_of_argon2id_within_the_limits_are_read() {
        let hash = |cost: &str| {
            format!("$argon2id$v=19${cost}$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
        };
        for cost in ["m=262144,t=16,p=4", "m=8,t=1,p=1", "m=32,t=1,p=4"] {
            assert!(PasswordHash::parse(&hash(cost)).is_ok(), "{cost}");
        }
        for (text, error) in [
            (hash("m=262145,t=1,p=1"), BadHash::Cost),
            (hash("m=9999999999,t=1,p=1"), BadHash::Cost),
            (hash("m=8,t=17,p=1"), BadHash::Cost),
            (hash("m=64,t=1,p=5"), BadHash::Cost),
            (hash("m=7,t=1,p=1"), BadHash::Malformed),
            (hash("m=31,t=1,p=4"), BadHash::Malformed),
            (hash("m=8,t=0,p=1"), BadHash::Malformed),
            (hash("m=08,t=1,p=1"), BadHash::Malformed),
            (hash("m=+8,t=1,p=1"), BadHash::Malformed),
            (hash("m=,t=1,p=1"), BadHash::Malformed),
            (hash("t=1,m=8,p=1"), BadHash::Malformed),
            (hash("m=8,t=1"), BadHash::Malformed),
            (hash("m=8,t=1,p=1,data=AAAA"), BadHash::Malformed),
            (hash("m=8,t=1,p=1") + "$", BadHash::Malformed),
            (hash("m=8,t=1,p=1") + "=", BadHash::Malformed),
            (hash("m=8,t=1,p=1") + " ", BadHash::Malformed),
            (
                hash("m=8,t=1,p=1").replace("v=19", "v=16"),
                BadHash::Algorithm,
            ),
            (hash("m=8,t=1,p=1").replace("2id", "2i"), BadHash::Algorithm),
            ("$argon2id".to_owned(), BadHash::Algorithm),
            ("$argon2id$v=19$m=8,t=1,p=1".to_owned(), BadHash::Malformed),
            (
                "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
                    .to_owned(),
                BadHash::Malformed,
            ),
            (
                "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFQ".to_owned(),
                BadHash::Malformed,
            ),
            ("$2y$10$abcdefghij".to_owned(), BadHash::Algorithm),
        ] {
            assert!(PasswordHash::is_meant(&text), "{text}");
            assert_eq!(PasswordHash::parse(&text).unwrap_err(), error, "{text}");
        }
        for plain in ["", "$", "$$", "$ecret", "$a$", "a$b$c$", "$A b$c$d"] {
            assert!(!PasswordHash::is_meant(plain), "{plain}");
        }
    }

    #[test]
    fn debug_shows_no_hash() {
        let shown = format!("{:?}", PasswordHash::parse(REFERENCE).unwrap());
        assert_eq!(
            shown,
            "PasswordHash { cost: Cost { memory_kib: 65536, passes: 2, lanes: 1 }, .. }"
        );
    }
}
