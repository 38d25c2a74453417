//! What the built binary takes from the environment and from pipes.

use std::io::Write;
use std::process::Stdio;

use support::{Document, Run, Scripted, Serve, TOOL, skipped, tool, tool_by};

#[test]
#[cfg(target_os = "linux")]
fn a_demo_without_loopback_is_an_error_of_the_environment() {
    // A network of its own, in which loopback is down.
    let can = std::process::Command::new("unshare")
        .args(["-rn", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !can {
        return skipped("a demo without loopback: unshare -rn is not allowed here");
    }
    for (words, has_document) in [
        (&["demo"][..], false),
        (&["demo", "--json"], true),
        (&["demo", "--path", "direct", "--json"], true),
    ] {
        let mut command = tool_by(std::process::Command::new("unshare"));
        let run = Run::of(command.arg("-rn").arg(&*TOOL).args(words));
        assert_eq!(run.code, 3, "{words:?}: {}", run.stderr);
        assert!(!run.stderr.contains("a bug"), "{words:?}: {}", run.stderr);
        if has_document {
            run.document(Document::Demo);
        } else {
            assert!(run.stderr.contains("ip link set lo up"), "{}", run.stderr);
        }
    }
}

#[test]
fn empty_variables_are_as_if_not_set() {
    let served = Serve::start(&[]);
    let mut command = served.tool();
    for name in [
        "SERVER",
        "USER",
        "NETWORK",
        "NEXUS_URL",
        "LOGIN_URL",
        "CA_FILE",
        "INSECURE_HTTP",
        "PORT_ORDER",
        "DIALECT",
        "LOCKSTEP",
        "BIND",
        "PROXY",
        "HTTP_GATEWAY",
        "SECOND_SERVER",
        "REPEAT",
        "IPV4",
        "IPV6",
        "TIMEOUT",
        "EXPECT",
        "JSON",
        "QUIET",
        "PASSWORD_FILE",
    ] {
        command.env(format!("MSNP9_{name}"), "");
    }
    let run = Run::of(&mut command);
    assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);

    let mut command = served.tool();
    let run = Run::of(command.env("MSNP9_PASSWORD", ""));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("no password"), "{}", run.stderr);
}

#[test]
fn an_error_in_a_variable_names_the_variable() {
    for (name, value) in [
        ("MSNP9_SERVER", "ns.example:0"),
        ("MSNP9_SERVER", "http://ns.example"),
        ("MSNP9_USER", "a b"),
        ("MSNP9_NETWORK", "nowhere"),
        ("MSNP9_NEXUS_URL", "nexus"),
        ("MSNP9_CA_FILE", "/nonexistent"),
        ("MSNP9_PORT_ORDER", "both"),
        ("MSNP9_DIALECT", "MSNP2"),
        ("MSNP9_BIND", "nowhere"),
        ("MSNP9_PROXY", "ftp://u:marker@h"),
        ("MSNP9_HTTP_GATEWAY", "gateway"),
        ("MSNP9_SECOND_SERVER", "x:y"),
        ("MSNP9_REPEAT", "0"),
        ("MSNP9_TIMEOUT", "soon"),
        ("MSNP9_EXPECT", "Restrict-NAT"),
        ("MSNP9_JSON", "perhaps"),
    ] {
        let mut command = tool();
        for (name, value) in [("MSNP9_SERVER", "ns.example"), ("MSNP9_USER", "a@b.c")] {
            command.env(name, value);
        }
        let run = Run::of(command.env("MSNP9_PASSWORD", "x").env(name, value));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{name}");
        let first = run.stderr.lines().next().unwrap_or_default();
        assert!(first.contains(name), "{name}: {}", run.stderr);
        assert!(!run.stderr.contains("marker"), "{name}: {}", run.stderr);
    }
    // On the command line it is the option.
    let run = Run::of(tool().args(["--server", "http://ns.example/", "--user", "a@b.c"]));
    assert!(run.stderr.contains("--server"), "{}", run.stderr);
    assert!(
        run.stderr.contains("leave out the scheme"),
        "{}",
        run.stderr
    );
}

