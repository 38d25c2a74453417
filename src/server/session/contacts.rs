//! Commands after the login: a list of one contact, no switchboards, nothing stored.
//!
//! Enough for clients of the time to go online and stay online.

use std::io::Write as _;

use super::challenge::Challenge;
use super::outcome::{EndReason, Outcome, Reply};
use crate::msnp::{Command, Dialect, encode_word};

/// The list version in MSNP8 and 9.
const SERIAL: u32 = 1;

/// The list version from MSNP10 on, which clients only compare.
const STAMP: &str = "2004-01-01T00:00:00.0000000-00:00";

/// The one contact: clients that go online after the last `LST` need at least one.
const CONTACT: &str = "reflector@contact.invalid";

/// The ids of the one group and the contact in MSNP10 and later.
const GROUP_ID: &str = "00000000-0000-0000-0000-000000000001";
const CONTACT_ID: &str = "00000000-0000-0000-0000-000000000002";

/// The longest display name, in bytes as encoded (hypothetic.org, general/names).
const MAX_NAME: usize = 387;

/// A file that MSNP11 and 12 clients request. It blocks no client version.
const SHIELDS: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\
                       <config><shield></shield><block></block></config>";

/// The presence codes of MSNP8 to 12, without `FLN`, which only servers send.
const PRESENCES: [&[u8]; 8] = [
    b"NLN", b"BSY", b"IDL", b"BRB", b"AWY", b"PHN", b"LUN", b"HDN",
];

/// The state of a session after the login.
#[derive(Debug)]
pub(super) struct Contacts {
    dialect: Dialect,
    serial: u32,
    /// The `GTC` setting: `A` or `N`.
    reverse_list_prompt: &'static str,
    /// The `BLP` setting: `AL` or `BL`.
    default_privacy: &'static str,
    /// A `CHG` was sent, and not to `HDN`.
    is_visible: bool,
    pub(super) challenge: Challenge,
}

