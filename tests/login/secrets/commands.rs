//! The commands that need no secret, in an environment full of secrets.

use std::process::Command;

use super::marker::Markers;
use super::sandbox::keeps_quiet;
use support::{file, tool};

fn full_of_secrets(markers: &Markers) -> Command {
    let mut command = tool();
    let proxy = format!("http://user:{}@127.0.0.1:1", markers.proxy.text);
    command
        .env("MSNP9_PASSWORD", &markers.password.text)
        .env("MSNP9_PROXY", &proxy)
        .env("HTTPS_PROXY", &proxy)
        .env("ALL_PROXY", &proxy);
    command
}

#[test]
fn no_command_shows_a_secret_of_its_environment() {
    let markers = Markers::new();
    let help = full_of_secrets(&markers).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed: Vec<_> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        listed.contains(&"serve") && listed.contains(&"demo"),
        "{help}"
    );
    let mut lines: Vec<Vec<&str>> = vec![
        vec!["-h"],
        vec!["--help"],
        vec!["--version"],
        vec!["--network", "list"],
        vec!["--server", "127.0.0.1:1"],
        vec!["--no-such-option"],
        vec!["demo"],
        vec!["demo", "--path", "both-rewritten"],
        vec!["explain"],
        vec!["explain", "Symmetric-NAT"],
        vec!["explain", "nothing"],
        vec![
            "classify",
            "--local",
            "10.0.0.1:1",
            "--client-ip",
            "192.0.2.1",
        ],
        vec!["classify"],
        vec!["serve", "--listen", "0.0.0.0:0"],
    ];
    for command in listed {
        lines.push(vec![command, "-h"]);
        lines.push(vec![command, "--help"]);
    }
    for line in lines {
        for json in [false, true] {
            let mut command = full_of_secrets(&markers);
            command
                .args(&line)
                .arg("-vvv")
                .args(json.then_some("--json"));
            keeps_quiet(&mut command, &markers.all(), &line.join(" "));
        }
    }
}

#[test]
fn a_transcript_is_read_for_the_profile_only() {
    let markers = Markers::new();
    let dir = tempfile::tempdir().unwrap();
    let (ticket, sso) = (&markers.ticket.text, &markers.sso.text);
    let profile = format!(
        "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\n\
         MSPAuth: {sso}\r\nClientIP: 192.0.2.1\r\nClientPort: 2308\r\nsid: {sso}\r\n\r\n"
    );
    let whole = format!("USR 4 TWN S {ticket}\r\nUSR 4 OK a@b c\r\nMSG H H 1\r\n{profile}");
    let none = whole.replace("x-msmsgsprofile", "plain");
    for (text, code) in [(profile, 0), (whole, 0), (none, 5)] {
        let path = file(&dir, "saved", text);
        for json in [false, true] {
            let mut command = full_of_secrets(&markers);
            command
                .args(["classify", "--local", "192.0.2.1:1033", "--profile"])
                .arg(&path)
                .args(json.then_some("--json"));
            let run = keeps_quiet(&mut command, &markers.all(), "classify").run;
            assert_eq!(run.code, code, "{}", run.stderr);
        }
    }
}
