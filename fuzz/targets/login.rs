//! The client's login, driven by whatever a server says: it comes to an end, and nothing a
//! server says makes it send anything but its own commands.
#![no_main]

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::address::Address;
use msnp9_conntype::msnp::{
    Account, Decoder, Dialect, Login, LoginStage, Options, Outgoing, Side, Step,
};
use msnp9_conntype::secret::SecretString;

/// Five referrals, a second try for each of three reasons, and the first connection.
const MAX_CONNECTIONS: usize = 9;

fuzz_target!(|data: &[u8]| {
    for is_again in [false, true] {
        log_in(data, is_again);
    }
});

/// One login; `is_again` sends a ticket of an earlier one ahead.
fn log_in(data: &[u8], is_again: bool) {
    let [how, bytes @ ..] = data else { return };
    let Ok(account) = "user@example.com".parse::<Account>() else {
        return;
    };
    let mut login = Login::new(Options {
        account,
        dialects: if how & 2 == 0 {
            Vec::new()
        } else {
            vec![Dialect::MSNP10]
        },
        lockstep: how & 1 != 0,
    });
    let Ok(mut at) = Address::parse("ns.example", 1863) else {
        return;
    };
    let mut connections = 1;
    let ticket = SecretString::from("t=ticket&p=profile");
    proper(&match is_again {
        true => login.connected_again(&at, Dialect::MSNP9, &ticket),
        false => login.connected(&at),
    });
    let mut decoder = Decoder::new(Side::Server);
    for piece in bytes.chunks(usize::from(how >> 2) + 1) {
        decoder.feed(piece);
        loop {
            let step = match decoder.decode() {
                Ok(Some(command)) => login.receive(&command),
                Ok(None) => break,
                Err(_) => return,
            };
            let again = match step {
                Ok(Step::Wait) => false,
                Ok(Step::Send(out)) => {
                    proper(&out);
                    false
                }
                Ok(Step::NeedTicket(policy)) => {
                    assert!(policy.bytes().all(|byte| byte.is_ascii_graphic()));
                    proper(&login.ticket(&ticket));
                    false
                }
                Ok(Step::Refer(referral)) => {
                    at = referral;
                    true
                }
                Ok(Step::Reconnect(_)) => true,
                Ok(Step::Profile(_)) | Err(_) => return,
            };
            if again {
                connections += 1;
                assert!(connections <= MAX_CONNECTIONS);
                proper(&login.connected(&at));
                decoder = Decoder::new(Side::Server);
                break;
            }
            if login.stage() == LoginStage::Profile {
                decoder.resynchronise();
            }
        }
    }
    while let Some(out) = login.request_profile() {
        proper(&out);
    }
    let _ = login.closed(decoder.is_midway());
}

fn proper(out: &Outgoing) {
    let text = String::from_utf8_lossy(out.bytes());
    let names: Vec<_> = out.names().split(' ').collect();
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    let payload = usize::from(names.contains(&"QRY"));
    assert_eq!(lines.len(), names.len() + payload, "{text:?}");
    for (name, line) in names.iter().zip(&lines) {
        assert!(
            line.starts_with(name) && !line.contains(char::is_control),
            "{text:?}"
        );
    }
}