impl Contacts {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            serial: SERIAL,
            reverse_list_prompt: "A",
            default_privacy: "AL",
            is_visible: false,
            challenge: Challenge::default(),
        }
    }

    /// Answers `PNG`, which has no transaction id.
    pub(super) fn ping(&self, out: &mut Vec<u8>) {
        let has_interval = self.dialect >= Dialect::MSNP9;
        out.extend_from_slice(if has_interval {
            b"QNG 60\r\n"
        } else {
            b"QNG\r\n"
        });
    }

    /// Answers a command. `nonce` is for the challenge.
    pub(super) fn receive(
        &mut self,
        command: &Command<'_>,
        account: &str,
        nonce: u128,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let is_msnp11 = self.dialect >= Dialect::MSNP11;
        match command.name() {
            "SYN" if self.dialect >= Dialect::MSNP10 => {
                self.synchronise_by_stamp(command, account, reply);
            }
            "SYN" => self.synchronise(command, reply),
            "CHG" => return self.change_presence(command, nonce, reply),
            // Clients of MSNP11 and later are not challenged.
            "QRY" if is_msnp11 || self.challenge.verify(command) => reply.line("QRY", &[]),
            "QRY" => return reply.fatal(540, EndReason::ProtocolError),
            "URL" => reply.line("URL", &[b"/unused /unused 2"]),
            "PRP" => return self.set_property(command, reply),
            "REA" => return self.rename(command, reply),
            "GTC" | "BLP" => return self.set_privacy(command, reply),
            // The account to add does not exist, nor does the contact or group to remove.
            "ADD" | "ADC" => return reply.error(205),
            "ADG" | "REM" => return reply.error(201),
            "RMG" | "REG" => return reply.error(224),
            // There is no switchboard server.
            "XFR" => return reply.error(if self.is_visible { 280 } else { 913 }),
            "GCF" if is_msnp11 => {
                let file = command.args().nth(1).unwrap_or_default();
                reply.line("GCF", &[file, SHIELDS.len().to_string().as_bytes()]);
                reply.out.extend_from_slice(SHIELDS.as_bytes());
            }
            "UUX" if is_msnp11 => reply.line("UUX", &[b"0"]),
            // Messages belong to switchboards; Microsoft's servers closed the connection here.
            "MSG" => return Outcome::End(EndReason::ProtocolError),
            _ => return reply.error(502),
        }
        Outcome::Continue
    }

    /// `SYN t version`, MSNP8 and 9.
    fn synchronise(&self, command: &Command<'_>, reply: &mut Reply<'_>) {
        let serial = self.serial;
        if command.arg(1).and_then(|param| param.parse().ok()) == Some(serial) {
            return reply.line("SYN", &[serial.to_string().as_bytes()]);
        }
        let _ = write!(
            reply.out,
            "SYN {} {serial} 1 1\r\nGTC {}\r\nBLP {}\r\n\
             LSG 0 Other%20Contacts 0\r\nLST {CONTACT} Reflector 11 0\r\n",
            reply.trid, self.reverse_list_prompt, self.default_privacy
        );
    }

    /// `SYN t stamp stamp`, MSNP10 to 12.
    fn synchronise_by_stamp(&self, command: &Command<'_>, account: &str, reply: &mut Reply<'_>) {
        let is_current = |at| command.arg(at).as_deref() == Some(STAMP);
        if is_current(1) && is_current(2) {
            return reply.line("SYN", &[STAMP.as_bytes(), STAMP.as_bytes()]);
        }
        // MSNP12 has the type of a contact before its groups.
        let kind = if self.dialect >= Dialect::MSNP12 {
            " 1"
        } else {
            ""
        };
        let _ = write!(
            reply.out,
            "SYN {} {STAMP} {STAMP} 1 1\r\nGTC {}\r\nBLP {}\r\nPRP MFN {}\r\n\
             LSG Other%20Contacts {GROUP_ID}\r\n\
             LST N={CONTACT} F=Reflector C={CONTACT_ID} 11{kind} {GROUP_ID}\r\n",
            reply.trid,
            self.reverse_list_prompt,
            self.default_privacy,
            encode_word(account)
        );
    }

    /// `CHG t presence [client id [object]]`, echoed.
    fn change_presence(
        &mut self,
        command: &Command<'_>,
        nonce: u128,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        // Picture objects came with MSNP9.
        let most = if self.dialect >= Dialect::MSNP9 { 3 } else { 2 };
        let mut params: Vec<_> = command.args().skip(1).take(most).collect();
        match params.first() {
            Some(presence) if PRESENCES.contains(presence) => {
                self.is_visible = *presence != b"HDN";
            }
            _ => return reply.error(201),
        }
        // Clients that send no client id still expect one in the echo.
        if params.len() == 1 {
            params.push(b"0");
        }
        reply.line("CHG", &params);
        // The challenge of MSNP11 has another algorithm, which this server does not check.
        if self.dialect <= Dialect::MSNP10 {
            self.challenge.send_first(nonce, reply.out);
        }
        Outcome::Continue
    }

    /// `PRP t key [value]`: phone numbers, and from MSNP10 on the display name.
    fn set_property(&mut self, command: &Command<'_>, reply: &mut Reply<'_>) -> Outcome {
        let params: Vec<_> = command.args().skip(1).take(2).collect();
        match params.as_slice() {
            [b"MFN", ..] if self.dialect < Dialect::MSNP10 => reply.error(715),
            [
                b"PHH" | b"PHW" | b"PHM" | b"MOB" | b"MBE" | b"WWE" | b"HSB" | b"MFN",
                value @ ..,
            ] => match value {
                [value] if value.len() > MAX_NAME => reply.error(209),
                _ => self.changed("PRP", &params, reply),
            },
            _ => reply.error(201),
        }
    }

    /// `REA t account name`.
    fn rename(&mut self, command: &Command<'_>, reply: &mut Reply<'_>) -> Outcome {
        let params: Vec<_> = command.args().skip(1).take(2).collect();
        match params.as_slice() {
            [_, name] if name.len() <= MAX_NAME => self.changed("REA", &params, reply),
            [_, _] => reply.error(209),
            _ => reply.error(201),
        }
    }

    /// `GTC t A|N` and `BLP t AL|BL`; setting the current value is an error.
    fn set_privacy(&mut self, command: &Command<'_>, reply: &mut Reply<'_>) -> Outcome {
        let param = command.args().nth(1).unwrap_or_default();
        let (setting, wanted) = match (command.name(), param) {
            ("GTC", b"A") => (&mut self.reverse_list_prompt, "A"),
            ("GTC", b"N") => (&mut self.reverse_list_prompt, "N"),
            ("BLP", b"AL") => (&mut self.default_privacy, "AL"),
            ("BLP", b"BL") => (&mut self.default_privacy, "BL"),
            _ => return reply.error(201),
        };
        if std::mem::replace(setting, wanted) == wanted {
            return reply.error(218);
        }
        self.changed(command.name(), &[param], reply)
    }

    /// Echoes a change, with the new list version before MSNP10.
    fn changed(&mut self, name: &str, params: &[&[u8]], reply: &mut Reply<'_>) -> Outcome {
        if self.dialect < Dialect::MSNP10 {
            self.serial = self.serial.wrapping_add(1);
            let serial = self.serial.to_string();
            reply.line(name, &[&[serial.as_bytes()], params].concat());
        } else {
            reply.line(name, params);
        }
        Outcome::Continue
    }
}

#[cfg(test)]
mod tests;
