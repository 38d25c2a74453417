//! The commands that need no server, on the built binary.

use std::io::Read;
use std::process::Stdio;

use msnp9_conntype::conntype::Label;
use support::{Document, Run, TOOL, file, skipped, text, tool, tool_by};

#[test]
fn a_file_without_a_profile_is_5_with_a_document() {
    let words = [
        "classify",
        "--json",
        "--local",
        "192.168.1.5:51234",
        "--profile",
        "-",
    ];
    let run = Run::with_stdin(&words, "nothing\n");
    assert_eq!(
        (run.json()["error"]["code"].as_str(), run.code),
        (Some("no-profile"), 5)
    );
}

#[test]
fn a_profile_in_the_body_of_another_message_does_not_count() {
    let body = "Content-Type: text/x-msmsgsprofile\r\nClientIP: 9.9.9.9\r\nClientPort: 9\r\n";
    let payload =
        format!("MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsemailnotification\r\n\r\n{body}");
    let text = format!("MSG Hotmail Hotmail {}\r\n{payload}", payload.len());
    for text in [&text, &payload] {
        let words = [
            "classify",
            "--json",
            "--local",
            "192.168.1.5:51234",
            "--profile",
            "-",
        ];
        let run = Run::with_stdin(&words, text);
        let json = run.json();
        assert_eq!(json["error"]["code"], "no-profile", "{json:#}");
    }
}

#[test]
fn expect_decides_between_0_and_1() {
    let words = [
        "classify",
        "--local",
        "192.168.1.5:51234",
        "--client-ip",
        "203.0.113.7",
    ];
    let code = |expect: &str, port: &str| {
        Run::of(
            tool()
                .args(words)
                .args(["--client-port", port, "--expect", expect]),
        )
        .code
    };
    assert_eq!(code("IP-Restrict-NAT", "51234"), 0);
    assert_eq!(code("direct-connect,ip-restrict-nat", "51234"), 0);
    assert_eq!(code("Direct-Connect", "51234"), 1);
    assert_eq!(code("Unknown-NAT", "0"), 0);
    assert_eq!(code("Nonsense", "0"), 2);
    let unknown = [
        "classify",
        "--local",
        "192.168.1.5:51234",
        "--client-ip",
        "192.168.1.5",
    ];
    assert_eq!(Run::of(tool().args(unknown)).code, 5);
    assert_eq!(
        Run::of(tool().args(unknown).args(["--expect", "Unknown-Connect"])).code,
        0
    );
    assert_eq!(
        Run::of(tool().args(unknown).args(["--expect", "Direct-Connect"])).code,
        5
    );
}

#[test]
fn a_local_end_that_no_connected_socket_has_is_a_usage_error() {
    for local in [
        "192.168.1.5:0",
        "0.0.0.0:51234",
        "[::]:51234",
        "224.0.0.1:51234",
        "[ff02::1]:51234",
        "255.255.255.255:51234",
        "[::ffff:0.0.0.0]:51234",
    ] {
        let words = ["classify", "--local", local, "--client-ip", "203.0.113.7"];
        let run = Run::of(tool().args(words));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{local}");
        assert!(run.stderr.contains("no connected socket"), "{}", run.stderr);
    }
}

