//! The formats of a result.

use super::human::Style;
use super::{Report, html, human, json};

/// A format. Each is defined for every outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The label on a line.
    Label,
    /// One JSON document.
    Json,
    /// The same document on one line.
    Ndjson,
    /// The report for a person.
    Report,
    /// The report as a page for a browser.
    Html,
}

impl Format {
    /// Every format, in the order of the help.
    pub const ALL: [Self; 5] = [
        Self::Label,
        Self::Json,
        Self::Ndjson,
        Self::Report,
        Self::Html,
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
        }
    }

    /// Whether it is one line for each result, so that results may follow each other.
    #[must_use]
    pub const fn is_a_line(self) -> bool {
        matches!(self, Self::Label | Self::Ndjson)
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
    }
}
