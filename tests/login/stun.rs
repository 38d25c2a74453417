//! STUN: `probe --stun`, with servers that keep to RFC 5780 and servers that do not.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use support::document::Document;
use support::scripted::Scripted;
use support::stun_server::{Lie, StunServer};
use support::{Process, Run, Serve, closed_port, tool};

fn probe(servers: &[&str], options: &[&str]) -> Run {
    let servers = servers.iter().flat_map(|at| ["--stun", at]);
    Run::of(tool().arg("probe").args(servers).args(options))
}

fn against(lie: Lie) -> Value {
    let server = StunServer::start(lie);
    let run = probe(&[&server.address.to_string()], &["--json"]);
    run.document(Document::Probe)
}

/// Why the filtering is not known.
fn reason(stun: &Value) -> &str {
    let unknown = stun["unknown"].as_array().unwrap();
    let filtering = unknown.iter().find(|one| one["what"] == "filtering");
    filtering.map_or("", |one| one["reason"].as_str().unwrap())
}

#[test]
fn a_server_tells_only_what_it_shows() {
    // Every server sees a NAT that lets everything in, which older tools report of some of these.
    let eim = Value::from("endpoint-independent");
    for (lie, label, mapping, filtering, why) in [
        (Lie::None, "IP-Restrict-NAT", &eim, &eim, ""),
        (Lie::Rewritten, "IP-Restrict-NAT", &eim, &eim, ""),
        (Lie::Floods, "IP-Restrict-NAT", &eim, &eim, ""),
        (
            Lie::Plain,
            "Unknown-Connect",
            &Value::Null,
            &Value::Null,
            "no-other-address",
        ),
        (
            Lie::IgnoresChange,
            "Unknown-Connect",
            &eim,
            &Value::Null,
            "change-ignored",
        ),
        (
            Lie::DropsChange,
            "Unknown-Connect",
            &eim,
            &Value::Null,
            "change-not-seen",
        ),
        (
            Lie::RefusesChange,
            "Unknown-Connect",
            &eim,
            &Value::Null,
            "change-refused",
        ),
        (
            Lie::OtherIsItself,
            "Unknown-Connect",
            &Value::Null,
            &Value::Null,
            "no-other-address",
        ),
        (
            Lie::OtherIsElsewhere,
            "Unknown-Connect",
            &Value::Null,
            &Value::Null,
            "no-other-address",
        ),
        (
            Lie::WrongNumber,
            "Firewall",
            &Value::Null,
            &Value::Null,
            "no-answer",
        ),
        (
            Lie::Truncated,
            "Firewall",
            &Value::Null,
            &Value::Null,
            "no-answer",
        ),
        (
            Lie::Silent,
            "Firewall",
            &Value::Null,
            &Value::Null,
            "no-answer",
        ),
    ] {
        let document = against(lie);
        let stun = &document["probes"]["stun"][0];
        let found = (&document["label"], &stun["mapping"], &stun["filtering"]);
        assert_eq!(
            found,
            (&label.into(), mapping, filtering),
            "{lie:?}: {stun}"
        );
        assert_eq!(reason(stun), why, "{lie:?}: {stun}");
        let is_ignored = stun["ignored"].as_u64() > Some(0);
        let sends_others = matches!(lie, Lie::Floods | Lie::WrongNumber | Lie::Truncated);
        assert_eq!(is_ignored, sends_others, "{lie:?}: {stun}");
        let is_known = label != "Unknown-Connect";
        assert_eq!(document["determined"], is_known, "{lie:?}");
        assert_eq!(
            document["exit_code"],
            if is_known { 0 } else { 5 },
            "{lie:?}"
        );
        let is_told = stun["error"]["code"] == "inconclusive";
        assert_eq!(is_told, !is_known, "{lie:?}");
    }
}

#[test]
fn a_server_that_errs_and_a_closed_port_are_errors_at_once() {
    let document = against(Lie::Errs);
    let error = &document["probes"]["stun"][0]["error"];
    let message = error["message"].as_str().unwrap();
    assert!(message.ends_with("answers with error 500"), "{message}");
    assert_eq!(document["exit_code"], 3);

    let closed = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let document = probe(&[&closed.to_string()], &["--json"]).document(Document::Probe);
    let error = &document["probes"]["stun"][0]["error"];
    assert_eq!(error["code"], "connection-refused");
}

#[test]
fn the_deadline_and_a_signal_end_the_tests_with_a_document_for_each_server() {
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = mute.local_addr().unwrap().to_string();
    let document = probe(&[&at], &["--json", "--timeout", "1"]).document(Document::Probe);
    assert_eq!(document["probes"]["stun"][0]["error"]["code"], "timeout");
    assert_eq!(document["exit_code"], 3);

    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = mute.local_addr().unwrap().to_string();
    let mut command = tool();
    command.args(["probe", "--stun", &at, "--stun", &at, "--json"]);
    let process = Process::start(command).unwrap();
    // The request is there, so the tool listens for signals.
    mute.recv_from(&mut [0; 64]).unwrap();
    process.signal(Signal::SIGINT).unwrap();
    let run = Run::from(process.finish(Duration::from_secs(20)).unwrap());
    let document = run.document(Document::Probe);
    for at in [0, 1] {
        let error = &document["probes"]["stun"][at]["error"];
        assert_eq!(error["code"], "interrupted");
    }
    assert_eq!(run.code, 130);
}

