//! `--format` and `--output`: one result, in one format, in one place.

use std::path::Path;
use std::process::Command;

use support::{Run, TOOL, text, tool, tool_by};

const CLASSIFY: [&str; 7] = [
    "classify",
    "--local",
    "192.168.1.5:46412",
    "--client-ip",
    "203.0.113.7",
    "--client-port",
    "19637",
];

fn classify(words: &[&str]) -> Run {
    Run::of(tool().args(CLASSIFY).args(words))
}

#[test]
fn json_is_the_same_document_by_either_option() {
    let json = classify(&["--json"]).json();
    assert_eq!(json["label"], "IP-Restrict-NAT");
    let line = classify(&["--format", "ndjson"]);
    assert_eq!(line.stdout.lines().count(), 1);
    for mut document in [classify(&["--format", "JSON"]).json(), line.json()] {
        document["started_at"] = json["started_at"].clone();
        assert_eq!(document, json);
    }
}

#[test]
fn a_report_goes_to_stdout_alone() {
    let run = classify(&["--format", "report"]);
    assert_eq!(run.stderr, "");
    assert!(run.stdout.contains("What was compared"), "{}", run.stdout);
    assert_eq!(run.stdout, classify(&["--format=label"]).stderr);
    let page = Run::of(tool().args(["explain", "--format", "report"]));
    assert_eq!(page.stdout, Run::of(tool().arg("explain")).stdout);
}

#[test]
fn a_page_for_a_browser_is_made_of_every_outcome() {
    let page = classify(&["--format", "html", "-q"]);
    assert_eq!((page.code, page.stderr.as_str()), (0, ""));
    assert!(
        page.stdout.starts_with("<!DOCTYPE html>"),
        "{}",
        page.stdout
    );
    assert!(page.stdout.contains("203.0.113.7"));
    let hostile = "<script>\u{202e}\"'";
    let page = classify(&["--format=html", "-q", "--client-ip", hostile]);
    assert_eq!(page.code, 5);
    let shown = r"&lt;script&gt;\u{202e}&quot;&#39;";
    assert!(page.stdout.contains(shown), "{}", page.stdout);
    assert!(!page.stdout.contains("<script"), "{}", page.stdout);
    let server = support::closed_port().to_string();
    let mut login = tool();
    login.args([
        "-q",
        "--format=html",
        "--user",
        "a@b.c",
        "--server",
        &server,
    ]);
    let page = Run::of(login.env("MSNP9_PASSWORD", "x"));
    assert_eq!((page.code, page.stderr.as_str()), (3, ""));
    assert!(page.stdout.contains("id=\"failure\""), "{}", page.stdout);
}

#[test]
fn two_formats_are_refused_and_the_command_line_counts_more_than_the_environment() {
    for words in [
        ["--json", "--format", "label"],
        ["--format=label", "--json", "--quiet"],
    ] {
        let run = classify(&words);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""));
        assert!(run.stderr.contains("two formats"), "{}", run.stderr);
    }
    let label = "IP-Restrict-NAT\n";
    let run = |variable: [&str; 2], words: &[&str]| {
        let [name, value] = variable;
        Run::of(tool().args(CLASSIFY).args(words).env(name, value)).stdout
    };
    assert_eq!(run(["MSNP9_JSON", "1"], &["--format", "label"]), label);
    assert_eq!(run(["MSNP9_FORMAT", "label"], &[]), label);
    assert!(run(["MSNP9_FORMAT", "label"], &["--json"]).starts_with('{'));
    assert!(run(["MSNP9_JSON", "1"], &[]).starts_with('{'));
}

#[test]
fn a_page_has_no_format_of_a_result() {
    let explain = Run::of(tool().args(["explain", "--format", "ndjson"]));
    let demo = Run::of(tool().args(["demo", "--format", "ndjson"]));
    for run in [explain, demo] {
        assert_eq!((run.code, run.stdout.as_str()), (2, ""));
        assert!(run.stderr.contains("report"), "{}", run.stderr);
    }
}

