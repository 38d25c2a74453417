//! What is refused before anything is sent: words that would end a line, plain HTTP, and servers
//! without a certificate we trust.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;

use super::marker::Markers;
use super::sandbox::keeps_quiet;
use support::answer::{Answer, Reply, Step};
use support::authority::Authority;
use support::fake_servers::{FakeServers, Route};
use support::{Run, file, tool};

/// Listeners that nothing may connect to.
struct Untouched(Vec<TcpListener>);

impl Untouched {
    fn new(count: usize) -> Self {
        let bind = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.set_nonblocking(true).expect("a listener");
            listener
        };
        Self(std::iter::repeat_with(bind).take(count).collect())
    }

    fn at(&self, index: usize) -> String {
        self.0[index].local_addr().expect("an address").to_string()
    }

    fn check(&self, what: &str) {
        for listener in &self.0 {
            assert!(listener.accept().is_err(), "{what}: something connected");
        }
    }
}

#[test]
fn line_ends_in_credentials_are_refused_before_anything_is_sent() {
    let servers = Untouched::new(3);
    let dir = tempfile::tempdir().unwrap();
    let nul = file(&dir, "nul", b"a\0b\n");
    let (user, password) = ("user@example.com", "password");
    let proxy = |text: &str| format!("http://{text}@{}", servers.at(2));
    let with = |user: &str, set: &dyn Fn(&mut Command)| {
        let mut command = tool();
        command
            .args(["--server", &servers.at(0), "--json", "-vvv"])
            .args(["--nexus-url", &format!("https://{}/", servers.at(1))])
            .env("MSNP9_USER", user);
        set(&mut command);
        command
    };
    let mut commands = Vec::new();
    for end in ["\r\n", "\r", "\n", "\r\nOUT\r\n"] {
        for text in [format!("a{end}b"), format!("{end}a"), format!("a{end}")] {
            commands.push(with(user, &|command| {
                command.env("MSNP9_PASSWORD", &text);
            }));
            commands.push(with(&format!("user{text}@example.com"), &|command| {
                command.env("MSNP9_PASSWORD", password);
            }));
        }
    }
    for other in ["a b", ""] {
        commands.push(with(other, &|command| {
            command.env("MSNP9_PASSWORD", password);
        }));
    }
    commands.push(with(user, &|command| {
        command.env("MSNP9_PASSWORD", "");
    }));
    for end in ["%0d", "%0A", "%00", "%0D%0A"] {
        for text in [format!("us{end}er:x"), format!("user:x{end}")] {
            commands.push(with(user, &|command| {
                command
                    .env("MSNP9_PASSWORD", password)
                    .env("MSNP9_PROXY", proxy(&text));
            }));
        }
    }
    commands.push(with(user, &|command| {
        command.arg("--password-file").arg(&nul);
    }));
    commands.push(with(user, &|command| {
        command
            .args(["--password-file", "-"])
            .stdin(std::fs::File::open(&nul).unwrap());
    }));
    for mut command in commands {
        let shown = format!("{command:?}");
        let run = Run::of(&mut command);
        assert_eq!(run.code, 2, "{shown}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{shown}");
        servers.check(&shown);
    }
}

/// Counts how often a page was asked for.
fn counting(route: Route, lie: Option<(Step, Vec<u8>)>) -> (FakeServers, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let world = FakeServers::start(route, move |step, answer| {
        count.fetch_add(usize::from(step.is_http()), Ordering::Relaxed);
        match &lie {
            Some((at, bytes)) if *at == step => Reply::new(bytes.clone()),
            _ => Reply::new(answer.bytes),
        }
    });
    (world, asked)
}

fn log_in(world: &FakeServers, authority: &Authority, extra: &[&str]) -> Run {
    let markers = Markers::new();
    let mut command = tool();
    command
        .args(["--server", &world.server.to_string(), "--json", "-vvv"])
        .args(["--nexus-url", &world.nexus, "--user", "user@example.com"])
        .arg("--ca-file")
        .arg(authority.file())
        .args(extra)
        .env("MSNP9_PASSWORD", &markers.password.text);
    keeps_quiet(&mut command, &markers.all(), "a login").run
}

