//! Paths that loopback can show: the gateway, IPv6, further looks. The real ones are in `nat_lab`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::io::{Read, Write};

use serde_json::{Value, json};
use support::{Run, Scripted, Served, closed_port, honest, profile_message, wait_for_close};

/// A notification server that says the same of everybody.
fn says(ip: &'static str, port: &'static str) -> Scripted {
    Scripted::answering(move |line| Some(honest(line, &profile_message(ip, port))))
}

fn codes(json: &Value, list: &str) -> Vec<String> {
    let said = json[list].as_array().unwrap().iter();
    said.map(|said| said["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_gateway_is_a_path_without_a_port() {
    for (port, keeps, number) in [("zero", "0", json!(null)), ("peer", "", json!(null))] {
        let served = Served::start(&["--gateway-listen", "127.0.0.1:0", "--gateway-port", port]);
        let gateway = format!("http://{}", served.at("gateway"));
        let run = Run::of(served.tool().args(["--json", "--http-gateway", &gateway]));
        let json = run.json();
        assert_eq!(json["path"]["kind"], "http-gateway", "{json:#}");
        // Each address where it belongs, and what cannot be sent on is said.
        assert_eq!(json["server"]["address"], json!(null), "{json:#}");
        let hop = &json["path"]["hops"][1];
        let at = served.at("gateway").to_string();
        assert_eq!(
            (&hop["role"], &hop["address"]),
            (&json!("gateway"), &json!(at))
        );
        assert!(codes(&json, "warnings").contains(&"port-not-sent".to_owned()));
        assert_eq!(json["comparison"]["ip"], "same", "{json:#}");
        assert_eq!(json["comparison"]["port"], "unknown", "{json:#}");
        assert_eq!(
            (json["label"].as_str(), run.code),
            (Some("Unknown-Connect"), 5)
        );
        if !keeps.is_empty() {
            assert_eq!(json["observed"]["client_port"]["raw"], keeps);
            assert_eq!(json["observed"]["client_port"]["number"], number);
        } else {
            assert!(
                json["observed"]["client_port"]["number"].is_u64(),
                "{json:#}"
            );
        }
    }
}

#[test]
fn what_is_no_gateway_is_told() {
    let served = Served::start(&[]);
    for (answer, error) in [
        (
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            "gateway-refused",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            "gateway-refused",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "no-gateway",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-MSN-Messenger: SessionID=a b\r\nContent-Length: 0\r\n\r\n",
            "no-gateway",
        ),
    ] {
        let other = Scripted::start(move |stream, _| {
            let mut bytes = [0; 8192];
            while let Ok(1..) = stream.read(&mut bytes) {
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let url = format!("http://{}/gateway/gateway.dll", other.address);
        let run = Run::of(served.tool().args(["--json", "--http-gateway", &url]));
        let json = run.json();
        assert_eq!(json["error"]["code"], error, "{json:#}");
        assert_eq!(
            (json["error"]["stage"].as_str(), run.code),
            (Some("gateway"), 5)
        );
    }
}

#[test]
fn a_full_server_is_told_from_one_that_is_wrong() {
    let served = Served::start(&["--gateway-listen", "127.0.0.1:0", "--max-per-address", "1"]);
    let place = std::net::TcpStream::connect(served.at("notification")).unwrap();
    let gateway = format!("http://{}", served.at("gateway"));
    let silent = Scripted::start(|stream, _| wait_for_close(stream));
    for (server, more, code) in [
        // The nexus of its own is not asked: it is full as well.
        (
            served.at("notification"),
            &["--nexus-url", "https://127.0.0.9:9/"][..],
            "server-busy",
        ),
        (
            served.at("notification"),
            &["--http-gateway", &gateway],
            "server-busy",
        ),
        (silent.address, &[], "tls-refused"),
    ] {
        let mut command = served.tool_for(&server.to_string());
        let run = Run::of(command.args(["--json", "--timeout", "5"]).args(more));
        let json = run.json();
        assert_eq!(json["error"]["code"], code, "{json:#}");
        let remedy = json["error"]["remedy"].as_str().unwrap();
        assert!(remedy.contains("again later"), "{remedy}");
    }
    drop(place);
}

#[test]
fn an_endless_poll_ends_with_the_deadline() {
    let served = Served::start(&[]);
    for answers in [true, false] {
        let endless = Scripted::start(move |stream, _| {
            let empty = "HTTP/1.1 200 OK\r\nX-MSN-Messenger: SessionID=1.2; GW-IP=127.0.0.1\r\nContent-Length: 0\r\n\r\n";
            let mut bytes = [0; 8192];
            while let (true, Ok(1..)) = (answers, stream.read(&mut bytes)) {
                if stream.write_all(empty.as_bytes()).is_err() {
                    return;
                }
            }
            wait_for_close(stream);
        });
        let url = format!("http://{}", endless.address);
        let run =
            Run::of(
                served
                    .tool()
                    .args(["--json", "--timeout", "1.5", "--http-gateway", &url]),
            );
        let json = run.json();
        assert_eq!(
            (json["error"]["code"].as_str(), run.code),
            (Some("timeout"), 3),
            "{json:#}"
        );
    }
}

#[test]
fn ipv6_is_as_good() {
    if !support::has_ipv6("ipv6_is_as_good") {
        return;
    }
    let served = Served::start(&["--listen", "[::1]:0"]);
    let v6 = served.addresses["notification"][1]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(v6.starts_with("[::1]:"));
    let json = Run::of(served.tool_for(&v6).arg("--json")).json();
    assert_eq!(json["label"], "Direct-Connect", "{json:#}");
    assert_eq!(json["local"]["ip"], "::1");

    let run = Run::of(served.tool_for(&v6).args(["--json", "-4"]));
    assert_eq!(
        (run.json()["error"]["code"].as_str(), run.code),
        (Some("no-usable-address"), 3)
    );
    let run = Run::of(served.tool().args(["--json", "-6"]));
    assert_eq!(run.json()["error"]["code"], "no-usable-address");
    let port = served.at("notification").port();
    let mapped = format!("[::ffff:127.0.0.1]:{port}");
    assert_eq!(
        Run::of(&mut served.tool_for(&mapped)).stdout,
        "Direct-Connect\n"
    );
}

/// Two looks: the first server says `first`, the one at another address `second`.
fn two_looks(first: (&'static str, &'static str), second: (&'static str, &'static str)) -> Value {
    let served = Served::start(&[]);
    let (a, b) = (
        says(first.0, first.1),
        Scripted::at([127, 0, 0, 2], move |line| {
            Some(honest(line, &profile_message(second.0, second.1)))
        }),
    );
    let mut command = served.tool_for(&a.address.to_string());
    Run::of(command.args(["--json", "--second-server", &b.address.to_string()])).json()
}

#[test]
fn a_second_server_settles_the_corner_cell() {
    let same = two_looks(("203.0.113.7", "40000"), ("203.0.113.7", "40000"));
    assert_eq!(same["label"], "Unknown-NAT", "{same:#}");
    assert_eq!(same["mapping"], "endpoint-independent");
    assert_eq!(same["alternatives"], json!([]));
    assert_eq!(
        same["observations"][0]["local"], same["observations"][1]["local"],
        "the very same local port"
    );

    let other = two_looks(("203.0.113.7", "40000"), ("203.0.113.7", "40001"));
    assert_eq!(other["label"], "Symmetric-NAT", "{other:#}");
    assert_eq!(other["mapping"], "endpoint-dependent");
    assert_eq!(other["alternatives"], json!([]));
}

#[test]
fn what_a_second_server_cannot_settle_stays_open_and_says_why() {
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
        let json = two_looks(nat, second);
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
fn a_port_kept_toward_one_server_only_is_a_mapping_that_depends_on_it() {
    let served = Served::start(&[]);
    let second = Scripted::at([127, 0, 0, 2], |line| {
        Some(honest(line, &profile_message("127.0.0.1", "40000")))
    });
    let second = second.address.to_string();
    let run = Run::of(served.tool().args(["--json", "--second-server", &second]));
    let json = run.json();
    assert_eq!(
        json["observations"][0]["label"], "Direct-Connect",
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
            let trid = line.split(' ').nth(1).unwrap_or("0");
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
fn one_port_seen_by_two_servers_is_no_constant() {
    let served = Served::start(&[]);
    let (a, b) = (
        says("203.0.113.7", "4711"),
        Scripted::at([127, 0, 0, 2], |line| {
            Some(honest(line, &profile_message("203.0.113.7", "4711")))
        }),
    );
    for (then, label) in [(&b, "Symmetric-NAT"), (&a, "Unknown-Connect")] {
        let dispatch = dispatch(&a, then);
        let mut command = served.tool_for(&dispatch.address.to_string());
        let run = Run::of(command.args(["--json", "--repeat", "2"]));
        let json = run.json();
        assert_eq!(json["label"], label, "{json:#}");
    }
}

#[test]
fn a_second_server_that_is_not_there_leaves_the_alternative_open() {
    let served = Served::start(&[]);
    let first = says("203.0.113.7", "40000");
    let mut command = served.tool_for(&first.address.to_string());
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
    let mut command = served.tool_for(&first.address.to_string());
    let again = first.address.to_string();
    let json = Run::of(command.args(["--json", "--second-server", &again])).json();
    assert_eq!(json["alternatives"], json!(["Unknown-NAT"]), "{json:#}");
    assert!(
        codes(&json, "warnings").contains(&"look-failed".to_owned()),
        "{json:#}"
    );
}

#[test]
fn a_constant_nobody_has_listed_is_found_out() {
    let served = Served::start(&[]);
    let constant = says("203.0.113.7", "4711");
    let run = Run::of(
        served
            .tool_for(&constant.address.to_string())
            .args(["--json", "--repeat", "3"]),
    );
    let json = run.json();
    assert_eq!(
        (json["label"].as_str(), run.code),
        (Some("Unknown-Connect"), 5),
        "{json:#}"
    );
    assert_eq!(json["reason"]["code"], "observed-constant");
    assert_eq!(json["observations"].as_array().map(Vec::len), Some(3));
    assert_eq!(codes(&json, "warnings"), ["signed-out-elsewhere"]);

    let honest = Run::of(served.tool().args(["--json", "--repeat", "3"])).json();
    assert_eq!(honest["label"], "Direct-Connect");
    assert_ne!(
        honest["observations"][0]["local"],
        honest["observations"][1]["local"]
    );
}
