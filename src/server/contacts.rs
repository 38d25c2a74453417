//! What a client may say once it is signed in: one contact, no switchboards, nothing kept.
//!
//! Enough for clients of the time to go online and stay there.
//! Sources: hypothetic.org, notification/{getting_details,changing_details,pings_challenges};
//! the answers of servers that are in use.

use std::io::Write as _;

use super::session::{Next, Why, answer};
use crate::msnp::{Command, Dialect, challenge, encode_word};

/// The list's version in MSNP8 and 9.
const SERIAL: u32 = 1;

/// The list's version from MSNP10 on, which clients only compare.
const STAMP: &str = "2004-01-01T00:00:00.0000000-00:00";

/// The one contact: clients that go online after the last `LST` need one to come.
const CONTACT: &str = "reflector@contact.invalid";

/// The one group, and the contact, as MSNP10 and later name them.
const GUIDS: [&str; 2] = [
    "00000000-0000-0000-0000-000000000001",
    "00000000-0000-0000-0000-000000000002",
];

/// The longest display name, in bytes as encoded (hypothetic.org, general/names).
const MAX_NAME: usize = 387;

/// What clients of MSNP11 and 12 ask for: no version of them is shut out.
const SHIELDS: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\
                       <config><shield></shield><block></block></config>";

/// The presence words of MSNP8 to 12, `FLN` excepted, which only servers say.
const PRESENCES: [&[u8]; 8] = [
    b"NLN", b"BSY", b"IDL", b"BRB", b"AWY", b"PHN", b"LUN", b"HDN",
];

/// What a session remembers after the login.
#[derive(Debug)]
pub(super) struct Contacts {
    serial: u32,
    /// `BLP BL` rather than `AL`.
    blocks_strangers: bool,
    /// `GTC N` rather than `A`.
    adds_silently: bool,
    /// Seen by others: a `CHG` came, and not to `HDN`.
    is_seen: bool,
    challenge: Challenge,
    /// Whether a challenge was ever answered.
    has_answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenge {
    NotYet,
    /// Twenty digits wait for their answer.
    Pending(u128),
    Done,
}

impl Contacts {
    pub(super) const fn new() -> Self {
        Self {
            serial: SERIAL,
            blocks_strangers: false,
            adds_silently: false,
            is_seen: false,
            challenge: Challenge::NotYet,
            has_answered: false,
        }
    }

    /// Answers one command. `nonce` is what to challenge the client with, if it is to be.
    pub(super) fn receive(
        &mut self,
        command: &Command<'_>,
        dialect: Dialect,
        account: &str,
        nonce: Option<u128>,
        out: &mut Vec<u8>,
    ) -> Next {
        let name = command.name();
        if name == "PNG" {
            let has_interval = dialect >= Dialect::MSNP9;
            let pong: &[u8] = if has_interval {
                b"QNG 60\r\n"
            } else {
                b"QNG\r\n"
            };
            out.extend_from_slice(pong);
            return Next::Stay;
        }
        let Some(trid) = command.trid() else {
            return Next::Stay;
        };
        match name {
            "SYN" if dialect >= Dialect::MSNP10 => {
                self.synchronise_by_stamp(command, trid, dialect, account, out);
            }
            "SYN" => self.synchronise(command, trid, out),
            "CHG" => self.change(command, trid, dialect, nonce, out),
            "QRY" => return self.verify(command, trid, dialect, out),
            "URL" => {
                let _ = write!(out, "URL {trid} /unused /unused 2\r\n");
            }
            "PRP" => self.property(command, trid, dialect, out),
            "REA" => self.rename(command, trid, dialect, out),
            "GTC" => self.toggle(command, trid, dialect, out),
            "BLP" => self.toggle(command, trid, dialect, out),
            // There is nobody to add, and only what is not there can be taken away.
            "ADD" | "ADC" => answer(command, "205", out),
            "ADG" | "REM" => answer(command, "201", out),
            "RMG" | "REG" => answer(command, "224", out),
            // No switchboards here.
            "XFR" if self.is_seen => answer(command, "280", out),
            "XFR" => answer(command, "913", out),
            "GCF" if dialect >= Dialect::MSNP11 => {
                let file = command.arg(1).unwrap_or_default();
                let _ = write!(out, "GCF {trid} {file} {}\r\n{SHIELDS}", SHIELDS.len());
            }
            "UUX" if dialect >= Dialect::MSNP11 => {
                let _ = write!(out, "UUX {trid} 0\r\n");
            }
            // Messages belong to switchboards; Microsoft's servers hung up on them here.
            "MSG" => return Next::Close(Why::Protocol),
            _ => answer(command, "502", out),
        }
        Next::Stay
    }

