//! The formats for other programs: monitoring, metrics, CI.

use std::io::Read;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Run, Scripted, Serve, closed_port, skipped, text, tool, wait_for_close};

/// The words of `classify` for an `IP-Restrict-NAT`.
const CLASSIFY: [&str; 7] = [
    "classify",
    "--local",
    "192.168.1.5:46412",
    "--client-port",
    "19637",
    "--client-ip",
    "203.0.113.7",
];

fn classify(words: &[&str]) -> Run {
    Run::of(tool().args(CLASSIFY).args(words))
}

/// How a run ended that a format has to render.
struct Outcome {
    name: &'static str,
    /// The exit code of every format but `nagios`.
    code: i32,
    label: &'static str,
    run: Run,
}

/// One run of every kind in this format.
fn outcomes(format: &str) -> Vec<Outcome> {
    let classify = |words: &[&str]| {
        let words = [&CLASSIFY, words].concat();
        Run::of(tool().args(words).args(["--format", format]))
    };
    let served = Serve::start(&[]);
    let login = |mut command: Command| Run::of(command.args(["--format", format]));
    let nat = "IP-Restrict-NAT";
    let unknown = "Unknown-Connect";
    let bad_ip = ["--client-ip", "\x1b[31mhostile|text\"\\]]>::error::"];
    let of = |name, code, label, run| Outcome {
        name,
        code,
        label,
        run,
    };
    vec![
        of("determined", 0, nat, classify(&[])),
        of("met", 0, nat, classify(&["--expect", nat])),
        of("unmet", 1, nat, classify(&["--expect", "Direct-Connect"])),
        of("undetermined", 5, unknown, classify(&bad_ip)),
        of(
            "met by failing",
            0,
            unknown,
            classify(&[&bad_ip[..], &["--expect", unknown]].concat()),
        ),
        of("login", 0, "Direct-Connect", login(served.tool())),
        of(
            "unreachable",
            3,
            unknown,
            login(served.tool_for(closed_port())),
        ),
        of("interrupted", 130, unknown, interrupted(&served, format)),
    ]
}

/// A login that Ctrl-C ends while it waits for the server.
fn interrupted(served: &Serve, format: &str) -> Run {
    let (arrived, arrival) = std::sync::mpsc::channel();
    let silent = Scripted::start(move |stream, _| {
        // The client has seen its connection when it speaks.
        let _ = stream.read(&mut [0]);
        let _ = arrived.send(());
        wait_for_close(stream);
    });
    let child = served
        .tool_for(silent.address)
        .args(["--format", format])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    arrival.recv().unwrap();
    let id = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGINT).unwrap();
    Run::from(child.wait_with_output().unwrap())
}

#[test]
fn a_monitoring_plugin_prints_one_line_and_exits_with_its_state() {
    for Outcome {
        name,
        code,
        label,
        run,
    } in outcomes("nagios")
    {
        let (exit, state) = match code {
            0 => (0, "OK"),
            1 => (2, "CRITICAL"),
            _ => (3, "UNKNOWN"),
        };
        assert_eq!(run.code, exit, "{name}: {}", run.stdout);
        let start = format!("MSNP9 {state} - {label}");
        assert!(run.stdout.starts_with(&start), "{name}: {}", run.stdout);
        assert_eq!(run.stdout.lines().count(), 1, "{name}: {}", run.stdout);
        // Monitoring systems show stderr, too.
        assert_eq!(run.stderr, "", "{name}");
        let is_login = ["login", "unreachable", "interrupted"].contains(&name);
        assert_eq!(run.stdout.contains(" | time="), is_login, "{name}");
        // The server that never answers has accepted the connection.
        let is_accepted = ["login", "interrupted"].contains(&name);
        assert_eq!(run.stdout.contains(" rtt="), is_accepted, "{name}");
    }
}

#[track_caller]
fn assert_unknown(run: &Run, part: &str) {
    assert_eq!(run.code, 3, "{}", run.stderr);
    let is_it = run.stdout.starts_with("MSNP9 UNKNOWN - ") && run.stdout.contains(part);
    assert!(is_it, "{}", run.stdout);
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
}

#[test]
fn a_monitoring_system_learns_of_usage_errors() {
    for (words, part) in [
        (&["--format", "nagios", "--bogus"][..], "--bogus"),
        (&["--bogus", "--format=NAGIOS"], "--bogus"),
        (&["classify", "--format", "nagios"], "--local"),
        (&["--format", "nagios"], "--server"),
        (&["--format", "nagios", "--json"], "two formats"),
        (&["--format", "nagios", "demo"], "'nagios'"),
        (&["--format", "nagios", "serve"], "'serve'"),
        (&["--format", "nagios", "--output", "/no/such"], "/no/such"),
    ] {
        let run = Run::of(tool().args(words));
        assert_unknown(&run, part);
        assert!(run.stderr.contains(part), "{words:?}: {}", run.stderr);
    }
    let by_variable = |words: &[&str]| {
        let run = Run::of(tool().args(words).env("MSNP9_FORMAT", "nagios"));
        (run.code, run.stdout.starts_with("MSNP9 UNKNOWN - "))
    };
    assert_eq!(by_variable(&["--bogus"]), (3, true));
    assert_eq!(by_variable(&[]), (3, true));
    // None of these is a check.
    assert_eq!(by_variable(&["--format", "label", "--bogus"]), (2, false));
    assert_eq!(by_variable(&["--json", "--bogus"]), (2, false));
    assert_eq!(by_variable(&["serve", "--bogus"]), (2, false));
    let served = Serve::start(&[]);
    let taken = served.at("notification").to_string();
    assert_eq!(by_variable(&["serve", "--listen", &taken]), (1, false));
    assert_eq!(Run::of(tool().arg("--bogus")).stdout, "");
}

