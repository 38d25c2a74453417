//! UDP echo: `probe`, and `--udp-echo` beside a login.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::document::Document;
use support::{Process, Run, Serve, tool};

fn serve() -> (Serve, String) {
    let served = Serve::start(&["--udp-echo", "127.0.0.1:0,127.0.0.2:0"]);
    let at = served.addresses()["udp_echo"][0]
        .as_str()
        .unwrap()
        .to_owned();
    (served, at)
}

fn probe(at: &str, options: &[&str]) -> Run {
    Run::of(tool().args(["probe", "--udp-echo", at]).args(options))
}

#[test]
fn a_probe_prints_the_label_of_udp_in_each_format() {
    let (_served, at) = serve();
    let label = probe(&at, &["-q"]);
    assert_eq!((label.stdout.as_str(), label.code), ("Direct-Connect\n", 0));
    for option in ["json", "ndjson"] {
        let document = probe(&at, &["--format", option]).document(Document::Probe);
        assert_eq!(document["label"], "Direct-Connect");
        let udp_echo = &document["probes"]["udp_echo"];
        assert_eq!(udp_echo["tests"]["first"]["outcome"], "answered");
        assert_eq!(udp_echo["tests"]["third"]["outcome"], "not-run");
        assert_eq!(udp_echo["local"], udp_echo["outside"]);
    }
    let report = probe(&at, &["--format", "report"]);
    assert!(
        report.stdout.starts_with("UDP echo: Direct-Connect\n"),
        "{}",
        report.stdout
    );
    assert_eq!(report.stderr, "");
    for (format, part) in [
        ("html", "<h1 id=\"label\">Direct-Connect</h1>"),
        ("nagios", "MSNP9 OK - Direct-Connect, seen as 127.0.0.1:"),
        ("prometheus", "msnp9_conntype_probe_determined 1\n"),
        ("junit", "failures=\"0\""),
        ("github", "::notice title=Direct-Connect::"),
    ] {
        let run = probe(&at, &["--format", format]);
        assert_eq!(run.code, 0, "{format}: {}", run.stderr);
        assert!(run.stdout.contains(part), "{format}: {}", run.stdout);
    }
}

#[test]
fn expected_labels_of_udp_give_the_exit_code() {
    let (_served, at) = serve();
    assert_eq!(probe(&at, &["--expect", "Firewall,Direct-Connect"]).code, 0);
    assert_eq!(probe(&at, &["--expect", "ISALike"]).code, 1);
    assert_eq!(probe(&at, &["--expect", "Unknown-NAT"]).code, 2);
}

#[test]
fn a_port_where_nobody_listens_is_an_error_at_once() {
    let closed = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let run = probe(&closed.to_string(), &["--json"]);
    let document = run.document(Document::Probe);
    assert_eq!(document["label"], "Unknown-Connect");
    assert_eq!(
        document["probes"]["udp_echo"]["error"]["code"],
        "connection-refused"
    );
    assert_eq!(document["probes"]["udp_echo"]["error"]["stage"], "udp-echo");
    assert_eq!(run.code, 3);
}

#[test]
fn silence_is_a_firewall_and_the_time_limit_counts() {
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = mute.local_addr().unwrap().to_string();
    let began = Instant::now();
    let run = probe(&at, &["-q"]);
    assert_eq!((run.stdout.as_str(), run.code), ("Firewall\n", 0));
    assert!(began.elapsed().as_secs() < 4);
    let run = probe(&at, &["--json", "--timeout", "0.2"]);
    let document = run.document(Document::Probe);
    assert_eq!(document["label"], "Unknown-Connect");
    assert_eq!(document["probes"]["udp_echo"]["error"]["code"], "timeout");
}

#[test]
fn a_signal_ends_a_probe_with_its_document() {
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = mute.local_addr().unwrap().to_string();
    let mut command = tool();
    command.args(["probe", "--udp-echo", &at, "--json", "-v"]);
    let process = Process::start(command).unwrap();
    // The request is there, so the tool listens for signals.
    mute.recv_from(&mut [0; 64]).unwrap();
    process.signal(Signal::SIGINT).unwrap();
    let run = Run::from(process.finish(Duration::from_secs(20)).unwrap());
    let document = run.document(Document::Probe);
    assert_eq!(document["label"], "Unknown-Connect");
    let error = &document["probes"]["udp_echo"]["error"];
    assert_eq!(error["code"], "interrupted");
    assert_eq!(run.code, 130);
}

#[test]
fn beside_a_login_the_label_stays_that_of_tcp() {
    let (served, at) = serve();
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap().to_string();
    for (server, udp) in [(&at, "Direct-Connect"), (&mute, "Firewall")] {
        let run = Run::of(served.tool().args(["--udp-echo", server]));
        assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);
        assert!(
            run.stderr.contains(&format!("UDP echo: {udp}")),
            "{}",
            run.stderr
        );
    }
    let document = Run::of(served.tool().args(["--json", "--udp-echo", &at])).json();
    assert_eq!(document["probes"]["udp_echo"]["label"], "Direct-Connect");
    assert_eq!(document["label"], "Direct-Connect");
    // Miranda decides by it.
    assert_eq!(document["clients"][2]["client"], "miranda");
    assert_eq!(document["clients"][2]["label"], "Direct-Connect");
    let page = Run::of(served.tool().args(["--format", "html", "--udp-echo", &at]));
    assert!(page.stdout.contains("<h2>UDP echo: Direct-Connect</h2>"));
    let without = Run::of(served.tool().arg("--json")).json();
    assert!(without["probes"]["udp_echo"].is_null());
    assert!(without["clients"][2]["label"].is_null());
}

#[test]
fn a_login_that_fails_still_has_the_label_of_udp() {
    let (served, at) = serve();
    let mut command = served.tool_for(support::closed_port());
    let run = Run::of(command.args(["--json", "--udp-echo", &at]));
    let document = run.json();
    assert_eq!(document["error"]["code"], "connection-refused");
    assert_eq!(document["probes"]["udp_echo"]["label"], "Direct-Connect");
    assert_eq!(run.code, 3);
}

#[test]
fn another_client_ip_than_that_of_udp_is_isalike() {
    let (served, at) = serve();
    let notification = support::Scripted::answering(|line| {
        let profile = support::profile_message("203.0.113.7", "40000");
        Some(support::honest(line, &profile))
    });
    let mut command = served.tool_for(notification.address);
    let document = Run::of(command.args(["--json", "--udp-echo", &at])).json();
    assert_eq!(
        document["probes"]["udp_echo"]["label"], "ISALike",
        "{document:#}"
    );
    assert_eq!(document["label"], "Symmetric-NAT");
}

#[test]
fn a_masked_report_shows_no_address_of_the_probe() {
    let (served, at) = serve();
    let run = probe(&at, &["--redact", "--json", "-v"]);
    let document = run.document(Document::Probe);
    assert_eq!(document["redacted"], true);
    let login = ["--redact", "--json", "--udp-echo", &at];
    let login = Run::of(served.tool().args(login));
    assert_eq!(
        login.json()["probes"]["udp_echo"]["label"],
        "Direct-Connect"
    );
    let port = at.split(':').next_back().unwrap();
    for text in [&run.stdout, &run.stderr, &login.stdout, &login.stderr] {
        assert!(!text.contains(port), "{text}");
    }
}
