//! The headers of Passport 1.4 that a client reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::msnp::passport::{
    AuthenticationInfo, MAX_TICKET, authentication_info, login_url, refusal,
};
use msnp9_conntype::transport::Url;
use msnp9_conntype::secret::ExposeSecret;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Some(url) = login_url(&text) {
        assert!(url.contains("://"));
        if let Ok(url) = url.parse::<Url>() {
            assert!(
                !url.to_string()
                    .contains(|c: char| c.is_control() || c == ' ')
            );
        }
    }
    if let AuthenticationInfo::Ticket(ticket) = authentication_info(&text) {
        let ticket = ticket.expose_secret();
        assert!((1..=MAX_TICKET).contains(&ticket.len()));
        assert!(ticket.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let said = refusal(&text);
    for text in [said.status, said.text].into_iter().flatten() {
        assert!(text.chars().count() <= 2000);
    }
});
