use super::*;
use crate::address::Address;
use crate::msnp::{Decoder, Profile, Side};
use crate::secret::ExposeSecret;
use crate::server::accounts::{AccountList, Accounts};
use crate::server::config::{Config, PortField};
use crate::server::state::tests::{NOW, context, state};

pub(in crate::server::session) const USER: &str = "user@example.com";
pub(in crate::server::session) const NONCE: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

fn is_signed_in(session: &Session) -> bool {
    matches!(session.state, LoginState::SignedIn(..))
}

fn session() -> Session {
    Session::new(Role::Notification, NONCE)
}

/// Sends one command; the reply and the outcome.
fn send_to(context: &RequestContext<'_>, session: &mut Session, line: &str) -> (String, Outcome) {
    let mut decoder = Decoder::new(Side::Client);
    decoder.feed(line.as_bytes());
    decoder.feed(if line.contains("\r\n") { b"" } else { b"\r\n" });
    let command = decoder.decode().unwrap().expect("a whole command");
    let mut out = Vec::new();
    let outcome = session.receive(&command, context, &mut out);
    (String::from_utf8(out).unwrap(), outcome)
}

pub(in crate::server::session) fn send(session: &mut Session, line: &str) -> (String, Outcome) {
    send_to(&context(&state(Config::default())), session, line)
}

/// The reply to a command after which the session continues.
pub(in crate::server::session) fn answer_of(session: &mut Session, line: &str) -> String {
    let (text, outcome) = send(session, line);
    assert_eq!(outcome, Outcome::Continue, "{line}: {text}");
    text
}

fn ticket_for(account: &str) -> String {
    let ticket = state(Config::default()).tickets.issue(account, NOW + 60, 1);
    format!("USR 4 TWN S {}", ticket.expose_secret())
}

/// A session that waits for the ticket.
fn introduced(dialect: &str) -> Session {
    let mut session = session();
    answer_of(&mut session, &format!("VER 1 {dialect} CVR0"));
    answer_of(&mut session, &format!("USR 3 TWN I {USER}"));
    session
}

pub(in crate::server::session) fn online(dialect: &str) -> Session {
    let mut session = introduced(dialect);
    let (_, outcome) = send(&mut session, &ticket_for(USER));
    assert_eq!(outcome, Outcome::SignedIn);
    session
}

#[test]
fn the_first_supported_version_offered_is_selected() {
    for (offer, answer) in [
        ("VER 0 MSNP9 MSNP8 CVR0", "VER 0 MSNP9 CVR0\r\n"),
        ("VER 1 MSNP8 CVRO", "VER 1 MSNP8 CVR0\r\n"),
        ("VER 2 MSNP15 MSNP12 MSNP9 CVR0", "VER 2 MSNP12 CVR0\r\n"),
        ("VER 4294967295 MSNP8", "VER 4294967295 MSNP8 CVR0\r\n"),
    ] {
        assert_eq!(answer_of(&mut session(), offer), answer);
    }
    for offer in ["VER 1 MSNP7 MSNP2 CVR0", "VER 1", "VER 1 9 8", "VER 1 CVR0"] {
        let (text, outcome) = send(&mut session(), offer);
        assert_eq!(
            (&*text, outcome),
            ("VER 1 0\r\n", Outcome::End(EndReason::ProtocolError))
        );
    }
    let (text, outcome) = send(&mut session(), "VER MSNP9");
    assert_eq!(
        (&*text, outcome),
        ("", Outcome::End(EndReason::ProtocolError))
    );
}

#[test]
fn a_client_is_recommended_its_own_version() {
    let mut session = session();
    answer_of(&mut session, "VER 1 MSNP8 CVR0");
    let tail = " 1.0.0000 http://download.invalid/ http://info.invalid/\r\n";
    let cvr = "CVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS \tuser@example.com";
    assert_eq!(
        answer_of(&mut session, cvr),
        format!("CVR 2 6.0.0602 6.0.0602{tail}")
    );
    for odd in [
        "CVR 2",
        "CVR 2 a b c d e <script>",
        "CVR 2 a b c d e 1111111111.2222222222",
    ] {
        let want = format!("CVR 2 1.0.0000 1.0.0000{tail}");
        assert_eq!(answer_of(&mut session, odd), want);
    }
}

#[test]
fn the_policy_string_has_every_key_in_its_place() {
    let mut session = session();
    answer_of(&mut session, "VER 1 MSNP9 CVR0");
    assert_eq!(
        answer_of(&mut session, "USR 3 TWN I user%40example.com"),
        "USR 3 TWN S lc=1033,id=507,tw=60,fs=1,ru=http%3A%2F%2Fmessenger%2Emsn%2Ecom,\
         ct=1700000000,kpp=1,kv=5,ver=2.1.0173.1,tpf=0123456789abcdef0123456789abcdef\r\n"
    );
}

