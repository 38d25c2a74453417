//! One command: three characters, parameters, perhaps a payload.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::secret::excerpt;

/// A command as it was received, borrowed from the decoder's buffer.
///
/// The line is text by convention only: display names may carry any bytes, so parameters are
/// bytes until somebody needs their text. Source: hypothetic.org, general/commands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    line: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Command<'a> {
    /// Takes a line without its line end, and the payload that followed it.
    ///
    /// The line must begin with three characters of `A`–`Z` or `0`–`9`; the decoder ensures that.
    #[must_use]
    pub(super) const fn new(line: &'a [u8], payload: &'a [u8]) -> Self {
        Self { line, payload }
    }

    /// The three characters, such as `USR`, or the digits of an error.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.line
            .get(..3)
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or("")
    }

    /// The payload; empty where the command has none.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The parameters, split at runs of blanks and tabs.
    pub fn args(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.line
            .get(3..)
            .unwrap_or_default()
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty())
    }

    /// Parameter number `index`, from 0, as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn arg(&self, index: usize) -> Option<Cow<'a, str>> {
        self.args().nth(index).map(String::from_utf8_lossy)
    }

    /// Parameter number `index`, from 0, where it is UTF-8 as it stands.
    #[must_use]
    pub fn exact_arg(&self, index: usize) -> Option<&'a str> {
        self.args()
            .nth(index)
            .and_then(|word| std::str::from_utf8(word).ok())
    }

    /// The transaction id: the first parameter, where it is a number up to 4294967295.
    #[must_use]
    pub fn trid(&self) -> Option<u32> {
        self.args().next()?.iter().try_fold(0_u32, |number, byte| {
            let digit = char::from(*byte).to_digit(10)?;
            number.checked_mul(10)?.checked_add(digit)
        })
    }

    /// The number of an error reply; `None` for a command with a name.
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        self.name().parse().ok()
    }
}

/// Shows the name alone: parameters may hold a ticket.
impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} with {} bytes of payload",
            self.name(),
            self.payload.len()
        )
    }
}

/// A version of the protocol whose login is supported: MSNP8 to MSNP12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dialect(u8);

/// An unsupported dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid dialect '{0}' (expected MSNP8, MSNP9, MSNP10, MSNP11 or MSNP12)")]
pub struct UnknownDialect(String);

impl Dialect {
    /// MSNP8, the first with a Passport login and with `ClientIP` in the profile.
    pub const MSNP8: Self = Self(8);
    /// MSNP9, the one this program is named for.
    pub const MSNP9: Self = Self(9);
    /// MSNP10.
    pub const MSNP10: Self = Self(10);
    /// MSNP11.
    pub const MSNP11: Self = Self(11);
    /// MSNP12, the last before the login changed its payloads.
    pub const MSNP12: Self = Self(12);

    /// Every dialect, oldest first.
    pub const ALL: [Self; 5] = [
        Self::MSNP8,
        Self::MSNP9,
        Self::MSNP10,
        Self::MSNP11,
        Self::MSNP12,
    ];

    /// The number in its name: 9 for MSNP9.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MSNP{}", self.0)
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    /// Reads `MSNP9`, in upper or lower case, or a bare `9`.
    ///
    /// # Errors
    /// [`UnknownDialect`] for anything but MSNP8 to MSNP12.
    fn from_str(word: &str) -> Result<Self, UnknownDialect> {
        let trimmed = word.trim();
        let number = match trimmed.split_at_checked(4) {
            Some((name, number)) if name.eq_ignore_ascii_case("MSNP") => number,
            _ => trimmed,
        };
        Ok(match number {
            "8" => Self::MSNP8,
            "9" => Self::MSNP9,
            "10" => Self::MSNP10,
            "11" => Self::MSNP11,
            "12" => Self::MSNP12,
            _ => return Err(UnknownDialect(excerpt(word, 20))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_split_at_runs_of_blanks_and_tabs() {
        let command = Command::new(b"CVR \t 2  0x0409\twinnt ", b"");
        assert_eq!(command.name(), "CVR");
        assert_eq!(command.trid(), Some(2));
        assert_eq!(command.args().count(), 3);
        assert_eq!(command.arg(2).as_deref(), Some("winnt"));
        assert_eq!(command.arg(3), None);
    }

    #[test]
    fn a_trid_is_a_number_of_32_bits() {
        assert_eq!(Command::new(b"VER 0 MSNP9", b"").trid(), Some(0));
        assert_eq!(Command::new(b"VER 4294967295", b"").trid(), Some(u32::MAX));
        assert_eq!(Command::new(b"VER 4294967296", b"").trid(), None);
        assert_eq!(Command::new(b"VER +1", b"").trid(), None);
        assert_eq!(Command::new(b"OUT", b"").trid(), None);
    }

    #[test]
    fn digits_are_an_error() {
        assert_eq!(Command::new(b"911 3", b"").error_code(), Some(911));
        assert_eq!(Command::new(b"USR 3", b"").error_code(), None);
        assert_eq!(Command::new(b"9A1 3", b"").error_code(), None);
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let command = Command::new(b"NLN NLN a@b.c \xff\xfe", b"");
        assert_eq!(command.exact_arg(2), None);
        assert_eq!(command.arg(2).as_deref(), Some("\u{fffd}\u{fffd}"));
    }

    #[test]
    fn dialects_read_and_print() {
        assert_eq!("msnp9".parse(), Ok(Dialect::MSNP9));
        assert_eq!("12".parse::<Dialect>().unwrap().to_string(), "MSNP12");
        assert!("MSNP13".parse::<Dialect>().is_err());
        for word in ["MSNP", "", "09", "+9", "MSNP 9", "MSNP9x", "ÄÄ9"] {
            assert!(word.parse::<Dialect>().is_err(), "{word}");
        }
        assert!(Dialect::MSNP8 < Dialect::MSNP10);
    }
}
