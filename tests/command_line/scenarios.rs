//! Every scenario of `tests/scenarios/classify.toml`: by the library, by the options of
//! `classify`, and as a saved profile.

use msnp9_conntype::conntype::PathKind::{HttpConnect, HttpGateway, Socks4, Socks5, Tcp};
use msnp9_conntype::conntype::PortOrder::{Auto, Plain, Swapped};
use msnp9_conntype::conntype::{Observation, classify};
use serde::Serialize;
use support::{Run, scenarios, tool};

/// The value that has this name in JSON.
fn named<T: Serialize + Copy, const N: usize>(values: [T; N], name: &str) -> T {
    let is_it = |value: &T| serde_json::to_value(value).unwrap() == name;
    values.into_iter().find(is_it).unwrap()
}

#[test]
fn every_scenario_gets_its_label_from_the_library() {
    let mut wrong = Vec::new();
    for case in scenarios::classify() {
        let (ip, port) = (case.client_ip.as_deref(), case.client_port.as_deref());
        let verdict = classify(&Observation {
            order: named([Auto, Plain, Swapped], &case.order),
            path: named([Tcp, Socks4, Socks5, HttpConnect, HttpGateway], &case.path),
            ..Observation::new(case.local, ip, port)
        });
        let (ip, port) = (verdict.comparison.ip, verdict.comparison.port);
        let got = serde_json::json!([ip, port, verdict.label]);
        let want = serde_json::json!([case.ip, case.port, case.label]);
        if got != want {
            wrong.push(format!("{}: got {got}, want {want}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_scenario_gets_its_label_from_the_options() {
    for case in scenarios::classify() {
        let mut command = tool();
        command.args(["classify", "--json", "--local", &case.local.to_string()]);
        command.args(["--port-order", &case.order, "--path", &case.path]);
        if let Some(ip) = &case.client_ip {
            command.args(["--client-ip", ip]);
        }
        if let Some(port) = &case.client_port {
            command.args(["--client-port", port]);
        }
        let run = Run::of(&mut command);
        if case.client_ip.is_none() && case.client_port.is_none() {
            assert_eq!(run.code, 2, "{}: nothing was given", case.name);
            continue;
        }
        let json = run.json();
        assert_eq!(json["label"], case.label.as_str(), "{}", case.name);
        assert_eq!(json["comparison"]["ip"], case.ip.as_str(), "{}", case.name);
        assert_eq!(
            json["comparison"]["port"],
            case.port.as_str(),
            "{}",
            case.name
        );
        let unknown = case.label == "Unknown-Connect";
        assert_eq!(run.code, if unknown { 5 } else { 0 }, "{}", case.name);
        assert_eq!(json["determined"], !unknown, "{}", case.name);
        assert_eq!(json["error"].is_null(), !unknown, "{}", case.name);
    }
}

#[test]
fn every_scenario_gets_its_label_from_a_saved_profile() {
    for case in scenarios::classify() {
        let mut text = "S: USR 4 OK a@b.c A 1 0\nS: MSG Hotmail Hotmail 1\n".to_owned();
        text.push_str("S: MIME-Version: 1.0\nS: Content-Type: text/x-msmsgsprofile\n");
        for (name, value) in [
            ("ClientIP", &case.client_ip),
            ("ClientPort", &case.client_port),
        ] {
            if let Some(value) = value {
                text.push_str(&format!("S: {name}: {value}\n"));
            }
        }
        let words = [
            "classify",
            "-q",
            "--local",
            &case.local.to_string(),
            "--profile",
            "-",
            "--port-order",
        ];
        let run = Run::with_stdin(
            &[&words[..], &[&case.order, "--path", &case.path]].concat(),
            &text,
        );
        assert_eq!(run.stdout, format!("{}\n", case.label), "{}", case.name);
        assert_eq!(run.stderr, "", "{}", case.name);
    }
}
