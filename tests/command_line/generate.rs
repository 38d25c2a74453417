//! `generate` and the help: what is printed, and what shells and readers of manual pages make of it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Run, file, skipped, text, tool};

use crate::terminal::Session;

const SHELLS: [&str; 6] = ["bash", "zsh", "fish", "powershell", "elvish", "nushell"];

const COMMANDS: [&str; 16] = [
    "",
    "demo",
    "serve",
    "account",
    "account add",
    "account remove",
    "account list",
    "account check",
    "classify",
    "probe",
    "explain",
    "pair",
    "generate",
    "generate completions",
    "generate man",
    "generate schema",
];

fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

/// What the tool prints on 80 columns.
fn printed(words: &[&str]) -> String {
    let run = Run::of(tool().args(words).env("COLUMNS", "80"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{words:?}");
    run.stdout
}

/// Compares with a file of its own, which any version fits.
fn hold(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn completions_are_as_before() {
    for shell in SHELLS {
        let script = printed(&["generate", "completions", shell]);
        hold(&format!("completions-{shell}"), &script);
    }
}

#[test]
fn every_command_has_a_manual_page_as_before() {
    let pages = pages();
    let files = std::fs::read_dir(pages.path()).unwrap();
    assert_eq!(files.count(), COMMANDS.len());
    for command in COMMANDS {
        let name = ["msnp9-conntype", command].join(" ");
        let name = name.trim().replace(' ', "-");
        let page = std::fs::read_to_string(pages.path().join(format!("{name}.1"))).unwrap();
        hold(&name, &page);
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"] {
            assert!(
                page.contains(&format!(".SH {section}"))
                    || page.contains(&format!(".SH \"{section}\"")),
                "{name}: {section}"
            );
        }
    }
    let page = printed(&["generate", "man"]);
    let written = pages.path().join("msnp9-conntype.1");
    assert_eq!(page, std::fs::read_to_string(written).unwrap());
    // There is no option for it.
    assert!(page.contains("MSNP9_PASSWORD\\fR"), "{page}");
}

#[test]
fn schemas_are_those_of_the_documentation() {
    let schema = |words: &[&str]| printed(&[&["generate", "schema"], words].concat());
    for document in msnp9_conntype::report::Document::ALL {
        assert_eq!(schema(&[document.as_str()]), document.schema());
    }
    assert_eq!(schema(&[]), schema(&["report"]));
}

#[test]
fn every_help_is_as_before() {
    for command in COMMANDS {
        let name = ["help", command].join(" ").trim().replace(' ', "-");
        for (option, kind) in [("-h", "short"), ("--help", "long")] {
            let help = printed(&[&words(command)[..], &[option]].concat());
            hold(&format!("{name}-{kind}"), &help);
            let widest = help.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{command} {option}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let run = Run::of(tool().args(["generate", "man", "--out", "/dev/null/man"]));
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
    assert!(
        run.stderr.contains("--out: /dev/null/man: "),
        "{}",
        run.stderr
    );
}

fn pages() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path();
    let run = Run::of(tool().args(["generate", "man", "--out", text(out)]));
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
    directory
}

/// A program, if it is installed; says what is skipped where it is not.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(program));
    let found = places.find(|place| place.is_file());
    if found.is_none() {
        skipped(&format!("{program} is not installed"));
    }
    found
}

#[test]
fn manual_pages_pass_the_checkers_without_a_word() {
    let pages = pages();
    for entry in std::fs::read_dir(pages.path()).unwrap() {
        let page = entry.unwrap().path();
        if let Some(mandoc) = installed("mandoc") {
            silent(Command::new(mandoc).args(["-T", "lint"]).arg(&page));
        }
        if let Some(groff) = installed("groff") {
            let options = ["-man", "-Tutf8", "-ww", "-z"];
            silent(Command::new(groff).args(options).arg(&page));
        }
    }
}

fn silent(command: &mut Command) {
    let run = Run::of(command);
    assert_eq!((run.code, run.stdout + &run.stderr), (0, String::new()));
}

/// The completions for a shell, in a file.
fn script(directory: &tempfile::TempDir, shell: &str) -> PathBuf {
    file(
        directory,
        shell,
        printed(&["generate", "completions", shell]),
    )
}

/// What a shell prints that runs `line` with the completions loaded.
fn asked(command: &mut Command, script: &Path, line: &str) -> Vec<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let program = format!("source {}\n{line}\n", text(script));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(program.as_bytes())
        .unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{line}");
    let mut lines: Vec<_> = run.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The beginnings of command lines, and what can follow.
const CANDIDATES: [(&str, &[&str]); 6] = [
    (
        "--format ",
        &[
            "github",
            "html",
            "json",
            "junit",
            "label",
            "nagios",
            "ndjson",
            "prometheus",
            "report",
        ],
    ),
    ("explain --format ", &["json", "report"]),
    (
        "classify --expect Unknown-",
        &["Unknown-Connect", "Unknown-NAT"],
    ),
    ("--network ", &["crosstalk", "escargot", "list"]),
    ("explain Sym", &["Symmetric-NAT"]),
    ("explain --as m", &["miranda", "msnp-sharp"]),
];

#[test]
fn bash_offers_the_candidates() {
    let Some(bash) = installed("bash") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let script = script(&directory, "bash");
    let commands = ("g", &["generate"][..]);
    for (line, candidates) in CANDIDATES.into_iter().chain([commands]) {
        let mut words: Vec<_> = line.split(' ').collect();
        words.insert(0, "msnp9-conntype");
        let (at, last) = (words.len() - 1, words[words.len() - 1]);
        let ask = format!(
            "function=$(complete -p msnp9-conntype | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
             COMP_WORDS=({} '{last}') COMP_CWORD={at}\n\
             $function msnp9-conntype '{last}' {}\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words[..at].join(" "),
            words[at - 1],
        );
        let mut bash = Command::new(&bash);
        let got = asked(bash.args(["--norc", "--noprofile"]), &script, &ask);
        assert_eq!(got, candidates, "{line}");
    }
}

#[test]
fn fish_offers_the_candidates() {
    let Some(fish) = installed("fish") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let script = script(&directory, "fish");
    let commands = ("g", &["generate"][..]);
    let shells = ("generate completions e", &["elvish"][..]);
    for (line, candidates) in CANDIDATES.into_iter().chain([commands, shells]) {
        let ask =
            format!("complete -C 'msnp9-conntype {line}' | string replace -r '\\t.*' ''; true");
        let mut fish = Command::new(&fish);
        fish.arg("--no-config").env("HOME", directory.path());
        assert_eq!(asked(&mut fish, &script, &ask), candidates, "{line}");
    }
}

#[test]
fn zsh_offers_the_candidates() {
    let Some(zsh) = installed("zsh") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let script = script(&directory, "zsh");
    for (line, candidates) in CANDIDATES {
        let mut zsh = Session::of(&zsh, 80, &["-f"], &[]);
        let load = "autoload -U compinit; compinit -u -D; zstyle ':completion:*' menu no; PS1=";
        zsh.type_in(&format!(
            "{load}; source {} && print loa''ded\n",
            text(&script)
        ));
        zsh.wait_for("loaded");
        zsh.type_in(&format!("msnp9-conntype {line}\t\t"));
        for candidate in candidates {
            zsh.wait_for(candidate);
        }
        zsh.kill();
    }
}
