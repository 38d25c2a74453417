//! The server's side of a session, up to the profile: commands in, bytes out.
//!
//! Sans-IO. What may be said after the login is in [`contacts`](super::contacts).
//! Sources: hypothetic.org, notification/authentication; yellows111, commands.

use std::io::Write as _;

use super::accounts::{folded, well_formed};
use super::config::ProfilePolicy;
use super::contacts::Contacts;
use super::desk::{Desk, Moment};
use crate::msnp::{Account, ClassicProfile, Command, Dialect, encode_word, percent_decode};
use crate::secret::SecretString;

/// The longest client version that is repeated in the answer to `CVR`, in bytes.
const MAX_VERSION: usize = 20;

/// What the session is for.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// A session over TCP.
    Notification,
    /// A session behind the HTTP gateway, where nobody pings.
    Gateway,
    /// No session at all: it ends with a referral.
    Dispatch(Box<Referral>),
}

/// Where the dispatch server sends everybody.
#[derive(Clone, Debug)]
pub(super) struct Referral {
    /// `host:port` of the notification server.
    pub(super) to: String,
    /// `ip:port` of the dispatch server, as it sees itself.
    pub(super) here: String,
}

/// What comes after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next one.
    Stay,
    /// The account is signed in from here on; then the next one.
    SignedIn,
    /// The client was sent to the notification server and is expected to close.
    Referred,
    /// The end, once everything is written.
    Close(Why),
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The client said `OUT`.
    Left,
    /// The account or the ticket was refused.
    Refused,
    /// Too many were refused before; this one was not looked at.
    Throttled,
    /// The client said what must not be said, or not now.
    Protocol,
    /// `PNG` through the gateway, which Microsoft's answered with an HTTP error.
    Ping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waits for `VER`.
    Version,
    /// Waits for `CVR` or `USR … I`.
    Account,
    /// Waits for `USR … S` with a ticket.
    Ticket,
    /// Signed in.
    Online,
    /// Referred; there is nothing more to say.
    Referred,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    role: Role,
    stage: Stage,
    dialect: Dialect,
    account: Option<Account>,
    /// Random, for the policy, the challenge and `MSPAuth`.
    nonce: u128,
    has_profile: bool,
    contacts: Contacts,
}

impl Session {
    pub(super) const fn new(role: Role, nonce: u128) -> Self {
        Self {
            role,
            stage: Stage::Version,
            dialect: Dialect::MSNP8,
            account: None,
            nonce,
            has_profile: false,
            contacts: Contacts::new(),
        }
    }

    /// The account, once it is signed in.
    pub(super) fn signed_in(&self) -> Option<&str> {
        match self.stage {
            Stage::Online => self.account.as_ref().map(Account::as_str),
            _ => None,
        }
    }

    /// The account that the client says it has, signed in or not.
    pub(super) fn account(&self) -> Option<&str> {
        self.account.as_ref().map(Account::as_str)
    }

    /// See [`Contacts::challenge_again`].
    pub(super) fn challenge_again(&mut self, nonce: u128, out: &mut Vec<u8>) -> Option<bool> {
        self.contacts.challenge_again(nonce, out)
    }

    /// Answers one command: appends to `out` what is to be written.
    pub(super) fn receive(
        &mut self,
        command: &Command<'_>,
        desk: &Desk,
        moment: &Moment,
        out: &mut Vec<u8>,
    ) -> Next {
        match (self.stage, command.name()) {
            (_, "OUT") => Next::Close(Why::Left),
            (_, "PNG") if matches!(self.role, Role::Gateway) => Next::Close(Why::Ping),
            (Stage::Version, "VER") => self.version(command, out),
            (_, "VER") => unexpected(command, out),
            // A command of MSNP7 and before; Microsoft's servers hung up on it.
            (_, "INF") => Next::Close(Why::Protocol),
            (Stage::Account | Stage::Ticket, "CVR") => client_version(command, out),
            (Stage::Account, "USR") => self.introduce(command, desk, moment, out),
            (Stage::Ticket, "USR") => self.sign_in(command, desk, moment, out),
            (Stage::Online, "USR") => {
                answer(command, "207", out);
                Next::Stay
            }
            (Stage::Online, name) => self.online(command, name == "SYN", desk, moment, out),
            _ => unexpected(command, out),
        }
    }

