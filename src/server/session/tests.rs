use super::*;
use crate::msnp::{Decoder, Profile, Side};
use crate::secret::ExposeSecret;
use crate::server::accounts::{AccountList, Accounts};
use crate::server::config::PortField;
use crate::server::desk::tests::{NOW, desk, moment};

pub(in crate::server) const USER: &str = "user@example.com";
pub(in crate::server) const NONCE: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

fn session() -> Session {
    Session::new(Role::Notification, NONCE)
}

/// Lets the client say one command; what is answered, and what comes next.
fn say_to(desk: &Desk, moment: &Moment, session: &mut Session, line: &str) -> (String, Next) {
    let mut decoder = Decoder::new(Side::Client);
    decoder.feed(line.as_bytes());
    decoder.feed(if line.contains("\r\n") { b"" } else { b"\r\n" });
    let command = decoder.decode().unwrap().expect("a whole command");
    let mut out = Vec::new();
    let next = session.receive(&command, desk, moment, &mut out);
    (String::from_utf8(out).unwrap(), next)
}

pub(in crate::server) fn say(session: &mut Session, line: &str) -> (String, Next) {
    say_to(&desk(), &moment(), session, line)
}

/// The answer to a command after which the session goes on.
pub(in crate::server) fn answer_of(session: &mut Session, line: &str) -> String {
    let (text, next) = say(session, line);
    assert_eq!(next, Next::Stay, "{line}: {text}");
    text
}

fn ticket_for(account: &str) -> String {
    let ticket = desk().tickets.issue(account, NOW + 60, 1);
    format!("USR 4 TWN S {}", ticket.expose_secret())
}

/// A session that waits for the ticket.
fn introduced(dialect: &str) -> Session {
    let mut session = session();
    answer_of(&mut session, &format!("VER 1 {dialect} CVR0"));
    answer_of(&mut session, &format!("USR 3 TWN I {USER}"));
    session
}

pub(in crate::server) fn online(dialect: &str) -> Session {
    let mut session = introduced(dialect);
    let (_, next) = say(&mut session, &ticket_for(USER));
    assert_eq!(next, Next::SignedIn);
    session
}

#[test]
fn the_first_dialect_offered_that_is_known_is_taken() {
    for (offer, answer) in [
        ("VER 0 MSNP9 MSNP8 CVR0", "VER 0 MSNP9 CVR0\r\n"),
        ("VER 1 MSNP8 CVRO", "VER 1 MSNP8 CVR0\r\n"),
        ("VER 2 MSNP15 MSNP12 MSNP9 CVR0", "VER 2 MSNP12 CVR0\r\n"),
        ("VER 4294967295 MSNP8", "VER 4294967295 MSNP8 CVR0\r\n"),
    ] {
        assert_eq!(answer_of(&mut session(), offer), answer);
    }
    for offer in ["VER 1 MSNP7 MSNP2 CVR0", "VER 1", "VER 1 9 8", "VER 1 CVR0"] {
        let (text, next) = say(&mut session(), offer);
        assert_eq!((&*text, next), ("VER 1 0\r\n", Next::Close(Why::Protocol)));
    }
    let (text, next) = say(&mut session(), "VER MSNP9");
    assert_eq!((&*text, next), ("", Next::Close(Why::Protocol)));
}

