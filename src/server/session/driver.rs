//! Drives one session: decodes the client's bytes, registers the account when it signs in, and
//! counts and logs the end.

use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::{debug, info};

use super::login::{Role, Session};
use super::outcome::{EndReason, Outcome};
use crate::msnp::{Account, CodecError, Decoder, Side};
use crate::server::registry::Registration;
use crate::server::state::RequestContext;
use crate::server::stats::Stats;

/// How much of an incomplete command is buffered, in bytes. Payloads of clients are small, and all
/// connections together could use much memory.
const MAX_PENDING: usize = 16 * 1024;

/// A session, its input buffer, and its registration once it is signed in.
#[derive(Debug)]
pub(crate) struct SessionDriver {
    decoder: Decoder,
    session: Session,
    registration: Option<Registration>,
}

/// What a piece of input led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processed {
    /// The number of commands in it.
    pub(crate) commands: u32,
    /// Whether the account signed in with one of them.
    pub(crate) has_signed_in: bool,
    /// Why the session ends, if it does.
    pub(crate) end: Option<EndReason>,
}

impl SessionDriver {
    pub(crate) fn new(role: Role, nonce: u128) -> Self {
        Self {
            decoder: Decoder::new(Side::Client),
            session: Session::new(role, nonce),
            registration: None,
        }
    }

    pub(crate) const fn is_signed_in(&self) -> bool {
        self.registration.is_some()
    }

