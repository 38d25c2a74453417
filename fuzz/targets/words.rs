//! Single words that come from the network: addresses of referrals and redirects, encoded text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::address::Address;
use msnp9_conntype::msnp::{encode_word, percent_decode, percent_encode};
use msnp9_conntype::transport::Url;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(address) = Address::parse(&text, 1863) {
        assert!(address.port != 0 && !address.host.contains(|c: char| c.is_control() || c == ' '));
        assert_eq!(Address::parse(&address.to_string(), 1), Ok(address));
    }
    let Ok(here) = "https://login.example:8443/login?x".parse::<Url>() else {
        return;
    };
    for url in [text.parse::<Url>(), here.join(&text)]
        .into_iter()
        .flatten()
    {
        assert!(url.path.starts_with('/'), "{url:?}");
        let shown = url.to_string();
        assert!(
            !shown.contains(|c: char| c.is_control() || c == ' '),
            "{shown:?}"
        );
        assert_eq!(shown.parse(), Ok(url));
    }
    assert_eq!(percent_decode(&percent_encode(&text)), text);
    let word = encode_word(&text);
    assert_eq!(percent_decode(&word), text);
    assert!(!word.contains(['\r', '\n', ' ', '\0']));
    let _ = percent_decode(&text);
});
