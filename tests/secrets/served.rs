//! `serve`: passwords it checks, tickets it gives, what it puts into profiles.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use msnp9_conntype::msnp::percent_encode;
use msnp9_conntype::transport::read_certificates;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::marker::{Marker, Markers};
use crate::room::{Room, absent, argument_lists, keeps_quiet};
use crate::support::{Run, file, tool};

const USER: &str = "user@example.com";

/// Ends the server with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_keeps_passwords_tickets_and_keys() {
    for json in [false, true] {
        serve(json);
    }
}

fn serve(json: bool) {
    let markers = Markers::new();
    let key = Marker::found("ticket key", "Dy4mRc9TnKx7QbWu");
    let (inputs, room) = (tempfile::tempdir().unwrap(), Room::new());
    let accounts = format!("other@example.com:x\n{USER}:{}\n", markers.password.text);
    let mut command = tool();
    command
        .args(["serve", "-vvv", "--listen", "127.0.0.1:0"])
        .args(["--dispatch-listen", "127.0.0.1:0"])
        .args(["--passport-listen", "127.0.0.1:0"])
        .args(["--gateway-listen", "127.0.0.1:0"])
        .args(["--write-ca", "ca.pem", "--accounts"])
        .arg(file(&inputs, "accounts", accounts))
        .arg("--ticket-key")
        .arg(file(&inputs, "key", &key.text))
        .args(json.then_some("--json"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    room.confine(&mut command);
    let mut server = Running(command.spawn().expect("serve starts"));
    let mut stdout = BufReader::new(server.0.stdout.take().unwrap());
    let mut said = String::new();
    stdout.read_line(&mut said).unwrap();
    let addresses: Value = serde_json::from_str(&said).expect("where it listens");
    let at = |kind: &str| addresses[kind][0].as_str().unwrap().to_owned();
    let ca = room.path().join("ca.pem");

    // Logins by the tool, one of which fails.
    for (password, code) in [
        (markers.password.text.as_str(), 0),
        ("Xf1wrongQq8zPm5Lk", 4),
    ] {
        let mut command = tool();
        command
            .args(["-vvv", "--user", USER, "--server", &at("dispatch")])
            .args([
                "--nexus-url",
                &format!("https://{}/rdr/pprdr.asp", at("passport")),
            ])
            .arg("--ca-file")
            .arg(&ca)
            .env("MSNP9_PASSWORD", password);
        let wrong = Marker::found("wrong password", "Xf1wrongQq8zPm5Lk");
        let secret = [&markers.password, &wrong];
        let run = keeps_quiet(&mut command, &secret, "a login to serve").run;
        assert_eq!(run.code, code, "{}", run.stderr);
    }
    // One by hand, to learn the secrets that the server made up.
    let ticket = ticket(&at("passport"), &ca, &markers.password.text);
    let sso = sso(at("notification").parse().unwrap(), &ticket);
    let signature = ticket.rsplit_once("&p=").expect("a signature").1;
    let wrong = Marker::found("wrong password", "Xf1wrongQq8zPm5Lk");
    let (ticket, sso) = (
        Marker::found("ticket", signature),
        Marker::found("MSPAuth", sso.trim_end_matches('$')),
    );
    let all = [&markers.password, &wrong, &key, &ticket, &sso];
    absent(&all, &argument_lists(server.0.id()), "serve: argument list");

    kill(Pid::from_raw(server.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    let mut told = String::new();
    stdout.read_to_string(&mut said).unwrap();
    let mut stderr = server.0.stderr.take().unwrap();
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0), "{told}");
    assert!(told.contains("signed in"), "it is told much: {told}");
    absent(&all, said.as_bytes(), "serve: stdout");
    absent(&all, told.as_bytes(), "serve: stderr");
    room.search(&["ca.pem"], &all, "serve");
    let pem = std::fs::read_to_string(&ca).unwrap();
    assert!(!pem.contains("KEY"), "no key is written");
}

/// A ticket, straight from the login page.
fn ticket(passport: &str, ca: &std::path::Path, password: &str) -> String {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(&std::fs::read(ca).unwrap()).unwrap() {
        roots.add(certificate).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address: SocketAddr = passport.parse().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let name = address.ip().into();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tls = StreamOwned::new(tls, stream);
    let password = percent_encode(password);
    let user = percent_encode(USER);
    write!(
        tls,
        "GET /login2.srf HTTP/1.1\r\nHost: {passport}\r\nConnection: close\r\nAuthorization: \
         Passport1.4 OrgVerb=GET,sign-in={user},pwd={password},lc=1033\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    let _ = tls.read_to_string(&mut answer);
    let rest = answer.split_once("from-PP='").expect("a ticket").1;
    rest.split_once('\'').expect("its end").0.to_owned()
}

/// The `MSPAuth` that the notification server makes of a ticket.
fn sso(notification: SocketAddr, ticket: &str) -> String {
    let stream = TcpStream::connect(notification).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut out = stream.try_clone().unwrap();
    write!(out, "VER 1 MSNP9 CVR0\r\nUSR 2 TWN I {USER}\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines
        .find(|line| line.starts_with("USR 2 TWN S"))
        .expect("a policy");
    write!(out, "USR 3 TWN S {ticket}\r\n").unwrap();
    let line = lines.find(|line| line.starts_with("MSPAuth: "));
    line.expect("a profile")["MSPAuth: ".len()..].to_owned()
}

#[test]
fn a_server_that_cannot_start_keeps_them_too() {
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