#[test]
fn the_dispatch_server_refers_and_then_accepts_no_command() {
    let mut session = Session::new(Role::Dispatch, NONCE);
    answer_of(&mut session, "VER 1 MSNP8 CVR0");
    let state = state(Config {
        advertise: Some(Address::parse("192.0.2.2", 1863).unwrap()),
        ..Config::default()
    });
    let usr = format!("USR 3 TWN I {USER}");
    let (text, outcome) = send_to(&context(&state), &mut session, &usr);
    assert_eq!(text, "XFR 3 NS 192.0.2.2:1863 0 192.0.2.1:1863\r\n");
    assert_eq!(outcome, Outcome::Referred);
    let (text, outcome) = send(&mut session, &format!("USR 4 TWN I {USER}"));
    assert_eq!(
        (&*text, outcome),
        ("715 4\r\n", Outcome::End(EndReason::ProtocolError))
    );
}

#[test]
fn ok_and_profile_have_the_form_of_the_dialect() {
    for (dialect, start) in [
        (
            "MSNP8",
            "USR 4 OK user@example.com user@example.com 1 0\r\nMSG ",
        ),
        (
            "MSNP9",
            "USR 4 OK user@example.com user@example.com 1 0\r\nMSG ",
        ),
        ("MSNP10", "USR 4 OK user@example.com 1 0\r\nMSG "),
        (
            "MSNP11",
            "USR 4 OK user@example.com 1 0\r\nSBS 0 null\r\nMSG ",
        ),
        (
            "MSNP12",
            "USR 4 OK user@example.com 1 0\r\nSBS 0 null\r\nMSG ",
        ),
    ] {
        let mut session = introduced(dialect);
        assert!(!is_signed_in(&session));
        let (text, _) = send(&mut session, &ticket_for(USER));
        assert!(text.starts_with(start), "{text}");
        assert_eq!(session.account().map(Account::as_str), Some(USER));
        let (_, message) = text.split_once("MSG Hotmail Hotmail ").unwrap();
        let (length, payload) = message.split_once("\r\n").unwrap();
        assert_eq!(length.parse(), Ok(payload.len()));
        assert_eq!(payload.contains("ABCHMigrated: 1"), dialect.len() == 6);
        let profile = Profile::parse(payload.as_bytes()).unwrap();
        assert_eq!(profile.client_ip.as_deref(), Some("203.0.113.7"));
        assert_eq!(profile.client_port.as_deref(), Some("2308"));
    }
}

#[test]
fn the_profile_follows_the_login_once_and_may_lack_a_port() {
    for (client_port, ports) in [(PortField::Plain, 1), (PortField::Absent, 0)] {
        let state = state(Config {
            client_port,
            ..Config::default()
        });
        let mut session = introduced("MSNP9");
        let (text, _) = send_to(&context(&state), &mut session, &ticket_for(USER));
        assert_eq!(text.matches("ClientIP: 203.0.113.7\r\n").count(), 1);
        assert_eq!(text.matches("ClientPort: 1033\r\n").count(), ports);
        let (text, _) = send_to(&context(&state), &mut session, "SYN 5 0");
        assert!(!text.contains("ClientIP"), "{text}");
    }
}

#[test]
fn the_secret_of_the_profile_differs_between_logins_and_is_no_ticket() {
    let secret = || {
        let (text, _) = send(&mut introduced("MSNP9"), &ticket_for(USER));
        let rest = text.split_once("\r\nMSPAuth: ").unwrap().1;
        rest.split_once("\r\n").unwrap().0.to_owned()
    };
    let (one, other) = (secret(), secret());
    assert!(one.len() > 40 && one != other);
    let (_, outcome) = send(&mut introduced("MSNP9"), &format!("USR 4 TWN S {one}"));
    assert_eq!(outcome, Outcome::End(EndReason::LoginFailed));
}

#[test]
fn mapped_and_scoped_addresses_are_normalised() {
    for (peer, shown) in [
        ("[::ffff:203.0.113.7]:1033", "203.0.113.7"),
        ("[2001:db8::7]:1033", "2001:db8::7"),
        ("[fe80::7%3]:1033", "fe80::7"),
    ] {
        let state = state(Config::default());
        let context = RequestContext {
            peer: peer.parse().unwrap(),
            ..context(&state)
        };
        let mut session = introduced("MSNP9");
        let (text, _) = send_to(&context, &mut session, &ticket_for(USER));
        assert!(text.contains(&format!("ClientIP: {shown}\r\n")), "{text}");
    }
}

