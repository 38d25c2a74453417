//! The lines of a watch on a terminal: one that stays for each change, and one that is redrawn.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Report;
use super::page::{Page, QUIET};
use super::text::clean;
use crate::conntype::{Label, Mapping};
use crate::failure::ErrorCode;

/// The longest message of an error in a line, in columns.
const LONGEST_MESSAGE: usize = 200;

/// What a watch tells changes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    label: Label,
    outside: Option<IpAddr>,
    mapping: Option<Mapping>,
    error: Option<ErrorCode>,
}

impl State {
    /// The state that a check found.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let observed = report.observed.as_ref();
        Self {
            label: report.label,
            outside: observed.and_then(|seen| seen.client_ip.ip),
            mapping: report.mapping,
            error: report.error.as_ref().map(|error| error.code),
        }
    }

    fn words(&self) -> [Option<String>; 3] {
        let mapping = self.mapping.map(|mapping| match mapping {
            Mapping::EndpointIndependent => "endpoint-independent",
            Mapping::EndpointDependent => "endpoint-dependent",
        });
        [
            Some(self.label.to_string()),
            self.outside.map(|ip| ip.to_string()),
            mapping.map(str::to_owned),
        ]
    }
}

/// The line that stays: what a check found, and what it was before where that has changed. `before`
/// is the state of the check before, if there was one.
#[must_use]
pub fn change(report: &Report, before: Option<&State>, width: usize) -> String {
    let now = State::of(report);
    let before = before.unwrap_or(&now).words();
    let mut words = Vec::new();
    for (now, before) in now.words().into_iter().zip(before) {
        words.extend(match (now, before) {
            (Some(now), Some(before)) if now != before => Some(format!("{now} (was {before})")),
            (now, _) => now,
        });
    }
    if let Some(error) = &report.error {
        words.push(clean(&error.message, LONGEST_MESSAGE));
    }
    let mut page = Page::new(width, false);
    page.led(&time(report.started_at), QUIET, 2, &words.join("  "));
    page.finish()
}

/// The line that is redrawn between two checks.
#[must_use]
pub fn waiting(report: &Report, checks: u64, next: Duration) -> String {
    let checks = match checks {
        1 => "1 check".to_owned(),
        _ => format!("{checks} checks"),
    };
    let seconds = next.as_secs_f64().ceil();
    format!("{}, {checks}, next in {seconds} s", report.label)
}

/// In UTC, to the second.
fn time(at: Option<SystemTime>) -> String {
    at.map_or_else(String::new, |at| {
        humantime::format_rfc3339_seconds(at).to_string()
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::report::human::tests::all;

    fn report(name: &str) -> Report {
        let mut all = all().into_iter();
        let (_, mut report) = all.find(|(known, _)| *known == name).unwrap();
        report.started_at = Some(UNIX_EPOCH);
        report
    }

    #[test]
    fn a_line_tells_what_has_changed() {
        let [direct, symmetric, failed] =
            ["direct", "symmetric", "failure-unreachable"].map(report);
        let line =
            |report, before: Option<&Report>| change(report, before.map(State::of).as_ref(), 100);
        let first = line(&direct, None);
        assert!(
            first.starts_with("1970-01-01T00:00:00Z Direct-Connect  "),
            "{first}"
        );
        assert!(!first.contains("was"), "{first}");
        let worse = line(&symmetric, Some(&direct));
        assert!(
            worse.contains("Symmetric-NAT (was Direct-Connect)"),
            "{worse}"
        );
        let gone = line(&failed, Some(&direct));
        assert!(
            gone.contains("Unknown-Connect (was Direct-Connect)"),
            "{gone}"
        );
        let message = &failed.error.as_ref().unwrap().message;
        assert!(gone.replace("\n ", "").contains(&message[..20]), "{gone}");
    }

    #[test]
    fn the_ports_of_a_flow_are_no_change() {
        let mut other = report("symmetric");
        let state = State::of(&other);
        other.local = None;
        other.observed.as_mut().unwrap().client_port.port = None;
        assert_eq!(State::of(&other), state);
        other.observed.as_mut().unwrap().client_ip.ip = None;
        assert_ne!(State::of(&other), state);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_or_holds_anything_hidden() {
        for (name, report) in all() {
            for width in [40, 50, 80] {
                for line in change(&report, None, width).lines() {
                    assert!(
                        textwrap::core::display_width(line) <= width,
                        "{name}: {line}"
                    );
                    assert!(!line.chars().any(super::super::text::is_hidden), "{name}");
                }
            }
        }
    }
}
