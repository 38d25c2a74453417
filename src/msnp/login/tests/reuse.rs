//! A ticket of an earlier login.

use super::*;

const POLICY_3: &str = "USR 3 TWN S lc=1033,id=507";
const CVR_2: &str = "CVR 2 6 6 1 http://a http://b";

/// A login that has sent a ticket ahead, as transaction 4, and got these answers.
fn ahead(answers: &[&str]) -> Login {
    let mut login = login(false, &[]);
    let out = login.connected_again(&at("ns"), Dialect::MSNP9, &SecretString::from("t=x&p=y"));
    assert!(text(&out).ends_with("\r\nUSR 4 TWN S t=x&p=y\r\n"));
    for line in answers {
        let step = say(&mut login, line);
        assert!(matches!(step, Ok(Step::Wait)), "{line}: {step:?}");
    }
    login
}

/// Checks that the login begins again in the usual way.
#[track_caller]
fn begins_again(login: &mut Login, step: Result<Step, LoginError>) {
    assert!(
        matches!(step, Ok(Step::Reconnect(Retry::NewTicket))),
        "{step:?}"
    );
    assert!(!login.is_reusing());
    let out = login.connected(&at("ns"));
    let lines: Vec<_> = text(&out).split("\r\n").collect();
    assert!(lines[0].ends_with(" MSNP9 MSNP8 CVR0"), "{lines:?}");
    assert!(lines[1].starts_with("CVR ") && lines[2].contains(" TWN I "));
    assert_eq!(lines[3..], [""]);
    // A second time nothing is tried again but what the usual way tries.
    let refusal = format!("911 {}", login.awaited);
    assert!(matches!(
        say(login, &refusal),
        Err(LoginError::Refused { .. })
    ));
}

#[test]
fn a_ticket_of_an_earlier_login_goes_out_with_the_first_commands() {
    let mut login = login(false, &[]);
    let out = login.connected_again(&at("ns"), Dialect::MSNP9, &SecretString::from("t=x&p=y"));
    assert_eq!(
        text(&out),
        "VER 1 MSNP9 MSNP8 CVR0\r\n\
         CVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS user@example.com\r\n\
         USR 3 TWN I user@example.com\r\nUSR 4 TWN S t=x&p=y\r\n"
    );
    assert!(!format!("{out:?}").contains("t=x"));
}

#[test]
fn every_order_of_answers_to_a_ticket_ahead_leads_to_the_profile() {
    let ok = "USR 4 OK user@example.com Name 1 0";
    for answers in [
        &["VER 1 MSNP9", CVR_2, POLICY_3, ok][..],
        // The answer to CVR left out, and configuration ahead of the answer.
        &["VER 1 MSNP9", POLICY_3, "GCF 0 5\r\n<xml>", ok],
        // The profile before the OK.
        &["VER 1 MSNP9", CVR_2, POLICY_3],
    ] {
        let mut login = ahead(answers);
        assert_eq!(login.is_reusing(), answers.last() != Some(&ok));
        let step = say(&mut login, &profile_message());
        assert!(matches!(step, Ok(Step::Profile(_))), "{answers:?}");
    }
}

#[test]
fn an_error_for_any_of_the_four_begins_again_the_usual_way() {
    for (answers, trid) in [
        (&[][..], "1"),
        (&["VER 1 MSNP9"], "2"),
        (&["VER 1 MSNP9", CVR_2], "3"),
        (&["VER 1 MSNP9", CVR_2, POLICY_3], "4"),
    ] {
        for code in ["911", "928", "715", "200", "500", "931"] {
            let mut login = ahead(answers);
            let step = say(&mut login, &format!("{code} {trid}"));
            begins_again(&mut login, step);
        }
    }
}

