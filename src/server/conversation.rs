//! One client's bytes in, the server's bytes out: decoder and session together, no socket.

use super::desk::{Desk, Moment};
use super::session::{Next, Role, Session, Why};
use crate::msnp::{CodecError, Decoder, Side};

/// How much of an unfinished command is kept, in bytes. Payloads of clients are small, and all
/// connections together could keep much.
const MAX_PENDING: usize = 16 * 1024;

/// A session and what was read of its next command.
#[derive(Debug)]
pub(super) struct Conversation {
    decoder: Decoder,
    session: Session,
}

/// What a piece of input came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many commands were in it.
    pub(super) commands: u32,
    /// Whether the account signed in with it.
    pub(super) signed_in: bool,
    /// Whether the client was referred to the notification server.
    pub(super) referred: bool,
    /// Why the session ends, if it does.
    pub(super) end: Option<Why>,
}

impl Conversation {
    pub(super) fn new(role: Role, nonce: u128) -> Self {
        Self {
            decoder: Decoder::new(Side::Client),
            session: Session::new(role, nonce),
        }
    }

    /// The account, once it is signed in.
    pub(super) fn signed_in(&self) -> Option<&str> {
        self.session.signed_in()
    }

    /// The account that the client says it has, signed in or not.
    pub(super) fn account(&self) -> Option<&str> {
        self.session.account()
    }

    /// Whether a command has begun and not ended.
    pub(super) fn is_midway(&self) -> bool {
        self.decoder.is_midway()
    }

    /// Challenges a silent client; see [`Session::challenge_again`].
    pub(super) fn challenge_again(&mut self, nonce: u128, out: &mut Vec<u8>) -> Option<bool> {
        self.session.challenge_again(nonce, out)
    }

    /// Takes what came and appends the answers to `out`.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        desk: &Desk,
        moment: &Moment,
        out: &mut Vec<u8>,
    ) -> Taken {
        let mut taken = Taken::default();
        self.decoder.feed(bytes);
        while taken.end.is_none() {
            let command = match self.decoder.decode() {
                Ok(Some(command)) => command,
                Ok(None) => break,
                Err(error) => {
                    // Whoever speaks MSNP learns why; anybody else would not understand.
                    if !matches!(error, CodecError::NotMsnp(_)) {
                        out.extend_from_slice(b"200 0\r\n");
                    }
                    taken.end = Some(Why::Protocol);
                    break;
                }
            };
            taken.commands += 1;
            match self.session.receive(&command, desk, moment, out) {
                Next::Stay => {}
                Next::SignedIn => taken.signed_in = true,
                Next::Referred => taken.referred = true,
                Next::Close(why) => taken.end = Some(why),
            }
        }
        if !self.decoder.is_midway() {
            // A silent client keeps no buffer.
            self.decoder = Decoder::new(Side::Client);
        } else if taken.end.is_none() && self.decoder.space().len() > MAX_PENDING {
            out.extend_from_slice(b"200 0\r\n");
            taken.end = Some(Why::Protocol);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::desk::tests::{desk, moment};

    fn take(talk: &mut Conversation, bytes: &[u8]) -> (Taken, String) {
        let mut out = Vec::new();
        let taken = talk.take(bytes, &desk(), &moment(), &mut out);
        (taken, String::from_utf8(out).unwrap())
    }

    fn talk() -> Conversation {
        Conversation::new(Role::Notification, 1)
    }

    #[test]
    fn commands_may_come_together_or_in_pieces() {
        let whole = b"VER 0 MSNP9 CVR0\r\nCVR 1 x\nUSR 2 TWN I a@b.c\r\n";
        let mut at_once = talk();
        let (taken, text) = take(&mut at_once, whole);
        assert_eq!((taken.commands, taken.end), (3, None));
        let mut in_pieces = talk();
        let pieced: String = whole
            .iter()
            .map(|byte| take(&mut in_pieces, &[*byte]).1)
            .collect();
        assert_eq!(text, pieced);
        assert!(text.starts_with("VER 0 MSNP9 CVR0\r\nCVR 1 "), "{text}");
    }

    #[test]
    fn nothing_is_read_after_the_end() {
        let (taken, text) = take(&mut talk(), b"OUT\r\nVER 1 MSNP9\r\n");
        assert_eq!((taken.commands, taken.end), (1, Some(Why::Left)));
        assert_eq!(text, "");
    }

    #[test]
    fn what_cannot_be_read_ends_it() {
        for (bytes, answer) in [
            (&b"GET / HTTP/1.1\r\n"[..], ""),
            (b"\x16\x03\x01\x00", ""),
            (b"QRY 1 x 99999999\r\n", "200 0\r\n"),
            (b"QRY 1 x y\r\n", "200 0\r\n"),
            (
                &[b"QRY 1 x 60000\r\n", &[b'x'; 17_000][..]].concat(),
                "200 0\r\n",
            ),
            (&[b'A'; 9000], ""),
        ] {
            let (taken, text) = take(&mut talk(), bytes);
            assert_eq!(taken.end, Some(Why::Protocol));
            assert_eq!(text, answer);
        }
        let long = [b"VER ", &[b'1'; 9000][..]].concat();
        let (taken, text) = take(&mut talk(), &long);
        assert_eq!((taken.end, &*text), (Some(Why::Protocol), "200 0\r\n"));
    }

    #[test]
    fn a_silent_client_keeps_no_buffer() {
        let mut talk = talk();
        take(&mut talk, b"VER 1 MSNP9\r\n");
        assert_eq!(talk.decoder.space().capacity(), 0);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do_no_harm(pieces in proptest::collection::vec("[A-Z0-9 \r\n@a-z.]{0,60}", 0..20)) {
            let mut talk = talk();
            take(&mut talk, b"VER 1 MSNP9\r\nUSR 2 TWN I a@b.c\r\n");
            for piece in pieces {
                take(&mut talk, piece.as_bytes());
            }
        }
    }
}
