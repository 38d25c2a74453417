//! The main job on the built binary: real sockets, our server as a process of its own, and
//! servers that lie.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{
    POLICY, Run, Scripted, Served, closed_port, honest, profile_message, tool, wait_for_close,
};

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

/// A server that is honest until a line begins with `at`, and answers that one with `answer`.
fn lies_at(at: &'static str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Scripted {
    Scripted::answering(move |line| {
        let trid = line.split_whitespace().nth(1).unwrap_or("0");
        let is_it = match at.split_once(' ') {
            Some((name, kind)) => line.starts_with(name) && line.contains(&format!(" TWN {kind} ")),
            None => line.starts_with(at),
        };
        Some(if is_it {
            answer(trid)
        } else {
            honest(line, &profile_message("127.0.0.1", "1"))
        })
    })
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

#[test]
fn a_silent_server_is_left_at_the_deadline() {
    let served = Served::start(&[]);
    let silent = Scripted::start(|stream, _| wait_for_close(stream));
    let start = Instant::now();
    let mut command = served.tool_for(&silent.address.to_string());
    let run = Run::of(command.args(["--json", "--timeout", "1"]));
    owes(&run, 3, "timeout", "negotiate");
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_server_that_closes_is_asked_once_more_in_lockstep() {
    let served = Served::start(&[]);
    let closes = Scripted::start(|stream, number| {
        if number == 1 {
            // The second connection gets VER alone.
            let mut bytes = [0; 4096];
            let got = stream.read(&mut bytes).unwrap_or(0);
            assert!(!String::from_utf8_lossy(&bytes[..got]).contains("CVR 5"));
        }
    });
    fails(&served, &closes, 5, "closed", "negotiate");
}

#[test]
fn a_server_that_refuses_three_at_once_is_asked_one_by_one() {
    let served = Served::start(&[]);
    let picky = Scripted::start(|stream, _| {
        let mut bytes = [0; 4096];
        let Ok(got @ 1..) = stream.read(&mut bytes) else {
            return;
        };
        if bytes[..got].iter().filter(|byte| **byte == b'\n').count() > 1 {
            let _ = stream.write_all(b"715 1\r\n");
            return;
        }
        let profile = profile_message("203.0.113.7", "1");
        let mut line = String::from_utf8_lossy(&bytes[..got]).into_owned();
        loop {
            if stream
                .write_all(&honest(line.trim_end(), &profile))
                .is_err()
            {
                return;
            }
            let Ok(got @ 1..) = stream.read(&mut bytes) else {
                return;
            };
            line = String::from_utf8_lossy(&bytes[..got]).into_owned();
        }
    });
    let run = Run::of(&mut served.tool_for(&picky.address.to_string()));
    assert_eq!(run.stdout, "Symmetric-NAT\n", "{}", run.stderr);
}

#[test]
fn servers_of_other_protocols_are_named() {
    let served = Served::start(&[]);
    for (greeting, error) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "talks-http"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "talks-tls"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "talks-something-else"),
        (b"\0\0\0\0", "talks-something-else"),
    ] {
        let other = Scripted::start(move |stream, _| {
            let _ = stream.write_all(greeting);
            wait_for_close(stream);
        });
        fails(&served, &other, 5, error, "negotiate");
    }
}

#[test]
fn lines_and_payloads_without_end_are_refused() {
    let served = Served::start(&[]);
    let endless = lies_at("CVR", |_| [b"CVR ".to_vec(), vec![b'x'; 1 << 20]].concat());
    fails(&served, &endless, 5, "malformed", "negotiate");
    let large = lies_at("USR S", |t| {
        format!("USR {t} OK a b 1 0\r\nMSG a b 99999999\r\n").into_bytes()
    });
    fails(&served, &large, 5, "malformed", "profile");
}

#[test]
fn a_profile_cut_in_half_is_no_profile() {
    let served = Served::start(&[]);
    let cut = Scripted::start(|stream, _| {
        let mut bytes = [0; 4096];
        let mut seen = String::new();
        while let Ok(got @ 1..) = stream.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..got]).into_owned();
            for line in text.lines() {
                let mut answer = honest(line, &profile_message("127.0.0.1", "1"));
                if line.contains("TWN S") {
                    answer.truncate(answer.len() - 40);
                    let _ = stream.write_all(&answer);
                    return;
                }
                let _ = stream.write_all(&answer);
            }
            seen.push_str(&text);
        }
    });
    let run = fails(&served, &cut, 5, "closed", "profile");
    assert!(
        run.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("in the middle")
    );
}