#[test]
fn usage_errors_are_2_and_name_the_option() {
    let dir = tempfile::tempdir().unwrap();
    let no_pem = file(&dir, "no.pem", "hello");
    let ca = ["--ca-file", text(&no_pem)];
    let login = ["--server", "ns.example", "--user", "a@b.c"];
    let cases: [(&[&str], &str); 18] = [
        (&[], "--server"),
        (&["--server", "ns.example"], "--user"),
        (&["--server", "ns.example:0", "--user", "a@b.c"], "port"),
        (
            &["--server", "http://ns.example", "--user", "a@b.c"],
            "web address",
        ),
        (&["--network", "msn", "--user", "a@b.c"], "escargot"),
        (&login, "--password-file"),
        (
            &[&login[..], &["--password-file", "/no/such/file"]].concat(),
            "/no/such/file",
        ),
        (&[&login[..], &ca].concat(), "--ca-file"),
        (&[&login[..], &["--bind", "nowhere"]].concat(), "--bind"),
        (&[&login[..], &["--timeout", "0"]].concat(), "seconds"),
        (&[&login[..], &["--port-order", "both"]].concat(), "auto"),
        (&[&login[..], &["--dialect", "MSNP2"]].concat(), "MSNP8"),
        (&[&login[..], &["--nexus-url", "nexus"]].concat(), "http"),
        (
            &[&login[..], &["--proxy", "ftp://u:marker@h"]].concat(),
            "socks5",
        ),
        (
            &[&login[..], &["--second-server", "x:y"]].concat(),
            "--second-server",
        ),
        (
            &["classify", "--local", "nowhere", "--client-ip", "1.1.1.1"],
            "192.168.1.5:51234",
        ),
        (&["classify", "--local", "1.1.1.1:1"], "nothing to classify"),
        (&["frobnicate"], "frobnicate"),
    ];
    for (words, says) in cases {
        let run = Run::of(tool().args(words));
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (2, ""),
            "{words:?}: {}",
            run.stderr
        );
        assert!(run.stderr.contains(says), "{words:?}: {}", run.stderr);
        assert!(!run.stderr.contains("marker"), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn output_options_go_before_a_command_and_login_options_do_not() {
    let run = Run::of(tool().args(["--json", "-q", "demo", "--path", "direct"]));
    assert_eq!(run.json()["label"], "Direct-Connect", "{}", run.stderr);
    let labels = Run::of(tool().args(["--json", "explain"])).document(Document::Explain);
    assert_eq!(labels["labels"][0]["label"], "Direct-Connect");
    let clients = Run::of(tool().args(["--json", "explain", "unknown-nat", "--as", "JML"]));
    let clients = clients.document(Document::Explain);
    assert_eq!(clients["clients"][0]["logins"][0]["says"]["label"], "NAT");
    let run = Run::of(tool().args(["--server", "ns.example", "demo"]));
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("--server"), "{}", run.stderr);
    let list = Run::of(tool().args(["--network", "LIST", "--json"])).document(Document::Networks);
    assert_eq!(list["networks"][0]["name"], "escargot");
}

#[test]
fn the_demo_gets_every_label_right() {
    let run = Run::of(tool().arg("demo"));
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    let rows: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let json = Run::of(tool().args(["demo", "--json"])).document(Document::Demo);
    for (at, (path, label, udp)) in [
        ("direct", "Direct-Connect", "Direct-Connect"),
        ("port-rewritten", "Port-Restrict-NAT", "Direct-Connect"),
        ("address-rewritten", "IP-Restrict-NAT", "IP-Restrict-NAT"),
        ("both-rewritten", "Symmetric-NAT", "Symmetric-NAT"),
        ("no-port", "Unknown-NAT", "Port-Restrict-NAT"),
        ("tcp-rewritten", "Symmetric-NAT", "ISALike"),
    ]
    .into_iter()
    .enumerate()
    {
        let found = &json["paths"][at]["report"]["probes"]["udp_echo"];
        assert_eq!(found["label"], udp, "{path}");
        let row = rows.iter().find(|row| row.first() == Some(&path));
        assert_eq!(
            row.and_then(|row| row.last()),
            Some(&label),
            "{}",
            run.stdout
        );
        let alone = Run::of(tool().args(["demo", "--path", path]));
        assert_eq!(
            (alone.stdout, alone.code),
            (format!("{label}\n"), 0),
            "{}",
            alone.stderr
        );
    }
    assert_eq!(json["paths"].as_array().map(Vec::len), Some(6));
    assert_eq!(
        json["paths"][0]["report"]["server"]["referrals"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn help_has_the_exit_codes_and_every_label() {
    let help = Run::of(tool().arg("--help"));
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for word in ["70  a bug", "MSNP9_PASSWORD", "--second-server", "demo"] {
        assert!(help.stdout.contains(word), "{word} is missing from --help");
    }
    for label in Label::ALL {
        assert!(help.stdout.contains(label.as_str()), "{label}");
    }
    for command in ["demo", "serve", "classify", "explain"] {
        assert_eq!(Run::of(tool().args([command, "--help"])).code, 0);
    }
    assert!(
        Run::of(tool().arg("--version"))
            .stdout
            .starts_with("msnp9-conntype ")
    );
}

#[test]
fn known_networks_are_listed_with_their_source() {
    let run = Run::of(tool().args(["--network", "list"]));
    assert_eq!(run.code, 0);
    for word in ["escargot", "crosstalk", "public client code"] {
        assert!(run.stdout.contains(word), "{}", run.stdout);
    }
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    let mut child = tool()
        .args(["--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), stderr.as_str()),
        (Some(0), "")
    );

    let mut child = tool()
        .args([
            "classify",
            "-q",
            "--local",
            "1.1.1.1:5",
            "--client-ip",
            "1.1.1.1",
            "--client-port",
            "5",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Every command, in every form that prints a result.
const RESULTS: [&[&str]; 13] = [
    &["--help"],
    &["--version"],
    &["serve", "--help"],
    &["--network", "list"],
    &["--network", "list", "--json"],
    &["explain"],
    &["explain", "--json"],
    &["demo"],
    &["demo", "--json"],
    &["demo", "--path", "direct"],
    &["classify", "--local=1.1.1.1:5", "--client-ip=1.1.1.1"],
    &[
        "classify",
        "--json",
        "--local=1.1.1.1:5",
        "--client-ip=1.1.1.1",
    ],
    &["serve", "--listen=127.0.0.1:0", "--passport-listen=none"],
];

fn cannot_write(run: &Run, words: &[&str]) {
    assert_eq!(run.code, 74, "{words:?}: {}", run.stderr);
    let is_named = run.stderr.contains("cannot write the result to stdout: ");
    assert!(is_named && !run.stderr.contains("a bug"), "{}", run.stderr);
}

#[test]
fn a_full_disk_is_an_error_of_the_environment_in_every_command() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full");
    if full().is_err() {
        return skipped("a full disk: there is no /dev/full here");
    }
    for words in RESULTS {
        let run = Run::of(tool().args(words).stdout(full().unwrap()));
        cannot_write(&run, words);
    }
}

#[test]
#[cfg(unix)]
fn a_closed_stdout_is_an_error_of_the_environment_in_every_command() {
    let shell = |redirection: &str, words: &[&str]| {
        let mut command = tool_by(std::process::Command::new("sh"));
        let line = format!("exec \"$0\" \"$@\" {redirection}");
        Run::of(command.args(["-c", &line]).arg(&*TOOL).args(words))
    };
    for words in RESULTS {
        cannot_write(&shell(">&-", words), words);
    }
    // Nobody wants the result: that is no error, however the null device was opened.
    for redirection in [">/dev/null", "1<>/dev/null"] {
        assert_eq!(shell(redirection, &["explain"]).code, 0, "{redirection}");
    }
    // A usage error has no result.
    assert_eq!(shell(">&-", &["frobnicate"]).code, 2);
}

#[test]
fn a_missing_or_unreadable_password_is_a_usage_error_without_a_document() {
    let login = ["--json", "--server", "ns.example", "--user", "a@b.c"];
    for (more, message) in [
        (&[][..], "no password: "),
        (
            &["--password-file", "/no/such/file"],
            "--password-file: cannot read /no/such/file: ",
        ),
        (
            &["--password-file", "/dev/null"],
            "--password-file: the password is empty",
        ),
        (
            &["--password-file", "-"],
            "--password-file: the password is empty",
        ),
    ] {
        let run = Run::of(tool().args(login).args(more));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{more:?}");
        assert!(run.stderr.contains(message), "{more:?}: {}", run.stderr);
    }
    let help = Run::of(tool().arg("--help")).stdout;
    let words: Vec<_> = help.split_whitespace().collect();
    assert!(
        words
            .join(" ")
            .contains("a usage error (exit code 2) prints none"),
        "{help}"
    );
}

#[test]
fn help_lists_only_the_options_that_a_command_takes() {
    const OPTIONS: [&str; 4] = ["--expect", "--json", "--quiet", "--verbose"];
    for (command, takes) in [
        ("demo", &OPTIONS[..]),
        ("serve", &OPTIONS[1..]),
        ("classify", &OPTIONS[..3]),
        ("explain", &OPTIONS[1..2]),
    ] {
        let help = Run::of(tool().args([command, "--help"])).stdout;
        for option in OPTIONS {
            let is_listed = help.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.any(|word| word.trim_end_matches("...") == option)
            });
            assert_eq!(is_listed, takes.contains(&option), "{command} {option}");
        }
    }
}

#[test]
fn every_command_words_a_wrong_value_alike() {
    let classify = ["classify", "--local", "1.1.1.1:1", "--client-ip", "1.1.1.1"];
    for (words, option, value) in [
        (
            &["--port-order", "both"][..],
            "--port-order <ORDER>",
            "plain",
        ),
        (&["--dialect", "MSNP2"], "--dialect <DIALECT>", "MSNP12"),
        (&["--expect", "NAT"], "--expect <LABEL>", "Symmetric-NAT"),
        (&["--network", "msn"], "--network <NAME>", "escargot"),
        (
            &["demo", "--path", "tcp"],
            "--path <PATH>",
            "both-rewritten",
        ),
        (&["explain", "NAT"], "[LABEL]", "Symmetric-NAT"),
        (
            &["explain", "--as", "Kopete"],
            "--as <CLIENT>",
            "msnp-sharp",
        ),
        (
            &[&classify[..], &["--path", "udp"]].concat(),
            "--path <PATH>",
            "http-connect",
        ),
        (
            &[&classify[..], &["--port-order", "both"]].concat(),
            "--port-order <ORDER>",
            "plain",
        ),
        (
            &["serve", "--port-order", "auto"],
            "--port-order <ORDER>",
            "plain",
        ),
    ] {
        let run = Run::of(tool().args(words));
        let bad = words[words.len() - 1];
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{words:?}");
        let message = format!("error: invalid value '{bad}' for '{option}'\n  [possible values: ");
        assert!(
            run.stderr.starts_with(&message),
            "{words:?}: {}",
            run.stderr
        );
        assert!(run.stderr.contains(value), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn an_unusable_certificate_is_a_usage_error() {
    use base64::Engine as _;
    let dir = tempfile::tempdir().unwrap();
    let body = base64::prelude::BASE64_STANDARD.encode("no certificate of any kind");
    let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let path = support::file(&dir, "bad.pem", &pem);
    let run = Run::of(
        tool()
            .args([
                "--json",
                "--server",
                "127.0.0.1:9",
                "--user",
                "a@b.c",
                "--ca-file",
            ])
            .arg(&path)
            .env("MSNP9_PASSWORD", "x"),
    );
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
    assert!(run.stderr.contains("--ca-file: "), "{}", run.stderr);
    assert!(run.stderr.contains("bad.pem: "), "{}", run.stderr);
}
