//! More than one observation: a second server, `--repeat`, and what they settle.

use std::io::{Read, Write};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{
    Run, Scripted, Serve, closed_port, codes, honest, observations, profile_message, trid,
    wait_for_close,
};

/// A notification server that says the same of everybody.
fn says(ip: &'static str, port: &'static str) -> Scripted {
    Scripted::answering(move |line| Some(honest(line, &profile_message(ip, port))))
}

/// Two observations: the first server says `first`, the one at another address `second`.
fn two_observations(
    first: (&'static str, &'static str),
    second: (&'static str, &'static str),
) -> Value {
    let served = Serve::start(&[]);
    let (a, b) = (
        says(first.0, first.1),
        Scripted::answering_at([127, 0, 0, 2], move |line| {
            Some(honest(line, &profile_message(second.0, second.1)))
        }),
    );
    let mut command = served.tool_for(a.address);
    Run::of(command.args(["--json", "--second-server", &b.address.to_string()])).json()
}

#[test]
fn a_second_server_decides_between_symmetric_and_unknown() {
    let same = two_observations(("203.0.113.7", "40000"), ("203.0.113.7", "40000"));
    assert_eq!(same["label"], "Unknown-NAT", "{same:#}");
    assert_eq!(same["mapping"], "endpoint-independent");
    assert_eq!(same["alternatives"], json!([]));
    assert_eq!(
        observations(&same)[0]["local"],
        observations(&same)[1]["local"],
        "the very same local port"
    );

    let other = two_observations(("203.0.113.7", "40000"), ("203.0.113.7", "40001"));
    assert_eq!(other["label"], "Symmetric-NAT", "{other:#}");
    assert_eq!(other["mapping"], "endpoint-dependent");
    assert_eq!(other["alternatives"], json!([]));
}

#[test]
fn a_second_server_that_decides_nothing_is_a_warning() {
    let nat = ("203.0.113.7", "40000");
    for (second, why) in [
        (("127.0.0.1", "40001"), "second-not-translated"),
        (("10.0.0.9", "40001"), "second-on-other-side"),
        (("203.0.113.8", "40000"), "two-outside-addresses"),
        (("203.0.113.8", "40001"), "two-outside-addresses"),
        (("24.111.111.111", "60712"), "second-known-constant"),
        (("203.0.113.7", "0x1234"), "second-port-unknown"),
        (("nonsense", "40000"), "second-undetermined"),
    ] {
        let json = two_observations(nat, second);
        assert_eq!(json["label"], "Symmetric-NAT", "{json:#}");
        assert_eq!(json["alternatives"], json!(["Unknown-NAT"]), "{json:#}");
        assert_eq!(json["mapping"], json!(null), "{json:#}");
        assert!(
            codes(&json, "warnings").contains(&why.to_owned()),
            "{json:#}"
        );
    }
}

#[test]
fn a_port_kept_toward_one_server_only_is_an_endpoint_dependent_mapping() {
    let served = Serve::start(&[]);
    let second = Scripted::answering_at([127, 0, 0, 2], |line| {
        Some(honest(line, &profile_message("127.0.0.1", "40000")))
    });
    let second = second.address.to_string();
    let run = Run::of(served.tool().args(["--json", "--second-server", &second]));
    let json = run.json();
    assert_eq!(
        observations(&json)[0]["label"],
        "Direct-Connect",
        "{json:#}"
    );
    assert_eq!(json["label"], "Port-Restrict-NAT", "{json:#}");
    assert_eq!(json["mapping"], "endpoint-dependent");
    assert_eq!(json["reason"]["code"], "port-kept-toward-one-server");
}

