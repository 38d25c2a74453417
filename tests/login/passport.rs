//! Passport pages that refuse, mislead, or are something else.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::owes;
use crate::support::{POLICY, Run, Scripted, Served, honest, profile_message, tool};

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
fn what_could_end_a_header_or_a_line_is_refused_before_anything_is_sent() {
    let touched = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&touched);
    let server = Scripted::start(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let address = server.address.to_string();
    for (user, password) in [
        ("user@example.com", "a\r\nb"),
        ("user@example.com\r\nOUT", "x"),
        ("a b", "x"),
        ("", "x"),
        ("user@example.com", ""),
    ] {
        let mut command = tool();
        command
            .args(["--server", &address, "--user", user])
            .env("MSNP9_PASSWORD", password);
        let run = Run::of(&mut command);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
    assert_eq!(touched.load(Ordering::SeqCst), 0, "nobody connected");
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
