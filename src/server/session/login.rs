//! The session up to the profile: version, account, ticket.

use std::mem;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::contacts::Contacts;
use super::outcome::{EndReason, Outcome, Reply};
use crate::conntype::normalise;
use crate::msnp::{Account, ClassicProfile, Command, Dialect, append, encode_word, percent_decode};
use crate::server::accounts::{folded, well_formed};
use crate::server::state::RequestContext;
use crate::server::ticket::{TICKET_LIFETIME, random};

/// The longest client version that is echoed in the reply to `CVR`, in bytes.
const MAX_VERSION: usize = 20;

/// Length of 32 bytes in Base64.
const SSO_LENGTH: usize = 43;

/// What the session is for.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// A session over TCP.
    Notification,
    /// A session through the HTTP gateway, where clients do not ping.
    Gateway,
    /// A session that ends with a referral.
    Dispatch,
}

impl Role {
    /// The name of the service, for the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Gateway => "gateway",
            Self::Dispatch => "dispatch",
        }
    }
}

#[derive(Debug)]
enum LoginState {
    /// Expects `VER`.
    Version,
    /// Expects `CVR` or `USR … I`.
    Account,
    /// Expects `USR … S` with a ticket for this account.
    Ticket(Account),
    SignedIn(Account, Contacts),
    /// Expects the client to close.
    Referred,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) role: Role,
    state: LoginState,
    dialect: Dialect,
    /// Random, for the policy string and the challenge.
    nonce: u128,
}

impl Session {
    pub(super) const fn new(role: Role, nonce: u128) -> Self {
        Self {
            role,
            state: LoginState::Version,
            dialect: Dialect::MSNP8,
            nonce,
        }
    }

    /// The account that the client claims to have, signed in or not.
    pub(super) const fn account(&self) -> Option<&Account> {
        match &self.state {
            LoginState::Ticket(account) | LoginState::SignedIn(account, _) => Some(account),
            LoginState::Version | LoginState::Account | LoginState::Referred => None,
        }
    }

    /// The state after the login, once it is complete.
    pub(super) const fn contacts(&mut self) -> Option<&mut Contacts> {
        match &mut self.state {
            LoginState::SignedIn(_, contacts) => Some(contacts),
            _ => None,
        }
    }

    /// Answers one command: appends the reply to `out`.
    pub(super) fn receive(
        &mut self,
        command: &Command<'_>,
        context: &RequestContext<'_>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let name = command.name();
        let trid = match (name, command.trid(), &self.state) {
            ("OUT", ..) => return Outcome::End(EndReason::LoggedOut),
            ("PNG", ..) if matches!(self.role, Role::Gateway) => {
                return Outcome::End(EndReason::GatewayPing);
            }
            ("PNG", _, LoginState::SignedIn(_, contacts)) => {
                contacts.ping(out);
                return Outcome::Continue;
            }
            // A command of MSNP7 and earlier; Microsoft's servers closed the connection.
            ("INF", ..) => return Outcome::End(EndReason::ProtocolError),
            (_, Some(trid), _) => trid,
            (_, None, LoginState::SignedIn(..)) if name != "VER" => return Outcome::Continue,
            _ => return Outcome::End(EndReason::ProtocolError),
        };
        let reply = &mut Reply { trid, out };
        match (&mut self.state, name) {
            (LoginState::Version, "VER") => self.negotiate_version(command, reply),
            (LoginState::Account | LoginState::Ticket(_), "CVR") => client_version(command, reply),
            (LoginState::Account, "USR") => self.begin_login(command, context, reply),
            (LoginState::Ticket(_), "USR") => self.finish_login(command, context, reply),
            (LoginState::SignedIn(..), "USR") => reply.error(207),
            (LoginState::SignedIn(account, contacts), _) if name != "VER" => {
                contacts.receive(command, account.as_str(), self.nonce, reply)
            }
            _ => reply.fatal(715, EndReason::ProtocolError),
        }
    }

    /// `VER t MSNP9 MSNP8 CVR0`: selects the first supported version. `CVR0` is echoed because aMSN
    /// fails without it.
    fn negotiate_version(&mut self, command: &Command<'_>, reply: &mut Reply<'_>) -> Outcome {
        let supported = command
            .args()
            .skip(1)
            .filter_map(|word| std::str::from_utf8(word).ok())
            .filter(|word| word.starts_with("MSNP"))
            .find_map(|word| word.parse().ok());
        let Some(dialect) = supported else {
            reply.line("VER", &[b"0"]);
            return Outcome::End(EndReason::ProtocolError);
        };
        self.dialect = dialect;
        self.state = LoginState::Account;
        let mut number = itoa::Buffer::new();
        reply.begin("VER");
        append(
            reply.out,
            &[" MSNP", number.format(dialect.number()), " CVR0\r\n"],
        );
        Outcome::Continue
    }

