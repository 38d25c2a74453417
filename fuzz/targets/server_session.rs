//! The server's session, driven by whatever a client says. `TICKET` in the input stands for a
//! ticket that is accepted, so that what comes after the login is reached.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::msnp::{Decoder, Side};
use msnp9_conntype::server::Config;
use msnp9_conntype::server::fuzz::{Harness, Kind};

static HARNESS: LazyLock<(Harness, String)> = LazyLock::new(|| {
    let harness = Harness::new(Config::default()).expect("a server");
    let ticket = harness.ticket("user@example.com");
    (harness, ticket)
});

/// What one byte of input may make a server say: a client's whole list, for a `SYN`.
const MOST: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let [how, input @ ..] = data else { return };
    let (harness, ticket) = &*HARNESS;
    let input = replaced(input, b"TICKET", ticket.as_bytes());
    let kind = match how & 3 {
        0 | 1 => Kind::Notification,
        2 => Kind::Gateway,
        _ => Kind::Dispatch,
    };
    let (answers, _) = harness.session(kind, input.chunks(usize::from(how >> 2) + 1));
    assert!(answers.len() <= MOST * (input.len() + 1));
    // Our own client has to be able to read it.
    let mut decoder = Decoder::new(Side::Server);
    decoder.feed(&answers);
    while decoder
        .decode()
        .expect("the answers are commands")
        .is_some()
    {}
    assert!(
        !decoder.is_midway(),
        "{:?}",
        String::from_utf8_lossy(&answers)
    );
});

fn replaced(input: &[u8], word: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.windows(word.len()).position(|window| window == word) {
        out.extend(&rest[..at]);
        out.extend(by);
        rest = &rest[at + word.len()..];
    }
    out.extend(rest);
    out
}
