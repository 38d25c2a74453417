//! Logins to our own server: every kind that succeeds, and failures that need no other server.

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Run, Serve, closed_port, file, text, tool};

/// The document of a login whose local port reads differently with its bytes exchanged: one port in
/// 256 does not.
fn with_two_readings(log_in: impl Fn() -> Run) -> Value {
    loop {
        let json = log_in().json();
        let port = json["local"]["port"].as_u64().unwrap();
        if port / 256 != port % 256 {
            return json;
        }
    }
}

#[test]
fn a_login_to_our_own_server_is_direct() {
    let served = Serve::start(&[]);
    for order in ["auto", "swapped"] {
        let run = Run::of(served.tool().args(["--port-order", order]));
        assert_eq!(
            (run.stdout.as_str(), run.code),
            ("Direct-Connect\n", 0),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("127.0.0.1"), "a report: {}", run.stderr);
    }
    let json =
        with_two_readings(|| Run::of(served.tool().args(["--port-order", "plain", "--json"])));
    assert_eq!(json["label"], "Port-Restrict-NAT", "{json:#}");
}

#[test]
fn a_server_with_plain_port_order_is_recognized() {
    let served = Serve::start(&["--port-order", "plain"]);
    let json = with_two_readings(|| Run::of(served.tool().arg("--json")));
    assert_eq!(json["label"], "Direct-Connect", "{json:#}");
    assert_eq!(json["observed"]["client_port"]["order"], "plain");
    assert_eq!(json["observed"]["client_ip"]["ip"], "127.0.0.1");
    assert_eq!(json["comparison"]["port"], "same");
    assert_eq!(json["dialect"], "MSNP9");
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["error"], Value::Null);
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
fn a_referral_is_followed() {
    let served = Serve::start(&[]);
    let run = Run::of(served.tool_for(served.at("dispatch")).arg("--json"));
    let json = run.json();
    assert_eq!(json["label"], "Direct-Connect", "{json:#}");
    let referral = served.at("notification").to_string();
    assert_eq!(json["server"]["referrals"], serde_json::json!([referral]));
    assert_eq!(json["server"]["address"], referral.as_str());
}

#[test]
fn lockstep_and_every_dialect_log_in() {
    let served = Serve::start(&[]);
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
    let served = Serve::start(&[]);
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
fn the_login_page_can_be_given() {
    let served = Serve::start(&[]);
    let login = format!("https://{}/login2.srf", served.at("passport"));
    let run = Run::of(served.tool().args(["--login-url", &login]));
    assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);
}

#[test]
fn everything_can_come_from_the_environment() {
    let served = Serve::start(&[]);
    let run = Run::of(
        tool()
            .env("MSNP9_SERVER", served.at("notification").to_string())
            .env("MSNP9_USER", "user@example.com")
            .env("MSNP9_PASSWORD", "secret")
            .env("MSNP9_NEXUS_URL", served.nexus_url())
            .env("MSNP9_CA_FILE", served.ca_file())
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
fn the_variables_of_a_login_do_not_affect_other_commands() {
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
    let served = Serve::start(&[]);
    let run = Run::of(served.tool().args(["--expect", "IP-Restrict-NAT"]));
    assert_eq!((run.stdout.as_str(), run.code), ("Direct-Connect\n", 1));
}

#[test]
fn a_wrong_password_is_4_with_the_servers_text() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = file(&dir, "accounts", "user@example.com:right\n");
    let served = Serve::start(&["--accounts", text(&accounts)]);
    Run::of(served.tool().arg("--json")).assert_failure(4, "wrong-password", "login");
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
    let accounts = file(&dir, "accounts", "user@example.com:a,b c%\n");
    let password = file(&dir, "password", "a,b c%\r\n");
    let served = Serve::start(&["--accounts", text(&accounts)]);
    let run = Run::of(served.tool().arg("--password-file").arg(&password));
    assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);

    let stdin = std::fs::File::open(&password).unwrap();
    let run = Run::of(served.tool().args(["--password-file", "-"]).stdin(stdin));
    assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);
}

#[test]
fn a_closed_port_fails_at_once() {
    let served = Serve::start(&[]);
    let start = Instant::now();
    let run = Run::of(served.tool_for(closed_port()).arg("--json"));
    run.assert_failure(3, "connection-refused", "connect");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "it waited for a deadline"
    );
}

#[test]
fn an_unknown_host_name_is_3() {
    let served = Serve::start(&[]);
    let run = Run::of(
        served
            .tool_with_ca(&[])
            .args(["--server", "no-such-host.invalid"])
            .arg("--json"),
    );
    assert_eq!(
        (run.json()["error"]["stage"].as_str(), run.code),
        (Some("resolve"), 3)
    );
}

#[test]
fn the_steps_of_one_connection_do_not_overlap() {
    let served = Serve::start(&[]);
    let gateway = served.gateway_url();
    for (server, words) in [
        (served.at("dispatch"), &[][..]),
        (served.at("notification"), &["--http-gateway", &gateway]),
    ] {
        let mut command = served.tool_for(server);
        let json = Run::of(command.arg("--json").args(words)).json();
        let mut steps: Vec<_> = json["timings_ms"].as_array().unwrap().iter().collect();
        assert!(steps.len() > 5, "{json:#}");
        let number = |step: &Value, key: &str| step[key].as_f64().unwrap();
        steps.sort_by(|a, b| number(a, "start").total_cmp(&number(b, "start")));
        for connection in ["notification", "nexus", "login", "gateway"] {
            let own = steps
                .iter()
                .filter(|step| step["connection"] == *connection);
            let mut end = 0.0;
            for step in own {
                // Figures are rounded to 0.01 ms.
                assert!(number(step, "start") > end - 0.02, "{json:#}");
                end = number(step, "start") + number(step, "took");
            }
        }
    }
}
