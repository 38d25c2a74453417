//! What a command leads to: its reply, and whether the session continues.

use std::io::Write as _;

use crate::msnp::append;

/// How the session goes on after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It continues.
    Continue,
    /// The account is signed in, and the session continues.
    SignedIn,
    /// The client was referred to the notification server and is expected to close.
    Referred,
    /// It ends after the reply.
    End(EndReason),
}

/// Why the server ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The client sent `OUT`.
    LoggedOut,
    /// The account or the ticket is wrong.
    LoginFailed,
    /// The throttle rejected the login.
    Throttled,
    /// The server cannot complete the login, which is logged where it fails.
    Unable,
    /// The command is invalid, or invalid at this point.
    ProtocolError,
    /// `PNG` through the gateway, which Microsoft's answered with an HTTP error.
    GatewayPing,
}

/// Writes the replies to one command.
pub(super) struct Reply<'a> {
    pub(super) trid: u32,
    pub(super) out: &'a mut Vec<u8>,
}

impl Reply<'_> {
    /// Writes a line: `command`, the transaction id, and the params.
    pub(super) fn line(&mut self, command: &str, params: &[&[u8]]) {
        self.begin(command);
        for word in params {
            self.out.push(b' ');
            self.out.extend_from_slice(word);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Begins a line: `command` and the transaction id.
    pub(super) fn begin(&mut self, command: &str) {
        let mut digits = itoa::Buffer::new();
        append(self.out, &[command, " ", digits.format(self.trid)]);
    }

    /// Writes an error reply; the session continues.
    pub(super) fn error(&mut self, code: u16) -> Outcome {
        let _ = write!(self.out, "{code} {}\r\n", self.trid);
        Outcome::Continue
    }

    /// Writes an error reply that ends the session.
    pub(super) fn fatal(&mut self, code: u16, reason: EndReason) -> Outcome {
        self.error(code);
        Outcome::End(reason)
    }
}
