use super::*;
use crate::msnp::{Decoder, Side};

mod reuse;

const POLICY: &str = "lc=1033,id=507,ru=http%3A%2F%2Fm,kpp=1";

fn login(lockstep: bool, dialects: &[Dialect]) -> Login {
    Login::new(Options {
        account: "user@example.com".parse().unwrap(),
        dialects: dialects.to_vec(),
        lockstep,
    })
}

fn at(text: &str) -> Address {
    Address::parse(text, 1863).unwrap()
}

fn text(out: &Outgoing) -> &str {
    std::str::from_utf8(out.bytes()).unwrap()
}

/// Lets the server say one command.
fn say(login: &mut Login, line: &str) -> Result<Step, LoginError> {
    let mut decoder = Decoder::new(Side::Server);
    decoder.feed(line.as_bytes());
    decoder.feed(if line.contains("\r\n") { b"" } else { b"\r\n" });
    let command = decoder.decode().unwrap().expect("a whole command");
    login.receive(&command)
}

fn sent(step: Result<Step, LoginError>) -> String {
    match step {
        Ok(Step::Send(out)) => text(&out).to_owned(),
        other => panic!("expected something to send, got {other:?}"),
    }
}

/// A login that has got as far as having sent its ticket (transaction 4).
fn with_ticket() -> Login {
    let mut login = login(false, &[]);
    login.connected(&at("ns"));
    for line in ["VER 1 MSNP9 CVR0", "CVR 2 6 6 1 http://a http://b"] {
        assert!(matches!(say(&mut login, line), Ok(Step::Wait)));
    }
    let step = say(&mut login, &format!("USR 3 TWN S {POLICY}"));
    assert!(matches!(step, Ok(Step::NeedTicket(policy)) if policy == POLICY));
    let out = login.ticket(&SecretString::from("t=x&p=y"));
    assert_eq!(text(&out), "USR 4 TWN S t=x&p=y\r\n");
    login
}

fn profile_message() -> String {
    let payload =
        "Content-Type: text/x-msmsgsprofile\r\nClientIP: 203.0.113.7\r\nClientPort: 1\r\n\r\n";
    format!("MSG Hotmail Hotmail {}\r\n{payload}", payload.len())
}

#[test]
fn three_commands_go_out_at_once() {
    let mut login = login(false, &[]);
    let out = login.connected(&at("ns"));
    let lines: Vec<_> = text(&out).split("\r\n").collect();
    assert_eq!(lines[0], "VER 1 MSNP9 MSNP8 CVR0");
    assert!(lines[1].starts_with("CVR 2 0x0409 ") && lines[1].ends_with(" user@example.com"));
    assert_eq!(lines[1].split(' ').count(), 10, "all eight parameters");
    assert_eq!(lines[2..], ["USR 3 TWN I user@example.com", ""]);
}

#[test]
fn in_lockstep_each_waits_for_the_answer_before() {
    let mut login = login(true, &[Dialect::MSNP8]);
    assert_eq!(text(&login.connected(&at("ns"))), "VER 1 MSNP8 CVR0\r\n");
    assert!(sent(say(&mut login, "VER 1 MSNP8")).starts_with("CVR 2 "));
    assert!(sent(say(&mut login, "CVR 2 6 6 1 a b")).starts_with("USR 3 TWN I "));
    assert!(matches!(
        say(&mut login, "USR 3 TWN S x"),
        Ok(Step::NeedTicket(_))
    ));
}

#[test]
fn the_profile_is_found_among_other_traffic() {
    let mut login = with_ticket();
    for noise in [
        "GCF 0 5\r\n<xml>",
        "SBS 0 null",
        "USR 4 OK user@example.com Name 1 0",
        "PRP MFN Name",
        "NLN NLN a@b.c A 0",
        "MSG Hotmail Hotmail 14\r\nContent-Type:x",
        "UBX a@b.c 0",
        "IPG 2\r\nab",
    ] {
        assert!(matches!(say(&mut login, noise), Ok(Step::Wait)), "{noise}");
    }
    let Ok(Step::Profile(profile)) = say(&mut login, &profile_message()) else {
        panic!("no profile");
    };
    assert_eq!(profile.client_ip.as_deref(), Some("203.0.113.7"));
}

#[test]
fn the_profile_may_come_before_the_ok() {
    assert!(matches!(
        say(&mut with_ticket(), &profile_message()),
        Ok(Step::Profile(_))
    ));
}

#[test]
fn a_profile_before_the_ticket_is_ignored() {
    let mut login = login(false, &[]);
    login.connected(&at("ns"));
    assert!(matches!(
        say(&mut login, &profile_message()),
        Ok(Step::Wait)
    ));
}

