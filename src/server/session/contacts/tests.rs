use super::*;
use crate::msnp::challenge;
use crate::server::session::login::tests::{NONCE, answer_of, online, send};

#[test]
fn the_list_has_as_many_lines_as_announced() {
    assert_eq!(
        answer_of(&mut online("MSNP9"), "SYN 5 0"),
        "SYN 5 1 1 1\r\nGTC A\r\nBLP AL\r\nLSG 0 Other%20Contacts 0\r\n\
         LST reflector@contact.invalid Reflector 11 0\r\n"
    );
    assert_eq!(answer_of(&mut online("MSNP8"), "SYN 5 1"), "SYN 5 1\r\n");
    for (dialect, kind) in [("MSNP10", ""), ("MSNP11", ""), ("MSNP12", " 1")] {
        let mut session = online(dialect);
        let text = answer_of(&mut session, "SYN 5 0 0");
        let stamp = "2004-01-01T00:00:00.0000000-00:00";
        assert!(text.starts_with(&format!(
            "SYN 5 {stamp} {stamp} 1 1\r\nGTC A\r\nBLP AL\r\nPRP MFN user@example.com\r\n\
             LSG Other%20Contacts "
        )));
        let guids: Vec<_> = text.split("00000000-0000-0000-0000-00000000000").collect();
        assert_eq!(guids.len(), 4, "{text}");
        assert!(text.contains(&format!(" 11{kind} 0")), "{text}");
        let again = answer_of(&mut session, &format!("SYN 6 {stamp} {stamp}"));
        assert_eq!(again, format!("SYN 6 {stamp} {stamp}\r\n"));
    }
}

#[test]
fn presence_is_echoed() {
    let mut session = online("MSNP9");
    let first = answer_of(&mut session, "CHG 6 NLN 0 %3Cmsnobj/%3E extra");
    assert!(
        first.starts_with("CHG 6 NLN 0 %3Cmsnobj/%3E\r\nCHL 0 "),
        "{first}"
    );
    assert_eq!(answer_of(&mut session, "CHG 7 AWY"), "CHG 7 AWY 0\r\n");
    assert_eq!(answer_of(&mut session, "CHG 8 FLN 0"), "201 8\r\n");
    assert_eq!(answer_of(&mut session, "CHG 9"), "201 9\r\n");
    let first = answer_of(&mut online("MSNP8"), "CHG 6 NLN 0 object");
    assert!(first.starts_with("CHG 6 NLN 0\r\n"), "{first}");
}

#[test]
fn the_challenge_is_sent_once_and_must_be_answered() {
    let digits = format!("{:020}", NONCE % 10_u128.pow(20));
    for (product, code) in challenge::PRODUCTS {
        let mut session = online("MSNP9");
        let text = answer_of(&mut session, "CHG 6 NLN 0");
        assert_eq!(text, format!("CHG 6 NLN 0\r\nCHL 0 {digits}\r\n"));
        assert!(!answer_of(&mut session, "CHG 7 BSY 0").contains("CHL"));
        let right = challenge::answer(&digits, code);
        let query = format!("QRY 8 {product} 32\r\n{right}");
        assert_eq!(answer_of(&mut session, &query), "QRY 8\r\n");
        let (text, outcome) = send(&mut session, &query);
        assert_eq!(
            (&*text, outcome),
            ("540 8\r\n", Outcome::End(EndReason::ProtocolError))
        );
    }
    for wrong in [
        "QRY 8 msmsgs@msnmsgr.com 3\r\nabc",
        "QRY 8 PROD0061VRRZH@4F 0\r\n",
    ] {
        let mut session = online("MSNP9");
        answer_of(&mut session, "CHG 6 NLN 0");
        let (text, outcome) = send(&mut session, wrong);
        assert_eq!(
            (&*text, outcome),
            ("540 8\r\n", Outcome::End(EndReason::ProtocolError))
        );
    }
    // The answers of products that are not listed cannot be checked.
    let mut session = online("MSNP9");
    answer_of(&mut session, "CHG 6 NLN 0");
    let unknown = "QRY 8 PROD9999 32\r\n0123456789abcdef0123456789abcdef";
    assert_eq!(answer_of(&mut session, unknown), "QRY 8\r\n");
}