#[test]
fn any_other_answer_to_a_ticket_ahead_begins_again_the_usual_way() {
    for (answers, line) in [
        (&[][..], "VER 1 0"),
        (&[], "VER 9 MSNP9"),
        (&[], "220 mail.example ESMTP"),
        (&["VER 1 MSNP9", CVR_2], "USR 3 MD5 S 1013928519.69"),
        (&["VER 1 MSNP9", CVR_2], "USR 4 OK user@example.com Name"),
        (&["VER 1 MSNP9", CVR_2], "XFR 3 NS 0"),
        (&["VER 1 MSNP9", CVR_2], "XFR 3 NS ns"),
        (&["VER 1 MSNP9", CVR_2, POLICY_3], "USR 4 NO"),
        (&["VER 1 MSNP9", CVR_2, POLICY_3], "USR 5 OK a"),
        (&["VER 1 MSNP9", CVR_2, POLICY_3], "OUT OTH"),
    ] {
        let mut login = ahead(answers);
        let step = say(&mut login, line);
        begins_again(&mut login, step);
    }
}

#[test]
fn a_close_before_the_ok_begins_again_the_usual_way() {
    for answers in [
        &[][..],
        &["VER 1 MSNP9"],
        &["VER 1 MSNP9", CVR_2],
        &["VER 1 MSNP9", CVR_2, POLICY_3],
    ] {
        for midway in [false, true] {
            let mut login = ahead(answers);
            let step = login.closed(midway);
            begins_again(&mut login, step);
        }
    }
    let mut accepted = ahead(&["VER 1 MSNP9", CVR_2, POLICY_3, "USR 4 OK a b 1 0"]);
    assert!(matches!(
        accepted.closed(false),
        Err(LoginError::Closed {
            stage: LoginStage::Profile,
            ..
        })
    ));
}

#[test]
fn a_referral_is_followed_and_the_ticket_is_not_lost_by_it() {
    for (answers, referral) in [
        (&["VER 1 MSNP9"][..], "XFR 3 NS ns2"),
        (&["VER 1 MSNP9", CVR_2], "XFR 3 NS ns2"),
        (&["VER 1 MSNP9", CVR_2, POLICY_3], "XFR 4 NS ns2"),
    ] {
        let mut login = ahead(answers);
        let Ok(Step::Refer(to)) = say(&mut login, referral) else {
            panic!("{referral} was not followed");
        };
        assert!(!login.is_reusing());
        let out = login.connected(&to);
        assert!(!text(&out).contains(" TWN S "));
        assert!(matches!(
            say(&mut login, "911 5"),
            Err(LoginError::Refused { .. })
        ));
    }
}

#[test]
fn the_dialect_of_last_time_decides_what_is_offered_with_a_ticket() {
    let ticket = SecretString::from("t=x");
    for (chosen, last, offered) in [
        (&[][..], Dialect::MSNP8, "MSNP9 MSNP8"),
        (&[], Dialect::MSNP12, "MSNP12 MSNP11 MSNP10"),
        (&[Dialect::MSNP8], Dialect::MSNP12, "MSNP8"),
    ] {
        let mut login = login(false, chosen);
        let out = login.connected_again(&at("ns"), last, &ticket);
        assert!(text(&out).starts_with(&format!("VER 1 {offered} CVR0\r\n")));
    }
    // A server that has become older is asked as if nothing were known of it.
    let mut login = login(false, &[]);
    login.connected_again(&at("ns"), Dialect::MSNP12, &ticket);
    let step = say(&mut login, "VER 1 0");
    begins_again(&mut login, step);
}

#[test]
fn in_lockstep_no_ticket_goes_ahead() {
    let mut login = login(true, &[]);
    let out = login.connected_again(&at("ns"), Dialect::MSNP9, &SecretString::from("t=x"));
    assert_eq!(text(&out), "VER 1 MSNP9 MSNP8 CVR0\r\n");
    assert!(!login.is_reusing());
}

#[test]
fn a_ticket_handed_in_when_asked_for_may_be_refused_too() {
    let asked = || {
        let mut login = login(false, &[]);
        login.connected(&at("ns"));
        for line in ["VER 1 MSNP9", CVR_2, POLICY_3] {
            say(&mut login, line).unwrap();
        }
        let out = login.reuse(&SecretString::from("t=x"));
        assert_eq!(text(&out), "USR 4 TWN S t=x\r\n");
        login
    };
    let mut refused = asked();
    let step = say(&mut refused, "911 4");
    begins_again(&mut refused, step);
    let mut taken = asked();
    say(&mut taken, "USR 4 OK a b 1 0").unwrap();
    assert!(!taken.is_reusing());
}