#[test]
fn every_form_of_referral_is_followed() {
    for (form, want) in [
        ("XFR 3 NS 10.0.0.5:1864", "10.0.0.5:1864"),
        ("XFR 3 NS 10.0.0.5:1864 0", "10.0.0.5:1864"),
        (
            "XFR 3 NS ns2.example:1863 0 10.0.0.1:1863",
            "ns2.example:1863",
        ),
        ("XFR 3 NS ns2.example 0", "ns2.example:4000"),
        ("XFR 3 NS [2001:db8::5]:1863 U D", "[2001:db8::5]:1863"),
        (
            "XFR 3 NS ns2.example:1863 U D dmVyc2lvbj0x",
            "ns2.example:1863",
        ),
    ] {
        let mut login = login(false, &[]);
        login.connected(&at("dispatch:4000"));
        say(&mut login, "VER 1 MSNP9").unwrap();
        say(&mut login, "CVR 2 a b c").unwrap();
        let Ok(Step::Refer(referral)) = say(&mut login, form) else {
            panic!("{form} was not followed");
        };
        assert_eq!(referral.to_string(), want);
        let again = login.connected(&referral);
        assert!(text(&again).starts_with("VER 4 "), "the count goes on");
    }
}

#[test]
fn a_referral_to_0_begins_again_on_the_same_connection() {
    let mut login = login(false, &[]);
    login.connected(&at("ns"));
    say(&mut login, "VER 1 MSNP9").unwrap();
    say(&mut login, "CVR 2 a").unwrap();
    assert!(sent(say(&mut login, "XFR 3 NS 0")).starts_with("VER 4 MSNP9"));
}

#[test]
fn referrals_come_to_an_end() {
    let mut round = login(false, &[]);
    round.connected(&at("a"));
    round.wait_for(LoginStage::Account, 3);
    assert!(matches!(
        say(&mut round, "XFR 3 NS a:1863"),
        Err(LoginError::ReferralLoop { .. })
    ));

    let mut chain = login(false, &[]);
    for hop in 0..=MAX_REFERRALS {
        chain.connected(&at(&format!("ns{hop}")));
        chain.wait_for(LoginStage::Account, 3);
        let step = say(&mut chain, &format!("XFR 3 NS ns{}", hop + 1));
        assert_eq!(
            matches!(step, Ok(Step::Refer(_))),
            hop < MAX_REFERRALS,
            "hop {hop}"
        );
    }

    let mut stay = login(false, &[]);
    stay.connected(&at("ns"));
    let error = loop {
        stay.wait_for(LoginStage::Account, 3);
        if let Err(error) = say(&mut stay, "XFR 3 NS 0") {
            break error;
        }
    };
    assert!(matches!(error, LoginError::TooManyReferrals));
}

#[test]
fn a_referral_to_nowhere_is_an_error() {
    for form in [
        "XFR 3 SB 10.0.0.5:1864 CKI 1",
        "XFR 3 NS",
        "XFR 3 NS :99",
        "XFR 3 NS h:0",
    ] {
        let mut login = login(false, &[]);
        login.connected(&at("ns"));
        login.wait_for(LoginStage::Account, 3);
        assert!(say(&mut login, form).is_err(), "{form}");
    }
}

#[test]
fn a_dialect_the_server_insists_on_is_tolerated() {
    let mut login = login(false, &[]);
    login.connected(&at("ns"));
    say(&mut login, "VER 1 MSNP12 CVR0").unwrap();
    assert_eq!(login.dialect(), Some(Dialect::MSNP12));
}

#[test]
fn a_server_without_our_dialects_is_offered_the_later_ones_once() {
    let mut login = login(false, &[]);
    login.connected(&at("ns"));
    assert!(matches!(
        say(&mut login, "VER 1 0"),
        Ok(Step::Reconnect(Retry::MoreDialects))
    ));
    assert!(text(&login.connected(&at("ns"))).starts_with("VER 4 MSNP12 MSNP11 MSNP10 CVR0"));
    assert!(matches!(
        say(&mut login, "VER 4 0"),
        Err(LoginError::NoDialect { .. })
    ));
}

#[test]
fn a_chosen_dialect_is_the_only_one_offered() {
    let mut login = login(false, &[Dialect::MSNP9]);
    login.connected(&at("ns"));
    let error = say(&mut login, "VER 1 MSNP8").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server speaks none of MSNP9 (it answered MSNP8)"
    );
}

