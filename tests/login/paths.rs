//! Ways to the server that loopback can show: the HTTP gateway, IPv6, a server that is full. The
//! others are in `nat_lab`.

use std::io::{Read, Write};
use std::net::SocketAddr;

use serde_json::json;
use support::{Run, Scripted, Serve, codes, has_ipv6, wait_for_close};

#[test]
fn the_gateway_is_a_path_without_a_port() {
    for (port, keeps, number) in [("zero", "0", json!(null)), ("peer", "", json!(null))] {
        let served = Serve::start(&["--gateway-port", port]);
        let gateway = served.gateway_url();
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
fn a_server_that_is_not_a_gateway_is_5() {
    let served = Serve::start(&[]);
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
        let other = Scripted::repeating(answer);
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
fn a_full_server_has_an_error_of_its_own() {
    let served = Serve::start(&["--max-per-address", "1"]);
    let place = std::net::TcpStream::connect(served.at("notification")).unwrap();
    let gateway = served.gateway_url();
    let silent = Scripted::silent();
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
        let mut command = served.tool_for(server);
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
    let served = Serve::start(&[]);
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
fn ipv6_gets_the_same_labels() {
    if !has_ipv6("ipv6_gets_the_same_labels") {
        return;
    }
    let served = Serve::start(&["--listen", "127.0.0.1:0,[::1]:0"]);
    let v6: SocketAddr = served.addresses()["notification"][1]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap();
    assert!(v6.is_ipv6());
    let json = Run::of(served.tool_for(v6).arg("--json")).json();
    assert_eq!(json["label"], "Direct-Connect", "{json:#}");
    assert_eq!(json["local"]["ip"], "::1");

    let run = Run::of(served.tool_for(v6).args(["--json", "-4"]));
    assert_eq!(
        (run.json()["error"]["code"].as_str(), run.code),
        (Some("no-usable-address"), 3)
    );
    let run = Run::of(served.tool().args(["--json", "-6"]));
    assert_eq!(run.json()["error"]["code"], "no-usable-address");
    let port = served.at("notification").port();
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{port}").parse().unwrap();
    assert_eq!(
        Run::of(&mut served.tool_for(mapped)).stdout,
        "Direct-Connect\n"
    );
}
