//! `classify --invitation`, and the invitations of a capture.

use serde_json::{Value, json};
use support::capture::{CLIENT, RAW, SERVER, Talk, pcap};
use support::document::Document;
use support::{Run, tool};

/// What an official client behind a NAT sends, with one field that is wrong.
const INVITATION: &str = "INVITE MSNMSGR:c@d.example MSNSLP/1.0\r\nFrom: <msnmsgr:a@b.example>\r\n\
    Content-Type: application/x-msnmsgr-transreqbody\r\n\r\nBridges: TRUDPv1 TCPv1\r\nNetID: 124846283\r\n\
    Conn-Type: IP-Restrict-NAT\r\nTCP-Conn-Type: Symmetric-NAT\r\nUPnPNat: true\r\nICF: false\r\n\
    Hashed-Nonce: {00000000-SECRET}\r\nIPv4Internal-Addrs: 192.168.1.5\r\n\r\n\0";

const LOGIN: [&str; 6] = [
    "--local",
    "192.168.1.5:1033",
    "--client-ip",
    "203.0.113.7",
    "--client-port",
    "1033",
];

fn classify(words: &[&str]) -> Run {
    let all = [&["classify", "--invitation", "-"], words].concat();
    Run::with_stdin(&all, INVITATION)
}

/// Each field with its outcome and why.
fn fields(invitation: &Value) -> Vec<(&str, &str, &str)> {
    let fields = invitation["fields"].as_array().unwrap().iter();
    fields
        .map(|one| {
            let word = |key: &str| one[key].as_str().unwrap();
            (word("name"), word("outcome"), word("because"))
        })
        .collect()
}