#[test]
fn later_dialects_are_not_challenged_and_any_answer_is_accepted() {
    let mut session = online("MSNP11");
    assert_eq!(answer_of(&mut session, "CHG 6 NLN 0"), "CHG 6 NLN 0\r\n");
    assert_eq!(answer_of(&mut session, "QRY 7 PROD 1\r\nx"), "QRY 7\r\n");
    assert!(answer_of(&mut online("MSNP10"), "CHG 6 NLN 0").contains("CHL 0 "));
}

#[test]
fn a_ping_is_answered() {
    assert_eq!(answer_of(&mut online("MSNP8"), "PNG"), "QNG\r\n");
    assert_eq!(answer_of(&mut online("MSNP9"), "PNG"), "QNG 60\r\n");
}

#[test]
fn changes_are_echoed_with_the_list_version_before_msnp10() {
    let mut session = online("MSNP9");
    for (line, answer) in [
        ("PRP 5 PHH 555%20123", "PRP 5 2 PHH 555%20123\r\n"),
        ("PRP 6 PHH", "PRP 6 3 PHH\r\n"),
        ("PRP 7 MFN x", "715 7\r\n"),
        ("PRP 8 XYZ x", "201 8\r\n"),
        (
            "REA 9 user@example.com Zoë",
            "REA 9 4 user@example.com Zoë\r\n",
        ),
        ("REA 10 user@example.com", "201 10\r\n"),
        ("GTC 11 A", "218 11\r\n"),
        ("GTC 12 N", "GTC 12 5 N\r\n"),
        ("BLP 13 BL", "BLP 13 6 BL\r\n"),
        ("BLP 14 BL", "218 14\r\n"),
        ("BLP 15 XX", "201 15\r\n"),
    ] {
        assert_eq!(answer_of(&mut session, line), answer);
    }
    let list = answer_of(&mut session, "SYN 16 0");
    assert!(
        list.starts_with("SYN 16 6 1 1\r\nGTC N\r\nBLP BL\r\n"),
        "{list}"
    );
    let long = format!("REA 17 user@example.com {}", "x".repeat(388));
    assert_eq!(answer_of(&mut session, &long), "209 17\r\n");
    let mut later = online("MSNP11");
    assert_eq!(answer_of(&mut later, "PRP 5 MFN Zoe"), "PRP 5 MFN Zoe\r\n");
    assert_eq!(answer_of(&mut later, "BLP 6 BL"), "BLP 6 BL\r\n");
    let list = answer_of(&mut later, "SYN 7 0 0");
    assert!(
        list.contains("\r\nBLP BL\r\nPRP MFN user@example.com\r\n"),
        "{list}"
    );
}

#[test]
fn unsupported_commands_are_refused_without_ending_the_session() {
    let mut session = online("MSNP9");
    for (line, answer) in [
        ("ADD 5 FL a@b.c a@b.c 0", "205 5\r\n"),
        ("REM 6 FL a@b.c", "201 6\r\n"),
        ("ADG 7 Friends 0", "201 7\r\n"),
        ("RMG 8 1", "224 8\r\n"),
        ("XFR 9 SB", "913 9\r\n"),
        ("URL 10 INBOX", "URL 10 /unused /unused 2\r\n"),
        ("UUX 11 3\r\nabc", "502 11\r\n"),
        ("SND 12 a@b.c", "502 12\r\n"),
        ("XYZ 13 whatever", "502 13\r\n"),
        ("XYZ whatever", ""),
        ("XYZ", ""),
    ] {
        assert_eq!(answer_of(&mut session, line), answer);
    }
    answer_of(&mut session, "CHG 14 HDN 0");
    assert_eq!(answer_of(&mut session, "XFR 15 SB"), "913 15\r\n");
    answer_of(&mut session, "CHG 16 NLN 0");
    assert_eq!(answer_of(&mut session, "XFR 17 SB"), "280 17\r\n");
    let (text, outcome) = send(&mut session, "MSG 18 N 1\r\nx");
    assert_eq!(
        (&*text, outcome),
        ("", Outcome::End(EndReason::ProtocolError))
    );
}

#[test]
fn the_commands_of_msnp11_are_answered() {
    let mut session = online("MSNP11");
    let text = answer_of(&mut session, "GCF 5 Shields.xml");
    let (head, xml) = text.split_once("\r\n").unwrap();
    assert_eq!(head, format!("GCF 5 Shields.xml {}", xml.len()));
    assert!(xml.starts_with("<?xml") && xml.ends_with("</config>"));
    assert_eq!(answer_of(&mut session, "UUX 6 3\r\nabc"), "UUX 6 0\r\n");
}