#[test]
fn error_replies_are_told_apart() {
    let served = Served::start(&[]);
    for (at, code, exit, error, stage) in [
        ("USR I", "911", 4, "credentials-refused", "negotiate"),
        ("USR S", "911", 4, "credentials-refused", "sign-in"),
        ("USR S", "928", 4, "credentials-refused", "sign-in"),
        ("USR I", "600", 5, "server-busy", "negotiate"),
        ("VER", "601", 5, "server-busy", "negotiate"),
        ("USR S", "500", 5, "server-busy", "sign-in"),
        ("USR S", "715", 5, "protocol-error", "sign-in"),
        ("USR I", "931", 5, "server-error", "negotiate"),
    ] {
        let server = lies_at(at, move |trid| format!("{code} {trid}\r\n").into_bytes());
        fails(&served, &server, exit, error, stage);
    }
}

#[test]
fn no_dialect_in_common_is_5_and_a_later_one_is_tolerated() {
    let served = Served::start(&[]);
    let none = lies_at("VER", |trid| format!("VER {trid} 0\r\n").into_bytes());
    fails(&served, &none, 5, "no-dialect", "negotiate");

    let later = lies_at("VER", |trid| format!("VER {trid} MSNP11\r\n").into_bytes());
    let run = Run::of(served.tool_for(&later.address.to_string()).arg("--json"));
    assert_eq!(run.json()["dialect"], "MSNP11", "{}", run.stderr);
}

#[test]
fn referrals_that_never_end_are_stopped() {
    let served = Served::start(&[]);
    let itself = Scripted::start(|stream, _| {
        let here = stream.local_addr().unwrap();
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for line in text.lines() {
            let trid = line.split(' ').nth(1).unwrap_or("0");
            let answer = match line.contains("TWN I") {
                true => format!("XFR {trid} NS {here} 0 {here}\r\n").into_bytes(),
                false => honest(line, b""),
            };
            let _ = stream.write_all(&answer);
        }
        wait_for_close(stream);
    });
    fails(&served, &itself, 5, "referral-loop", "negotiate");
}

#[test]
fn a_server_that_sends_the_profile_late_is_asked_another_way() {
    let served = Served::start(&[]);
    let shy = Scripted::answering(|line| {
        let trid = line.split_whitespace().nth(1).unwrap_or("0").to_owned();
        Some(match line.get(..3) {
            Some("CHG") => [
                format!("CHG {trid} HDN 0\r\n").into_bytes(),
                profile_message("127.0.0.1", "0"),
            ]
            .concat(),
            Some("SYN") => format!("SYN {trid} 1 0 0\r\n").into_bytes(),
            _ => honest(line, b""),
        })
    });
    let mut command = served.tool_for(&shy.address.to_string());
    let run = Run::of(command.args(["--json", "--timeout", "6"]));
    let json = run.json();
    assert_eq!(json["observed"]["client_port"]["raw"], "0", "{json:#}");
    assert_eq!(json["label"], "Unknown-Connect");
    assert_eq!(
        (json["error"]["code"].as_str(), run.code),
        (Some("address-ours-port-unknown"), 5)
    );
}

#[test]
fn a_server_that_sends_no_profile_is_5() {
    let served = Served::start(&[]);
    let never = Scripted::answering(|line| Some(honest(line, b"SBS 0 null\r\n")));
    let mut command = served.tool_for(&never.address.to_string());
    let run = Run::of(command.args(["--json", "--timeout", "3"]));
    owes(&run, 5, "no-profile", "profile");
}

