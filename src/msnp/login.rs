//! The client's side of the login, as a state machine without a socket.
//!
//! ```text
//!   connected ─► VER CVR USR I ─┬─► XFR ─► (another connection) ─► connected
//!                               └─► USR S <policy> ─► ticket ─► USR S <ticket> ─► USR OK ─► profile
//! ```
//! The three first commands go out in one write, which every server seen accepts and which saves
//! two round trips; a server that refuses or closes is asked once more, one command at a time.
//!
//! A ticket of an earlier login saves the others: `USR S` goes out in the same write, ahead of the
//! policy. A server that does not take such a ticket is asked once more without it.
//! Source of the order: hypothetic.org, notification/authentication.

use super::{Command, Dialect, ErrorReply, Profile, challenge};
use crate::address::{Address, MSNP_PORT};
use crate::secret::{SecretString, Zeroizing, excerpt};

mod account;
mod commands;
mod error;
mod step;

pub use account::{Account, BadAccount};
pub use commands::Outgoing;
pub use error::{LoginError, LoginStage};
pub use step::{Options, Retry, Step};

/// How many referrals are followed.
const MAX_REFERRALS: usize = 5;

/// How many commands are read before the profile; a contact list has some thousands.
const MAX_COMMANDS: usize = 50_000;

/// The client's side of one login, over as many connections as the servers' referrals take.
#[derive(Debug)]
pub struct Login {
    options: Options,
    /// What is waited for, between two connections as well.
    stage: LoginStage,
    /// The transaction whose answer is waited for.
    awaited: u32,
    /// Whether MSNP10 to MSNP12 are offered instead of MSNP8 and MSNP9.
    widened: bool,
    dialect: Option<Dialect>,
    next_trid: u32,
    /// The servers that were asked, the present one last.
    visited: Vec<Address>,
    /// How many commands have asked for the profile.
    requests: u8,
    /// The transaction of the last of them.
    requested: Option<u32>,
    /// The transaction of a ticket of an earlier login, until the server has taken it.
    reused: Option<u32>,
    commands: usize,
}

