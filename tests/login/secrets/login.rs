//! Logins that succeed and logins that fail, with each way to give a secret.

use std::fs::File;
use std::process::{Command, Stdio};

use msnp9_conntype::msnp::percent_encode;

use super::marker::Markers;
use super::proxies::{self, Mood, USER};
use super::sandbox::keeps_quiet;
use support::answer::{Answer, Reply, Step, Then};
use support::authority::Authority;
use support::fake_servers::{FakeServers, Route};
use support::{Run, Scripted, Serve, file, side_by_side, tool};

/// One login.
struct Scene {
    name: &'static str,
    /// The exit codes that are right.
    codes: &'static [i32],
    /// The answer that is replaced, if any.
    lie: Option<(Step, Lie)>,
}

/// What a server says instead, knowing the secrets.
type Lie = fn(&Markers) -> Reply;

fn scenes() -> Vec<Scene> {
    let scene = |name, codes, at, lie| Scene {
        name,
        codes,
        lie: Some((at, lie)),
    };
    vec![
        Scene {
            name: "honest",
            codes: &[0],
            lie: None,
        },
        scene("no password", &[4], Step::Login, |_| {
            Reply::new(refusal("Your%20password%20is%20wrong"))
        }),
        scene("password said back", &[4], Step::Login, |markers| {
            Reply::new(refusal(&percent_encode(&markers.password.text)))
        }),
        scene("encoded password said back", &[4], Step::Login, |markers| {
            let once = percent_encode(&markers.password.text);
            Reply::new(refusal(&percent_encode(&once)))
        }),
        scene("redirect in the clear", &[3], Step::Login, |markers| {
            Reply::new(Answer::redirect(&said_back("http://127.0.0.1:1", markers)).bytes)
        }),
        scene("redirect to nowhere", &[3], Step::Login, |markers| {
            Reply::new(Answer::redirect(&said_back("https://127.0.0.1:1", markers)).bytes)
        }),
        scene("redirect to nothing", &[5], Step::Login, |markers| {
            Reply::new(Answer::redirect(&said_back("about:", markers)).bytes)
        }),
        scene("header said back", &[5], Step::Login, |markers| {
            let header = format!("X-Echo: {}", markers.password.text.replace('ä', "a"));
            Reply::new(Answer::http("500 Oh", &header).bytes)
        }),
        scene("no HTTP", &[5], Step::Login, |markers| {
            Reply::new(format!("{}\r\n\r\n", markers.password.text).into_bytes())
        }),
        scene("ticket cut", &[5], Step::Login, |markers| {
            let header = format!("Authentication-Info: from-PP='{}", markers.ticket.text);
            Reply::new(Answer::http("200 OK", &header).bytes)
        }),
        scene("ticket refused", &[4], Step::UsrOk, |_| {
            Reply::new(b"911 4\r\n".to_vec())
        }),
        scene("ticket said back", &[5], Step::UsrOk, |markers| {
            Reply::new(format!("USR 4 NO {}\r\n", markers.ticket.text).into_bytes())
        }),
        scene("ticket as a command", &[5], Step::UsrOk, |markers| {
            Reply::new(format!("{}\r\n", markers.ticket.text).into_bytes())
        }),
        scene("cut in the profile", &[5], Step::Profile, |markers| {
            let profile = format!(
                "MSG a b 500\r\nContent-Type: text/x-msmsgsprofile\r\nMSPAuth: {}\r\n",
                markers.sso.text
            );
            Reply::then(profile.into_bytes(), Then::Close)
        }),
        scene("profile without us", &[5], Step::Profile, |markers| {
            let payload = format!(
                "Content-Type: text/x-msmsgsprofile\r\nMSPAuth: {}\r\nsid: 507\r\n\r\n",
                markers.sso.text
            );
            Reply::new(format!("MSG a b {}\r\n{payload}", payload.len()).into_bytes())
        }),
        scene("silence", &[3, 5], Step::Profile, |_| {
            Reply::then(Vec::new(), Then::Silence)
        }),
    ]
}

fn refusal(text: &str) -> Vec<u8> {
    let header = format!("WWW-Authenticate: Passport1.4 da-status=failed,cbtxt={text}");
    Answer::http("401 Unauthorized", &header).bytes
}

fn said_back(to: &str, markers: &Markers) -> String {
    let password = percent_encode(&markers.password.text);
    format!("{to}/login?pwd={password}&t={}", markers.ticket.text)
}

fn start(authority: &Authority, markers: &Markers, lie: Option<(Step, Lie)>) -> FakeServers {
    let route = Route {
        ticket: markers.ticket.text.clone(),
        sso: markers.sso.text.clone(),
        ..Route::over(Some(authority.server()))
    };
    let lie = lie.map(|(at, lie)| (at, lie(markers)));
    FakeServers::start(route, move |step, answer| match &lie {
        Some((at, lie)) if *at == step => lie.clone(),
        _ => Reply::new(answer.bytes),
    })
}

/// The tool at full verbosity, with everything but the password.
fn tool_for(servers: &FakeServers, authority: &Authority) -> Command {
    let mut command = tool();
    command
        .args(["-vvv", "--timeout", "3", "--user", "user@example.com"])
        .args(["--server", &servers.server.to_string()])
        .args(["--nexus-url", &servers.nexus])
        .arg("--ca-file")
        .arg(authority.file());
    command
}