#[test]
fn a_server_that_lies_about_constants_is_found_out() {
    let served = Served::start(&[]);
    let liar =
        Scripted::answering(|line| Some(honest(line, &profile_message("24.111.111.111", "60712"))));
    fails(&served, &liar, 5, "known-constant", "verdict");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_3() {
    let (served, other) = (Served::start(&[]), Served::start(&[]));
    let mut command = served.tool();
    let run = Run::of(command.args(["--json", "--nexus-url", &other.nexus()]));
    owes(&run, 3, "certificate-untrusted", "nexus");
    let remedy = run.json()["error"]["remedy"].as_str().unwrap().to_owned();
    assert!(remedy.contains("--ca-file"));
}

/// A Passport server in the clear that answers every request with this.
fn passport(answer: &'static str) -> Scripted {
    Scripted::start(move |stream, _| {
        let mut bytes = [0; 8192];
        while let Ok(1..) = stream.read(&mut bytes) {
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn with_passport(served: &Served, passport: &Scripted) -> Run {
    Run::of(served.tool().args([
        "--json",
        "--timeout",
        "5",
        "--insecure-http",
        "--nexus-url",
        &format!("http://{}/rdr/pprdr.asp", passport.address),
    ]))
}

#[test]
fn a_nexus_that_is_none_is_5() {
    let served = Served::start(&[]);
    for (answer, error) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "nexus-without-header",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "nexus-without-header",
        ),
        (
            "HTTP/1.1 200 OK\r\nPassportURLs: DARealm=x\r\nContent-Length: 0\r\n\r\n",
            "nexus-without-login",
        ),
        ("VER 1 0\r\n", "no-http"),
        (
            "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
            "too-many-redirects",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n",
            "bad-redirect",
        ),
    ] {
        owes(
            &with_passport(&served, &passport(answer)),
            5,
            error,
            "nexus",
        );
    }
}

#[test]
fn a_password_does_not_travel_in_the_clear_unasked() {
    let served = Served::start(&[]);
    let run = Run::of(served.tool().args(["--login-url", "http://127.0.0.1:1/"]));
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("--insecure-http"), "{}", run.stderr);

    // Nor where the nexus asks for it.
    let nexus = "HTTP/1.1 200 OK\r\nPassportURLs: DALogin=http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n";
    let nexus = Scripted::start(move |stream, _| {
        let mut bytes = [0; 8192];
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(nexus.as_bytes());
    });
    let run = with_passport(&served, &nexus);
    assert_eq!(
        run.json()["error"]["code"],
        "connection-refused",
        "allowed, in so many words"
    );
}

#[test]
fn a_password_that_could_end_a_header_is_refused_before_anything_is_sent() {
    let touched = Scripted::start(|_, _| panic!("nobody connects"));
    let address = touched.address.to_string();
    for (user, password) in [
        ("user@example.com", "a\r\nb"),
        ("user@example.com\r\nOUT", "x"),
        ("a b", "x"),
        ("", "x"),
    ] {
        let run = Run::of(
            tool()
                .args(["--server", &address, "--user", user])
                .env("MSNP9_PASSWORD", password),
        );
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
    // The listener is woken once more by its own end; say something so that it does not mind.
    std::mem::forget(touched);
}

#[test]
fn a_raw_at_sign_is_tried_once_where_the_encoded_one_is_refused() {
    let served = Served::start(&[]);
    let login = Scripted::start(|stream, _| {
        let mut bytes = [0; 8192];
        while let Ok(got @ 1..) = stream.read(&mut bytes) {
            let raw = String::from_utf8_lossy(&bytes[..got]).contains("sign-in=user@example");
            let answer = match raw {
                true => {
                    "HTTP/1.1 200 OK\r\nAuthentication-Info: Passport1.4 da-status=success,from-PP='t=x'\r\nContent-Length: 0\r\n\r\n"
                }
                false => {
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Passport1.4 da-status=failed\r\nContent-Length: 0\r\n\r\n"
                }
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let ns = Scripted::answering(|line| Some(honest(line, &profile_message("203.0.113.7", "0"))));
    let run = Run::of(served.tool_for(&ns.address.to_string()).args([
        "--insecure-http",
        "--login-url",
        &format!("http://{}/", login.address),
    ]));
    assert_eq!(run.stdout, "Unknown-NAT\n", "{}", run.stderr);
}

#[test]
fn a_refusal_shows_the_servers_own_words() {
    let served = Served::start(&[]);
    let login = passport(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Passport1.4 da-status=failed,cbtxt=Your%20account%20is%20asleep\r\nContent-Length: 0\r\n\r\n",
    );
    let run = Run::of(served.tool().args([
        "--json",
        "--insecure-http",
        "--login-url",
        &format!("http://{}/", login.address),
    ]));
    owes(&run, 4, "wrong-password", "login");
    assert!(
        run.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Your account is asleep")
    );
}

#[test]
fn a_reset_in_the_middle_is_told() {
    let served = Served::start(&[]);
    let resets = Scripted::start(|stream: &mut TcpStream, _| {
        // Closing with bytes unread resets the connection.
        let _ = stream.read(&mut [0; 1]);
    });
    let run = Run::of(served.tool_for(&resets.address.to_string()).arg("--json"));
    assert_eq!(
        (run.json()["label"].as_str(), run.code),
        (Some("Unknown-Connect"), 5)
    );
}

#[test]
fn policies_travel_to_the_letter() {
    let served = Served::start(&[]);
    let login = Scripted::start(|stream, _| {
        let mut bytes = [0; 8192];
        while let Ok(got @ 1..) = stream.read(&mut bytes) {
            let whole = String::from_utf8_lossy(&bytes[..got]).contains(&format!(",{POLICY}\r\n"));
            let ticket = if whole { "t=whole" } else { "t=changed" };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nAuthentication-Info: Passport1.4 da-status=success,from-PP='{ticket}'\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let ns = Scripted::answering(|line| {
        let bad = line.contains("TWN S") && !line.ends_with("t=whole");
        Some(if bad {
            b"911 4\r\n".to_vec()
        } else {
            honest(line, &profile_message("203.0.113.7", "0"))
        })
    });
    let run = Run::of(served.tool_for(&ns.address.to_string()).args([
        "--insecure-http",
        "--login-url",
        &format!("http://{}/", login.address),
    ]));
    assert_eq!(run.stdout, "Unknown-NAT\n", "{}", run.stderr);
}
