//! The line of a monitoring plugin: for Nagios, Icinga, and everything that runs their plugins.

use super::headline::{conclusion, headline, of_probe, round_trip, seconds};
use super::text::clean;
use super::{ProbeReport, Report};
use crate::exit::State;

/// The longest text of a run without a result, in columns.
const LONGEST: usize = 500;

/// The state, the headline and the times, on one line.
#[must_use]
pub fn render(report: &Report) -> String {
    let times = [("time", seconds(report)), ("rtt", round_trip(report))];
    let times: Vec<_> = times
        .iter()
        .filter_map(|(name, seconds)| Some(format!("{name}={:.5}s;;;0", (*seconds)?)))
        .collect();
    let text = headline(report) + &conclusion(report.conclusion.as_ref());
    let line = line(report.exit_code.state(), &text);
    match times.is_empty() {
        true => format!("{line}\n"),
        false => format!("{line} | {}\n", times.join(" ")),
    }
}

/// The line of a run without a login.
#[must_use]
pub(super) fn probe(report: &ProbeReport) -> String {
    let text = of_probe(report) + &conclusion(report.conclusion.as_ref());
    format!("{}\n", line(report.exit_code.state(), &text))
}

/// The line of a run without a result: a usage error, or an output that cannot be written.
#[must_use]
pub fn unknown(why: &str) -> String {
    let words: Vec<_> = why.split_whitespace().collect();
    let line = line(State::Unknown, &clean(&words.join(" "), LONGEST));
    format!("{line}\n")
}

/// A `|` would begin the times.
fn line(state: State, text: &str) -> String {
    format!("MSNP9 {state} - {}", text.replace('|', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::human::tests::{all, hostile, snapshot};

    fn check(name: &str, report: &Report) {
        let line = render(report);
        let (text, times) = line
            .split_once(" | ")
            .unwrap_or_else(|| (line.trim_end(), ""));
        let state = match (report.exit_code.code(), report.exit_code.state()) {
            (0, State::Ok) => "OK",
            (1, State::Critical) => "CRITICAL",
            (3.., State::Unknown) => "UNKNOWN",
            other => panic!("{name}: {other:?}"),
        };
        let start = format!("MSNP9 {state} - {}", report.label);
        assert!(text.starts_with(&start), "{name}: {line}");
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{name}");
        assert!(!text.contains('|') && line.len() < 4096, "{name}: {line}");
        for time in times.split_whitespace() {
            let (label, value) = time.split_once('=').unwrap();
            let seconds = value.strip_suffix("s;;;0").unwrap();
            assert!(["time", "rtt"].contains(&label), "{name}: {line}");
            assert!(seconds.parse::<f64>().unwrap() >= 0.0, "{name}: {line}");
        }
        assert_eq!(times.is_empty(), report.timings_ms.is_empty(), "{name}");
    }

    #[test]
    fn every_report_is_one_line_with_its_state() {
        for (name, report) in all() {
            check(name, &report);
            check(name, &hostile(report));
        }
    }

    #[test]
    fn lines_match_their_snapshot() {
        let shown = all().into_iter().filter(|(name, _)| SHOWN.contains(name));
        let lines: String = shown.map(|(_, report)| render(&report)).collect();
        snapshot("nagios", &lines);
    }

    const SHOWN: [&str; 6] = [
        "ip-restrict",
        "expected-and-met",
        "expected-and-verbose",
        "unknown-connect-constant",
        "failure-unreachable",
        "failure-bug",
    ];

    #[test]
    fn a_run_without_a_result_is_one_line_too() {
        let line = unknown("cannot write | time=0s\n\tto \x1b[31mx\r\n");
        assert_eq!(
            line,
            "MSNP9 UNKNOWN - cannot write / time=0s to \\u{1b}[31mx\n"
        );
    }
}