    /// `SYN t version`, MSNP8 and 9.
    fn synchronise(&self, command: &Command<'_>, trid: u32, out: &mut Vec<u8>) {
        let serial = self.serial;
        if command.arg(1).and_then(|word| word.parse().ok()) == Some(serial) {
            let _ = write!(out, "SYN {trid} {serial}\r\n");
            return;
        }
        let _ = write!(
            out,
            "SYN {trid} {serial} 1 1\r\nGTC {}\r\nBLP {}\r\n\
             LSG 0 Other%20Contacts 0\r\nLST {CONTACT} Reflector 11 0\r\n",
            self.gtc(),
            self.blp()
        );
    }

    /// `SYN t stamp stamp`, MSNP10 to 12.
    fn synchronise_by_stamp(
        &self,
        command: &Command<'_>,
        trid: u32,
        dialect: Dialect,
        account: &str,
        out: &mut Vec<u8>,
    ) {
        let is_current = |at| command.arg(at).as_deref() == Some(STAMP);
        if is_current(1) && is_current(2) {
            let _ = write!(out, "SYN {trid} {STAMP} {STAMP}\r\n");
            return;
        }
        let [group, contact] = GUIDS;
        // MSNP12 put a contact's kind before the groups.
        let kind = if dialect >= Dialect::MSNP12 { " 1" } else { "" };
        let _ = write!(
            out,
            "SYN {trid} {STAMP} {STAMP} 1 1\r\nGTC {}\r\nBLP {}\r\nPRP MFN {}\r\n\
             LSG Other%20Contacts {group}\r\n\
             LST N={CONTACT} F=Reflector C={contact} 11{kind} {group}\r\n",
            self.gtc(),
            self.blp(),
            encode_word(account)
        );
    }

    /// `CHG t presence [capabilities [object]]`, said back.
    fn change(
        &mut self,
        command: &Command<'_>,
        trid: u32,
        dialect: Dialect,
        nonce: Option<u128>,
        out: &mut Vec<u8>,
    ) {
        let mut words = command.args().skip(1);
        let presence = words.next().unwrap_or_default();
        if !PRESENCES.contains(&presence) {
            answer(command, "201", out);
            return;
        }
        self.is_seen = presence != b"HDN";
        let _ = write!(out, "CHG {trid} ");
        out.extend_from_slice(presence);
        // Picture objects came with MSNP9.
        let extra = if dialect >= Dialect::MSNP9 { 2 } else { 1 };
        let mut has_id = false;
        for word in words.take(extra) {
            has_id = true;
            out.push(b' ');
            out.extend_from_slice(word);
        }
        // Who sends no client id reads one all the same.
        out.extend_from_slice(if has_id { b"\r\n" } else { b" 0\r\n" });
        // From MSNP11 on the answer is another one, which nobody here checks.
        if let (Some(nonce), Challenge::NotYet, true) =
            (nonce, self.challenge, dialect <= Dialect::MSNP10)
        {
            let digits = nonce % 10_u128.pow(20);
            self.challenge = Challenge::Pending(digits);
            let _ = write!(out, "CHL 0 {digits:020}\r\n");
        }
    }

    /// Challenges a client anew that has answered before: one that is alive answers again. `None`
    /// where it has never answered, so that nobody knows whether it can; false where the last
    /// challenge is still open.
    pub(super) fn challenge_again(&mut self, nonce: u128, out: &mut Vec<u8>) -> Option<bool> {
        match self.challenge {
            Challenge::NotYet => None,
            Challenge::Pending(_) if !self.has_answered => None,
            Challenge::Pending(_) => Some(false),
            Challenge::Done => {
                let digits = nonce % 10_u128.pow(20);
                self.challenge = Challenge::Pending(digits);
                let _ = write!(out, "CHL 0 {digits:020}\r\n");
                Some(true)
            }
        }
    }

