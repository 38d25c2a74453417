//! The report for a person: the path, the comparison, the label and why, what it means and what
//! to try.
//!
//! Text from the network passes `text::wrap` on its way to the page, so its
//! control characters are escaped. The only escape sequences are the page's own colours.

use super::meaning::Meaning;
use super::page::{BAD, HEADING, ODD, PLAIN, Page, QUIET};
use super::parts::Tone;
use super::path::stops;
use super::text::sentence;
use super::{ConclusionReport, ErrorReport, ProbeReport, Report, Role, clients, hints, parts};
use crate::conntype::Label;

/// The column of the text beside a name.
const INDENT: usize = 20;

/// How the report is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to use colours and bold letters.
    pub colour: bool,
    /// The columns there are.
    pub width: usize,
    /// Whether to print timings, and what clients of the time would have said.
    pub verbose: bool,
    /// Whether the label is on the same screen already.
    pub label_shown: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            colour: false,
            width: 80,
            verbose: false,
            label_shown: false,
        }
    }
}

/// The report as text, a newline at its end.
#[must_use]
pub fn render(report: &Report, style: Style) -> String {
    let mut page = Page::new(style.width, style.colour);
    match (parts::comparisons(report), &report.error) {
        (Some(rows), _) => verdict(&mut page, report, &rows, style),
        (None, Some(error)) => failure(&mut page, report, error, style),
        (None, None) => {}
    }
    for (heading, said) in parts::evidence(report) {
        page.blank();
        section(&mut page, &heading, &said);
    }
    conclusion(&mut page, report.conclusion.as_ref());
    if style.verbose {
        said(&mut page, report);
    }
    notes(&mut page, report, style);
    page.finish()
}

/// The report of `probe` as text, a newline at its end.
#[must_use]
pub fn probe(report: &ProbeReport, style: Style) -> String {
    let mut page = Page::new(style.width, style.colour);
    for (at, (heading, said)) in parts::probes(&report.probes).iter().enumerate() {
        if at > 0 {
            page.blank();
        }
        section(&mut page, heading, said);
    }
    conclusion(&mut page, report.conclusion.as_ref());
    for note in parts::expected_of(report.expected.as_ref(), report.label)
        .into_iter()
        .chain(parts::redacted(report.redacted))
    {
        page.led(note.lead, note.tone.look(), 2, &note.text);
    }
    page.finish()
}

/// What a probe found.
fn section(page: &mut Page, heading: &str, said: &[String]) {
    page.heading(heading, HEADING);
    for text in said {
        page.text(2, text);
    }
}

/// What the probes mean.
fn conclusion(page: &mut Page, found: Option<&ConclusionReport>) {
    let Some(found) = found.map(parts::Conclusion::of) else {
        return;
    };
    page.blank();
    page.heading(parts::CONCLUSION, HEADING);
    for (lead, text) in found.outlooks {
        page.item(&format!("  {lead}"), HEADING, INDENT, &text);
    }
    for text in found.advice {
        page.text(2, &text);
    }
}

/// What clients of the time would have said.
fn said(page: &mut Page, report: &Report) {
    let Some(clients) = &report.clients else {
        return;
    };
    page.blank();
    page.heading(parts::CLIENTS, HEADING);
    for says in clients {
        let lead = format!("  {}", says.client.name());
        page.item(&lead, PLAIN, INDENT, &clients::said(says));
    }
}

/// What the label means for each.
fn outlooks(page: &mut Page, rows: &[(&str, String)]) {
    if !rows.is_empty() {
        page.blank();
    }
    for (lead, text) in rows {
        page.item(&format!("  {lead}"), HEADING, INDENT, text);
    }
}

/// A run that ended before there was anything to compare.
fn failure(page: &mut Page, report: &Report, error: &ErrorReport, style: Style) {
    let stage = format!("{}:", error.stage);
    let indent = stage.len().max(7) + 1;
    page.item(&stage, BAD, indent, &error.message);
    page.item("remedy:", HEADING, indent, &error.remedy);
    page.blank();
    label(page, report.label, style, parts::MEANING);
    page.text(2, Meaning::of(report.label).connection);
}

fn verdict(page: &mut Page, report: &Report, rows: &[parts::Row], style: Style) {
    page.heading(parts::PATH, HEADING);
    path(page, report);
    page.blank();
    page.heading(parts::COMPARED, HEADING);
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let cells = [row.name.to_owned(), row.here.clone(), row.there.clone()];
            (cells, (row.outcome, row.tone.look()))
        })
        .collect();
    page.table(2, ["", parts::HERE, parts::THERE], "", &rows);
    if let Some(note) = parts::order_note(report) {
        page.text(2, &note);
    }
    if report.observations.len() > 1 {
        page.blank();
        page.heading(parts::OBSERVATIONS, HEADING);
        for observation in &report.observations {
            page.item("  -", QUIET, 4, &parts::observation(observation));
        }
    }

    page.blank();
    label(page, report.label, style, "Why");
    for text in parts::why(report)
        .iter()
        .chain(&parts::alternatives(report))
    {
        page.text(2, text);
    }

    let meaning = Meaning::of_run(report);
    page.blank();
    page.heading(parts::MEANING, HEADING);
    page.text(2, meaning.connection);
    outlooks(page, &parts::outlooks(report, &meaning));

    page.blank();
    page.heading(parts::TRY, HEADING);
    for hint in hints::of_run(report) {
        page.item("  -", QUIET, 4, &sentence(&hint.to_string()));
    }
}

/// The path from top to bottom, with a line from each stop to the next.
fn path(page: &mut Page, report: &Report) {
    let stops = stops(report);
    let last = stops.len() - 1;
    for (at, stop) in stops.iter().enumerate() {
        let (mark, look) = match stop.role {
            Role::Rewriter => ('◆', ODD),
            _ => ('●', PLAIN),
        };
        let lead = format!("  {mark} {}", stop.name());
        let left = if at == last { "" } else { "  │" };
        page.rail((&lead, look), left, INDENT, &stop.lines);
        if at != last {
            page.heading("  │", QUIET);
        }
    }
}

/// The label as a heading, or another heading where the label is on the screen already.
fn label(page: &mut Page, label: Label, style: Style, otherwise: &str) {
    let text = match style.label_shown {
        true => otherwise,
        false => label.as_str(),
    };
    page.heading(text, Tone::of(label).look().bold());
}

/// What is worth knowing besides: warnings, the labels expected, the time it took.
fn notes(page: &mut Page, report: &Report, style: Style) {
    let timing = parts::timing(&report.timings_ms).filter(|_| style.verbose);
    let notes = parts::warnings(report)
        .chain(parts::expected(report))
        .chain(parts::redacted(report.redacted))
        .chain(timing);
    for (at, note) in notes.enumerate() {
        if at == 0 {
            page.blank();
        }
        page.led(note.lead, note.tone.look(), 2, &note.text);
    }
}

#[cfg(test)]
pub(crate) mod tests;