#[test]
fn each_field_is_compared_with_the_profile() {
    let run = classify(&[&LOGIN[..], &["--json"]].concat());
    let document = run.json();
    assert_eq!(
        (run.code, &document["label"]),
        (0, &"IP-Restrict-NAT".into())
    );
    let invitation = &document["invitations"][0];
    assert_eq!(invitation["from"], "a@b.example");
    assert_eq!(
        (&invitation["form"], &invitation["by"]),
        (&"request".into(), &Value::Null)
    );
    let expected = [
        ("Bridges", "cannot-tell", "does-not-show"),
        ("NetID", "agrees", "same"),
        ("Conn-Type", "cannot-tell", "udp-not-tested"),
        ("TCP-Conn-Type", "disagrees", "other-label"),
        ("UPnPNat", "cannot-tell", "does-not-show"),
        ("ICF", "cannot-tell", "does-not-show"),
        ("Hashed-Nonce", "cannot-tell", "does-not-show"),
        ("IPv4Internal-Addrs", "agrees", "same"),
    ];
    assert_eq!(fields(invitation), expected);
    assert!(!run.stdout.contains("SECRET") && !run.stderr.contains("SECRET"));
    assert!(
        run.stderr.contains("NetID 124846283: agrees\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn without_a_profile_nothing_can_be_told() {
    let run = classify(&["--json"]);
    let document = run.json();
    assert_eq!(
        (run.code, &document["error"]["code"]),
        (5, &"no-profile".into())
    );
    let outcomes = fields(&document["invitations"][0]);
    assert!(
        outcomes
            .iter()
            .all(|(_, outcome, _)| *outcome == "cannot-tell"),
        "{outcomes:?}"
    );
    let none = Run::with_stdin(&["classify", "--invitation", "-", "--json"], "hello\n");
    let document = none.json();
    assert_eq!(
        (none.code, &document["error"]["code"]),
        (5, &"no-invitation".into())
    );
    assert_eq!(document["invitations"], json!([]));
    for words in [
        &["--local", "192.168.1.5:1", "--profile", "-"][..],
        &["--client-ip", "1.2.3.4"],
        &["--pcap", "x"],
    ] {
        assert_eq!(classify(words).code, 2, "{words:?}");
    }
    let missing = Run::of(tool().args(["classify", "--invitation", "/nonexistent/x"]));
    assert!(
        missing.code == 2 && missing.stderr.contains("--invitation: cannot read"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_masked_net_id_is_that_of_the_masked_address() {
    let run = classify(&[&LOGIN[..], &["--json", "--redact"]].concat());
    let document = run.json();
    let ip: std::net::Ipv4Addr = document["observed"]["client_ip"]["ip"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let fields = &document["invitations"][0]["fields"];
    let id = i32::from_le_bytes(ip.octets());
    assert_eq!(fields[1]["text"], id.to_string());
    assert_ne!(id, 124_846_283);
    assert!(
        !run.stdout.contains("a@b.example") && !run.stdout.contains("192.168.1.5"),
        "{}",
        run.stdout
    );
}

#[test]
fn every_format_has_a_result() {
    for format in [
        "label",
        "ndjson",
        "report",
        "html",
        "nagios",
        "prometheus",
        "junit",
        "github",
    ] {
        let run = classify(&[&LOGIN[..], &["--format", format]].concat());
        assert_eq!(run.code, 0, "{format}: {}", run.stderr);
        let is_page = ["report", "html", "junit"].contains(&format);
        assert_eq!(
            run.stdout.contains("NetID 124846283: agrees"),
            is_page,
            "{format}: {}",
            run.stdout
        );
    }
}

/// A conversation in which somebody sends the invitation.
fn conversation(client: &str, from: usize) -> Vec<Vec<u8>> {
    let mut body = b"MIME-Version: 1.0\r\nContent-Type: application/x-msnmsgrp2p\r\n\r\n".to_vec();
    body.extend([0; 16]);
    body.extend((INVITATION.len() as u64).to_le_bytes());
    body.extend((INVITATION.len() as u32).to_le_bytes());
    body.extend([0; 20]);
    body.extend(INVITATION.as_bytes());
    body.extend([0; 4]);
    let head = match from {
        CLIENT => format!("MSG 5 D {}\r\n", body.len()),
        _ => format!("MSG c@d.example nick {}\r\n", body.len()),
    };
    let talk = Talk::new(client, "203.0.113.10:1863")
        .open()
        .say(CLIENT, "USR 1 a@b.example 1.2\r\n");
    talk.say(from, [head.into_bytes(), body].concat())
        .close()
        .packets
}

#[test]
fn invitations_of_a_capture_belong_to_the_session_of_their_client() {
    let session = Talk::session(
        "192.168.1.5:1033",
        "203.0.113.9:1863",
        "203.0.113.7",
        "1033",
    )
    .packets;
    let other = Talk::session(
        "192.168.1.6:1034",
        "203.0.113.9:1863",
        "203.0.113.7",
        "1034",
    )
    .packets;
    let read = |packets: &[Vec<u8>]| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture");
        std::fs::write(&path, pcap(RAW, packets, usize::MAX)).unwrap();
        let run = Run::of(tool().args(["classify", "--json", "--pcap"]).arg(&path));
        (run.document(Document::Capture), run.stderr)
    };
    let own = conversation("192.168.1.5:1040", CLIENT);
    let theirs = conversation("192.168.1.5:1041", SERVER);
    let (document, report) = read(&[session, other, own.clone(), theirs].concat());
    let told = document["sessions"][0]["invitations"].as_array().unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&told[0]["by"], fields(&told[0])[1]),
        (&"client".into(), ("NetID", "agrees", "same"))
    );
    assert_eq!(told[1]["by"], "contact");
    assert_eq!(
        fields(&told[1])[1],
        ("NetID", "cannot-tell", "not-observed")
    );
    assert_eq!(document["sessions"][1]["invitations"], Value::Null);
    assert_eq!(document["invitations"], json!([]));
    assert!(
        report.contains("        NetID 124846283: agrees\n"),
        "{report}"
    );
    // Of a client without a session.
    let (document, _) = read(&own);
    assert_eq!(document["error"]["code"], "no-session");
    assert_eq!(
        fields(&document["invitations"][0])[1],
        ("NetID", "cannot-tell", "not-observed")
    );
}