    /// `QRY t product 32` and the answer to the challenge.
    fn verify(
        &mut self,
        command: &Command<'_>,
        trid: u32,
        dialect: Dialect,
        out: &mut Vec<u8>,
    ) -> Next {
        let is_right = match self.challenge {
            _ if dialect >= Dialect::MSNP11 => true,
            Challenge::Pending(digits) => {
                let product = command.arg(1).unwrap_or_default();
                challenge::is_plausible(&format!("{digits:020}"), &product, command.payload())
            }
            Challenge::NotYet | Challenge::Done => false,
        };
        if !is_right {
            answer(command, "540", out);
            return Next::Close(Why::Protocol);
        }
        // From MSNP11 on nobody was challenged.
        if dialect <= Dialect::MSNP10 {
            self.challenge = Challenge::Done;
            self.has_answered = true;
        }
        let _ = write!(out, "QRY {trid}\r\n");
        Next::Stay
    }

    /// `PRP t key [value]`: phone numbers, and the display name from MSNP10 on.
    fn property(&mut self, command: &Command<'_>, trid: u32, dialect: Dialect, out: &mut Vec<u8>) {
        let key = command.arg(1).unwrap_or_default();
        match &*key {
            "MFN" if dialect < Dialect::MSNP10 => answer(command, "715", out),
            "PHH" | "PHW" | "PHM" | "MOB" | "MBE" | "WWE" | "HSB" | "MFN" => {
                let words: Vec<_> = command.args().skip(1).take(2).collect();
                if words.get(1).is_some_and(|value| value.len() > MAX_NAME) {
                    return answer(command, "209", out);
                }
                self.changed("PRP", trid, dialect, &words, out);
            }
            _ => answer(command, "201", out),
        }
    }

    /// `REA t account name`.
    fn rename(&mut self, command: &Command<'_>, trid: u32, dialect: Dialect, out: &mut Vec<u8>) {
        let words: Vec<_> = command.args().skip(1).take(2).collect();
        match words.as_slice() {
            [_, name] if name.len() <= MAX_NAME => {
                self.changed("REA", trid, dialect, &words, out);
            }
            [_, _] => answer(command, "209", out),
            _ => answer(command, "201", out),
        }
    }

    /// `GTC t A|N` and `BLP t AL|BL`; what is so already is an error.
    fn toggle(&mut self, command: &Command<'_>, trid: u32, dialect: Dialect, out: &mut Vec<u8>) {
        let word = command.args().nth(1).unwrap_or_default();
        let (setting, wanted) = match (command.name(), word) {
            ("GTC", b"A") => (&mut self.adds_silently, false),
            ("GTC", b"N") => (&mut self.adds_silently, true),
            ("BLP", b"AL") => (&mut self.blocks_strangers, false),
            ("BLP", b"BL") => (&mut self.blocks_strangers, true),
            _ => return answer(command, "201", out),
        };
        if *setting == wanted {
            return answer(command, "218", out);
        }
        *setting = wanted;
        self.changed(command.name(), trid, dialect, &[word], out);
    }

    /// Says a change back, with the list's new version before MSNP10.
    fn changed(
        &mut self,
        name: &str,
        trid: u32,
        dialect: Dialect,
        words: &[&[u8]],
        out: &mut Vec<u8>,
    ) {
        let _ = write!(out, "{name} {trid}");
        if dialect < Dialect::MSNP10 {
            self.serial = self.serial.wrapping_add(1);
            let _ = write!(out, " {}", self.serial);
        }
        for word in words {
            out.push(b' ');
            out.extend_from_slice(word);
        }
        out.extend_from_slice(b"\r\n");
    }

    const fn gtc(&self) -> &'static str {
        if self.adds_silently { "N" } else { "A" }
    }

    const fn blp(&self) -> &'static str {
        if self.blocks_strangers { "BL" } else { "AL" }
    }
}

#[cfg(test)]
mod tests;
