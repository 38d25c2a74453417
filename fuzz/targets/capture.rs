//! A file of packets, in pieces of any size: what it holds does not depend on them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::capture::{Capture, Counts, FileError, Found, judge};
use msnp9_conntype::conntype::PortOrder;

fuzz_target!(|data: &[u8]| {
    let Some((&size, file)) = data.split_first() else {
        return;
    };
    let (pieces, whole) = (read(file, usize::from(size) + 1), read(file, usize::MAX));
    // How much comes out of damaged compression depends on the pieces.
    let is_damaged = file.starts_with(&[0x1f, 0x8b]) && whole.1.is_err();
    assert!(is_damaged || pieces == whole, "{pieces:?}\n{whole:?}");
});

/// The sessions, and how the file ended.
fn read(file: &[u8], size: usize) -> (Vec<String>, Result<(), FileError>, Counts) {
    let mut capture = Capture::new();
    let mut sessions = Vec::new();
    let mut report = |found: Found| {
        let judged = match &found {
            Found::Session(session) => Some(judge(session, None, PortOrder::Auto)),
            Found::Conversation(_) => None,
        };
        sessions.push(format!("{found:?} {judged:?}"));
    };
    let mut pieces = file.chunks(size);
    let fed = pieces.try_for_each(|piece| capture.feed(piece, &mut report));
    let done = match fed {
        Ok(()) => capture.finish(&mut report),
        Err(why) => {
            capture.abandon(&mut report);
            Err(why)
        }
    };
    (sessions, done, capture.counts())
}
