//! Notification servers that lie, fall silent, or speak another protocol.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use support::{Run, Scripted, Serve, honest, profile_message, side_by_side, trid, wait_for_close};

/// Runs the tool against a scripted notification server, with honest Passport pages, and checks
/// how it fails.
#[track_caller]
fn fails(served: &Serve, server: &Scripted, code: i32, error: &str, stage: &str) -> Run {
    let mut command = served.tool_for(server.address);
    let run = Run::of(command.args(["--json", "--timeout", "5"]));
    run.assert_failure(code, error, stage);
    run
}

/// The lines that one read returns, which may be none.
fn read_lines(stream: &mut impl Read) -> Vec<String> {
    let mut bytes = [0; 4096];
    let got = stream.read(&mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..got]);
    text.lines().map(str::to_owned).collect()
}

/// A server that is honest until a line begins with `at`, and answers that one with `answer`.
fn answering_at(
    at: &'static str,
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> Scripted {
    Scripted::answering(move |line| {
        let trid = trid(line);
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
fn a_silent_server_is_a_timeout() {
    let served = Serve::start(&[]);
    let silent = Scripted::silent();
    let start = Instant::now();
    let mut command = served.tool_for(silent.address);
    let run = Run::of(command.args(["--json", "--timeout", "1"]));
    run.assert_failure(3, "timeout", "negotiate");
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_server_that_closes_is_tried_once_more_in_lockstep() {
    let served = Serve::start(&[]);
    let closes = Scripted::start(|stream, number| {
        let lines = read_lines(stream);
        let names: Vec<_> = lines.iter().filter_map(|line| line.get(..3)).collect();
        match number {
            0 => assert_eq!(names, ["VER", "CVR", "USR"], "all at once"),
            _ => assert_eq!(names, ["VER"], "one at a time"),
        }
    });
    fails(&served, &closes, 5, "closed", "negotiate");
    assert_eq!(closes.accepted(), 2);
}

#[test]
fn a_server_that_refuses_three_at_once_gets_one_at_a_time() {
    let served = Serve::start(&[]);
    let profile = profile_message("203.0.113.7", "1");
    let picky = Scripted::start(move |stream, _| {
        loop {
            let lines = read_lines(stream);
            let answer = match &lines[..] {
                [] => return,
                [line] => honest(line, &profile),
                _ => b"715 1\r\n".to_vec(),
            };
            if stream.write_all(&answer).is_err() || lines.len() > 1 {
                return;
            }
        }
    });
    let run = Run::of(&mut served.tool_for(picky.address));
    assert_eq!(run.stdout, "Symmetric-NAT\n", "{}", run.stderr);
    assert_eq!(picky.accepted(), 2);
}

#[test]
fn other_protocols_are_recognized() {
    let served = Serve::start(&[]);
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
fn endless_lines_and_payloads_are_refused() {
    let served = Serve::start(&[]);
    let endless = answering_at("CVR", |_| [b"CVR ".to_vec(), vec![b'x'; 1 << 20]].concat());
    fails(&served, &endless, 5, "malformed", "negotiate");
    let large = answering_at("USR S", |t| {
        format!("USR {t} OK a b 1 0\r\nMSG a b 99999999\r\n").into_bytes()
    });
    fails(&served, &large, 5, "malformed", "profile");
}

#[test]
fn a_profile_cut_in_half_is_not_a_profile() {
    let served = Serve::start(&[]);
    let cut = Scripted::start(|stream, _| {
        loop {
            let lines = read_lines(stream);
            if lines.is_empty() {
                return;
            }
            for line in lines {
                let mut answer = honest(&line, &profile_message("127.0.0.1", "1"));
                let is_last = line.contains("TWN S");
                if is_last {
                    answer.truncate(answer.len() - 40);
                }
                if stream.write_all(&answer).is_err() || is_last {
                    return;
                }
            }
        }
    });
    let run = fails(&served, &cut, 5, "closed", "profile");
    let json = run.json();
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("in the middle"), "{message}");
}

#[test]
fn error_replies_are_distinguished() {
    let served = Serve::start(&[]);
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
        let server = answering_at(at, move |trid| format!("{code} {trid}\r\n").into_bytes());
        fails(&served, &server, exit, error, stage);
    }
}

#[test]
fn no_common_dialect_is_5_and_a_later_one_is_accepted() {
    let served = Serve::start(&[]);
    let none = answering_at("VER", |trid| format!("VER {trid} 0\r\n").into_bytes());
    fails(&served, &none, 5, "no-dialect", "negotiate");

    let later = answering_at("VER", |trid| format!("VER {trid} MSNP11\r\n").into_bytes());
    let run = Run::of(served.tool_for(later.address).arg("--json"));
    assert_eq!(run.json()["dialect"], "MSNP11", "{}", run.stderr);
}

#[test]
fn referrals_without_end_are_not_followed() {
    let served = Serve::start(&[]);
    let itself = Scripted::start(|stream, _| {
        let here = stream.local_addr().unwrap();
        for line in read_lines(stream) {
            let answer = match line.contains("TWN I") {
                true => format!("XFR {} NS {here} 0 {here}\r\n", trid(&line)).into_bytes(),
                false => honest(&line, b""),
            };
            let _ = stream.write_all(&answer);
        }
        wait_for_close(stream);
    });
    fails(&served, &itself, 5, "referral-loop", "negotiate");
}

#[test]
fn a_server_that_sends_the_profile_only_after_chg_gets_one() {
    let served = Serve::start(&[]);
    let shy = Scripted::answering(|line| {
        let trid = trid(line);
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
    let mut command = served.tool_for(shy.address);
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
fn a_server_without_a_profile_is_5() {
    let served = Serve::start(&[]);
    let never = Scripted::answering(|line| Some(honest(line, b"SBS 0 null\r\n")));
    let mut command = served.tool_for(never.address);
    let run = Run::of(command.args(["--json", "--timeout", "3"]));
    run.assert_failure(5, "no-profile", "profile");
}

#[test]
fn profile_fields_in_the_body_of_another_message_do_not_count() {
    let served = Serve::start(&[]);
    let body = "Content-Type: text/x-msmsgsprofile\r\nClientIP: 9.9.9.9\r\nClientPort: 9\r\n\r\n";
    let mail = format!("Content-Type: text/x-msmsgsemailnotification\r\n\r\n{body}");
    let mail = format!("MSG Hotmail Hotmail {}\r\n{mail}", mail.len()).into_bytes();
    let mails = Scripted::answering(move |line| {
        let profile = profile_message("203.0.113.7", "40000");
        Some(honest(line, &[mail.clone(), profile].concat()))
    });
    let mut command = served.tool_for(mails.address);
    let json = Run::of(command.arg("--json")).json();
    assert_eq!(
        json["observed"]["client_ip"]["raw"], "203.0.113.7",
        "{json:#}"
    );
}

/// How a server may try to have a secret shown.
struct Echo {
    what: String,
    /// What it answers to `USR S`, by its transaction id; and whether `USR OK` comes before.
    answer: fn(&str) -> Vec<u8>,
    ok: bool,
    /// What the login page answers.
    page: String,
}

#[test]
fn secrets_that_a_server_repeats_are_not_shown() {
    const TICKET: &str = "t=marker-ticket&p=";
    const PASSWORD: &str = "marker,password%40";
    const SENT: &str = "marker%2Cpassword%2540";
    let ticket =
        format!("200 OK\r\nAuthentication-Info: Passport1.4 da-status=success,from-PP='{TICKET}'");
    let mut echoes = Vec::new();
    for (what, ok, answer) in [
        (
            "USR OK",
            false,
            (|trid| format!("USR {trid} OK {TICKET} {SENT} 1 0\r\n").into_bytes())
                as fn(&str) -> Vec<u8>,
        ),
        ("refusal", false, |trid| {
            format!("{TICKET} {trid} {SENT}\r\n").into_bytes()
        }),
        ("XFR", true, |_| b"XFR 0 NS marker-ticket:1\r\n".to_vec()),
        ("XFR, password", true, |_| {
            format!("XFR 0 NS {SENT}:1\r\n").into_bytes()
        }),
        ("ClientIP", true, |_| profile_message(TICKET, "1")),
        ("ClientIP, MSPAuth", true, |_| {
            profile_message("marker-mspauth", "1")
        }),
        ("ClientIP, password", true, |_| {
            profile_message(PASSWORD, "1")
        }),
        ("ClientPort", true, |_| profile_message("203.0.113.7", SENT)),
    ] {
        echoes.push(Echo {
            what: what.to_owned(),
            answer,
            ok,
            page: ticket.clone(),
        });
    }
    let failed = "401 No\r\nWWW-Authenticate: Passport1.4 da-status=failed,cbtxt=";
    for page in [
        format!("{failed}{SENT}"),
        format!("{failed}you%20said%20marker%2Cpassword%2540%20to%20me"),
        format!("302 On\r\nLocation: http://{SENT}/"),
        format!("302 On\r\nLocation: http://127.0.0.1:1/{SENT}"),
        format!("302 On\r\nLocation: ftp://{SENT}"),
    ] {
        echoes.push(Echo {
            what: page.clone(),
            answer: |_| profile_message("203.0.113.7", "1"),
            ok: true,
            page,
        });
    }
    let served = Serve::start(&[]);
    // Some of them leave the tool waiting for a profile.
    side_by_side(echoes.len(), echoes, |echo| {
        let login = Scripted::repeating(format!(
            "HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n",
            echo.page
        ));
        let server = Scripted::answering(move |line| {
            Some(match line.contains(" TWN S ") {
                true if echo.ok => [honest(line, b""), (echo.answer)(trid(line))].concat(),
                true => (echo.answer)(trid(line)),
                false => honest(line, b""),
            })
        });
        for more in [&["--json"][..], &[], &["-vvv"]] {
            let mut command = served.tool_for(server.address);
            command
                .args(["--insecure-http", "--timeout", "3", "--login-url"])
                .arg(format!("http://{}/", login.address))
                .args(more)
                .env("MSNP9_PASSWORD", PASSWORD);
            let run = Run::of(&mut command);
            let shown = format!("{}{}", run.stdout, run.stderr);
            let what = &echo.what;
            assert!(run.code != 2 && !run.stdout.is_empty(), "{what}: {shown}");
            for secret in [
                "marker-ticket",
                "marker-mspauth",
                PASSWORD,
                SENT,
                "marker,p",
            ] {
                assert!(
                    !shown.contains(secret),
                    "{what} {more:?} shows {secret}:\n{shown}"
                );
            }
        }
        assert!(
            login.accepted() >= 3,
            "{}: the secrets were sent",
            echo.what
        );
    });
}

#[test]
fn a_known_constant_is_not_an_address() {
    let served = Serve::start(&[]);
    let liar =
        Scripted::answering(|line| Some(honest(line, &profile_message("24.111.111.111", "60712"))));
    fails(&served, &liar, 5, "known-constant", "verdict");
}

#[test]
fn a_reset_during_the_negotiation_is_5() {
    let served = Serve::start(&[]);
    let resets = Scripted::start(|stream, _| {
        // Closing with bytes unread resets the connection.
        let _ = stream.read(&mut [0; 1]);
    });
    fails(&served, &resets, 5, "connection-lost", "negotiate");
}

#[test]
fn a_server_that_ends_the_session_while_the_nexus_is_silent_is_noticed_at_once() {
    let served = Serve::start(&[]);
    let silent = Scripted::silent();
    let nexus = format!("https://{}/", silent.address);
    for (end, exit, error) in [
        ("", 5, "closed"),
        ("OUT SSD\r\n", 5, "signed-out"),
        ("911 3\r\n", 4, "credentials-refused"),
    ] {
        let ends = Scripted::start(move |stream, _| {
            for line in read_lines(stream) {
                let _ = stream.write_all(&honest(&line, b""));
            }
            let _ = stream.write_all(end.as_bytes());
            if !end.is_empty() {
                wait_for_close(stream);
            }
        });
        let start = Instant::now();
        let mut command = served.tool_for(ends.address);
        let run = Run::of(command.args(["--json", "--timeout", "30", "--nexus-url", &nexus]));
        let json = run.json();
        assert_eq!(
            (json["error"]["code"].as_str(), run.code),
            (Some(error), exit)
        );
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{error}: it waited"
        );
    }
}

#[test]
fn a_referral_after_the_sign_in_has_the_whole_deadline() {
    let served = Serve::start(&[]);
    let silent = Scripted::silent();
    let to = silent.address;
    let refers = Scripted::answering(move |line| {
        Some(honest(line, format!("XFR 0 NS {to}\r\n").as_bytes()))
    });
    let mut command = served.tool_for(refers.address);
    let run = Run::of(command.args(["--json", "--timeout", "2"]));
    run.assert_failure(3, "timeout", "negotiate");
}

#[test]
fn an_endless_answer_ends_at_the_deadline() {
    let served = Serve::start(&[]);
    let endless = Scripted::start(|stream, _| {
        let piece = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        while stream.write_all(&piece).is_ok() {}
    });
    let start = Instant::now();
    let nexus = format!("http://{}/", endless.address);
    let mut command = served.tool();
    command.args([
        "--json",
        "--timeout",
        "1",
        "--insecure-http",
        "--nexus-url",
        &nexus,
    ]);
    let run = Run::of(&mut command);
    // Whether its bytes come faster than they are read decides which of the two it is.
    let json = run.json();
    let ended = (json["error"]["code"].as_str(), run.code);
    let right = [(Some("timeout"), 3), (Some("no-http"), 5)];
    assert!(right.contains(&ended), "{json:#}");
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}
