//! What whole commands cost: `cargo bench --bench commands [-- TOOL [OLD]]`.
//!
//! TOOL is the program to measure, such as a release build; OLD another one to compare it with. The
//! two take turns, so that what else the machine does strikes both. A watched check is timed in
//! processor time: that of a watch with many checks less that of a watch with one.

#![allow(clippy::print_stdout, reason = "a bench prints")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use support::{Outcome, Serve, TOOL, tool_by};

/// How often a command is timed.
const RUNS: usize = 101;

/// How many checks the longer watch has besides the first.
const CHECKS: u32 = 10;

const COMMANDS: [&[&str]; 3] = [
    &["--help"],
    &["demo", "--path", "direct", "-q"],
    &[
        "classify",
        "-q",
        "--local=192.168.1.5:46412",
        "--client-ip=203.0.113.7",
        "--client-port=19637",
    ],
];

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let tool = words.next().map_or_else(|| TOOL.clone(), PathBuf::from);
    let old = words.next().map(PathBuf::from);
    println!("{:<28}{:>12}{:>12}{:>8}", "", "tool", "old", "ratio");
    for words in COMMANDS {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            times[0].push(time(&tool, words)?);
            if let Some(old) = &old {
                times[1].push(time(old, words)?);
            }
        }
        let [tool, old] = times.map(median);
        let name: Vec<_> = words
            .iter()
            .filter(|word| !word.contains(['=', 'q']))
            .copied()
            .collect();
        row(&name.join(" "), tool, old, |time| {
            format!("{:.2} ms", time * 1e3)
        });
    }
    let size = |path: &PathBuf| std::fs::metadata(path).map(|found| found.len() as f64);
    let sizes = (Some(size(&tool)?), old.as_ref().map(size).transpose()?);
    row("size", sizes.0, sizes.1, |bytes| {
        format!("{:.2} MiB", bytes / f64::from(1 << 20))
    });
    let server = Serve::start(&["--open"]);
    let one = watch(&server, &tool, 1)?;
    let many = watch(&server, &tool, 1 + CHECKS)?;
    let check = many.saturating_sub(one) / CHECKS;
    println!(
        "\nprocessor time of a check with a ticket in hand: {:.2} ms",
        check.as_secs_f64() * 1e3
    );
    Ok(())
}

fn row(name: &str, tool: Option<f64>, old: Option<f64>, shown: impl Fn(f64) -> String) {
    let cell = |value: Option<f64>| value.map_or_else(String::new, &shown);
    let ratio = tool
        .zip(old)
        .map(|(tool, old)| format!("{:.2}", tool / old));
    println!(
        "{name:<28}{:>12}{:>12}{:>8}",
        cell(tool),
        cell(old),
        ratio.unwrap_or_default()
    );
}

/// The seconds from the start of a command to its end.
fn time(tool: &Path, words: &[&str]) -> Outcome<f64> {
    let mut command = tool_by(Command::new(tool));
    command
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let took = start.elapsed();
    match status.success() {
        true => Ok(took.as_secs_f64()),
        false => Err(format!("{words:?}: {status}").into()),
    }
}

fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// The processor time of a watch with this many checks.
fn watch(server: &Serve, tool: &Path, checks: u32) -> Outcome<Duration> {
    let mut command = tool_by(Command::new(tool));
    command
        .args(server.tool().get_args())
        .env("MSNP9_PASSWORD", "secret")
        .args(["--every", "1s", "--count", &checks.to_string()])
        .stdout(Stdio::null());
    let before = used()?;
    let status = command.status()?;
    match status.success() {
        true => Ok(used()?.saturating_sub(before)),
        false => Err(format!("the watch: {status}").into()),
    }
}

/// The processor time of all children that have ended.
fn used() -> Outcome<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(microseconds.try_into()?))
}