#[test]
fn a_monitoring_system_learns_of_a_result_that_cannot_be_written() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else {
        return skipped("a full disk: there is no /dev/full here");
    };
    let run = classify(&["--format", "nagios", "--output", "/dev/full"]);
    assert_unknown(&run, "/dev/full");
    let mut command = tool();
    command.args(CLASSIFY).args(["--format", "nagios"]);
    assert_eq!(Run::of(command.stdout(full)).code, 3);
}

#[test]
fn metrics_pass_promtool() {
    let promtool = || Command::new("promtool");
    if promtool().arg("--version").output().is_err() {
        return skipped("metrics: there is no promtool here");
    }
    for Outcome {
        name,
        code,
        label,
        run,
    } in outcomes("prometheus")
    {
        assert_eq!(run.code, code, "{name}: {}", run.stderr);
        let dir = tempfile::tempdir().unwrap();
        let file = support::file(&dir, "metrics", &run.stdout);
        let checked = Run::of(
            promtool()
                .args(["check", "metrics"])
                .stdin(std::fs::File::open(file).unwrap()),
        );
        let said = (checked.code, &*checked.stdout, &*checked.stderr);
        assert_eq!(said, (0, "", ""), "{name}:\n{}", run.stdout);
        let has = |part: &str| run.stdout.contains(part);
        assert!(
            has(&format!(",label=\"{label}\"")),
            "{name}: {}",
            run.stdout
        );
        let exit_code = format!("}} {code}\n# HELP");
        assert!(has(&exit_code), "{name}: {}", run.stdout);
        assert!(has("last_run_timestamp_seconds{"), "{name}");
        let is_accepted = ["login", "interrupted"].contains(&name);
        let round_trip = has("\nmsnp9_conntype_round_trip_seconds{");
        assert_eq!(round_trip, is_accepted, "{name}: {}", run.stdout);
    }
}

#[test]
fn a_test_of_junit_passes_fails_or_could_not_tell() {
    for Outcome {
        name,
        code,
        label,
        run,
    } in outcomes("junit")
    {
        assert_eq!(run.code, code, "{name}: {}", run.stderr);
        let document = roxmltree::Document::parse(&run.stdout).unwrap();
        let count = |tag| {
            let nodes = document.descendants();
            nodes.filter(|node| node.has_tag_name(tag)).count()
        };
        let found = (count("testcase"), count("failure"), count("error"));
        let wanted = match code {
            0 => (1, 0, 0),
            1 => (1, 1, 0),
            _ => (1, 0, 1),
        };
        assert_eq!(found, wanted, "{name}: {}", run.stdout);
        assert!(run.stdout.contains(label), "{name}: {}", run.stdout);
    }
}

#[test]
fn annotations_of_github_are_all_that_is_printed() {
    for Outcome {
        name,
        code,
        label,
        run,
    } in outcomes("github")
    {
        assert_eq!(run.code, code, "{name}: {}", run.stderr);
        let level = if code == 0 { "notice" } else { "error" };
        let start = format!("::{level} title={label}");
        assert!(run.stdout.starts_with(&start), "{name}: {}", run.stdout);
        // The runner reads commands from stderr, too.
        assert_eq!(run.stderr, "", "{name}");
    }
}

#[test]
fn a_job_summary_is_added_to_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = support::file(&dir, "summary", "## Before\n");
    let run = |path: &str, format| {
        let mut command = tool();
        command.args(CLASSIFY).args(["--format", format, "-q"]);
        Run::of(command.env("GITHUB_STEP_SUMMARY", path))
    };
    for _ in 0..2 {
        assert_eq!(run(text(&path), "github").code, 0);
    }
    run(text(&path), "label");
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.starts_with("## Before\n"), "{page}");
    assert_eq!(page.matches("### IP-Restrict-NAT\n").count(), 2, "{page}");

    let nowhere = run("/no/such/summary", "github");
    assert_eq!(nowhere.code, 0);
    assert!(
        nowhere.stdout.starts_with("::notice "),
        "{}",
        nowhere.stdout
    );
    assert_eq!(nowhere.stderr.lines().count(), 1, "{}", nowhere.stderr);
    let warning = "warning: cannot add to the job summary /no/such/summary: ";
    assert!(nowhere.stderr.contains(warning), "{}", nowhere.stderr);
    assert_eq!(run("", "github").stderr, "");
}