#[test]
fn a_server_that_refuses_three_at_once_is_asked_one_by_one() {
    for refusal in ["715 2", "200 3", "201 2"] {
        let mut login = login(false, &[]);
        login.connected(&at("ns"));
        say(&mut login, "VER 1 MSNP9").unwrap();
        assert!(matches!(
            say(&mut login, refusal),
            Ok(Step::Reconnect(Retry::Lockstep))
        ));
        assert_eq!(
            text(&login.connected(&at("ns"))),
            "VER 4 MSNP9 MSNP8 CVR0\r\n"
        );
        assert!(matches!(
            say(&mut login, refusal),
            Err(LoginError::Refused { .. })
        ));
    }
}

#[test]
fn a_server_that_closes_is_asked_once_more_and_only_once() {
    let mut login = login(false, &[]);
    login.connected(&at("ns"));
    assert!(matches!(
        login.closed(false),
        Ok(Step::Reconnect(Retry::Lockstep))
    ));
    login.connected(&at("ns"));
    assert_eq!(
        login.closed(false).unwrap_err(),
        LoginError::Closed {
            stage: LoginStage::Version,
            midway: false
        }
    );
    assert!(with_ticket().closed(false).is_err());
}

#[test]
fn credentials_refused_are_not_tried_again() {
    let mut login = login(false, &[]);
    login.connected(&at("ns"));
    say(&mut login, "VER 1 MSNP9").unwrap();
    let error = say(&mut login, "911 3").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server answered error 911 (the sign-in was refused) instead of the answer to CVR"
    );
    assert!(matches!(
        say(&mut with_ticket(), "911 4"),
        Err(LoginError::Refused { .. })
    ));
}

#[test]
fn an_answer_to_something_else_is_refused() {
    for ((stage, trid), line) in [
        ((LoginStage::Version, 1), "VER 9 MSNP9"),
        ((LoginStage::ClientVersion, 2), "CVR x"),
        ((LoginStage::Account, 3), "USR 9 TWN S x"),
        ((LoginStage::Account, 3), "XFR 9 NS a"),
        ((LoginStage::SignIn, 4), "USR 9 OK a"),
    ] {
        let mut login = login(false, &[]);
        login.wait_for(stage, trid);
        assert!(
            matches!(say(&mut login, line), Err(LoginError::WrongTrid { .. })),
            "{line}"
        );
    }
}

#[test]
fn another_scheme_or_no_policy_is_an_error() {
    for line in [
        "USR 3 MD5 S 1013928519.693957190",
        "USR 3 TWN S",
        "USR 3 TWN S \u{e9}",
        "USR 3",
    ] {
        let mut login = login(false, &[]);
        login.wait_for(LoginStage::Account, 3);
        assert!(say(&mut login, line).is_err(), "{line}");
    }
}

#[test]
fn a_greeting_of_another_protocol_is_no_error_code() {
    let mut login = login(false, &[]);
    login.connected(&at("ns"));
    let error = say(&mut login, "220 mail.example ESMTP").unwrap_err();
    assert!(matches!(error, LoginError::Malformed { .. }));
}

#[test]
fn a_silent_server_is_asked_for_the_profile_twice() {
    let mut login = with_ticket();
    assert!(login.request_profile().is_none(), "not before the OK");
    say(&mut login, "USR 4 OK user@example.com Name 1 0").unwrap();
    assert_eq!(text(&login.request_profile().unwrap()), "SYN 5 0\r\n");
    assert_eq!(text(&login.request_profile().unwrap()), "CHG 6 HDN 0\r\n");
    assert!(login.request_profile().is_none());
}

#[test]
fn a_challenge_is_answered() {
    let mut login = with_ticket();
    say(&mut login, "USR 4 OK user@example.com Name 1 0").unwrap();
    assert_eq!(
        sent(say(&mut login, "CHL 0 15570131571988941333")),
        "QRY 5 msmsgs@msnmsgr.com 32\r\n8f2f5a91b72102cd28355e9fc9000d6e"
    );
}

#[test]
fn being_signed_out_ends_it() {
    let error = say(&mut with_ticket(), "OUT OTH").unwrap_err();
    assert_eq!(error.to_string(), "the server ended the session (OUT OTH)");
}

#[test]
fn a_server_that_never_stops_talking_is_stopped() {
    let mut login = with_ticket();
    let error = (0..=MAX_COMMANDS).find_map(|_| say(&mut login, "NLN NLN a@b.c").err());
    assert_eq!(error, Some(LoginError::TooManyCommands));
}

#[test]
fn a_refused_request_for_the_profile_leads_to_the_next() {
    let mut login = with_ticket();
    say(&mut login, "USR 4 OK user@example.com Name 1 0").unwrap();
    assert_eq!(text(&login.request_profile().unwrap()), "SYN 5 0\r\n");
    assert_eq!(sent(say(&mut login, "715 5")), "CHG 6 HDN 0\r\n");
    assert!(matches!(
        say(&mut login, "715 6"),
        Err(LoginError::Refused { .. })
    ));
}
