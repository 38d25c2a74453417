//! Being called: `probe --call-back`, with `serve` and with servers that do not do as they say.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::document::Document;
use support::scripted::Scripted;
use support::{Process, Run, Serve, tool};

fn probe(server: &str, options: &[&str]) -> Run {
    let asked = ["probe", "--json", "--call-back", server];
    Run::of(tool().args(asked).args(options))
}

/// What a scripted server is asked: the ports, and the line to say to them.
struct Asked {
    tcp: u16,
    udp: u16,
    line: String,
}

/// A server that does this when it was asked.
fn server(act: impl Fn(&mut &TcpStream, &Asked) + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |stream, _| {
        let mut line = String::new();
        BufReader::new(&**stream).read_line(&mut line).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[..2], ["CALL", "1"], "{line}");
        let asked = Asked {
            tcp: words[2].parse().unwrap(),
            udp: words[3].parse().unwrap(),
            line: format!("CALLED {}\r\n", words[4]),
        };
        act(stream, &asked);
    })
}

fn say(stream: &mut &TcpStream, text: &str) {
    // The client may be gone already.
    let _ = stream.write_all(text.as_bytes());
}

fn call_tcp(asked: &Asked, line: &str) {
    let mut call = TcpStream::connect(("127.0.0.1", asked.tcp)).unwrap();
    call.write_all(line.as_bytes()).unwrap();
}

fn call_udp(asked: &Asked, line: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sent = socket.send_to(line.as_bytes(), ("127.0.0.1", asked.udp));
    sent.unwrap();
}

fn against(server: &Scripted) -> (Run, Value) {
    let run = probe(&server.address.to_string(), &["--timeout", "9"]);
    let document = run.document(Document::Probe);
    (run, document["probes"]["listen"].clone())
}

/// A port that is free for TCP and UDP.
fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = udp.local_addr().unwrap();
        // Another program may have it for TCP.
        if TcpListener::bind(at).is_ok() {
            return at.port();
        }
    }
}

