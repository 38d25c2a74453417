//! `serve`: passwords it checks, tickets it gives, what it puts into profiles.

use support::client::{Browser, Client, block_on, connect_from, field, tls};
use support::{Run, Serve, file, text, tool};

use super::marker::{Marker, Markers};
use super::sandbox::{Sandbox, absent, argument_lists, keeps_quiet};

const USER: &str = "user@example.com";

#[test]
fn a_server_does_not_show_passwords_tickets_and_keys() {
    for json in [&["-vvv"][..], &["-vvv", "--json"]] {
        serve(json);
    }
}

fn serve(options: &[&str]) {
    let markers = Markers::new();
    let key = Marker::found("ticket key", "Dy4mRc9TnKx7QbWu");
    let wrong = Marker::found("wrong password", "Xf1wrongQq8zPm5Lk");
    let forged = Marker::found("forged ticket", "Fg6forgedTk2Hn8Wq");
    let (inputs, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::new());
    let accounts = format!("other@example.com:x\n{USER}:{}\n", markers.password.text);
    let accounts = file(&inputs, "accounts", accounts);
    let key_file = file(&inputs, "key", &key.text);
    let files = [
        "--accounts",
        text(&accounts),
        "--ticket-key",
        text(&key_file),
    ];
    let mut command = tool();
    sandbox.confine(&mut command);
    let server = Serve::start_by(command, &[options, &files].concat()).unwrap();

    // Logins by the tool, one of which fails.
    for (password, code) in [(&markers.password, 0), (&wrong, 4)] {
        let mut command = server.tool_for(server.at("dispatch"));
        command.arg("-vvv").env("MSNP9_PASSWORD", &password.text);
        let secret = [&markers.password, &wrong];
        let run = keeps_quiet(&mut command, &secret, "a login to serve").run;
        assert_eq!(run.code, code, "{}", run.stderr);
    }
    // One by hand, to learn the secrets that the server made up.
    let pem = std::fs::read(server.ca_file()).unwrap();
    let (ticket, sso) = block_on(async {
        let stream = connect_from([127, 0, 0, 1], server.at("passport")).await;
        let tls = tls(&pem, rustls::ALL_VERSIONS).into();
        let mut browser = Browser::browse(stream, &tls).await;
        let ticket = browser.ticket(USER, &markers.password.text).await;
        let mut client = Client::connect(server.at("notification")).await;
        let profile = client.sign_in(USER, &ticket).await;
        let sso = field(&profile, "MSPAuth").expect("an MSPAuth").to_owned();
        let mut client = Client::connect(server.at("notification")).await;
        client.introduce("MSNP9", USER).await;
        client
            .say(&format!("USR 4 TWN S t={}&p=0", forged.text))
            .await;
        assert_eq!(client.line().await, "911 4");
        (ticket, sso)
    });
    let signature = ticket.rsplit_once("&p=").expect("a signature").1;
    let (ticket, sso) = (
        Marker::found("ticket", signature),
        Marker::found("MSPAuth", sso.trim_end_matches('$')),
    );
    let all = [&markers.password, &wrong, &forged, &key, &ticket, &sso];
    absent(&all, &argument_lists(server.pid()), "serve: argument list");
    assert!(
        !String::from_utf8_lossy(&pem).contains("KEY"),
        "no key is written"
    );

    let run = server.stop();
    assert_eq!(run.code, 0, "{}", run.stderr);
    for event in ["signed in", "password refused", "ticket refused"] {
        assert!(run.stderr.contains(event), "no {event}: {}", run.stderr);
    }
    absent(&all, run.stdout.as_bytes(), "serve: stdout");
    absent(&all, run.stderr.as_bytes(), "serve: stderr");
    absent(&all, &pem, "serve: the authority");
    sandbox.assert_empty("serve");
}

#[test]
fn a_server_that_cannot_start_does_not_show_them_either() {
    let markers = Markers::new();
    let dir = tempfile::tempdir().unwrap();
    let secret = &markers.password.text;
    for (option, text) in [
        ("--accounts", format!("{secret}\n")),
        ("--accounts", format!("no-at:{secret}\n")),
        ("--accounts", format!("a@b.c:{secret}\na@b.c:{secret}\n")),
        ("--accounts", format!(":{secret}\n")),
        ("--ticket-key", "Kq7vXm2ZpW8s".to_owned()),
        (
            "--tls-cert",
            format!("-----BEGIN PRIVATE KEY-----\n{secret}\n"),
        ),
    ] {
        let path = file(&dir, "input", text);
        let mut command = tool();
        command
            .args(["serve", "-vvv", "--listen", "127.0.0.1:0", option])
            .arg(&path);
        if option == "--tls-cert" {
            command.arg("--tls-key").arg(&path);
        }
        command.args(["--passport-listen", "127.0.0.1:0"]);
        let short = Marker::found("ticket key", "Kq7vXm2ZpW8s");
        let run: Run = keeps_quiet(&mut command, &[&markers.password, &short], option).run;
        assert_eq!(run.code, 2, "{}", run.stderr);
    }
}