#[test]
fn the_first_server_that_tells_the_label_gives_it() {
    let servers = [Lie::Plain, Lie::None].map(StunServer::start);
    let [plain, full] = [0, 1].map(|at| servers[at].address.to_string());
    let run = probe(&[&plain, &full], &["--json"]);
    let document = run.document(Document::Probe);
    assert_eq!(document["label"], "IP-Restrict-NAT");
    assert_eq!(document["probes"]["stun"][0]["label"], "Unknown-Connect");
    let label = probe(&[&format!("{plain},{full}")], &["-q"]);
    assert_eq!(label.stdout, "IP-Restrict-NAT\n");
    let report = probe(&[&full], &["--format", "report"]);
    let heading = format!("STUN, {full}: IP-Restrict-NAT\n");
    assert!(report.stdout.starts_with(&heading), "{}", report.stdout);
}

#[test]
fn udp_echo_gives_the_label_where_both_are_asked() {
    let served = Serve::start(&["--udp-echo", "127.0.0.1:0,127.0.0.2:0"]);
    let echo = served.addresses()["udp_echo"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let server = StunServer::start(Lie::None);
    let run = probe(
        &[&server.address.to_string()],
        &["--udp-echo", &echo, "--json"],
    );
    let document = run.document(Document::Probe);
    assert_eq!(document["label"], "Direct-Connect");
    assert_eq!(document["probes"]["stun"][0]["label"], "IP-Restrict-NAT");
}

#[test]
fn a_masked_report_shows_no_address_of_a_server() {
    let server = StunServer::start(Lie::None);
    let at = server.address.to_string();
    let run = probe(&[&at], &["--json", "--redact"]);
    let port = server.address.port().to_string();
    let text = run.stdout.clone() + &run.stderr;
    let words: Vec<_> = text.split(|c: char| !c.is_ascii_digit()).collect();
    assert!(!words.contains(&port.as_str()), "{text}");
    assert_eq!(run.document(Document::Probe)["redacted"], true);
}

#[test]
fn options_that_make_no_sense_are_usage_errors() {
    assert_eq!(Run::of(tool().arg("probe")).code, 2);
    let nine = vec!["127.0.0.1"; 9];
    let run = probe(&nine, &[]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("at most 8 servers"), "{}", run.stderr);
}

/// A server over TCP that answers a request with these bytes, made of the request.
fn over_tcp(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |stream, _| {
        let mut request = [0; 20];
        if stream.read_exact(&mut request).is_ok() {
            // The client may be gone already.
            let _ = stream.write_all(&answer(&request));
        }
    })
}

/// An answer that sees 203.0.113.7:4000.
fn sees(request: &[u8]) -> Vec<u8> {
    let attribute = [0, 1, 0, 8, 0, 1, 0x0f, 0xa0, 203, 0, 113, 7];
    [&[1, 1, 0, 12], &request[4..20], &attribute].concat()
}

fn asked_over_tcp(servers: &[&Scripted]) -> Run {
    let servers = servers
        .iter()
        .map(|server| format!("--stun=tcp://{}", server.address));
    Run::of(
        tool()
            .arg("probe")
            .args(servers)
            .args(["--json", "--timeout", "9"]),
    )
}

#[test]
fn over_tcp_a_server_tells_the_outside_end() {
    let honest = over_tcp(sees);
    let run = asked_over_tcp(&[&honest]);
    let document = run.document(Document::Probe);
    let stun = &document["probes"]["stun"][0];
    assert_eq!(stun["transport"], "tcp");
    assert_eq!(stun["outside"]["port"], 4000, "{stun}");
    assert_eq!(stun["label"], Value::Null);
    assert_eq!(
        (&stun["mapping"], &stun["port_kept"]),
        (&Value::Null, &false.into())
    );
    assert_eq!(reason(stun), "over-tcp");
    // There is no label of UDP, and the server answered.
    assert_eq!(
        (run.code, &document["label"]),
        (0, &"Unknown-Connect".into())
    );
}

#[test]
fn over_tcp_what_is_no_answer_is_an_error() {
    let no_answer: fn(&[u8]) -> Vec<u8> = |_| Vec::new();
    for (answer, code, exit) in [
        (no_answer, "connection-reset", 3),
        (
            |request| sees(request)[..10].to_vec(),
            "connection-reset",
            3,
        ),
        (
            |request| sees(request)[..30].to_vec(),
            "connection-reset",
            3,
        ),
        (|_| vec![b'x'; 4096], "connection-failed", 3),
        (
            |request| sees(&[request, &[9; 20]].concat()[8..]),
            "connection-failed",
            3,
        ),
        (
            |request| [&[1, 1, 0, 4], &request[4..20], &[0x80, 0x22, 0, 0]].concat(),
            "connection-failed",
            3,
        ),
    ] {
        let server = over_tcp(answer);
        let run = asked_over_tcp(&[&server]);
        let document = run.document(Document::Probe);
        let error = &document["probes"]["stun"][0]["error"];
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(run.code, exit, "{}", run.stderr);
    }
    let closed = closed_port();
    let run = Run::of(tool().args(["probe", "--json", &format!("--stun=tcp://{closed}")]));
    let document = run.document(Document::Probe);
    let error = &document["probes"]["stun"][0]["error"];
    assert_eq!(error["code"], "connection-refused", "{error}");
}
