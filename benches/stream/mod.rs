//! The bytes that the benches read, and the reading.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    reason = "each bench uses some of it"
)]

use msnp9_conntype::msnp::{Decoder, Side};

/// A stream of what a server sends in a session: presence, contacts, a message now and then.
pub fn mixed(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 1024);
    let mut number = 0;
    while bytes.len() < length {
        let line = match number % 8 {
            0 => format!("NLN NLN user{number}@example.com Some%20Display%20Name 268435456\r\n"),
            1 => format!("LST contact{number}@example.com Contact%20{number} 11 0\r\n"),
            2 => format!("FLN user{number}@example.com\r\n"),
            3 => format!("QRY {number}\r\n"),
            4 => format!("ILN {number} AWY buddy{number}@example.com Buddy 0\r\n"),
            5 => message(&"x".repeat(300 + number % 400)),
            6 => "QNG 60\r\n".to_owned(),
            _ => format!("PRP {number} PHH 0123%20456789\r\n"),
        };
        bytes.extend_from_slice(line.as_bytes());
        number += 1;
    }
    bytes
}

/// One message with a payload of that size.
pub fn one_message(size: usize) -> Vec<u8> {
    message(&"x".repeat(size)).into_bytes()
}

fn message(payload: &str) -> String {
    format!("MSG Hotmail Hotmail {}\r\n{payload}", payload.len())
}

/// Feeds the bytes in pieces of this size and counts the commands.
pub fn decode(bytes: &[u8], piece: usize) -> usize {
    let mut decoder = Decoder::new(Side::Server);
    let mut commands = 0;
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        while let Some(command) = decoder.decode().expect("the stream is well formed") {
            commands += usize::from(!command.name().is_empty());
        }
    }
    commands
}
