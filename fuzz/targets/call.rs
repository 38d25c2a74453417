//! Lines of calling back, from either end: what is read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::packet::call::{MAX_LINE, Reply, Request, Token, is_called};

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = Request::parse(data) {
        let line = format!("{request}\r\n");
        assert!(line.len() <= MAX_LINE);
        assert_eq!(Request::parse(line.as_bytes()), Ok(request));
    }
    if let Some(reply) = Reply::parse(data) {
        let line = format!("{reply}\r\n");
        assert!(line.len() <= MAX_LINE);
        assert_eq!(Reply::parse(line.as_bytes()), Some(reply));
    }
    let _ = is_called(data, Token([7; 16]));
});
