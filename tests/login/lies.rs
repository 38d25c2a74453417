//! Notification servers that lie, fall silent, or are something else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Run, Scripted, Served, honest, profile_message, wait_for_close};
use crate::{fails, owes};

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
fn profile_fields_in_the_body_of_another_message_do_not_count() {
    let served = Served::start(&[]);
    let body = "Content-Type: text/x-msmsgsprofile\r\nClientIP: 9.9.9.9\r\nClientPort: 9\r\n\r\n";
    let mail = format!("Content-Type: text/x-msmsgsemailnotification\r\n\r\n{body}");
    let mail = format!("MSG Hotmail Hotmail {}\r\n{mail}", mail.len()).into_bytes();
    let mails = Scripted::answering(move |line| {
        let profile = profile_message("203.0.113.7", "40000");
        Some(honest(line, &[mail.clone(), profile].concat()))
    });
    let mut command = served.tool_for(&mails.address.to_string());
    let json = Run::of(command.arg("--json")).json();
    assert_eq!(
        json["observed"]["client_ip"]["raw"], "203.0.113.7",
        "{json:#}"
    );
}

#[test]
fn what_a_server_repeats_of_our_secrets_is_shown_nowhere() {
    const TICKET: &str = "t=marker-ticket&p=";
    const PASSWORD: &str = "marker,password%40";
    const SENT: &str = "marker%2Cpassword%2540";
    let served = Served::start(&[]);
    // What each answer says in the place of something else; the profile's own MSPAuth, too.
    type Lie = (&'static str, fn(&str) -> Vec<u8>);
    let lies: [Lie; 8] = [
        ("USR OK", |t| {
            format!("USR {t} OK {TICKET} {SENT} 1 0\r\n").into_bytes()
        }),
        ("XFR", |_| b"XFR 0 NS marker-ticket:1\r\n".to_vec()),
        ("XFR, password", |_| {
            format!("XFR 0 NS {SENT}:1\r\n").into_bytes()
        }),
        ("ClientIP", |_| profile_message(TICKET, "1")),
        ("ClientIP, MSPAuth", |_| {
            profile_message("marker-mspauth", "1")
        }),
        ("ClientIP, password", |_| profile_message(PASSWORD, "1")),
        ("ClientPort", |_| profile_message("203.0.113.7", SENT)),
        ("refusal", |t| {
            format!("{TICKET} {t} {SENT}\r\n").into_bytes()
        }),
    ];
    let page = |bytes: Vec<u8>| {
        Scripted::start(move |stream, _| {
            let mut buffer = [0; 8192];
            while let Ok(1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(&bytes);
            }
        })
    };
    let ticket = format!(
        "HTTP/1.1 200 OK\r\nAuthentication-Info: Passport1.4 da-status=success,from-PP='{TICKET}'\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let look = |server: &Scripted, login: &Scripted, what: &str| {
        for more in [&["--json"][..], &[], &["-vvv"]] {
            let mut command = served.tool_for(&server.address.to_string());
            command
                .args(["--insecure-http", "--timeout", "3", "--login-url"])
                .arg(format!("http://{}/", login.address))
                .args(more)
                .env("MSNP9_PASSWORD", PASSWORD);
            let run = Run::of(&mut command);
            let shown = format!("{}{}", run.stdout, run.stderr);
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
    };
    let honest_page = page(ticket.into_bytes());
    for (what, lie) in lies {
        let liar = Scripted::answering(move |line| {
            let trid = line.split_whitespace().nth(1).unwrap_or("0").to_owned();
            Some(match line.contains(" TWN S ") {
                true if what == "USR OK" || what == "refusal" => lie(&trid),
                true => [honest(line, b""), lie(&trid)].concat(),
                false => honest(line, b""),
            })
        });
        look(&liar, &honest_page, what);
    }
    let ns = Scripted::answering(|line| Some(honest(line, &profile_message("203.0.113.7", "1"))));
    for header in [
        format!("401 No\r\nWWW-Authenticate: Passport1.4 da-status=failed,cbtxt={SENT}"),
        "401 No\r\nWWW-Authenticate: Passport1.4 da-status=failed,cbtxt=you%20said%20marker%2Cpassword%2540%20to%20me".to_owned(),
        format!("302 On\r\nLocation: http://{SENT}/"),
        format!("302 On\r\nLocation: http://127.0.0.1:1/{SENT}"),
        format!("302 On\r\nLocation: ftp://{SENT}"),
    ] {
        let answer = format!("HTTP/1.1 {header}\r\nContent-Length: 0\r\n\r\n");
        look(&ns, &page(answer.into_bytes()), &header);
    }
}

#[test]
fn a_server_that_lies_about_constants_is_found_out() {
    let served = Served::start(&[]);
    let liar =
        Scripted::answering(|line| Some(honest(line, &profile_message("24.111.111.111", "60712"))));
    fails(&served, &liar, 5, "known-constant", "verdict");
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
fn a_server_that_ends_it_while_the_nexus_is_silent_is_noticed_at_once() {
    let served = Served::start(&[]);
    let silent = Scripted::start(|stream, _| wait_for_close(stream));
    let nexus = format!("https://{}/", silent.address);
    for (end, exit, error) in [
        ("", 5, "closed"),
        ("OUT SSD\r\n", 5, "signed-out"),
        ("911 3\r\n", 4, "credentials-refused"),
    ] {
        let ends = Scripted::start(move |stream, _| {
            let mut bytes = [0; 4096];
            let got = stream.read(&mut bytes).unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..got]).into_owned();
            for line in text.lines() {
                let _ = stream.write_all(&honest(line, b""));
            }
            let _ = stream.write_all(end.as_bytes());
            if !end.is_empty() {
                wait_for_close(stream);
            }
        });
        let start = Instant::now();
        let mut command = served.tool_for(&ends.address.to_string());
        let run = Run::of(command.args(["--json", "--timeout", "30", "--nexus-url", &nexus]));
        assert_eq!(
            (run.json()["error"]["code"].as_str(), run.code),
            (Some(error), exit)
        );
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{error}: nobody waited"
        );
    }
}

#[test]
fn a_referral_after_the_sign_in_has_the_whole_deadline() {
    let served = Served::start(&[]);
    let silent = Scripted::start(|stream, _| wait_for_close(stream));
    let to = silent.address;
    let refers = Scripted::answering(move |line| {
        Some(honest(line, format!("XFR 0 NS {to}\r\n").as_bytes()))
    });
    let mut command = served.tool_for(&refers.address.to_string());
    let run = Run::of(command.args(["--json", "--timeout", "2"]));
    owes(&run, 3, "timeout", "negotiate");
}

#[test]
fn a_peer_that_never_stops_talking_does_not_outlast_the_deadline() {
    let served = Served::start(&[]);
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