/// A dispatch server that refers to `first` at the first login, and to `then` at all others.
fn dispatch(first: &Scripted, then: &Scripted) -> Scripted {
    let servers = [first.address, then.address];
    Scripted::start(move |stream, number| {
        let to = servers[number.min(1)];
        let mut bytes = [0; 4096];
        let got = stream.read(&mut bytes).unwrap_or(0);
        for line in String::from_utf8_lossy(&bytes[..got]).lines() {
            let trid = trid(line);
            let answer = match line.contains("TWN I") {
                true => format!("XFR {trid} NS {to} 0 {to}\r\n").into_bytes(),
                false => honest(line, b""),
            };
            let _ = stream.write_all(&answer);
        }
        wait_for_close(stream);
    })
}

#[test]
fn one_port_seen_by_two_servers_is_not_a_constant() {
    let served = Serve::start(&[]);
    let (a, b) = (
        says("203.0.113.7", "4711"),
        Scripted::answering_at([127, 0, 0, 2], |line| {
            Some(honest(line, &profile_message("203.0.113.7", "4711")))
        }),
    );
    for (then, label) in [(&b, "Symmetric-NAT"), (&a, "Unknown-Connect")] {
        let dispatch = dispatch(&a, then);
        let mut command = served.tool_for(dispatch.address);
        let run = Run::of(command.args(["--json", "--repeat", "2"]));
        let json = run.json();
        assert_eq!(json["label"], label, "{json:#}");
    }
}

#[test]
fn an_unreachable_second_server_leaves_the_alternative_open() {
    let served = Serve::start(&[]);
    let first = says("203.0.113.7", "40000");
    let mut command = served.tool_for(first.address);
    let closed = closed_port().to_string();
    let run = Run::of(command.args(["--json", "--second-server", &closed]));
    let json = run.json();
    assert_eq!(
        (json["label"].as_str(), run.code),
        (Some("Symmetric-NAT"), 0),
        "{json:#}"
    );
    assert_eq!(json["alternatives"], json!(["Unknown-NAT"]));
    assert!(
        codes(&json, "warnings").contains(&"look-failed".to_owned()),
        "{json:#}"
    );
    assert!(run.stderr.contains("connection refused"), "{}", run.stderr);

    // The same server is no second one.
    let mut command = served.tool_for(first.address);
    let again = first.address.to_string();
    let json = Run::of(command.args(["--json", "--second-server", &again])).json();
    assert_eq!(json["alternatives"], json!(["Unknown-NAT"]), "{json:#}");
    assert!(
        codes(&json, "warnings").contains(&"look-failed".to_owned()),
        "{json:#}"
    );
}

#[test]
fn an_unlisted_constant_is_detected() {
    let served = Serve::start(&[]);
    let constant = says("203.0.113.7", "4711");
    let run = Run::of(
        served
            .tool_for(constant.address)
            .args(["--json", "--repeat", "3"]),
    );
    let json = run.json();
    assert_eq!(
        (json["label"].as_str(), run.code),
        (Some("Unknown-Connect"), 5),
        "{json:#}"
    );
    assert_eq!(json["reason"]["code"], "observed-constant");
    assert_eq!(observations(&json).len(), 3);
    assert_eq!(codes(&json, "warnings"), ["signed-out-elsewhere"]);

    let honest = Run::of(served.tool().args(["--json", "--repeat", "3"])).json();
    assert_eq!(honest["label"], "Direct-Connect");
    assert_ne!(
        observations(&honest)[0]["local"],
        observations(&honest)[1]["local"]
    );
}

#[test]
fn an_interrupt_of_a_second_login_keeps_the_first_observation() {
    let served = Serve::start(&[]);
    let (arrived, arrival) = std::sync::mpsc::channel();
    let silent = Scripted::start(move |stream, _| {
        let _ = arrived.send(());
        wait_for_close(stream);
    });
    let second = silent.address.to_string();
    let child = served
        .tool()
        .args(["--json", "-q", "--second-server", &second])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    arrival.recv().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let json = Run::from(output).json();
    let seen = observations(&json);
    assert_eq!(seen.len(), 2, "{json:#}");
    assert_eq!(seen[0]["label"], "Direct-Connect");
    assert_eq!(seen[1]["server"], second);
    assert_eq!(seen[1]["error"]["code"], "interrupted");
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains(&second), "{message}");
}
