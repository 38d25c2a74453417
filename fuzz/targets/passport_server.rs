//! The header of Passport 1.4 that a server reads, and that each end reads what the other writes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::msnp::passport::{
    AuthenticationInfo, SignIn, authentication_info, authorization, credentials, failure_header,
    refusal, success_header,
};
use msnp9_conntype::secret::{ExposeSecret, SecretString};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = credentials(&text);
    let _ = credentials(&format!("Passport1.4 {text}"));

    let (account, password) = text.split_once('\n').unwrap_or((&text, "x"));
    let secret = SecretString::from(password);
    for sign_in in SignIn::ALL {
        let header = authorization(account, &secret, "lc=1033,id=507", sign_in);
        assert!(!header.expose_secret().contains(['\r', '\n', '\0']));
        let got = credentials(header.expose_secret());
        let got = got.expect("our own header is read");
        assert_eq!(got.account, account);
        assert_eq!(got.password.expose_secret(), password);
    }
    let ticket: String = password
        .chars()
        .filter(|c| c.is_ascii_graphic() && *c != '\'')
        .collect();
    let header = success_header(&SecretString::from(ticket.clone()));
    match authentication_info(header.expose_secret()) {
        AuthenticationInfo::Ticket(got) => assert_eq!(got.expose_secret(), ticket),
        _ => assert!(ticket.is_empty() || ticket.len() > 4096, "{ticket:?}"),
    }
    let header = failure_header(account);
    assert!(!header.contains(['\r', '\n', '\0']));
    let _ = refusal(&header);
});
