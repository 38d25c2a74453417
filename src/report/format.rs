//! The formats of a result.

use super::human::Style;
use super::{ProbeReport, Report, github, html, human, json, junit, nagios, prometheus};

/// A format. Each is defined for every outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The label on a line.
    #[default]
    Label,
    /// One JSON document.
    Json,
    /// The same document on one line.
    Ndjson,
    /// The report for a person.
    Report,
    /// The report as a page for a browser.
    Html,
    /// The line of a monitoring plugin, which has exit codes of its own.
    Nagios,
    /// Metrics for Prometheus.
    Prometheus,
    /// A JUnit XML document.
    Junit,
    /// Annotations and a job summary for GitHub Actions.
    Github,
}

impl Format {
    /// Every format, in the order of the help.
    pub const ALL: [Self; 9] = [
        Self::Label,
        Self::Json,
        Self::Ndjson,
        Self::Report,
        Self::Html,
        Self::Nagios,
        Self::Prometheus,
        Self::Junit,
        Self::Github,
    ];

    /// The word of `--format`, and what it stands for.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Label => ("label", "The label on a line"),
            Self::Json => ("json", "One JSON document"),
            Self::Ndjson => ("ndjson", "The JSON document on one line"),
            Self::Report => ("report", "The report for a person"),
            Self::Html => ("html", "The report as a page for a browser"),
            Self::Nagios => (
                "nagios",
                "The line and the exit code of a monitoring plugin",
            ),
            Self::Prometheus => (
                "prometheus",
                "Metrics for node exporter's textfile collector",
            ),
            Self::Junit => ("junit", "A JUnit XML document with one test"),
            Self::Github => ("github", "Annotations and a job summary for GitHub Actions"),
        }
    }

    /// Whether it is one line for each result, so that results may follow each other.
    #[must_use]
    pub const fn is_a_line(self) -> bool {
        matches!(self, Self::Label | Self::Ndjson | Self::Nagios)
    }

    /// Whether stderr gets no report beside it: the result is one, or what reads the result reads
    /// stderr too, as monitoring systems and the runner of GitHub Actions do.
    #[must_use]
    pub const fn stands_alone(self) -> bool {
        matches!(self, Self::Report | Self::Nagios | Self::Github)
    }
}

/// The result of a run without a login in this format.
#[must_use]
pub fn render_probe(report: &ProbeReport, format: Format, style: Style) -> String {
    match format {
        Format::Label => format!("{}\n", report.label),
        Format::Json => json::render(report),
        Format::Ndjson => json::line(report),
        Format::Report => human::probe(report, style),
        Format::Html => html::probe(report),
        Format::Nagios => nagios::probe(report),
        Format::Prometheus => prometheus::probe(report),
        Format::Junit => junit::probe(report),
        Format::Github => github::of_probe(report),
    }
}

/// The result in this format, a newline at its end. `style` is how a report for a person looks.
#[must_use]
pub fn render(report: &Report, format: Format, style: Style) -> String {
    match format {
        Format::Label => format!("{}\n", report.label),
        Format::Json => json::render(report),
        Format::Ndjson => json::line(report),
        Format::Report => human::render(report, style),
        Format::Html => html::render(report),
        Format::Nagios => nagios::render(report),
        Format::Prometheus => prometheus::render(report),
        Format::Junit => junit::render(report),
        Format::Github => github::annotations(report),
    }
}