#[test]
fn options_without_effect_on_a_command_are_refused() {
    for (words, option) in [
        (&["explain", "-v"][..], "'-v'"),
        (&["explain", "--expect", "Direct-Connect"], "--expect"),
        (&["-q", "explain"], "--quiet"),
        (&["serve", "--expect", "Direct-Connect"], "--expect"),
        (&["demo", "--expect", "Direct-Connect"], "--expect"),
        (
            &[
                "classify",
                "-v",
                "--local",
                "192.168.1.5:1",
                "--client-ip",
                "1.1.1.1",
            ],
            "'-v'",
        ),
    ] {
        let run = Run::of(tool().args(words));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{words:?}");
        assert!(run.stderr.contains(option), "{words:?}: {}", run.stderr);
    }
    let run = Run::of(tool().env("MSNP9_EXPECT", "Unknown-NAT").arg("explain"));
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn the_password_is_read_up_to_the_first_line_end() {
    let served = Serve::start(&[]);
    let mut command = served.tool();
    command
        .env_remove("MSNP9_PASSWORD")
        .args(["--password-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The pipe stays open: nothing but the line end says that the password is whole.
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(b"secret\n").unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    drop(pipe);
    assert_eq!(run.stdout, "Direct-Connect\n", "{}", run.stderr);
}

#[test]
fn a_silent_pipe_is_a_usage_error_at_the_deadline() {
    let silent = Scripted::silent();
    let mut command = tool();
    command
        .args(["--server", &silent.address.to_string(), "--user", "a@b.c"])
        .args(["--password-file", "-", "--timeout", "0.3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pipe = child.stdin.take();
    let run = Run::from(child.wait_with_output().unwrap());
    drop(pipe);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("within 0.3 s"), "{}", run.stderr);
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_while_a_pipe_is_read_is_still_one_document() {
    use std::io::{BufRead, BufReader};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    for (words, code) in [
        (
            &["classify", "--local", "192.168.1.5:51234", "--profile", "-"][..],
            130,
        ),
        (
            &[
                "--server",
                "127.0.0.1",
                "--user",
                "a@b.c",
                "--password-file",
                "-",
            ],
            143,
        ),
    ] {
        let mut command = tool();
        command
            .args(words)
            .arg("--json")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // It reads what is written once it is ready; only then it is asked to stop.
        let more_than_a_pipe_holds = vec![b'x'; 1 << 20];
        if code == 130 {
            pipe.write_all(&more_than_a_pipe_holds).unwrap();
        } else {
            wait_until_it_handles_signals(child.id());
        }
        let signal = match code {
            130 => Signal::SIGINT,
            _ => Signal::SIGTERM,
        };
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let run = Run::from(child.wait_with_output().unwrap());
        drop(pipe);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert_eq!(run.json()["error"]["code"], "interrupted");
    }

    /// Waits until the mask of caught signals in `/proc` has SIGTERM in it.
    fn wait_until_it_handles_signals(id: u32) {
        loop {
            let status = std::fs::File::open(format!("/proc/{id}/status")).unwrap();
            let mut lines = BufReader::new(status).lines().map_while(Result::ok);
            let caught = lines.find_map(|line| {
                let mask = line.strip_prefix("SigCgt:")?.trim().to_owned();
                u64::from_str_radix(&mask, 16).ok()
            });
            match caught {
                Some(mask) if mask & (1 << 14) != 0 => return,
                Some(_) => std::thread::yield_now(),
                None => return,
            }
        }
    }
}

#[test]
fn every_variable_is_named_in_errors_about_its_value() {
    let dir = tempfile::tempdir().unwrap();
    let two_lines = support::file(&dir, "nul", "a\0b\n");
    let two_lines = two_lines.to_str().unwrap();
    for (variables, words, names) in [
        (
            &[("PASSWORD_FILE", "/no/such/file")][..],
            &[][..],
            &["MSNP9_PASSWORD_FILE: "][..],
        ),
        (
            &[("PASSWORD_FILE", two_lines)],
            &[],
            &["MSNP9_PASSWORD_FILE: "],
        ),
        (&[("PASSWORD", "a\nb")], &[], &["MSNP9_PASSWORD: "]),
        (&[("LOGIN_URL", "http://h/")], &[], &["MSNP9_LOGIN_URL: "]),
        (&[("NEXUS_URL", "http://h/")], &[], &["MSNP9_NEXUS_URL: "]),
        (&[("SECOND_SERVER", "x:y")], &[], &["MSNP9_SECOND_SERVER"]),
        (
            &[("SECOND_SERVER", "x")],
            &["--http-gateway", "http://h/"],
            &["MSNP9_SECOND_SERVER"],
        ),
        (
            &[("REPEAT", "2"), ("BIND", "127.0.0.1:5000")],
            &[],
            &["MSNP9_REPEAT", "MSNP9_BIND"],
        ),
        (
            &[("IPV4", "1"), ("IPV6", "1")],
            &[],
            &["MSNP9_IPV4", "MSNP9_IPV6"],
        ),
        (
            &[("SERVE_LISTEN", "nowhere")],
            &["serve"],
            &["MSNP9_SERVE_LISTEN"],
        ),
        (
            &[("SERVE_PORT_ORDER", "auto")],
            &["serve"],
            &["MSNP9_SERVE_PORT_ORDER"],
        ),
        (&[("JSON", "perhaps")], &["explain"], &["MSNP9_JSON"]),
    ] {
        let mut command = tool();
        if words != ["serve"] && words != ["explain"] {
            command.args(["--server", "ns.example", "--user", "a@b.c"]);
        }
        for (name, value) in variables {
            command.env(format!("MSNP9_{name}"), value);
        }
        if !variables
            .iter()
            .any(|(name, _)| name.starts_with("PASSWORD"))
        {
            command.env("MSNP9_PASSWORD", "x");
        }
        let run = Run::of(command.args(words));
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (2, ""),
            "{variables:?}: {}",
            run.stderr
        );
        let first = run.stderr.lines().next().unwrap_or_default();
        for name in names {
            assert!(first.contains(name), "{variables:?}: {}", run.stderr);
        }
    }
}