    /// Ready when the account signs in elsewhere.
    pub(crate) fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.registration {
            // The sender is dropped only after sending.
            Some(registration) => Pin::new(&mut registration.evicted).poll(cx).map(drop),
            None => Poll::Pending,
        }
    }

    /// Whether the account has signed in elsewhere.
    pub(crate) fn is_evicted(&mut self) -> bool {
        let registration = self.registration.as_mut();
        registration.is_some_and(|registration| registration.evicted.try_recv().is_ok())
    }

    /// Whether a silent client may still be alive. Most clients of the time never ping, so silence
    /// alone proves nothing: TCP keepalive finds dead connections, and a client that has answered a
    /// challenge before is challenged again.
    pub(crate) fn may_be_alive(&mut self, nonce: Option<u128>, out: &mut Vec<u8>) -> bool {
        let is_midway = self.decoder.is_midway();
        let Some(contacts) = self.session.contacts().filter(|_| !is_midway) else {
            return false;
        };
        nonce.is_none_or(|nonce| contacts.challenge.send_again(nonce, out))
    }

    /// Processes input and appends the replies to `out`.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        context: &RequestContext<'_>,
        out: &mut Vec<u8>,
    ) -> Processed {
        let RequestContext { state, peer, .. } = context;
        let mut processed = Processed::default();
        self.decoder.feed(bytes);
        while processed.end.is_none() {
            let command = match self.decoder.decode() {
                Ok(Some(command)) => command,
                Ok(None) => break,
                Err(error) => {
                    // Only a client that speaks MSNP understands the reply.
                    if !matches!(error, CodecError::NotMsnp(_)) {
                        out.extend_from_slice(b"200 0\r\n");
                    }
                    processed.end = Some(EndReason::ProtocolError);
                    break;
                }
            };
            processed.commands += 1;
            match self.session.receive(&command, context, out) {
                Outcome::Continue => {}
                Outcome::Referred => Stats::count(&state.stats.referrals),
                Outcome::SignedIn => {
                    if let Some(account) = self.session.account() {
                        let name = account.as_str();
                        info!(%peer, account = name, service = self.session.role.name(), "signed in");
                        let (registration, has_evicted) = state.registry.sign_in(account);
                        self.registration = Some(registration);
                        processed.has_signed_in = true;
                        Stats::count(&state.stats.logins);
                        if has_evicted {
                            Stats::count(&state.stats.evictions);
                        }
                    }
                }
                Outcome::End(reason) => processed.end = Some(reason),
            }
        }
        if !self.decoder.is_midway() {
            // An idle session holds no buffer.
            self.decoder = Decoder::new(Side::Client);
        } else if processed.end.is_none() && self.decoder.space().len() > MAX_PENDING {
            out.extend_from_slice(b"200 0\r\n");
            processed.end = Some(EndReason::ProtocolError);
        }
        if let Some(reason) = processed.end {
            self.record_end(reason, context);
        }
        processed
    }

    fn record_end(&self, reason: EndReason, context: &RequestContext<'_>) {
        let RequestContext { state, peer, .. } = context;
        let account = self.session.account().map_or("", Account::as_str);
        Stats::count(match reason {
            EndReason::LoggedOut => return,
            EndReason::LoginFailed => {
                info!(%peer, account, "ticket refused");
                &state.stats.failed_tickets
            }
            EndReason::Throttled => {
                info!(%peer, account, "login rejected: too many failures");
                &state.stats.refused_tickets
            }
            EndReason::Unable => &state.stats.refused_tickets,
            EndReason::ProtocolError | EndReason::GatewayPing => {
                debug!(%peer, ?reason, "session ended");
                &state.stats.protocol_errors
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::Config;
    use crate::server::state::tests::{context, state};

    fn receive(driver: &mut SessionDriver, bytes: &[u8]) -> (Processed, String) {
        let mut out = Vec::new();
        let state = state(Config::default());
        let processed = driver.receive(bytes, &context(&state), &mut out);
        (processed, String::from_utf8(out).unwrap())
    }

    fn driver() -> SessionDriver {
        SessionDriver::new(Role::Notification, 1)
    }

    #[test]
    fn commands_may_arrive_together_or_in_pieces() {
        let whole = b"VER 0 MSNP9 CVR0\r\nCVR 1 x\nUSR 2 TWN I a@b.c\r\n";
        let (processed, text) = receive(&mut driver(), whole);
        assert_eq!((processed.commands, processed.end), (3, None));
        let mut in_pieces = driver();
        let pieced: String = whole
            .iter()
            .map(|byte| receive(&mut in_pieces, &[*byte]).1)
            .collect();
        assert_eq!(text, pieced);
        assert!(text.starts_with("VER 0 MSNP9 CVR0\r\nCVR 1 "), "{text}");
    }

    #[test]
    fn input_after_the_end_is_ignored() {
        let (processed, text) = receive(&mut driver(), b"OUT\r\nVER 1 MSNP9\r\n");
        let end = Some(EndReason::LoggedOut);
        assert_eq!((processed.commands, processed.end), (1, end));
        assert_eq!(text, "");
    }

    #[test]
    fn invalid_input_ends_the_session() {
        for (bytes, reply) in [
            (&b"GET / HTTP/1.1\r\n"[..], ""),
            (b"\x16\x03\x01\x00", ""),
            (b"QRY 1 x 99999999\r\n", "200 0\r\n"),
            (b"QRY 1 x y\r\n", "200 0\r\n"),
            (
                &[b"QRY 1 x 60000\r\n", &[b'x'; 17_000][..]].concat(),
                "200 0\r\n",
            ),
            (&[b'A'; 9000], ""),
            (&[b"VER ", &[b'1'; 9000][..]].concat(), "200 0\r\n"),
        ] {
            let (processed, text) = receive(&mut driver(), bytes);
            assert_eq!(processed.end, Some(EndReason::ProtocolError));
            assert_eq!(text, reply);
        }
    }

    #[test]
    fn an_idle_session_holds_no_buffer() {
        let mut driver = driver();
        receive(&mut driver, b"VER 1 MSNP9\r\n");
        assert_eq!(driver.decoder.space().capacity(), 0);
    }

    proptest::proptest! {
        #[test]
        fn any_input_is_handled(pieces in proptest::collection::vec("[A-Z0-9 \r\n@a-z.]{0,60}", 0..20)) {
            let mut driver = driver();
            receive(&mut driver, b"VER 1 MSNP9\r\nUSR 2 TWN I a@b.c\r\n");
            for piece in pieces {
                receive(&mut driver, piece.as_bytes());
            }
        }
    }
}
