//! The header of the PROXY protocol: whole, and as far as it has arrived.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::server::fuzz::{proxied_client, proxy_header_length};

/// The longest header that the server reads, in bytes.
const LONGEST: usize = 2048;

fuzz_target!(|data: &[u8]| {
    let whole = proxy_header_length(data);
    // What is not yet a header may become one; what is one, or none, stays so.
    for arrived in 0..data.len().min(LONGEST) {
        match proxy_header_length(&data[..arrived]) {
            Ok(None) => {}
            early => assert_eq!(early, whole),
        }
    }
    if let Ok(Some(length)) = whole {
        assert!(length <= LONGEST);
        if let Some(header) = data.get(..length)
            && let Ok(Some(client)) = proxied_client(header)
        {
            assert!(client.port() != 0 && !client.ip().is_unspecified());
        }
    }
    let _ = proxied_client(data);
});
