//! The report for a person: the path, the comparison, the label and why, what it means and what
//! to try.
//!
//! Text from the network passes [`text::wrap`](super::text::wrap) on its way to the page, so its
//! control characters are escaped. The only escape sequences are the page's own colours.

mod path;

use super::hints;
use super::meaning::Meaning;
use super::page::{BAD, GOOD, HEADING, NOTE, ODD, Page, QUIET};
use super::text::{clean, join, sentence};
use super::words;
use super::{ErrorReport, ObservationReport, Observed, ObservedPort, Report, Timing, Why};
use crate::conntype::{
    Comparison, Label, OrderMatch, PortOrder, PortUnknown, Sameness, Warning, swap_port,
};
use crate::run_log::Purpose;

/// How the report is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to use colours and bold letters.
    pub colour: bool,
    /// The columns there are.
    pub width: usize,
    /// Whether to print timings.
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

/// How many stages the timing names.
const SLOWEST: usize = 3;

/// The longest value of a profile's field that is shown whole, in columns.
const LONGEST_VALUE: usize = 60;

/// The report as text, a newline at its end.
#[must_use]
pub fn render(report: &Report, style: Style) -> String {
    let mut page = Page::new(style.width, style.colour);
    match (&report.observed, &report.comparison, &report.error) {
        (Some(observed), Some(compared), _) => {
            verdict(&mut page, report, observed, compared, style);
        }
        (.., Some(error)) => failure(&mut page, report, error, style),
        _ => {}
    }
    notes(&mut page, report, style);
    page.finish()
}

/// A run that ended before there was anything to compare.
fn failure(page: &mut Page, report: &Report, error: &ErrorReport, style: Style) {
    let stage = format!("{}:", error.stage);
    let indent = stage.len().max(7) + 1;
    page.item(&stage, BAD, indent, &error.message);
    page.item("remedy:", HEADING, indent, &error.remedy);
    page.blank();
    label(page, report.label, style, "What it means");
    page.text(2, Meaning::of(report.label).connection);
}

fn verdict(
    page: &mut Page,
    report: &Report,
    observed: &Observed,
    compared: &Comparison,
    style: Style,
) {
    page.heading("The path to the server", HEADING);
    path::draw(page, report);
    page.blank();
    page.heading("What was compared", HEADING);
    comparison(page, report, observed, compared);
    if report.observations.len() > 1 {
        page.blank();
        page.heading("Individual observations", HEADING);
        for observation in &report.observations {
            page.item("  -", QUIET, 4, &one_observation(observation));
        }
    }

    page.blank();
    label(page, report.label, style, "Why");
    if let Why::Rule(reason) = &report.reason {
        page.text(2, &sentence(&words::reason(reason)));
    }
    if !report.alternatives.is_empty() {
        let others = join(&report.alternatives, "or");
        page.text(
            2,
            &match report.is_single() {
                true => format!(
                    "It may also be {others}: --second-server HOST asks another server from the \
                     same local port, which settles that."
                ),
                false => format!("It may also be {others}; the observations do not settle that."),
            },
        );
    }

    let meaning = Meaning::of_run(report);
    page.blank();
    page.heading("What it means", HEADING);
    page.text(2, meaning.connection);
    page.blank();
    page.item("  File transfer", HEADING, 20, meaning.file_transfer);
    page.item("  Voice and webcam", HEADING, 20, meaning.voice);

    page.blank();
    page.heading("What to try", HEADING);
    for hint in hints::of_run(report) {
        page.item("  -", QUIET, 4, &sentence(&hint.to_string()));
    }
}

/// The label as a heading, or another heading where the label is on the screen already.
fn label(page: &mut Page, label: Label, style: Style, otherwise: &str) {
    let look = match label {
        Label::DirectConnect => GOOD.bold(),
        Label::UnknownConnect => BAD,
        _ => ODD.bold(),
    };
    match style.label_shown {
        true => page.heading(otherwise, look),
        false => page.heading(label.as_str(), look),
    }
}

/// The two comparisons as a table, and a sentence on the port's byte order.
fn comparison(page: &mut Page, report: &Report, observed: &Observed, compared: &Comparison) {
    let row = |name: &str, local: Option<String>, read: Option<String>, raw: &Option<String>| {
        let raw = raw
            .as_ref()
            .map(|raw| format!("'{}'", clean(raw, LONGEST_VALUE)));
        let value = read.or(raw).unwrap_or_else(|| "nothing".to_owned());
        [name.to_owned(), local.unwrap_or_default(), value]
    };
    let outcome = |sameness| match sameness {
        Sameness::Same => ("same", GOOD),
        Sameness::Different => ("different", ODD),
        Sameness::Unknown => ("unknown", QUIET),
    };
    let (ip, port) = (&observed.client_ip, &observed.client_port);
    let address = report.local.map(|local| local.ip().to_string());
    let address = row("address", address, ip.ip.map(|ip| ip.to_string()), &ip.raw);
    let number = match port.number {
        Err(PortUnknown::Zero) => Some(0),
        number => number.ok(),
    };
    let number = number.map(|number| number.to_string());
    let local = report.local.map(|local| local.port().to_string());
    let how = match compared.order_matched {
        Some(OrderMatch::Swapped) => ("same, bytes exchanged", GOOD),
        _ => outcome(compared.port),
    };
    let rows = [
        (address, outcome(compared.ip)),
        (row("port", local, number, &port.raw), how),
    ];
    page.table(2, ["", "here", "the server says"], "", &rows);
    if let Some(note) = order_note(report, port, compared) {
        page.text(2, &note);
    }
}