#[test]
fn a_foreign_or_expired_ticket_is_refused() {
    let old = state(Config::default()).tickets.issue(USER, NOW, 1);
    let forged = "USR 4 TWN S t=00&p=00".to_owned();
    for line in [
        ticket_for("eve@example.com"),
        format!("USR 4 TWN S {}", old.expose_secret()),
        ticket_for(USER).replace("TWN S", "TWN I"),
        ticket_for(USER).replace("TWN S", "SSO S"),
        "USR 4 TWN S".to_owned(),
        forged,
    ] {
        let mut session = introduced("MSNP9");
        let (text, outcome) = send(&mut session, &line);
        assert_eq!(
            (&*text, outcome),
            ("911 4\r\n", Outcome::End(EndReason::LoginFailed))
        );
        assert!(!is_signed_in(&session));
    }
    let mut session = introduced("MSNP9");
    let (_, outcome) = send(&mut session, &ticket_for("User@EXAMPLE.com"));
    assert_eq!(
        outcome,
        Outcome::SignedIn,
        "case does not tell accounts apart"
    );
}

#[test]
fn an_unlisted_account_is_refused_despite_its_ticket() {
    let listed = state(Config {
        accounts: Accounts::List(AccountList::parse("ann@example.com:x").unwrap()),
        ..Config::default()
    });
    let mut session = introduced("MSNP9");
    let (text, outcome) = send_to(&context(&listed), &mut session, &ticket_for(USER));
    assert_eq!(
        (&*text, outcome),
        ("911 4\r\n", Outcome::End(EndReason::LoginFailed))
    );
}

#[test]
fn logins_are_throttled_after_failures() {
    let state = state(Config::default());
    let context = context(&state);
    let mut session = introduced("MSNP9");
    let (text, _) = send_to(&context, &mut session, "USR 4 TWN S t=0&p=0\r\n");
    assert_eq!(text, "911 4\r\n");
    let mut session = introduced("MSNP9");
    let (text, outcome) = send_to(&context, &mut session, &ticket_for(USER));
    assert_eq!(
        (&*text, outcome),
        ("910 4\r\n", Outcome::End(EndReason::Throttled))
    );
}

#[test]
fn an_invalid_account_is_refused_at_once() {
    let long = "a".repeat(129);
    for account in [
        "user",
        "@example.com",
        "user@",
        "",
        "a%20b@c",
        &format!("{long}@x"),
    ] {
        let mut session = session();
        answer_of(&mut session, "VER 1 MSNP9 CVR0");
        let (text, outcome) = send(&mut session, &format!("USR 3 TWN I {account}"));
        assert_eq!(
            (&*text, outcome),
            ("911 3\r\n", Outcome::End(EndReason::LoginFailed))
        );
    }
    let mut session = session();
    answer_of(&mut session, "VER 1 MSNP9 CVR0");
    let (text, _) = send(&mut session, "USR 3 MD5 I user@example.com");
    assert_eq!(text, "911 3\r\n");
}

#[test]
fn commands_in_the_wrong_order_end_the_session() {
    let fresh = session;
    let known = || {
        let mut session = session();
        answer_of(&mut session, "VER 1 MSNP9 CVR0");
        session
    };
    let waiting = || introduced("MSNP9");
    let signed_in = || online("MSNP9");
    let cases: [(&dyn Fn() -> Session, &str, &str); 11] = [
        (&fresh, "CVR 1 x", "715 1\r\n"),
        (&fresh, "USR 1 TWN I a@b.c", "715 1\r\n"),
        (&fresh, "INF 1", ""),
        (&known, "INF 2", ""),
        (&known, "VER 2 MSNP9", "715 2\r\n"),
        (&known, "SYN 2 0", "715 2\r\n"),
        (&known, "PNG", ""),
        (&waiting, "CHG 4 NLN 0", "715 4\r\n"),
        (&waiting, "PNG", ""),
        (&signed_in, "VER 9 MSNP9", "715 9\r\n"),
        (&signed_in, "INF 9", ""),
    ];
    for (session, line, answer) in cases {
        let (text, outcome) = send(&mut session(), line);
        assert_eq!(
            (&*text, outcome),
            (answer, Outcome::End(EndReason::ProtocolError)),
            "{line}"
        );
    }
    for session in [session(), known(), waiting(), signed_in()] {
        let (text, outcome) = send(&mut { session }, "OUT");
        assert_eq!((&*text, outcome), ("", Outcome::End(EndReason::LoggedOut)));
    }
}

#[test]
fn signing_in_twice_is_an_error_that_does_not_end_the_session() {
    let mut session = online("MSNP9");
    assert_eq!(answer_of(&mut session, "USR 9 TWN I a@b.c"), "207 9\r\n");
}

#[test]
fn a_ping_through_the_gateway_ends_the_session() {
    let mut session = Session::new(Role::Gateway, NONCE);
    let (text, outcome) = send(&mut session, "PNG");
    assert_eq!(
        (&*text, outcome),
        ("", Outcome::End(EndReason::GatewayPing))
    );
}

#[test]
fn debug_of_a_session_shows_no_ticket() {
    let ticket = ticket_for(USER);
    let shown = format!("{:?}", online("MSNP9"));
    assert!(!shown.contains(ticket.rsplit(' ').next().unwrap()));
}