impl Login {
    /// A login that has not started.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            stage: LoginStage::Version,
            awaited: 0,
            widened: false,
            dialect: None,
            next_trid: 1,
            visited: Vec::new(),
            requests: 0,
            requested: None,
            reused: None,
            commands: 0,
        }
    }

    /// A connection to `at` is established: what to send first.
    pub fn connected(&mut self, at: &Address) -> Outgoing {
        self.visit(at);
        self.begin(None)
    }

    /// The same at a server that has taken a ticket in this dialect before: the ticket goes out
    /// ahead, unless commands go out one at a time.
    pub fn connected_again(
        &mut self,
        at: &Address,
        dialect: Dialect,
        ticket: &SecretString,
    ) -> Outgoing {
        self.visit(at);
        self.widened |= self.options.dialects.is_empty() && dialect >= Dialect::MSNP10;
        self.begin(Some(ticket))
    }

    fn visit(&mut self, at: &Address) {
        // A second connection to the same server is no referral.
        if self.visited.last() != Some(at) {
            self.visited.push(at.clone());
        }
    }

    fn begin(&mut self, ticket: Option<&SecretString>) -> Outgoing {
        self.dialect = None;
        self.reused = None;
        self.requests = 0;
        let trid = self.trid();
        self.wait_for(LoginStage::Version, trid);
        let mut text = commands::ver(trid, &self.offered());
        if self.options.lockstep {
            return Outgoing::new(text, "VER");
        }
        let trid = self.trid();
        text.push_str(&commands::cvr(trid, &self.options.account));
        let trid = self.trid();
        text.push_str(&commands::usr(trid, &self.options.account));
        let Some(ticket) = ticket else {
            return Outgoing::new(text, "VER CVR USR");
        };
        let trid = self.trid();
        self.reused = Some(trid);
        // Not pushed to the text: it would leave copies of the ticket where it grows.
        let usr = Zeroizing::new(commands::usr_ticket(trid, ticket));
        Outgoing::new([&text, usr.as_str()].concat(), "VER CVR USR USR")
    }

    /// Takes a command from the server.
    ///
    /// # Errors
    /// [`LoginError`] where the login cannot go on.
    pub fn receive(&mut self, command: &Command<'_>) -> Result<Step, LoginError> {
        match self.handle(command) {
            Err(_) if self.is_reusing() => Ok(self.without_ticket()),
            step => step,
        }
    }

    fn handle(&mut self, command: &Command<'_>) -> Result<Step, LoginError> {
        self.commands += 1;
        if self.commands > MAX_COMMANDS {
            return Err(LoginError::TooManyCommands);
        }
        if let Some(code) = command.error_code() {
            return self.refused(command, ErrorReply(code));
        }
        match (command.name(), self.stage) {
            ("VER", LoginStage::Version) => self.version(command),
            ("CVR", LoginStage::ClientVersion) => self.client_version(command),
            ("USR", LoginStage::ClientVersion) if !self.options.lockstep => {
                // The answer to CVR was left out; the one to USR is one further.
                self.policy(command, self.awaited.wrapping_add(1))
            }
            ("USR", LoginStage::Account) => self.policy(command, self.awaited),
            ("USR", LoginStage::SignIn) => self.signed_in(command),
            ("XFR", LoginStage::Account) => {
                expect_trid(command, self.awaited)?;
                self.refer(command)
            }
            ("XFR", LoginStage::ClientVersion | LoginStage::SignIn | LoginStage::Profile) => {
                self.refer(command)
            }
            ("MSG", LoginStage::SignIn | LoginStage::Profile) => {
                Ok(Profile::parse(command.payload()).map_or(Step::Wait, Step::Profile))
            }
            ("CHL", LoginStage::Profile) => Ok(self.challenge(command)),
            ("OUT", _) => Err(LoginError::SignedOut {
                reason: command.arg(0).map(|reason| excerpt(&reason, 8)),
            }),
            // Whatever else a server sends: presence, contacts, mail, configuration.
            _ => Ok(Step::Wait),
        }
    }

    /// The server closed the connection; `midway` says whether in the middle of a command.
    ///
    /// # Errors
    /// [`LoginError::Closed`] where a second try would not help.
    pub fn closed(&mut self, midway: bool) -> Result<Step, LoginError> {
        if self.is_reusing() {
            return Ok(self.without_ticket());
        }
        if self.may_reject_pipelining() {
            return Ok(self.retry_in_lockstep());
        }
        Err(LoginError::Closed {
            stage: self.stage,
            midway,
        })
    }

    /// The ticket that [`Step::NeedTicket`] asked for: what to send.
    pub fn ticket(&mut self, ticket: &SecretString) -> Outgoing {
        let trid = self.trid();
        self.wait_for(LoginStage::SignIn, trid);
        Outgoing::new(commands::usr_ticket(trid, ticket), "USR")
    }

    /// The same with a ticket of an earlier login.
    pub fn reuse(&mut self, ticket: &SecretString) -> Outgoing {
        let out = self.ticket(ticket);
        self.reused = Some(self.awaited);
        out
    }

    /// Whether a ticket of an earlier login is out, and the server has not taken it yet.
    #[must_use]
    pub const fn is_reusing(&self) -> bool {
        self.reused.is_some()
    }

    /// The server does not take that ticket, whatever it did: all begins again, without one.
    pub const fn without_ticket(&mut self) -> Step {
        self.reused = None;
        self.widened = false;
        self.stage = LoginStage::Version;
        Step::Reconnect(Retry::NewTicket)
    }

    /// The profile was not sent unasked: the next command that may make the server send it, or
    /// `None`.
    ///
    /// Old servers send it only after `SYN` or the first `CHG`; HDN appears offline to others.
    pub fn request_profile(&mut self) -> Option<Outgoing> {
        if self.stage != LoginStage::Profile {
            return None;
        }
        self.requests += 1;
        let trid = self.trid();
        self.requested = Some(trid);
        match self.requests {
            1 if self.dialect >= Some(Dialect::MSNP10) => {
                Some(Outgoing::new(format!("SYN {trid} 0 0\r\n"), "SYN"))
            }
            1 => Some(Outgoing::new(format!("SYN {trid} 0\r\n"), "SYN")),
            2 => Some(Outgoing::new(format!("CHG {trid} HDN 0\r\n"), "CHG")),
            _ => None,
        }
    }

    /// The command that ends the session.
    #[must_use]
    pub fn sign_out() -> Outgoing {
        Outgoing::new("OUT\r\n".to_owned(), "OUT")
    }

    /// What the login waits for.
    #[must_use]
    pub const fn stage(&self) -> LoginStage {
        self.stage
    }

    /// Whether commands go out one at a time.
    #[must_use]
    pub const fn is_lockstep(&self) -> bool {
        self.options.lockstep
    }

    /// The dialect agreed on, once it is.
    #[must_use]
    pub const fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    fn trid(&mut self) -> u32 {
        let trid = self.next_trid;
        self.next_trid += 1;
        trid
    }

    const fn wait_for(&mut self, stage: LoginStage, trid: u32) {
        self.stage = stage;
        self.awaited = trid;
    }

    fn offered(&self) -> Vec<Dialect> {
        match (self.widened, self.options.dialects.as_slice()) {
            (true, _) => vec![Dialect::MSNP12, Dialect::MSNP11, Dialect::MSNP10],
            (false, []) => vec![Dialect::MSNP9, Dialect::MSNP8],
            (false, chosen) => chosen.to_vec(),
        }
    }

    fn version(&mut self, command: &Command<'_>) -> Result<Step, LoginError> {
        expect_trid(command, self.awaited)?;
        let offered = self.offered();
        // A server that insists on one of MSNP10 to 12 is accepted: the profile is the same.
        let spoken = |dialect: &Dialect| offered.contains(dialect) || *dialect >= Dialect::MSNP10;
        self.dialect = command
            .args()
            .skip(1)
            .filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
            .find(spoken);
        if self.dialect.is_none() {
            return self.no_dialect(command, &offered);
        }
        Ok(self.go_on(LoginStage::ClientVersion, "CVR", commands::cvr))
    }

    /// The answer to the next command is waited for. In lockstep the command is sent now; otherwise
    /// it went out with the one before it.
    fn go_on(
        &mut self,
        stage: LoginStage,
        name: &'static str,
        command: fn(u32, &Account) -> String,
    ) -> Step {
        if !self.options.lockstep {
            self.wait_for(stage, self.awaited.wrapping_add(1));
            return Step::Wait;
        }
        let trid = self.trid();
        self.wait_for(stage, trid);
        Step::Send(Outgoing::new(command(trid, &self.options.account), name))
    }

    fn no_dialect(
        &mut self,
        command: &Command<'_>,
        offered: &[Dialect],
    ) -> Result<Step, LoginError> {
        if self.options.dialects.is_empty() && !self.widened && !self.is_reusing() {
            self.widened = true;
            return Ok(Step::Reconnect(Retry::MoreDialects));
        }
        Err(LoginError::NoDialect {
            offered: offered
                .iter()
                .map(Dialect::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            answered: command.arg(1).map(|word| excerpt(&word, 20)),
        })
    }

    fn client_version(&mut self, command: &Command<'_>) -> Result<Step, LoginError> {
        expect_trid(command, self.awaited)?;
        Ok(self.go_on(LoginStage::Account, "USR", commands::usr))
    }

    /// `USR <trid> TWN S <policy>`.
    fn policy(&mut self, command: &Command<'_>, trid: u32) -> Result<Step, LoginError> {
        expect_trid(command, trid)?;
        let scheme = command.arg(1).unwrap_or_default();
        if scheme != "TWN" {
            return Err(LoginError::OtherScheme {
                scheme: excerpt(&scheme, 8),
            });
        }
        let policy = command
            .exact_arg(3)
            .filter(|policy| policy.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or(LoginError::Malformed {
                command: "USR",
                what: "no policy",
            })?;
        if let Some(trid) = self.reused {
            self.wait_for(LoginStage::SignIn, trid);
            return Ok(Step::Wait);
        }
        self.stage = LoginStage::Ticket;
        Ok(Step::NeedTicket(policy.to_owned()))
    }

    /// `USR <trid> OK …`; how many words follow differs between dialects and servers.
    fn signed_in(&mut self, command: &Command<'_>) -> Result<Step, LoginError> {
        expect_trid(command, self.awaited)?;
        if command.arg(1).as_deref() != Some("OK") {
            return Err(LoginError::Malformed {
                command: "USR",
                what: "neither OK nor an error",
            });
        }
        self.reused = None;
        self.stage = LoginStage::Profile;
        Ok(Step::Wait)
    }

    /// `XFR <trid> NS <address> …`, whatever comes after the address.
    fn refer(&mut self, command: &Command<'_>) -> Result<Step, LoginError> {
        if command.arg(1).as_deref() != Some("NS") {
            return Err(LoginError::Malformed {
                command: "XFR",
                what: "a referral that is not to a notification server",
            });
        }
        let Some(to) = command.arg(2) else {
            return Err(LoginError::Malformed {
                command: "XFR",
                what: "no address",
            });
        };
        if self.visited.len() > MAX_REFERRALS {
            return Err(LoginError::TooManyReferrals);
        }
        let here = self.visited.last();
        if to == "0" && self.is_reusing() {
            // An answer to the ticket may still come on this connection.
            return Ok(self.without_ticket());
        }
        if to == "0" {
            // Stay here and begin again; it counts as a referral, so that the limit applies.
            self.visited.extend(here.cloned());
            return Ok(Step::Send(self.begin(None)));
        }
        let to = Address::parse(&to, here.map_or(MSNP_PORT, |at| at.port))?;
        if self.visited.contains(&to) {
            return Err(LoginError::ReferralLoop { to });
        }
        self.reused = None;
        self.stage = LoginStage::Version;
        Ok(Step::Refer(to))
    }

    fn challenge(&mut self, command: &Command<'_>) -> Step {
        // From MSNP11 on the answer differs, and no profile waits for it.
        let (Some(challenge), true) = (command.exact_arg(1), self.dialect <= Some(Dialect::MSNP10))
        else {
            return Step::Wait;
        };
        let trid = self.trid();
        let (product, code) = challenge::PRODUCT;
        let answer = challenge::answer(challenge, code);
        Step::Send(Outgoing::new(
            format!("QRY {trid} {product} 32\r\n{answer}"),
            "QRY",
        ))
    }

    fn refused(&mut self, command: &Command<'_>, code: ErrorReply) -> Result<Step, LoginError> {
        if command.args().next().is_some() && command.trid().is_none() {
            // Such as `220 mail.example ESMTP`.
            return Err(LoginError::Malformed {
                command: "error",
                what: "no transaction id",
            });
        }
        // Where one such request is refused, the next one may still work.
        if self.stage == LoginStage::Profile
            && command.trid() == self.requested
            && let Some(out) = self.request_profile()
        {
            return Ok(Step::Send(out));
        }
        if code.may_reject_pipelining() && self.may_reject_pipelining() {
            return Ok(self.retry_in_lockstep());
        }
        Err(LoginError::Refused {
            code,
            stage: self.stage,
        })
    }

    const fn may_reject_pipelining(&self) -> bool {
        let early = matches!(
            self.stage,
            LoginStage::Version | LoginStage::ClientVersion | LoginStage::Account
        );
        early && !self.options.lockstep && !self.is_reusing()
    }

    fn retry_in_lockstep(&mut self) -> Step {
        self.options.lockstep = true;
        self.stage = LoginStage::Version;
        Step::Reconnect(Retry::Lockstep)
    }
}

fn expect_trid(command: &Command<'_>, expected: u32) -> Result<(), LoginError> {
    if command.trid() == Some(expected) {
        return Ok(());
    }
    Err(LoginError::WrongTrid {
        command: command.name().to_owned(),
        expected,
        got: command.arg(0).map(|word| excerpt(&word, 12)),
    })
}

#[cfg(test)]
mod tests;
