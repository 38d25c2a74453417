//! The protocol, without sockets: bytes in, values out.
//!
//! Sans-IO. [`Decoder`] cuts bytes into commands, [`Login`] is the client's side of the login as
//! a state machine, [`Profile`] is what the login is for, [`passport`] holds the header grammar of
//! Passport 1.4 for both ends. The embedded server uses the same types from the other side.

pub mod challenge;
mod codec;
mod command;
mod error_reply;
mod escape;
mod login;
pub mod passport;
mod profile;
pub mod udp_echo;

pub use codec::{CodecError, Decoder, LooksLike, MAX_LINE, MAX_PAYLOAD, Side};
pub use command::{Command, Dialect, UnknownDialect};
pub use error_reply::{ErrorClass, ErrorReply};
pub use escape::{encode_header_piece, encode_word, percent_decode, percent_encode};
pub use login::{
    Account, BadAccount, Login, LoginError, LoginStage, Options, Outgoing, Retry, Step,
};
pub(crate) use profile::{ClassicProfile, append};
pub use profile::{Profile, find_profile};