/// The byte order in which the server's port was read, where that is worth a sentence.
fn order_note(report: &Report, port: &ObservedPort, compared: &Comparison) -> Option<String> {
    let number = port.number.ok()?;
    let swapped = swap_port(number);
    let local = report.local?.port();
    match (compared.port, compared.order_matched, compared.order_asked) {
        (_, Some(OrderMatch::Swapped), _) => Some(format!(
            "{number} is {swapped} with its two bytes exchanged, as Microsoft's servers sent it."
        )),
        (_, Some(OrderMatch::Either), PortOrder::Auto) => Some(format!(
            "The two bytes of {number} are equal, so this server's byte order is not known."
        )),
        (Sameness::Different, ..) if number == swapped => None,
        (Sameness::Different, _, PortOrder::Plain) => {
            Some(format!("{number} was read as it is (--port-order plain)."))
        }
        (Sameness::Different, _, PortOrder::Swapped) => Some(format!(
            "{number} was read as {swapped}, its two bytes exchanged (--port-order swapped)."
        )),
        (Sameness::Different, _, PortOrder::Auto) => Some(format!(
            "{number} is either the port as it is, or {swapped} with its two bytes exchanged, as \
             Microsoft's servers sent it. Neither is {local}; --port-order sets the order."
        )),
        _ => None,
    }
}

/// What one login observed, or why it failed.
fn one_observation(one: &ObservationReport) -> String {
    fn known<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
    }
    match (&one.observed, &one.label, &one.error) {
        (Some(observed), Some(label), _) => format!(
            "{} saw {} as {}, ClientPort {}: {label}",
            one.server,
            known(one.local),
            known(observed.client_ip.ip),
            known(observed.client_port.number.ok()),
        ),
        (.., Some(error)) => format!("{} failed: {}", one.server, error.message),
        _ => one.server.to_string(),
    }
}

/// What is worth knowing besides: the warnings, except those that the comparison has covered; the
/// labels expected; the time it took.
fn notes(page: &mut Page, report: &Report, style: Style) {
    let is_covered = |warning: &Warning| {
        let is_order = matches!(
            warning,
            Warning::OutsidePortAmbiguous(..) | Warning::OrderUndecided
        );
        is_order && report.observed.is_some()
    };
    let mut notes = Vec::new();
    for warning in report.warnings.iter().filter(|one| !is_covered(one)) {
        let (lead, look) = match warning {
            // It comes with every label.
            Warning::TcpFlowOnly => ("note:", NOTE),
            _ => ("warning:", ODD),
        };
        notes.push((lead, look, words::warning(warning)));
    }
    if let Some(expected) = &report.expected {
        let labels = join(&expected.labels, "or");
        let (look, text) = match expected.met {
            true => (GOOD, format!("{labels} (met)")),
            false => (BAD, format!("{labels} (not met: {})", report.label)),
        };
        notes.push(("expected:", look, text));
    }
    if style.verbose && !report.timings_ms.is_empty() {
        notes.push(("time:", NOTE, timing(&report.timings_ms)));
    }
    if !notes.is_empty() {
        page.blank();
    }
    for (lead, look, text) in notes {
        page.led(lead, look, 2, &text);
    }
}

/// The total time and the longest stages.
fn timing(timings: &[Timing]) -> String {
    let ends = timings.iter().map(|timing| timing.start + timing.took);
    let total = ends.fold(0.0, f64::max);
    let mut slowest: Vec<_> = timings.iter().collect();
    slowest.sort_by(|a, b| b.took.total_cmp(&a.took));
    let slowest: Vec<_> = slowest
        .iter()
        .take(SLOWEST)
        .map(|timing| match timing.connection {
            Purpose::Notification => format!("{} {:.0} ms", timing.stage, timing.took),
            other => format!("{other} {} {:.0} ms", timing.stage, timing.took),
        })
        .collect();
    format!("{total:.0} ms in total; longest: {}", slowest.join(", "))
}

#[cfg(test)]
pub(crate) mod tests;
