//! The report for a person: the path, what was compared, the label and why, what it means and
//! what to try.
//!
//! Whatever came from the network passes [`text::wrap`](super::text::wrap) on its way to the
//! page, so no terminal obeys it. The only escape sequences are our own colours.

mod page;
mod path;

use std::net::SocketAddr;

use super::text::{clean, join, sentence};
use super::{Compared, ErrorReport, Look, Observed, Report, Timing, advice};
use crate::conntype::{Label, PortReading, swap_port};
use crate::run_log::Purpose;
use page::{BAD, GOOD, HEADING, NOTE, ODD, Page, QUIET};

/// How the report is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether colours and bold letters may be used.
    pub colour: bool,
    /// The columns there are. Lines get between 40 and 100 of them: shorter ones cannot hold
    /// the addresses, longer ones are hard to read.
    pub width: usize,
    /// Whether to tell how long it took as well.
    pub verbose: bool,
    /// Whether the label stands on the same screen already.
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

/// How many stages the timing names: the ones worth looking at.
const SLOWEST: usize = 3;

/// The longest value of a profile's field that is shown whole.
const LONGEST_VALUE: usize = 60;

/// The report as text, a newline at its end.
#[must_use]
pub fn render(report: &Report, style: Style) -> String {
    let mut page = Page::new(style);
    match &report.error {
        Some(error) if report.observed.is_none() => failure(&mut page, report, error, style),
        _ => verdict(&mut page, report, style),
    }
    notes(&mut page, report, style);
    page.finish()
}

/// A run that ended before there was anything to compare.
fn failure(page: &mut Page, report: &Report, error: &ErrorReport, style: Style) {
    let stage = format!("{}:", error.stage);
    let indent = stage.len().max(7) + 1;
    page.item(&stage, BAD, indent, &error.message);
    page.item("remedy:", HEADING, indent, error.remedy);
    page.blank();
    label(page, report.label, style, "What it means");
    page.text(2, advice::meaning(report.label));
}

fn verdict(page: &mut Page, report: &Report, style: Style) {
    page.heading("The way to the server", HEADING);
    path::draw(page, report);
    if let (Some(observed), Some(compared)) = (&report.observed, &report.comparison) {
        page.blank();
        page.heading("What was compared", HEADING);
        comparison(page, report, observed, compared);
    }
    if !report.looks.is_empty() {
        page.blank();
        page.heading("Individual observations", HEADING);
        for look in &report.looks {
            page.item("  -", QUIET, 4, &one_look(look));
        }
    }

    page.blank();
    label(page, report.label, style, "Why");
    page.text(2, &sentence(&report.reason.text));
    if !report.alternatives.is_empty() {
        let others: Vec<_> = report.alternatives.iter().map(|l| l.as_str()).collect();
        let others = join(&others, "or");
        page.text(
            2,
            &match report.looks.is_empty() {
                true => format!(
                    "It may also be {others}: --second-server HOST asks another server from the \
                     same local port, which settles that."
                ),
                false => format!("It may also be {others}; the observations do not settle that."),
            },
        );
    }

    page.blank();
    page.heading("What it means", HEADING);
    page.text(2, advice::meaning_here(report));
    page.blank();
    page.item(
        "  File transfer",
        HEADING,
        20,
        advice::file_transfer_here(report),
    );
    page.item(
        "  Voice and webcam",
        HEADING,
        20,
        advice::voice_here(report),
    );

    page.blank();
    page.heading("What to try", HEADING);
    for line in advice::to_try(report) {
        page.item("  -", QUIET, 4, &line);
    }
}

/// The label as a heading, or another heading where the label stands on the screen already.
fn label(page: &mut Page, label: Label, style: Style, otherwise: &str) {
    match style.label_shown {
        true => page.heading(otherwise, look(label)),
        false => page.heading(label.as_str(), look(label)),
    }
}

/// The two comparisons as a table, and what there is to say about the port's byte order.
fn comparison(page: &mut Page, report: &Report, observed: &Observed, compared: &Compared) {
    let (ip, port) = (&observed.client_ip, &observed.client_port);
    let value = |read: Option<String>, raw: &Option<String>| match (read, raw) {
        (Some(read), _) => read,
        (None, Some(raw)) => format!("'{}'", clean(raw, LONGEST_VALUE)),
        (None, None) => "nothing".to_owned(),
    };
    let zero = PortReading::read(port.raw.as_deref()) == PortReading::Zero;
    let number = if zero { Some(0) } else { port.number };
    let note = order_note(report, observed, compared);
    let how = match (compared.port, compared.order_matched) {
        ("same", Some("swapped")) => "same, bytes exchanged",
        (word, _) => word,
    };
    page.table(
        ["here", "the server says"],
        &[
            [
                "address".to_owned(),
                report.local.map(|l| l.ip.to_string()).unwrap_or_default(),
                value(ip.ip.map(|ip| ip.to_string()), &ip.raw),
                compared.ip.to_owned(),
            ],
            [
                "port".to_owned(),
                report.local.map(|l| l.port.to_string()).unwrap_or_default(),
                value(number.map(|port| port.to_string()), &port.raw),
                how.to_owned(),
            ],
        ],
        |cell| match cell {
            "different" => ODD,
            "unknown" => QUIET,
            _ => GOOD,
        },
    );
    if let Some(note) = note {
        page.text(2, &note);
    }
}

