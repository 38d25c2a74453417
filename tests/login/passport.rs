//! The nexus and the login page: refusals, redirects, and pages that are something else.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use support::answer::POLICY;
use support::authority::Authority;
use support::{Run, Scripted, Serve, file, honest, profile_message, text, tool};

#[test]
fn a_certificate_of_an_unknown_authority_is_3() {
    let (served, other) = (Serve::start(&[]), Serve::start(&[]));
    let mut command = served.tool();
    let run = Run::of(command.args(["--json", "--nexus-url", &other.nexus_url()]));
    run.assert_failure(3, "certificate-untrusted", "nexus");
    let remedy = run.json()["error"]["remedy"].as_str().unwrap().to_owned();
    assert!(remedy.contains("--ca-file"));
}

fn with_passport(served: &Serve, passport: &Scripted) -> Run {
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
fn a_page_that_is_not_a_nexus_is_5() {
    let served = Serve::start(&[]);
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
        with_passport(&served, &Scripted::repeating(answer)).assert_failure(5, error, "nexus");
    }
}

const TICKET: &str = "HTTP/1.1 200 OK\r\nAuthentication-Info: Passport1.4 da-status=success,\
    from-PP='t=x'\r\nContent-Length: 0\r\n\r\n";

/// A login page that gives a ticket for one form of the credentials and refuses all others with
/// `refusal`, and what it was asked with.
fn picky(wanted: &'static str, refusal: &'static str) -> (Scripted, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&asked);
    let login = Scripted::start(move |stream, _| {
        let mut bytes = [0; 8192];
        while let Ok(got @ 1..) = stream.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..got]).into_owned();
            let is_right = text.contains(wanted);
            note.lock().unwrap().push(text);
            let refused = format!(
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Passport1.4 da-status=failed{refusal}\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            let answer = if is_right { TICKET } else { &refused };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (login, asked)
}

/// A notification server with this policy.
fn with_policy(policy: &'static str) -> Scripted {
    Scripted::answering(move |line| {
        let answer = honest(line, &profile_message("203.0.113.7", "0"));
        let answer = String::from_utf8(answer).unwrap();
        Some(answer.replace(POLICY, policy).into_bytes())
    })
}

#[test]
fn a_server_that_does_not_decode_gets_the_account_as_typed() {
    let served = Serve::start(&[]);
    let ns = with_policy(POLICY);
    for (user, password, wanted) in [
        (
            "user@example.com",
            "secret",
            "sign-in=user@example.com,pwd=secret,",
        ),
        ("a.b+c@d-e.f", "p.w!", "sign-in=a.b+c@d-e.f,pwd=p.w!,"),
        ("a,b%c@d.e", "x", "sign-in=a%2Cb%25c@d.e,pwd=x,"),
    ] {
        let (login, asked) = picky(wanted, "");
        let mut command = served.tool_for(ns.address);
        command
            .args(["--user", user, "--insecure-http"])
            .args(["--login-url", &format!("http://{}/", login.address)])
            .env("MSNP9_PASSWORD", password);
        let run = Run::of(&mut command);
        assert_eq!(run.stdout, "Unknown-NAT\n", "{}", run.stderr);
        assert_eq!(asked.lock().unwrap().len(), 2, "{user}");
    }
}

#[test]
fn a_wrong_password_is_sent_once_to_a_server_that_understands_it() {
    const ESCARGOT: &str = "ct=1,rver=1,wp=FS_40SEC_0_COMPACT,lc=1,id=1";
    for (policy, page, refusal, times) in [
        // Microsoft's, in parts.
        (POLICY, "/", ",srealm=Passport.NET,ts=-3,prompt,cbtxt=No", 1),
        (POLICY, "/", ",srealm=Passport.NET", 1),
        (POLICY, "/", ",ts=-3", 1),
        (POLICY, "/", ",cbtxt=No", 1),
        // Escargot's policy and nexus.
        (ESCARGOT, "/login", "", 1),
        // One of them alone may be another server's.
        (POLICY, "/login", "", 2),
        (ESCARGOT, "/login.srf", "", 2),
    ] {
        let (login, asked) = picky("nothing is right", refusal);
        let authority = Authority::generate();
        let tls = TlsPage::start(&authority, login.address);
        let nexus = nexus_of(&format!("https://{}{page}", tls.address));
        let ns = with_policy(policy);
        let mut command = tool();
        command
            .args(["--server", &ns.address.to_string(), "--user", "a@b.c"])
            .args(["--nexus-url", &format!("http://{}/", nexus.address)])
            .args(["--json", "--insecure-http", "--ca-file"])
            .arg(authority.file())
            .env("MSNP9_PASSWORD", "wrong");
        let run = Run::of(&mut command);
        run.assert_failure(4, "wrong-password", "login");
        let asked = asked.lock().unwrap().len();
        assert_eq!(asked, times, "{policy} {page} {refusal}");
    }
    // Our own server says enough for one.
    let dir = tempfile::tempdir().unwrap();
    let accounts = file(&dir, "accounts", "user@example.com:right\n");
    let own = Serve::start(&["--accounts", text(&accounts)]);
    let run = Run::of(own.tool().args(["--json", "-vv"]));
    run.assert_failure(4, "wrong-password", "login");
}

