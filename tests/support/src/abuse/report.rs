//! What is checked, and the table.

use std::fmt;
use std::time::Duration;

use super::honest::Figures;
use super::server::{Ended, Tally};
use crate::vitals::Vitals;

/// One line of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) count: usize,
    pub(super) logins: Figures,
    pub(super) took: Duration,
    pub(super) during: Vitals,
    pub(super) after: Vitals,
    pub(super) cpu: Duration,
}

/// What was measured and checked.
#[derive(Default)]
pub struct Report {
    before_ms: f64,
    before_line: String,
    rows: Vec<Row>,
    limits: Vec<String>,
    pub passed: usize,
    pub failed: Vec<String>,
}

impl Report {
    pub(super) fn check(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        if is_right {
            self.passed += 1;
        } else {
            self.failed.push(what());
        }
    }

    pub(super) fn baseline(&mut self, figures: &Figures, vitals: &Vitals) {
        self.before_ms = figures.median_ms();
        self.before_line = format!(
            "without abuse: {} honest logins, median {:.1} ms, max {:.1} ms; {:.1} MiB, {} descriptors",
            figures.took.len(),
            figures.median_ms(),
            figures.max_ms(),
            mib(vitals),
            vitals.files
        );
    }

    /// A measured abuse: every honest login must have succeeded.
    pub(super) fn row(&mut self, row: Row) {
        let Figures { took, failed } = &row.logins;
        let is_right = failed.is_empty() && !took.is_empty();
        self.check(is_right, || {
            let why = failed.first().map_or("none was tried", String::as_str);
            format!("{}: {} honest logins failed: {why}", row.name, failed.len())
        });
        self.rows.push(row);
    }

    /// Memory and descriptors after an abuse.
    pub(super) fn returned(&mut self, name: &str, most: &Vitals, after: &Vitals) {
        self.check(after.is_within(most), || {
            format!(
                "{name}: {:.1} MiB and {} descriptors stay; {:.1} MiB and {} at most should",
                mib(after),
                after.files,
                mib(most),
                most.files
            )
        });
    }

    /// What the server counted, against what was done to it. Up to `unaccepted` connections may be
    /// missing; everything else is exact.
    pub(super) fn summary(&mut self, name: &str, wanted: &Tally, unaccepted: u64, ended: &Ended) {
        let connections = ended.tally.connections;
        let exact = Tally {
            connections,
            ..*wanted
        };
        let missing = wanted.connections.checked_sub(connections);
        let is_counted =
            ended.tally == exact && missing.is_some_and(|missing| missing <= unaccepted);
        self.check(ended.is_success && is_counted, || {
            format!(
                "{name}: the summary should count {wanted:?}, and is: {}",
                ended.log.trim_end()
            )
        });
    }

    /// What was observed of a limit.
    pub(super) fn limit(&mut self, line: String) {
        self.limits.push(line);
    }
}

fn mib(vitals: &Vitals) -> f64 {
    vitals.memory_kib as f64 / 1024.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.before_line)?;
        writeln!(
            f,
            "{:<29}|{:>8} |{:>13} |{:>20} |{:>13} |{:>13} |{:>11} |{:>5}",
            "abuse",
            "count",
            "honest logins",
            "median ms (max)",
            "RSS MiB",
            "descriptors",
            "server CPU",
            "s"
        )?;
        writeln!(
            f,
            "{:<29}|{:>8} |{:>13} |{:>20} |{:>13} |{:>13} |{:>11} |{:>5}",
            "", "", "ok", "before/during", "during/after", "during/after", "s", ""
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:<29}|{:>8} |{:>13} |{:>20} |{:>13} |{:>13} |{:>11.2} |{:>5.1}",
                row.name,
                row.count,
                format!("{}/{}", row.logins.took.len(), row.logins.total()),
                format!(
                    "{:.1}/{:.1} ({:.0})",
                    self.before_ms,
                    row.logins.median_ms(),
                    row.logins.max_ms()
                ),
                format!("{:.1}/{:.1}", mib(&row.during), mib(&row.after)),
                format!("{}/{}", row.during.files, row.after.files),
                row.cpu.as_secs_f64(),
                row.took.as_secs_f64()
            )?;
        }
        writeln!(f)?;
        for line in &self.limits {
            writeln!(f, "{line}")?;
        }
        for line in &self.failed {
            writeln!(f, "FAILED {line}")?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
    }
}