    /// `VER t MSNP9 MSNP8 CVR0`: the first that is known here. `CVR0` is repeated because aMSN
    /// fails without it.
    fn version(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Next {
        let Some(trid) = command.trid() else {
            return Next::Close(Why::Protocol);
        };
        let offered = command.args().skip(1);
        let spoken = offered
            .filter_map(|word| std::str::from_utf8(word).ok())
            .filter(|word| word.starts_with("MSNP"))
            .find_map(|word| word.parse().ok());
        let Some(dialect) = spoken else {
            let _ = write!(out, "VER {trid} 0\r\n");
            return Next::Close(Why::Protocol);
        };
        self.dialect = dialect;
        self.stage = Stage::Account;
        let _ = write!(out, "VER {trid} {dialect} CVR0\r\n");
        Next::Stay
    }

    /// `USR t TWN I account`.
    fn introduce(
        &mut self,
        command: &Command<'_>,
        desk: &Desk,
        moment: &Moment,
        out: &mut Vec<u8>,
    ) -> Next {
        let Some(trid) = command.trid() else {
            return Next::Close(Why::Protocol);
        };
        let (scheme, step) = (command.arg(1), command.arg(2));
        if scheme.as_deref() != Some("TWN") || step.as_deref() != Some("I") {
            return refused(command, out);
        }
        let account = command
            .exact_arg(3)
            .and_then(|text| well_formed(&percent_decode(text)));
        let Some(account) = account else {
            return refused(command, out);
        };
        if let Role::Dispatch(referral) = &self.role {
            let Referral { to, here } = &**referral;
            let _ = write!(out, "XFR {trid} NS {to} 0 {here}\r\n");
            self.stage = Stage::Referred;
            return Next::Referred;
        }
        self.account = Some(account);
        self.stage = Stage::Ticket;
        // The keys that Microsoft's servers had, in their order: one client reads them by place.
        let _ = write!(
            out,
            "USR {trid} TWN S lc=1033,id=507,tw={},fs=1,ru=http%3A%2F%2Fmessenger%2Emsn%2Ecom,\
             ct={},kpp=1,kv=5,ver=2.1.0173.1,tpf={:032x}\r\n",
            desk.ticket_lifetime.as_secs(),
            moment.now,
            self.nonce
        );
        Next::Stay
    }

    /// `USR t TWN S ticket`.
    fn sign_in(
        &mut self,
        command: &Command<'_>,
        desk: &Desk,
        moment: &Moment,
        out: &mut Vec<u8>,
    ) -> Next {
        let Some(trid) = command.trid() else {
            return Next::Close(Why::Protocol);
        };
        let name = self.account.as_ref().map_or("", Account::as_str);
        let peer = moment.peer.ip();
        if desk.failures.is_throttled(peer, name, moment.clock) {
            answer(command, "910", out);
            return Next::Close(Why::Throttled);
        }
        let words = (command.arg(1), command.arg(2));
        let is_ticket = matches!(
            (words.0.as_deref(), words.1.as_deref()),
            (Some("TWN"), Some("S"))
        );
        let holder = command
            .exact_arg(3)
            .filter(|_| is_ticket)
            .map(|ticket| SecretString::from(percent_decode(ticket).into_owned()))
            .and_then(|ticket| desk.tickets.account(&ticket, moment.now));
        let account = match (&self.account, holder) {
            (Some(account), Some(holder))
                if folded(account.as_str()) == folded(&holder) && desk.accounts.knows(&holder) =>
            {
                account.as_str()
            }
            _ => {
                desk.failures.count(peer, name, moment.clock);
                return refused(command, out);
            }
        };
        desk.failures.succeeded(peer, account);
        let account = encode_word(account);
        // The display name is the account, as for everybody who never chose one.
        let _ = if self.dialect >= Dialect::MSNP10 {
            write!(out, "USR {trid} OK {account} 1 0\r\n")
        } else {
            write!(out, "USR {trid} OK {account} {account} 1 0\r\n")
        };
        if self.dialect >= Dialect::MSNP11 {
            out.extend_from_slice(b"SBS 0 null\r\n");
        }
        self.stage = Stage::Online;
        if desk.profile == ProfilePolicy::AfterOk {
            self.profile(desk, moment, out);
        }
        Next::SignedIn
    }

    fn online(
        &mut self,
        command: &Command<'_>,
        is_syn: bool,
        desk: &Desk,
        moment: &Moment,
        out: &mut Vec<u8>,
    ) -> Next {
        let account = self.account.as_ref().map_or("", Account::as_str);
        let challenge = desk.challenge.then_some(self.nonce);
        let next = self
            .contacts
            .receive(command, self.dialect, account, challenge, out);
        if is_syn && desk.profile == ProfilePolicy::AfterSyn && !self.has_profile {
            self.profile(desk, moment, out);
        }
        next
    }

    /// The message that all of this is for.
    fn profile(&mut self, desk: &Desk, moment: &Moment, out: &mut Vec<u8>) {
        self.has_profile = true;
        let account = self.account.as_ref().map_or("", Account::as_str);
        let profile = ClassicProfile {
            login_time: moment.now,
            client_ip: &moment.ip().to_string(),
            client_port: desk.port_field(moment.peer, matches!(self.role, Role::Gateway)),
            sso: &desk.tickets.opaque(account, self.nonce),
            has_migrated: self.dialect >= Dialect::MSNP10,
        }
        .to_string();
        let _ = write!(out, "MSG Hotmail Hotmail {}\r\n{profile}", profile.len());
    }
}

/// `CVR t lcid os version arch client version MSMSGS account`: the client's own version is the
/// one to have, so that no client asks its user to upgrade.
fn client_version(command: &Command<'_>, out: &mut Vec<u8>) -> Next {
    let Some(trid) = command.trid() else {
        return Next::Close(Why::Protocol);
    };
    let version = command.exact_arg(6).filter(|word| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
        word.len() <= MAX_VERSION && word.bytes().all(is_plain)
    });
    let version = version.unwrap_or("1.0.0000");
    let _ = write!(
        out,
        "CVR {trid} {version} {version} 1.0.0000 http://download.invalid/ http://info.invalid/\r\n"
    );
    Next::Stay
}

/// `715 t` where there is a transaction to answer, and the end.
fn unexpected(command: &Command<'_>, out: &mut Vec<u8>) -> Next {
    answer(command, "715", out);
    Next::Close(Why::Protocol)
}

/// `911 t` and the end.
fn refused(command: &Command<'_>, out: &mut Vec<u8>) -> Next {
    answer(command, "911", out);
    Next::Close(Why::Refused)
}

/// An error line, if the command has a transaction id.
pub(super) fn answer(command: &Command<'_>, code: &str, out: &mut Vec<u8>) {
    if let Some(trid) = command.trid() {
        let _ = write!(out, "{code} {trid}\r\n");
    }
}

#[cfg(test)]
pub(super) mod tests;
