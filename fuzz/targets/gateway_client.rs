//! The gateway's header that a client reads: what of it goes into the next request fits there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::probe::login::fuzz::session_header;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (id, host, _) = session_header(&text);
    if let Some(id) = id {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        assert!(
            (1..=256).contains(&id.len()) && id.bytes().all(fits),
            "{id:?}"
        );
    }
    assert!(host.is_none_or(|host| !host.is_empty()));
});
