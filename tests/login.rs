//! The main job on the built binary: real sockets, our server as a process of its own, and
//! servers that lie.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "login/lies.rs"]
mod lies;
#[path = "login/passport.rs"]
mod passport;

use std::time::{Duration, Instant};

use support::{Run, Scripted, Served, closed_port, tool};

/// Runs the tool against a scripted notification server, with honest Passport pages, and checks
/// what every failure owes: the label, the exit code, the JSON document, one line that names the
/// stage and the remedy.
fn fails(served: &Served, server: &Scripted, code: i32, error: &str, stage: &str) -> Run {
    let run =
        Run::of(
            served
                .tool_for(&server.address.to_string())
                .args(["--json", "--timeout", "5"]),
        );
    owes(&run, code, error, stage);
    run
}

fn owes(run: &Run, code: i32, error: &str, stage: &str) {
    let json = run.json();
    let shown = format!("{json:#}\n{}", run.stderr);
    assert_eq!(json["label"], "Unknown-Connect", "{shown}");
    assert_eq!(json["determined"], false, "{shown}");
    assert_eq!(json["error"]["code"], error, "{shown}");
    assert_eq!(json["error"]["stage"], stage, "{shown}");
    assert_eq!(json["exit_code"], code, "{shown}");
    assert_eq!(run.code, code, "{shown}");
    let remedy = json["error"]["remedy"].as_str().unwrap_or_default();
    assert!(!remedy.is_empty() && !remedy.contains('\n'), "{shown}");
}

#[test]
fn a_login_to_our_own_server_is_direct() {
    let served = Served::start(&[]);
    for order in ["auto", "swapped"] {
        let run = Run::of(served.tool().args(["--port-order", order]));
        assert_eq!(
            (run.stdout.as_str(), run.code),
            ("Direct-Connect\n", 0),
            "{}",
            run.stderr
        );
        assert!(
            run.stderr.contains("127.0.0.1"),
            "the story is told: {}",
            run.stderr
        );
    }
    let run = Run::of(served.tool().args(["--port-order", "plain", "--json"]));
    assert_eq!(run.json()["label"], "Port-Restrict-NAT");
}

#[test]
fn a_plain_order_server_is_understood() {
    let served = Served::start(&["--port-order", "plain"]);
    let run = Run::of(served.tool().arg("--json"));
    let json = run.json();
    assert_eq!(json["label"], "Direct-Connect", "{json:#}");
    assert_eq!(json["observed"]["client_port"]["order"], "plain");
    assert_eq!(json["observed"]["client_ip"]["ip"], "127.0.0.1");
    assert_eq!(json["comparison"]["port"], "same");
    assert_eq!(json["dialect"], "MSNP9");
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["error"], serde_json::Value::Null);
    assert!(
        json["timings_ms"]
            .as_array()
            .is_some_and(|stages| !stages.is_empty())
    );
    assert_eq!(
        json["local"]["port"],
        json["observed"]["client_port"]["port"]
    );
}

#[test]
fn a_dispatch_server_refers_and_is_followed() {
    let served = Served::start(&[]);
    let run = Run::of(
        served
            .tool_for(&served.at("dispatch").to_string())
            .arg("--json"),
    );
    let json = run.json();
    assert_eq!(json["label"], "Direct-Connect", "{json:#}");
    let referral = served.at("notification").to_string();
    assert_eq!(json["server"]["referrals"], serde_json::json!([referral]));
    assert_eq!(json["server"]["address"], referral.as_str());
}

#[test]
fn lockstep_and_every_dialect_log_in_too() {
    let served = Served::start(&[]);
    for extra in [
        ["--lockstep", "--quiet"],
        ["--dialect", "MSNP8"],
        ["--dialect", "MSNP10"],
        ["--dialect", "MSNP11"],
        ["--dialect", "MSNP12"],
    ] {
        let run = Run::of(served.tool().args(extra));
        assert_eq!(run.stdout, "Direct-Connect\n", "{extra:?}: {}", run.stderr);
    }
}

