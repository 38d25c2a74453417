//! The table: one row is one path, what is expected of it, and what came.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::Value;

use crate::run::Run;
use support::lab::Error;
use support::print_past_the_harness;

/// One path.
pub(crate) struct Row {
    /// The path, and what is special about the run, in a few words.
    pub(crate) path: &'static str,
    /// Builds the network, runs both ends on it, and takes it away.
    pub(crate) run: fn() -> Result<Run, Error>,
    /// [`Run::summary`] of a run that is right.
    pub(crate) expected: &'static str,
    /// What else must be so.
    pub(crate) facts: &'static [Fact],
}

/// A place, and what must be there.
///
/// `/path/kind` is a place in the JSON document, and what must be there is a text, or JSON. With a
/// `~` before it, what must be there is a part of the text. `stderr` has to contain its text.
pub(crate) type Fact = (&'static str, &'static str);

/// Runs the rows, one after the other, and prints the table as it grows.
///
/// # Errors
///
/// When a row is not as expected, with what is wrong with it; what the tool printed there was printed
/// before. With `show` the tool's report on stderr follows each row.
pub(crate) fn run(rows: &[&Row], show: bool) -> Result<(), Error> {
    let started = Instant::now();
    let widest = |column: fn(&Row) -> &str| {
        let widths = rows.iter().map(|row| column(row).chars().count());
        widths.max().unwrap_or(0)
    };
    let (path, expected) = (widest(|row| row.path), widest(|row| row.expected));
    let line = |cells: [&str; 4]| {
        let [a, b, c, d] = cells;
        print_past_the_harness(&format!(
            "{a:path$} | {b:expected$} | {c:expected$} | {d:>6}\n"
        ));
    };
    line(["path", "expected", "got", "ms"]);
    line(["-", "-", "-", "-"].map(|_| "---"));
    let mut wrong = Vec::new();
    for row in rows {
        match (row.run)() {
            Ok(run) => {
                let got = run.summary();
                line([
                    row.path,
                    row.expected,
                    &got,
                    &run.took.as_millis().to_string(),
                ]);
                if show {
                    print_past_the_harness(&format!("{}\n", run.stderr));
                }
                if let Some(mistakes) = mistakes(row, &run, &got) {
                    let (code, stdout, stderr) = (run.code, &run.stdout, &run.stderr);
                    print_past_the_harness(&format!(
                        "\nWRONG: exit code {code}, stdout:\n{stdout}  stderr:\n{stderr}\n"
                    ));
                    wrong.push(format!("{}\n{mistakes}", row.path));
                }
            }
            Err(e) => {
                line([row.path, row.expected, "the lab failed", "-"]);
                wrong.push(format!("{}: {e}\n", row.path));
            }
        }
    }
    let (passed, failed) = (rows.len() - wrong.len(), wrong.len());
    let seconds = started.elapsed().as_secs_f64();
    print_past_the_harness(&format!(
        "\n{seconds:.1} s\n{passed} passed, {failed} failed\n"
    ));
    if rows.is_empty() {
        return Err(Error::new("there is no such path"));
    }
    if failed > 0 {
        let wrong = wrong.concat();
        return Err(Error::new(format!(
            "{failed} paths are not as expected\n{wrong}"
        )));
    }
    Ok(())
}

/// The rows as a page of Markdown.
pub(crate) fn page(rows: impl Iterator<Item = &'static Row>, kinds: &[Row]) -> String {
    let mut page = PAGE_HEAD.to_owned();
    for row in rows {
        let _ = writeln!(page, "| {} | `{}` |", row.path, row.expected);
    }
    page += KINDS_HEAD;
    for row in kinds {
        let label = row.expected.split(' ').next().unwrap_or_default();
        let _ = write!(page, "| {} | {label} |", row.path);
        for place in COLUMNS {
            let fact = row.facts.iter().find(|(at, _)| at == place);
            let _ = write!(page, " {} |", fact.map_or("", |(_, value)| value));
        }
        page.push('\n');
    }
    page
}

/// The columns of the second table, after the path and the label of TCP.
const COLUMNS: &[&str] = &[
    "/probes/udp_echo/label",
    "/probes/stun/0/label",
    "/probes/stun/0/mapping",
    "/probes/stun/0/filtering",
    "/probes/stun/0/hairpin",
    "/probes/stun/0/port_kept",
    "/conclusion/file_transfer",
    "/conclusion/voice",
];

const KINDS_HEAD: &str = "
## Kinds of NAT

What each kind of NAT has to come to where everything is asked: the labels of TCP, UDP echo and STUN, the terms of
RFC 4787, and the conclusion. Null is what cannot be told.

| path | TCP | UDP echo | STUN | mapping | filtering | hairpin | port kept | file transfer | voice |
|---|---|---|---|---|---|---|---|---|---|
";

const PAGE_HEAD: &str = "\
# Tested paths

`scripts/nat-lab` runs the tool against its own server on each of these paths, through real network
namespaces, nftables, TUN devices and Debian's proxies. *Result* is the label, the two comparisons
(address/port) and the exit code, or, for a failure, the exit code, the stage and the error code. The
lab also checks the JSON of each run for more than the table has room for.

`scripts/nat-lab --write` writes this page after all paths have passed.

| path | result |
|---|---|
";

/// All that is wrong with a run, in lines; `None` if all is right.
fn mistakes(row: &Row, run: &Run, got: &str) -> Option<String> {
    let mut text = String::new();
    if got != row.expected {
        let _ = writeln!(text, "  expected {}\n  but got  {got}", row.expected);
    }
    for fault in &run.faults {
        let _ = writeln!(text, "  {fault}");
    }
    for (place, want) in row.facts {
        if let Some(there) = elsewise(run, place, want) {
            let _ = writeln!(text, "  {place} is not {want} but {there}");
        }
    }
    (!text.is_empty()).then_some(text)
}

/// What is in a place, if it is not what must be there.
fn elsewise(run: &Run, place: &str, want: &str) -> Option<String> {
    if place == "stderr" {
        return (!run.stderr.contains(want)).then(|| run.stderr.clone());
    }
    let (pointer, whole) = match place.strip_prefix('~') {
        Some(pointer) => (pointer, false),
        None => (place, true),
    };
    let Some(there) = run.json.pointer(pointer) else {
        return Some("missing".to_owned());
    };
    let fits = match (there, whole) {
        (Value::String(text), true) => text == want,
        (Value::String(text), false) => text.contains(want),
        (other, true) => serde_json::from_str::<Value>(want).is_ok_and(|want| want == *other),
        (other, false) => other.to_string().contains(want),
    };
    (!fits).then(|| there.to_string())
}
