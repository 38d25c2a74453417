//! What is said on a connection of MSNP, as far as it was captured.

use super::reassembly::Lost;
use crate::address::Address;
use crate::msnp::{CodecError, Command, Decoder, Dialect, Profile, Side};
use crate::secret::SecretString;

/// The longest name of an account, in bytes.
const LONGEST_ACCOUNT: usize = 129;

/// How much a server sends before a profile has to have come, in bytes. It is the first message after the
/// login, and contact lists have less.
const LONGEST_LOGIN: usize = 1024 * 1024;

/// Why a session gave no profile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The capture begins within it.
    BeginsBefore,
    /// The capture ends within it.
    CaptureEnds,
    /// The connection ended; whether the server had accepted the login by then.
    Closed {
        /// Whether there was `USR OK`.
        signed_in: bool,
    },
    /// A dispatch server named another server. There was no login.
    Referred(Address),
    /// The server answered with this error.
    Refused(u16),
    /// The server sent a mebibyte, and no profile in it.
    NoProfile,
    /// Bytes before the end of the profile are not in the capture.
    Lost(Lost),
    /// Packets of it are fragments of IP packets, which are not put together.
    Fragments,
    /// What the server sends is no MSNP.
    Unreadable(CodecError),
    /// It is encrypted.
    Tls,
    /// It runs through the HTTP gateway, for which `ClientPort` is always 0.
    Gateway,
    /// More sessions were open at once than are followed.
    TooMany,
}

/// The login of a session with a notification server.
pub(super) struct Login {
    server: Decoder,
    /// How much the server has sent, in bytes.
    sent: usize,
    /// `None` once nothing more is needed from the client, or something of it is lost.
    client: Option<Decoder>,
    pub(super) dialect: Option<Dialect>,
    pub(super) account: Option<String>,
    pub(super) ticket: Option<SecretString>,
    signed_in: bool,
    referred: Option<Address>,
    refused: Option<u16>,
    pub(super) outcome: Option<Result<Profile, Ended>>,
}

impl Login {
    pub(super) fn new() -> Self {
        Self {
            server: Decoder::new(Side::Server),
            sent: 0,
            client: Some(Decoder::new(Side::Client)),
            dialect: None,
            account: None,
            ticket: None,
            signed_in: false,
            referred: None,
            refused: None,
            outcome: None,
        }
    }

    /// Takes what the server sends.
    pub(super) fn of_server(&mut self, data: &[u8]) {
        self.server.feed(data);
        self.sent = self.sent.saturating_add(data.len());
        while self.outcome.is_none() {
            match self.server.decode() {
                Ok(None) if self.sent > LONGEST_LOGIN => {
                    self.outcome = Some(Err(Ended::NoProfile));
                }
                Ok(None) => return,
                Ok(Some(command)) => {
                    let told = Told::of(&command);
                    self.learn(told);
                }
                Err(why) => self.outcome = Some(Err(Ended::Unreadable(why))),
            }
        }
    }

    fn learn(&mut self, told: Told) {
        match told {
            Told::Dialect(dialect) => self.dialect = self.dialect.or(dialect),
            Told::SignedIn => {
                self.signed_in = true;
                // Servers send commands of later versions from here on.
                self.server.resynchronise();
            }
            Told::Referral(to) => self.referred = Some(to),
            Told::Error(code) => self.refused = Some(code),
            Told::Profile(profile) => self.outcome = Some(Ok(profile)),
            Told::Nothing => {}
        }
    }

    /// Takes what the client sends.
    pub(super) fn of_client(&mut self, data: &[u8]) {
        let Some(decoder) = &mut self.client else {
            return;
        };
        decoder.feed(data);
        let is_done = loop {
            match decoder.decode() {
                Ok(None) => break false,
                Ok(Some(command)) if command.name() == "USR" => {
                    let word = command.exact_arg(3);
                    if command.arg(2).as_deref() == Some("S") {
                        self.ticket = word.map(SecretString::from);
                        break true;
                    }
                    self.account = account(word);
                }
                Ok(Some(_)) => {}
                Err(_) => break true,
            }
        };
        if is_done {
            self.client = None;
        }
    }

    /// Takes note of bytes of the client that are not there.
    pub(super) fn lost_of_client(&mut self) {
        self.client = None;
    }

    /// Takes note of bytes of the server that are not there.
    pub(super) fn lost(&mut self, why: Lost) {
        self.outcome.get_or_insert(Err(Ended::Lost(why)));
    }

    /// Why there is no profile, if the connection ends now.
    pub(super) fn at_end(&self, is_closed: bool) -> Ended {
        match (&self.referred, self.refused) {
            (_, Some(code)) if !self.signed_in => Ended::Refused(code),
            (Some(to), _) => Ended::Referred(to.clone()),
            _ if is_closed => Ended::Closed {
                signed_in: self.signed_in,
            },
            _ => Ended::CaptureEnds,
        }
    }
}

/// An account in a command.
pub(super) fn account(word: Option<&str>) -> Option<String> {
    let is_one = |word: &&str| word.len() <= LONGEST_ACCOUNT && word.contains('@');
    word.filter(is_one).map(str::to_owned)
}

/// What a command of the server tells.
enum Told {
    Dialect(Option<Dialect>),
    SignedIn,
    Referral(Address),
    Error(u16),
    Profile(Profile),
    Nothing,
}

impl Told {
    fn of(command: &Command<'_>) -> Self {
        match command.name() {
            "VER" => Self::Dialect(command.exact_arg(1).and_then(|word| word.parse().ok())),
            "USR" if command.arg(1).as_deref() == Some("OK") => Self::SignedIn,
            "XFR" if command.arg(1).as_deref() == Some("NS") => {
                let to = command.exact_arg(2);
                let to = to.and_then(|to| Address::parse(to, crate::address::MSNP_PORT).ok());
                to.map_or(Self::Nothing, Self::Referral)
            }
            "MSG" => Profile::parse(command.payload()).map_or(Self::Nothing, Self::Profile),
            _ => command.error_code().map_or(Self::Nothing, Self::Error),
        }
    }
}