/// What byte order the server's port was read in, where that is worth a sentence.
fn order_note(report: &Report, observed: &Observed, compared: &Compared) -> Option<String> {
    let number = observed.client_port.number?;
    let swapped = swap_port(number);
    let local = report.local.map(|local| local.port)?;
    Some(match (compared.port, compared.order_matched) {
        ("same", Some("swapped")) => format!(
            "{number} is {swapped} with its two bytes exchanged, as Microsoft's servers wrote it."
        ),
        ("same", Some("either")) if compared.order_asked == "auto" => format!(
            "The two bytes of {number} are equal, so the order this server writes them in stays \
             open."
        ),
        ("different", _) if number == swapped => return None,
        ("different", _) => match compared.order_asked {
            "plain" => format!("{number} was read as it stands, as --port-order plain says."),
            "swapped" => format!(
                "{number} was read as {swapped}, its two bytes exchanged, as --port-order swapped \
                 says."
            ),
            _ => format!(
                "{number} is either the port as it stands, or {swapped} with its two bytes \
                 exchanged, as Microsoft's servers wrote it. Neither is {local}; --port-order \
                 settles which one it is."
            ),
        },
        _ => return None,
    })
}

/// What one look of several saw.
fn one_look(look: &Look) -> String {
    let known = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
    format!(
        "{} saw {} as {}, ClientPort {}: {}",
        look.server,
        SocketAddr::from(look.local),
        known(look.client_ip.map(|ip| ip.to_string())),
        known(look.client_port.map(|port| port.to_string())),
        look.label,
    )
}

/// What is worth knowing besides: the warnings, but for those that the comparison has told
/// already; whether it was what was expected; the time it took.
fn notes(page: &mut Page, report: &Report, style: Style) {
    let told: &[&str] = match report.observed {
        Some(_) => &["outside-port-ambiguous", "byte-order-undecided"],
        None => &[],
    };
    let mut notes = Vec::new();
    for warning in &report.warnings {
        // What is said on every run is no warning.
        match warning.code {
            code if told.contains(&code) => {}
            "tcp-flow-only" => notes.push(("note:", NOTE, warning.text.clone())),
            _ => notes.push(("warning:", ODD, warning.text.clone())),
        }
    }
    if let Some(expected) = &report.expected {
        let labels: Vec<_> = expected.labels.iter().map(|label| label.as_str()).collect();
        let labels = join(&labels, "or");
        notes.push(match expected.met {
            true => ("expected:", GOOD, format!("{labels}, and so it is")),
            false => (
                "expected:",
                BAD,
                format!("{labels}, but it is {}", report.label),
            ),
        });
    }
    if style.verbose && !report.timings_ms.is_empty() {
        notes.push(("time:", NOTE, timing(&report.timings_ms)));
    }
    if !notes.is_empty() {
        page.blank();
    }
    for (prefix, look, text) in notes {
        page.led(prefix, look, 2, &text);
    }
}

/// The whole time and the longest stages.
fn timing(timings: &[Timing]) -> String {
    let total = timings
        .iter()
        .map(|timing| timing.start + timing.took)
        .fold(0.0, f64::max);
    let mut slowest: Vec<_> = timings.iter().collect();
    slowest.sort_by(|a, b| b.took.total_cmp(&a.took));
    let slowest: Vec<_> = slowest
        .iter()
        .take(SLOWEST)
        .map(|timing| {
            let Timing {
                connection,
                stage,
                took,
                ..
            } = timing;
            match connection {
                Purpose::Notification => format!("{stage} {took:.0} ms"),
                other => format!("{other} {stage} {took:.0} ms"),
            }
        })
        .collect();
    format!("{total:.0} ms in all; longest: {}", slowest.join(", "))
}

const fn look(label: Label) -> anstyle::Style {
    match label {
        Label::DirectConnect => GOOD.bold(),
        Label::UnknownConnect => BAD,
        _ => ODD.bold(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