#[test]
fn an_output_file_holds_the_result_and_stdout_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("result");
    std::fs::write(&path, "old").unwrap();
    let run = classify(&["--output", text(&path), "-q"]);
    assert_eq!(
        (run.code, run.stdout.as_str(), run.stderr.as_str()),
        (0, "", "")
    );
    assert_eq!(read(&path), "IP-Restrict-NAT\n");
    let failure = classify(&["-o", text(&path), "--json", "--client-ip", "x"]);
    assert_eq!((failure.code, failure.stdout.as_str()), (5, ""));
    assert!(read(&path).contains("address-unknown"));
    assert_eq!(classify(&["-o", "-"]).stdout, "IP-Restrict-NAT\n");
    let page = Run::of(tool().args(["explain", "-o", text(&path)]));
    assert_eq!((page.code, page.stdout.as_str()), (0, ""));
    assert!(read(&path).contains("Direct-Connect"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_before_the_work() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none/result");
    for path in [missing.as_path(), directory.path()] {
        // The login is not tried: that would be 3.
        let login = ["--server", "127.0.0.1:1", "--user", "a@b.c", "--output"];
        let run = Run::of(tool().args(login).arg(path));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        assert!(run.stderr.contains(text(path)), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1);
    }
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_leaves_the_file_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("result");
    std::fs::write(&path, "old").unwrap();
    // Files may not grow, and a write that tries is an error.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    let mut command = tool_by(Command::new("sh"));
    command.args(["-c", script]).arg(&*TOOL).args(CLASSIFY);
    let run = Run::of(command.args(["-q", "--json", "--output", text(&path)]));
    assert_eq!((run.code, run.stdout.as_str()), (74, ""));
    assert!(run.stderr.contains(text(&path)), "{}", run.stderr);
    assert_eq!(read(&path), "old");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_read_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "secret").unwrap();
    for option in ["--password-file", "--ca-file"] {
        let login = ["--server", "127.0.0.1:1", "--user", "a@b.c", "--output"];
        let run = Run::of(tool().args(login).arg(&path).arg(option).arg(&path));
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains(option), "{}", run.stderr);
        assert_eq!(read(&path), "secret");
    }
}

#[test]
fn a_full_device_is_an_error_of_the_environment() {
    let run = classify(&["-q", "--json", "--output", "/dev/full"]);
    assert_eq!(run.code, 74);
    assert!(run.stderr.contains("/dev/full"), "{}", run.stderr);
}

#[test]
fn the_variables_are_for_results_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("result");
    std::fs::write(&path, "old").unwrap();
    let variables = [
        ("MSNP9_COUNT", "3"),
        ("MSNP9_EVERY", "5m"),
        ("MSNP9_FORMAT", "junit"),
        ("MSNP9_OUTPUT", text(&path)),
    ];
    for words in [&["explain"][..], &["demo"], &["--network", "list"]] {
        let run = Run::of(tool().args(words).envs(variables));
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        let first = run.stdout.lines().next().unwrap().to_owned();
        let usual = Run::of(tool().args(words)).stdout;
        assert!(usual.starts_with(&first), "{words:?}: {first}");
    }
    let serve = ["serve", "--listen", "192.0.2.1:0", "--json", "--open"];
    let run = Run::of(tool().args(serve).envs(variables));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stdout.contains("cannot-listen"), "{}", run.stdout);
    assert_eq!(read(&path), "old");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let run = Run::of(tool().args(CLASSIFY).envs(variables));
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    assert!(read(&path).contains("<testsuites"));
    let wrong = [("MSNP9_OUTPUT", text(directory.path()))];
    let run = Run::of(tool().args(CLASSIFY).envs(wrong));
    assert!(
        run.stderr.contains("MSNP9_OUTPUT: cannot write"),
        "{}",
        run.stderr
    );
}

#[cfg(unix)]
#[test]
fn a_descriptor_is_written_to_and_the_file_behind_it_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    std::fs::write(&path, "old\n").unwrap();
    let log = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    let mut command = tool();
    command
        .args(CLASSIFY)
        .args(["-q", "--output", "/dev/stderr"]);
    let status = command.stderr(log).status().unwrap();
    assert!(status.success());
    assert_eq!(read(&path), "old\nIP-Restrict-NAT\n");
}

#[test]
fn colours_are_used_as_asked() {
    let has_colour = |words: &[&str], variable: Option<&str>| {
        let mut command = tool();
        command
            .args(CLASSIFY)
            .args(words)
            .envs(variable.map(|name| (name, "1")));
        Run::of(&mut command).stderr.contains('\x1b')
    };
    assert!(!has_colour(&[], None));
    assert!(has_colour(&[], Some("CLICOLOR_FORCE")));
    assert!(has_colour(&["--color", "always"], Some("NO_COLOR")));
    assert!(!has_colour(&["--color=never"], Some("CLICOLOR_FORCE")));
    let help = |words: &[&str]| Run::of(tool().args(words)).stdout.contains('\x1b');
    assert!(help(&["--color", "always", "--help"]));
    assert!(!help(&["--help"]));
    assert_eq!(classify(&["--color", "purple"]).code, 2);
    // Colours add nothing that the words do not say.
    let [plain, coloured] = ["never", "always"].map(|when| classify(&["--color", when]));
    assert_eq!(
        anstream::adapter::strip_str(&coloured.stderr).to_string(),
        plain.stderr
    );
    // Every command takes the option, and its errors follow it.
    for words in [
        &["serve"][..],
        &["generate"],
        &["generate", "man"],
        &["demo"],
    ] {
        let error = |when| {
            let run = Run::of(tool().args(words).args(["--color", when, "--frobnicate"]));
            assert_eq!(run.code, 2);
            run.stderr.contains('\x1b')
        };
        assert!(error("always") && !error("never"), "{words:?}");
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