#[test]
fn a_password_goes_over_plain_http_only_when_that_is_asked_for() {
    let authority = Authority::generate();
    let tls = || Some(authority.server());
    let plain = || Route::over(None);
    let redirects = || Route {
        redirect: true,
        redirected: None,
        ..Route::over(tls())
    };
    let names = || Route {
        login: None,
        ..Route::over(tls())
    };
    let touched = Untouched::new(1);
    let away = Answer::redirect(&format!("http://{}/", touched.at(0))).bytes;

    // Asked for, all of these work.
    for route in [plain(), redirects(), names()] {
        let (world, _) = counting(route, None);
        let run = log_in(&world, &authority, &["--insecure-http"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    // The command line says so, nothing is sent at all.
    let (world, asked) = counting(plain(), None);
    for option in ["--nexus-url", "--login-url"] {
        let run = log_in(&world, &authority, &[option, &world.login]);
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains("--insecure-http"), "{}", run.stderr);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    // A server says so: what was asked over TLS is all that was asked.
    for (route, lie, times) in [
        (names(), None, 1),
        (redirects(), None, 2),
        (Route::over(tls()), Some((Step::Nexus, away.clone())), 1),
        (Route::over(tls()), Some((Step::Login, away)), 2),
    ] {
        let (world, asked) = counting(route, lie);
        let run = log_in(&world, &authority, &[]);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert_eq!(run.json()["error"]["code"], "plain-http", "{}", run.stderr);
        assert_eq!(asked.load(Ordering::Relaxed), times);
        touched.check("a redirect to plain HTTP");
    }
}

#[test]
fn certificates_are_checked_at_every_server_with_every_option() {
    let (authority, foreign) = (Authority::generate(), Authority::generate());
    let good = || Some(authority.server());
    let bad: [(&str, Arc<ServerConfig>); 4] = [
        ("certificate-untrusted", foreign.server()),
        (
            "certificate-wrong-name",
            authority.server_named(&["localhost"]),
        ),
        (
            "certificate-wrong-name",
            authority.server_named(&["127.0.0.2"]),
        ),
        ("certificate-expired", authority.server_of_yesteryear()),
    ];
    for (code, certificate) in bad {
        for (at, times) in [("nexus", 0), ("login", 1), ("redirected", 2)] {
            let mut route = Route::over(good());
            route.redirect = true;
            let slot = match at {
                "nexus" => &mut route.nexus,
                "login" => &mut route.login,
                _ => &mut route.redirected,
            };
            *slot = Some(Arc::clone(&certificate));
            for extra in [&[][..], &["--insecure-http"]] {
                let (world, asked) = counting(route.clone(), None);
                let run = log_in(&world, &authority, extra);
                let shown = format!("{code} at {at}: {}", run.stderr);
                assert_eq!(run.json()["error"]["code"], code, "{shown}");
                assert_eq!(run.code, 3, "{shown}");
                assert_eq!(asked.load(Ordering::Relaxed), times, "{shown}");
            }
        }
    }
}

#[test]
fn no_option_disables_the_check_of_certificates() {
    let help = Run::of(tool().arg("--help")).stdout;
    let options: Vec<_> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_end_matches(|c: char| !c.is_alphanumeric()))
        .collect();
    assert!(
        options.contains(&"--ca-file") && options.contains(&"--insecure-http"),
        "{help}"
    );
    for word in [
        "insecure", "verify", "skip", "trust", "accept", "danger", "any", "no-",
    ] {
        let of_this_kind = options.iter().filter(|option| option.contains(word));
        let others: Vec<_> = of_this_kind
            .filter(|option| **option != "--insecure-http")
            .collect();
        assert!(others.is_empty(), "{others:?}");
    }
}