/// Runs it twice, for a person and for a program.
fn both(command: &Command, markers: &Markers, codes: &[i32], what: &str) -> [Run; 2] {
    [false, true].map(|json| {
        let mut copy = Command::new(command.get_program());
        copy.args(command.get_args()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => copy.env(name, value),
                None => copy.env_remove(name),
            };
        }
        copy.args(json.then_some("--json"));
        let run = keeps_quiet(&mut copy, &markers.all(), what).run;
        let shown = format!("{what}: {}\n{}\n{}", run.code, run.stdout, run.stderr);
        assert!(codes.contains(&run.code), "{shown}");
        assert!(run.stderr.lines().count() > 3, "verbose output: {shown}");
        if json {
            assert_eq!(run.json()["exit_code"], run.code, "{shown}");
        }
        run
    })
}

#[test]
fn no_login_shows_a_secret_however_it_ends() {
    let (authority, markers) = (Authority::generate(), Markers::new());
    side_by_side(6, scenes(), |Scene { name, codes, lie }| {
        let servers = start(&authority, &markers, lie);
        let mut command = tool_for(&servers, &authority);
        command.env("MSNP9_PASSWORD", &markers.password.text);
        both(&command, &markers, codes, name);
    });
}

#[test]
fn the_password_is_not_shown_wherever_it_comes_from() {
    let (authority, markers) = (Authority::generate(), Markers::new());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = file(&dir, "password", format!("{}\n", markers.password.text));
    let servers = start(&authority, &markers, None);
    let mut command = tool_for(&servers, &authority);
    command.arg("--password-file").arg(&path);
    both(&command, &markers, &[0], "a file");
    for json in [false, true] {
        let mut command = tool_for(&servers, &authority);
        command
            .args(["--password-file", "-"])
            .args(json.then_some("--json"))
            .stdin(File::open(&path).expect("the file"));
        let run = keeps_quiet(&mut command, &markers.all(), "stdin").run;
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
}

#[test]
fn a_proxys_password_is_not_shown() {
    let (authority, markers) = (Authority::generate(), Markers::new());
    let servers = start(&authority, &markers, None);
    let password = &markers.proxy.text;
    type Start = fn(&str, Mood) -> Scripted;
    for (scheme, run) in [
        ("http", proxies::http as Start),
        ("socks5", proxies::socks5),
    ] {
        // Behind a proxy on loopback the port tells nothing, so a profile is as far as it gets.
        for (mood, codes) in [(Mood::Strict, 5), (Mood::Closed, 3), (Mood::Parrot, 3)] {
            let proxy = run(password, mood);
            let encoded = percent_encode(password);
            let url = format!("{scheme}://{USER}:{encoded}@{}", proxy.address);
            let what = format!("{scheme} proxy, {mood:?}");
            let mut command = tool_for(&servers, &authority);
            command
                .env("MSNP9_PASSWORD", &markers.password.text)
                .env("MSNP9_PROXY", &url);
            let here = both(&command, &markers, &[codes], &what);
            let mut command = tool_for(&servers, &authority);
            command
                .args(["--proxy", "env"])
                .env("MSNP9_PASSWORD", &markers.password.text)
                .env("HTTPS_PROXY", &url);
            let there = both(&command, &markers, &[codes], &what);
            for run in here.iter().chain(&there) {
                let through = run.stderr.contains("command=MSG");
                assert_eq!(through, mood == Mood::Strict, "{}", run.stderr);
            }
        }
    }
}

#[test]
fn an_invalid_proxy_is_not_repeated() {
    let (authority, markers) = (Authority::generate(), Markers::new());
    let servers = start(&authority, &markers, None);
    let encoded = percent_encode(&markers.proxy.text);
    for (url, variable) in [
        (format!("ftp://{USER}:{encoded}@127.0.0.1:1"), "MSNP9_PROXY"),
        (
            format!("http://{USER}:{encoded}@127.0.0.1:x"),
            "MSNP9_PROXY",
        ),
        (
            format!("http://{USER}:{encoded}%0d@127.0.0.1:1"),
            "MSNP9_PROXY",
        ),
        (format!("{USER}:{encoded}@127.0.0.1:1"), "ALL_PROXY"),
    ] {
        let mut command = tool_for(&servers, &authority);
        if variable == "ALL_PROXY" {
            command.args(["--proxy", "env"]);
        }
        command
            .env("MSNP9_PASSWORD", &markers.password.text)
            .env(variable, &url);
        let run = keeps_quiet(&mut command, &markers.all(), &url).run;
        assert_eq!(run.code, 2, "{}", run.stderr);
    }
}

#[test]
fn a_gateway_behind_a_proxy_shows_no_secret() {
    let markers = Markers::new();
    let served = Serve::start(&["--gateway-listen", "127.0.0.1:0"]);
    let gateway = format!("http://{}/gateway/gateway.dll", served.at("gateway"));
    for (mood, codes) in [(Mood::Strict, [5]), (Mood::Closed, [3])] {
        let proxy = proxies::http(&markers.proxy.text, mood);
        let encoded = percent_encode(&markers.proxy.text);
        let mut command = served.tool();
        command
            .args(["-vvv", "--timeout", "10", "--http-gateway", &gateway])
            .env("MSNP9_PASSWORD", &markers.password.text)
            .env(
                "MSNP9_PROXY",
                format!("http://{USER}:{encoded}@{}", proxy.address),
            );
        both(&command, &markers, &codes, &format!("gateway, {mood:?}"));
    }
}