#[test]
fn a_client_is_told_that_its_version_is_the_right_one() {
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
fn the_policy_has_every_key_in_its_place() {
    let mut session = session();
    answer_of(&mut session, "VER 1 MSNP9 CVR0");
    assert_eq!(
        answer_of(&mut session, "USR 3 TWN I user%40example.com"),
        "USR 3 TWN S lc=1033,id=507,tw=60,fs=1,ru=http%3A%2F%2Fmessenger%2Emsn%2Ecom,\
         ct=1700000000,kpp=1,kv=5,ver=2.1.0173.1,tpf=0123456789abcdef0123456789abcdef\r\n"
    );
}

#[test]
fn the_dispatch_server_refers_and_says_no_more() {
    let referral = Referral {
        to: "192.0.2.2:1863".into(),
        here: "192.0.2.1:1863".into(),
    };
    let mut session = Session::new(Role::Dispatch(Box::new(referral)), NONCE);
    answer_of(&mut session, "VER 1 MSNP8 CVR0");
    let (text, next) = say(&mut session, &format!("USR 3 TWN I {USER}"));
    assert_eq!(text, "XFR 3 NS 192.0.2.2:1863 0 192.0.2.1:1863\r\n");
    assert_eq!(next, Next::Referred);
    let (text, next) = say(&mut session, &format!("USR 4 TWN I {USER}"));
    assert_eq!((&*text, next), ("715 4\r\n", Next::Close(Why::Protocol)));
}

#[test]
fn the_ok_brings_the_name_and_the_profile_as_the_dialect_has_them() {
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
        assert_eq!(session.signed_in(), None);
        let (text, _) = say(&mut session, &ticket_for(USER));
        assert!(text.starts_with(start), "{text}");
        assert_eq!(session.signed_in(), Some(USER));
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
fn the_profile_may_come_later_or_never_or_without_a_port() {
    let profile_of = |desk: &Desk| {
        let mut session = introduced("MSNP9");
        let mut all = String::new();
        for line in [&*ticket_for(USER), "SYN 5 0", "SYN 6 0"] {
            let (text, _) = say_to(desk, &moment(), &mut session, line);
            all += &format!("{}|", text.matches("ClientIP: 203.0.113.7\r\n").count());
            all += if text.contains("ClientPort") { "p" } else { "" };
        }
        all
    };
    let with = |profile, client_port| Desk {
        profile,
        client_port,
        ..desk()
    };
    use PortField::{Absent, Plain};
    assert_eq!(profile_of(&with(ProfilePolicy::AfterOk, Plain)), "1|p0|0|");
    assert_eq!(profile_of(&with(ProfilePolicy::AfterOk, Absent)), "1|0|0|");
    assert_eq!(profile_of(&with(ProfilePolicy::AfterSyn, Plain)), "0|1|p0|");
    assert_eq!(profile_of(&with(ProfilePolicy::Never, Plain)), "0|0|0|");
}

#[test]
fn the_client_of_a_v6_socket_is_shown_as_it_is() {
    for (peer, shown) in [
        ("[::ffff:203.0.113.7]:1033", "203.0.113.7"),
        ("[2001:db8::7]:1033", "2001:db8::7"),
        ("[fe80::7%3]:1033", "fe80::7"),
    ] {
        let moment = Moment {
            peer: peer.parse().unwrap(),
            ..moment()
        };
        let mut session = introduced("MSNP9");
        let (text, _) = say_to(&desk(), &moment, &mut session, &ticket_for(USER));
        assert!(text.contains(&format!("ClientIP: {shown}\r\n")), "{text}");
    }
}

#[test]
fn a_ticket_of_somebody_else_or_of_yesterday_is_refused() {
    let old = desk().tickets.issue(USER, NOW, 1);
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
        let (text, next) = say(&mut session, &line);
        assert_eq!((&*text, next), ("911 4\r\n", Next::Close(Why::Refused)));
        assert_eq!(session.signed_in(), None);
    }
    let mut session = introduced("MSNP9");
    let (_, next) = say(&mut session, &ticket_for("User@EXAMPLE.com"));
    assert_eq!(next, Next::SignedIn, "case does not tell accounts apart");
}

#[test]
fn an_account_that_is_not_listed_is_refused_with_its_ticket_only() {
    let listed = Desk {
        accounts: Accounts::List(AccountList::parse("ann@example.com:x").unwrap()),
        ..desk()
    };
    let mut session = introduced("MSNP9");
    let (text, next) = say_to(&listed, &moment(), &mut session, &ticket_for(USER));
    assert_eq!((&*text, next), ("911 4\r\n", Next::Close(Why::Refused)));
}

#[test]
fn a_guesser_is_not_listened_to() {
    let (desk, moment) = (desk(), moment());
    let mut session = introduced("MSNP9");
    let (text, _) = say_to(&desk, &moment, &mut session, "USR 4 TWN S t=0&p=0\r\n");
    assert_eq!(text, "911 4\r\n");
    let mut session = introduced("MSNP9");
    let (text, next) = say_to(&desk, &moment, &mut session, &ticket_for(USER));
    assert_eq!((&*text, next), ("910 4\r\n", Next::Close(Why::Throttled)));
}

#[test]
fn an_account_that_is_none_is_refused_at_once() {
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
        let (text, next) = say(&mut session, &format!("USR 3 TWN I {account}"));
        assert_eq!((&*text, next), ("911 3\r\n", Next::Close(Why::Refused)));
    }
    let mut session = session();
    answer_of(&mut session, "VER 1 MSNP9 CVR0");
    let (text, _) = say(&mut session, "USR 3 MD5 I user@example.com");
    assert_eq!(text, "911 3\r\n");
}

#[test]
fn what_is_said_too_early_or_too_late_ends_it() {
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
        let (text, next) = say(&mut session(), line);
        assert_eq!(
            (&*text, next),
            (answer, Next::Close(Why::Protocol)),
            "{line}"
        );
    }
    for session in [session(), known(), waiting(), signed_in()] {
        let (text, next) = say(&mut { session }, "OUT");
        assert_eq!((&*text, next), ("", Next::Close(Why::Left)));
    }
}

#[test]
fn signing_in_twice_is_an_error_and_no_more() {
    let mut session = online("MSNP9");
    assert_eq!(answer_of(&mut session, "USR 9 TWN I a@b.c"), "207 9\r\n");
}

#[test]
fn nobody_pings_through_the_gateway() {
    let mut session = Session::new(Role::Gateway, NONCE);
    let (text, next) = say(&mut session, "PNG");
    assert_eq!((&*text, next), ("", Next::Close(Why::Ping)));
}

#[test]
fn debug_of_a_session_shows_no_ticket() {
    let ticket = ticket_for(USER);
    let shown = format!("{:?}", online("MSNP9"));
    assert!(!shown.contains(ticket.rsplit(' ').next().unwrap()));
}