#[test]
fn the_local_end_can_be_chosen() {
    let served = Served::start(&[]);
    let port = closed_port().port();
    let run = Run::of(
        served
            .tool()
            .args(["--json", "--bind", &format!("127.0.0.3:{port}")]),
    );
    let json = run.json();
    assert_eq!(
        json["local"],
        serde_json::json!({ "ip": "127.0.0.3", "port": port })
    );
    assert_eq!(json["label"], "Direct-Connect");

    let run = Run::of(served.tool().args(["--json", "--bind", "203.0.113.99"]));
    assert!(
        ["bind-failed", "unreachable"].contains(&run.json()["error"]["code"].as_str().unwrap())
    );
    assert_eq!(run.code, 3);
}

#[test]
fn the_login_page_can_be_named_and_may_redirect() {
    let served = Served::start(&[]);
    let login = format!("https://{}/login2.srf", served.at("passport"));
    let run = Run::of(served.tool().args(["--login-url", &login]));
    assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);
}

#[test]
fn everything_can_come_from_the_environment() {
    let served = Served::start(&[]);
    let run = Run::of(
        tool()
            .env("MSNP9_SERVER", served.at("notification").to_string())
            .env("MSNP9_USER", "user@example.com")
            .env("MSNP9_PASSWORD", "secret")
            .env("MSNP9_NEXUS_URL", served.nexus())
            .env("MSNP9_CA_FILE", served.ca())
            .env("MSNP9_JSON", "1")
            .env("MSNP9_QUIET", "true")
            .env("MSNP9_EXPECT", "Symmetric-NAT,Direct-Connect"),
    );
    assert_eq!(
        (run.json()["label"].as_str(), run.code),
        (Some("Direct-Connect"), 0)
    );
    assert_eq!(run.json()["expected"]["met"], true);
    assert_eq!(run.stderr, "");
}

#[test]
fn the_environment_of_a_login_does_not_disturb_other_commands() {
    let run = Run::of(
        tool()
            .env("MSNP9_SERVER", "ns.example")
            .env("MSNP9_USER", "user@example.com")
            .args(["explain", "direct-connect"]),
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_label_that_was_not_expected_is_1() {
    let served = Served::start(&[]);
    let run = Run::of(served.tool().args(["--expect", "IP-Restrict-NAT"]));
    assert_eq!((run.stdout.as_str(), run.code), ("Direct-Connect\n", 1));
}

#[test]
fn a_wrong_password_is_4_with_the_servers_text() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = support::file(&dir, "accounts", "user@example.com:right\n");
    let served = Served::start(&["--accounts", accounts.to_str().unwrap()]);
    owes(
        &Run::of(served.tool().arg("--json")),
        4,
        "wrong-password",
        "login",
    );
    let run = Run::of(served.tool().env("MSNP9_PASSWORD", "right"));
    assert_eq!(run.stdout, "Direct-Connect\n");
    let run = Run::of(
        served
            .tool()
            .args(["--json", "--user", "nobody@example.com"]),
    );
    assert_eq!(
        (run.json()["label"].as_str(), run.code),
        (Some("Unknown-Connect"), 4)
    );
}

#[test]
fn the_password_may_come_from_a_file_or_stdin() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = support::file(&dir, "accounts", "user@example.com:a,b c%\n");
    let password = support::file(&dir, "password", "a,b c%\r\n");
    let served = Served::start(&["--accounts", accounts.to_str().unwrap()]);
    let run = Run::of(served.tool().arg("--password-file").arg(&password));
    assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);

    let stdin = std::fs::File::open(&password).unwrap();
    let run = Run::of(served.tool().args(["--password-file", "-"]).stdin(stdin));
    assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);
}

#[test]
fn a_closed_port_is_noticed_at_once() {
    let served = Served::start(&[]);
    let start = Instant::now();
    let run = Run::of(served.tool_for(&closed_port().to_string()).arg("--json"));
    owes(&run, 3, "connection-refused", "connect");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "no deadline was waited for"
    );
}

#[test]
fn a_name_that_is_none_is_3() {
    let served = Served::start(&[]);
    let run = Run::of(served.tool_for("no-such-host.invalid").arg("--json"));
    assert_eq!(
        (run.json()["error"]["stage"].as_str(), run.code),
        (Some("resolve"), 3)
    );
}