#[test]
fn a_server_of_this_program_reaches_this_host() {
    let server = Serve::start(&["--open", "--call-back", "127.0.0.1:0"]);
    let run = probe(&server.at("call_back").to_string(), &[]);
    let document = run.document(Document::Probe);
    let listen = &document["probes"]["listen"];
    assert_eq!(
        (&listen["tcp"], &listen["udp"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(listen["seen"], listen["local"]);
    assert_eq!(document["conclusion"]["file_transfer"], "likely");
    let reason = &document["conclusion"]["reason"]["file_transfer"];
    assert_eq!(reason, "call-arrived-from-nearby");
    assert_eq!(run.code, 0, "{}", run.stderr);
    // The port that was asked for is the one that is called.
    let is_called = |_| {
        let port = free_port();
        let option = format!("--listen-test={port}");
        let run = probe(&server.at("call_back").to_string(), &[&option]);
        let document = run.document(Document::Probe);
        let own = &document["probes"]["listen"]["own"];
        own["tcp_port"] == port && own["udp_port"] == port
    };
    // Another test may take the port in between.
    assert!((0..3).any(is_called));
}

#[test]
fn only_what_the_server_alone_knows_counts_as_a_call() {
    let done = "DONE connected sent\r\n";
    let seen = "SEEN 127.0.0.1:5\r\n";
    let honest = server(move |stream, asked| {
        say(stream, seen);
        // Others call first, and go on calling.
        for _ in 0..20 {
            call_udp(asked, "CALLED 00112233445566778899aabbccddeeff\r\n");
            call_tcp(asked, "CALLED 00112233445566778899aabbccddeeff\r\n");
        }
        let _mute = TcpStream::connect(("127.0.0.1", asked.tcp)).unwrap();
        call_udp(asked, &asked.line);
        call_tcp(asked, &asked.line);
        say(stream, done);
    });
    let forged = server(move |stream, asked| {
        say(stream, seen);
        let line = asked.line.to_uppercase();
        call_tcp(asked, &line);
        call_udp(asked, &line);
        call_udp(asked, &asked.line[..20]);
        say(stream, done);
    });
    let liar = server(move |stream, _| say(stream, &format!("{seen}{done}")));
    let cannot = server(move |stream, _| say(stream, &format!("{seen}DONE failed failed\r\n")));
    let silent = server(move |stream, _| say(stream, &format!("{seen}DONE timeout sent\r\n")));
    let not_asked = server(move |stream, _| say(stream, &format!("{seen}DONE - -\r\n")));
    for (server, tcp, udp) in [
        (&honest, "arrived", "arrived"),
        (&forged, "elsewhere", "lost"),
        (&liar, "elsewhere", "lost"),
        (&cannot, "untested", "untested"),
        (&silent, "lost", "lost"),
        (&not_asked, "untested", "untested"),
    ] {
        let (run, listen) = against(server);
        let own = &listen["own"];
        assert_eq!(
            (&own["tcp"], &own["udp"]),
            (&json!(tcp), &json!(udp)),
            "{listen}"
        );
        assert_eq!(listen["seen"]["port"], 5, "{listen}");
        let reached = match tcp {
            "arrived" => json!(true),
            "untested" => Value::Null,
            _ => json!(false),
        };
        assert_eq!(listen["tcp"], reached, "{listen}");
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let server = Scripted::start(|stream, number| match number {
        0 | 1 => say(stream, "REFUSED busy\r\n"),
        _ => say(stream, "SEEN 127.0.0.1:5\r\nDONE refused sent\r\n"),
    });
    let (_, listen) = against(&server);
    assert_eq!(listen["own"]["tcp"], "refused", "{listen}");
    assert_eq!(server.accepted(), 3);
}

#[test]
fn a_server_that_does_not_call_is_named() {
    let seen = "SEEN 127.0.0.1:5\r\n";
    for (answer, part) in [
        ("", "closes the connection"),
        (seen, "closes the connection"),
        ("REFUSED busy\r\n", "it is busy"),
        ("REFUSED rate\r\n", "asked too often"),
        ("REFUSED version\r\n", "another version"),
        ("REFUSED whatever\r\n", "none of this protocol"),
        ("DONE connected sent\r\n", "none of this protocol"),
        ("SEEN 127.0.0.1\r\n", "none of this protocol"),
        (
            "SEEN 127.0.0.1:5\r\nSEEN 127.0.0.1:5\r\n",
            "none of this protocol",
        ),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "none of this protocol"),
    ] {
        let server = server(move |stream, _| say(stream, answer));
        let (run, listen) = against(&server);
        assert_eq!(
            listen["error"]["code"], "call-refused",
            "{answer:?}: {listen}"
        );
        assert_eq!(listen["error"]["stage"], "call-back");
        let message = listen["error"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{answer:?}: {message}");
        assert_eq!(
            (&listen["tcp"], &listen["own"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(run.code, 5, "{}", run.stderr);
    }
}

#[test]
fn an_answer_without_end_or_none_at_all_is_not_waited_for() {
    let endless = Scripted::repeating(vec![b'x'; 4096]);
    let (run, listen) = against(&endless);
    assert_eq!(listen["error"]["code"], "call-refused", "{listen}");
    assert_eq!(run.code, 5);
    let silent = Scripted::silent();
    let started = Instant::now();
    let run = probe(&silent.address.to_string(), &["--timeout", "1"]);
    assert!(started.elapsed() < Duration::from_secs(5));
    let document = run.document(Document::Probe);
    assert_eq!(document["probes"]["listen"]["error"]["code"], "timeout");
    assert_eq!(run.code, 3);
}

#[test]
fn a_signal_ends_the_test_with_a_document() {
    let silent = Scripted::silent();
    let at = silent.address.to_string();
    let mut command = tool();
    command.args(["probe", "--json", "--call-back", &at, "-v"]);
    let process = Process::start(command).unwrap();
    let patience = Duration::from_secs(10);
    process.wait_for_line("calls of", patience).unwrap();
    process.signal(Signal::SIGINT).unwrap();
    let output = process.finish(patience).unwrap();
    assert_eq!(output.status.code(), Some(130));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["probes"]["listen"]["error"]["code"], "interrupted");
}

#[test]
fn the_server_is_named_by_one_of_the_options() {
    for (words, code, part) in [
        (
            &["probe", "--listen-test"][..],
            2,
            "--call-back HOST[:PORT]",
        ),
        (
            &["probe", "--listen-test=1023", "--all"],
            2,
            "1024 or higher",
        ),
        (&["probe", "--call-back", "bad name"], 2, "--call-back"),
    ] {
        let run = Run::of(tool().args(words));
        assert_eq!(run.code, code, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{words:?}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}