    /// `USR t TWN I account`.
    fn begin_login(
        &mut self,
        command: &Command<'_>,
        context: &RequestContext<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let account =
            passport_arg(command, "I").and_then(|text| well_formed(&percent_decode(text)));
        let Some(account) = account else {
            return reply.fatal(911, EndReason::LoginFailed);
        };
        if matches!(self.role, Role::Dispatch) {
            let to = context.state.referral_from(context.local);
            let from = context.local.to_string();
            reply.line("XFR", &[b"NS", to.as_bytes(), b"0", from.as_bytes()]);
            self.state = LoginState::Referred;
            return Outcome::Referred;
        }
        self.state = LoginState::Ticket(account);
        let (mut lifetime, mut now) = (itoa::Buffer::new(), itoa::Buffer::new());
        let mut nonce = [0; 32];
        let nonce = base16ct::lower::encode_str(&self.nonce.to_be_bytes(), &mut nonce);
        reply.begin("USR");
        // The keys of Microsoft's servers in their order: one client reads them by position.
        let policy = [
            " TWN S lc=1033,id=507,tw=",
            lifetime.format(TICKET_LIFETIME.as_secs()),
            ",fs=1,ru=http%3A%2F%2Fmessenger%2Emsn%2Ecom,ct=",
            now.format(context.unix_time),
            ",kpp=1,kv=5,ver=2.1.0173.1,tpf=",
            nonce.unwrap_or_default(),
            "\r\n",
        ];
        append(reply.out, &policy);
        Outcome::Continue
    }

    /// `USR t TWN S ticket`.
    fn finish_login(
        &mut self,
        command: &Command<'_>,
        context: &RequestContext<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let LoginState::Ticket(account) = &self.state else {
            return reply.fatal(715, EndReason::ProtocolError);
        };
        let state = context.state;
        let name = account.as_str();
        let login = state.throttle.login(context.peer.ip(), name);
        if state.throttle.is_throttled(&login, context.instant) {
            return reply.fatal(910, EndReason::Throttled);
        }
        let is_holder = |holder: &str| name == holder || folded(name) == folded(holder);
        let is_own = passport_arg(command, "S")
            .map(percent_decode)
            .and_then(|ticket| state.tickets.account(&ticket, context.unix_time, is_holder));
        if is_own != Some(true) || !state.config.accounts.contains(name) {
            state.throttle.record_failure(&login, context.instant);
            return reply.fatal(911, EndReason::LoginFailed);
        }
        let Some(sso) = random::<32>() else {
            return reply.fatal(910, EndReason::Unable);
        };
        state.throttle.record_success(&login);
        // The display name is the account, as for users who never chose one.
        let word = encode_word(name);
        match self.dialect >= Dialect::MSNP10 {
            true => reply.line("USR", &[b"OK", word.as_bytes(), b"1 0"]),
            false => reply.line("USR", &[b"OK", word.as_bytes(), word.as_bytes(), b"1 0"]),
        }
        if self.dialect >= Dialect::MSNP11 {
            reply.out.extend_from_slice(b"SBS 0 null\r\n");
        }
        self.write_profile(sso, context, reply);
        if let LoginState::Ticket(account) = mem::replace(&mut self.state, LoginState::Account) {
            self.state = LoginState::SignedIn(account, Contacts::new(self.dialect));
        }
        Outcome::SignedIn
    }

    /// The message with the client's address as the server sees it; without it if only a balancer's
    /// is seen.
    fn write_profile(&self, sso: [u8; 32], context: &RequestContext<'_>, reply: &mut Reply<'_>) {
        let RequestContext { state, peer, .. } = context;
        let via_gateway = matches!(self.role, Role::Gateway);
        let port = state.config.port_field(peer.port(), via_gateway);
        let ip = normalise(peer.ip());
        // Clients pass it to web pages; no service of this server reads it.
        let mut space = [0; SSO_LENGTH];
        let length = BASE64_URL_SAFE_NO_PAD.encode_slice(sso, &mut space);
        let sso = std::str::from_utf8(&space[..length.unwrap_or(0)]).unwrap_or_default();
        let profile = ClassicProfile {
            login_time: context.unix_time,
            client_ip: context.knows_client.then_some(ip),
            client_port: port.filter(|_| context.knows_client),
            sso,
            has_migrated: self.dialect >= Dialect::MSNP10,
        };
        let start = reply.out.len();
        profile.append_to(reply.out);
        let length = reply.out.len() - start;
        let mut digits = itoa::Buffer::new();
        append(
            reply.out,
            &["MSG Hotmail Hotmail ", digits.format(length), "\r\n"],
        );
        reply.out[start..].rotate_left(length);
    }
}

/// The last parameter of `USR t TWN step value`.
fn passport_arg<'a>(command: &Command<'a>, step: &str) -> Option<&'a str> {
    let mut args = command.args().skip(1);
    let is_step = args.next() == Some(b"TWN") && args.next() == Some(step.as_bytes());
    let value = args.next().filter(|_| is_step)?;
    std::str::from_utf8(value).ok()
}

/// `CVR t lcid os version arch client version MSMSGS account`: recommends the client's own version,
/// so that no client asks its user to upgrade.
fn client_version(command: &Command<'_>, reply: &mut Reply<'_>) -> Outcome {
    let version = command.exact_arg(6).filter(|word| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
        word.len() <= MAX_VERSION && word.bytes().all(is_plain)
    });
    let version = version.unwrap_or("1.0.0000").as_bytes();
    let urls = b"1.0.0000 http://download.invalid/ http://info.invalid/";
    reply.line("CVR", &[version, version, urls]);
    Outcome::Continue
}

#[cfg(test)]
pub(super) mod tests;