/// A nexus in the clear, in Escargot's form.
fn nexus_of(login: &str) -> Scripted {
    let answer =
        format!("HTTP/1.1 200 OK\r\nPassportURLs: DALogin={login}\r\nContent-Length: 0\r\n\r\n");
    Scripted::start(move |stream, _| {
        let mut bytes = [0; 8192];
        while let Ok(1..) = stream.read(&mut bytes) {
            let _ = stream.write_all(answer.as_bytes());
        }
    })
}

/// TLS in front of a page that is in the clear.
struct TlsPage;

impl TlsPage {
    fn start(authority: &Authority, page: std::net::SocketAddr) -> Scripted {
        let config = authority.server();
        Scripted::start(move |stream, _| {
            let Ok(tls) = rustls::ServerConnection::new(Arc::clone(&config)) else {
                return;
            };
            let mut stream = rustls::StreamOwned::new(tls, stream);
            let mut page = std::net::TcpStream::connect(page).unwrap();
            let mut bytes = [0; 8192];
            while let Ok(got @ 1..) = stream.read(&mut bytes) {
                page.write_all(&bytes[..got]).unwrap();
                let Ok(got @ 1..) = page.read(&mut bytes) else {
                    return;
                };
                let _ = stream.write_all(&bytes[..got]);
            }
        })
    }
}

#[test]
fn redirects_of_every_form_are_followed_and_reported() {
    let served = Serve::start(&[]);
    let ns = with_policy(POLICY);
    for location in [
        "next?x=1",
        "./next?x=1",
        "/a/next?x=1",
        "//HERE/a/next?x=1",
        "http://HERE/a/next?x=1",
    ] {
        let login = Scripted::start(move |stream, _| {
            let here = stream.local_addr().unwrap().to_string();
            let mut bytes = [0; 8192];
            while let Ok(got @ 1..) = stream.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..got]).into_owned();
                let answer =
                    match text.starts_with("GET /a/next?x=1 ") && text.contains("pwd=secret") {
                        true => TICKET.to_owned(),
                        false => format!(
                            "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
                            location.replace("HERE", &here)
                        ),
                    };
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let mut command = served.tool_for(ns.address);
        let url = format!("http://{}/a/login", login.address);
        let run = Run::of(command.args(["--json", "--insecure-http", "--login-url", &url]));
        let json = run.json();
        assert_eq!(json["label"], "Unknown-NAT", "{location}: {json:#}");
        let sent_to = serde_json::json!([login.address.to_string()]);
        assert_eq!(json["credentials_sent_to"], sent_to, "{location}");
    }
}

#[test]
fn the_servers_that_got_the_password_are_reported() {
    let served = Serve::start(&[]);
    let ns = with_policy(POLICY);
    // The login page is at an address that no option names: 127.0.0.2.
    let elsewhere = Scripted::start_at([127, 0, 0, 2], |stream, _| {
        let mut bytes = [0; 8192];
        while let Ok(1..) = stream.read(&mut bytes) {
            let _ = stream.write_all(TICKET.as_bytes());
        }
    });
    let there = format!("http://{}/login", elsewhere.address);
    let nexus = nexus_of(&there);
    let redirects = Scripted::start({
        let there = there.clone();
        move |stream, _| {
            let mut bytes = [0; 8192];
            let _ = stream.read(&mut bytes);
            let answer =
                format!("HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let codes = |json: &serde_json::Value| json["warnings"].to_string();
    for (option, first) in [("--nexus-url", &nexus), ("--login-url", &redirects)] {
        let mut command = served.tool_for(ns.address);
        let url = format!("http://{}/", first.address);
        let run = Run::of(command.args(["--json", "--insecure-http", option, &url]));
        let json = run.json();
        assert!(codes(&json).contains("credentials-elsewhere"), "{json:#}");
        let sent_to = json["credentials_sent_to"].to_string();
        assert!(sent_to.contains(&elsewhere.address.to_string()), "{json:#}");
    }
    // Named by an option, it is no reason for a warning.
    let mut command = served.tool_for(ns.address);
    let run = Run::of(command.args(["--json", "--insecure-http", "--login-url", &there]));
    let json = run.json();
    assert!(!codes(&json).contains("credentials-elsewhere"), "{json:#}");
}

#[test]
fn a_refusal_shows_the_servers_text() {
    let served = Serve::start(&[]);
    let login = Scripted::repeating(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Passport1.4 da-status=failed,cbtxt=Your%20account%20is%20asleep\r\nContent-Length: 0\r\n\r\n",
    );
    let run = Run::of(served.tool().args([
        "--json",
        "--insecure-http",
        "--login-url",
        &format!("http://{}/", login.address),
    ]));
    run.assert_failure(4, "wrong-password", "login");
    assert!(
        run.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Your account is asleep")
    );
}

#[test]
fn the_policy_is_sent_back_unchanged() {
    let served = Serve::start(&[]);
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
    let run = Run::of(served.tool_for(ns.address).args([
        "--insecure-http",
        "--login-url",
        &format!("http://{}/", login.address),
    ]));
    assert_eq!(run.stdout, "Unknown-NAT\n", "{}", run.stderr);
}
