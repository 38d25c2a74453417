//! The report as one page for a browser: no script, nothing fetched, nothing of it markup that
//! came from the network or the command line.
//!
//! The page is well-formed XML as well, which is how its tests read it.

mod drawing;

use std::fmt::Display;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::meaning::Meaning;
use super::parts::{Note, Row, Tone};
use super::path::stops;
use super::text::{clean, sentence};
use super::{ConclusionReport, ErrorReport, ProbeReport, Report, Timing, Tool, hints, json, parts};
use crate::conntype::UdpLabel;

const STYLE: &str = include_str!("html/style.css");

/// The longest passage that is shown whole, in columns.
const LONGEST: usize = 500;

/// The report as a page, a newline at its end.
pub(super) fn render(report: &Report) -> String {
    let label = report.label;
    let server = report.server.as_ref();
    let server = server.map(|server| format!(", {}", server.requested));
    let title = escape(&format!("{label}{}", server.unwrap_or_default()));
    let rows = parts::comparisons(report);
    let meaning = Meaning::of_run(report);
    let (lead, main) = match (&rows, &report.error) {
        (Some(rows), _) => (parts::why(report), verdict(report, rows, &meaning)),
        (None, error) => (
            Some(meaning.connection.to_owned()),
            error.as_ref().map_or_else(String::new, failure) + &path(report),
        ),
    };
    let header = [
        paragraph("why", lead),
        paragraph("alternatives", parts::alternatives(report)),
        parts::expected(report).map_or_else(String::new, |note| {
            format!("<p id=\"expected\">{}</p>\n", said(&note))
        }),
    ]
    .concat();
    let warnings = parts::warnings(report).chain(parts::redacted(report.redacted));
    let warnings = list(warnings.map(|note| said(&note)));
    let warnings = section("warnings", "Worth knowing", &warnings);
    let footer = footer(&report.timings_ms, &json::render(report), report.started_at);
    let evidence = evidence(&parts::evidence(report), report.conclusion.as_ref());
    let main = main + &evidence + &warnings;
    frame(&title, Tone::of(label), label, &header, &main, &footer)
}

/// The page of a run without a login.
#[must_use]
pub(super) fn probe(report: &ProbeReport) -> String {
    let title = escape(&format!("{}, UDP", report.label));
    let tone = match report.label {
        UdpLabel::DirectConnect => Tone::Good,
        UdpLabel::UnknownConnect => Tone::Bad,
        _ => Tone::Odd,
    };
    let notes = parts::expected_of(report.expected.as_ref(), report.label).into_iter();
    let notes = list(
        notes
            .chain(parts::redacted(report.redacted))
            .map(|note| said(&note)),
    );
    let main = evidence(&parts::probes(&report.probes), report.conclusion.as_ref())
        + &section("warnings", "Worth knowing", &notes);
    let footer = footer(&[], &json::render(report), report.started_at);
    frame(&title, tone, report.label, "", &main, &footer)
}

/// A page with its style.
fn frame(
    title: &str,
    tone: Tone,
    label: impl Display,
    header: &str,
    main: &str,
    footer: &str,
) -> String {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let class = class(tone);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'sha256-{hash}'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header class=\"{class}\">\n<h1 id=\"label\">{label}</h1>\n{header}</header>\n\
         <main>\n{main}</main>\n<footer>\n{footer}</footer>\n</body>\n</html>\n"
    )
}

/// What there is besides the login, each with its heading, and what the probes mean.
fn evidence(parts: &[(String, Vec<String>)], conclusion: Option<&ConclusionReport>) -> String {
    let probes = parts.iter().enumerate().map(|(at, (heading, said))| {
        let said = list(said.iter().map(|said| escape(said)));
        section(&format!("probe-{}", at + 1), &escape(heading), &said)
    });
    let found = conclusion.map(parts::Conclusion::of);
    let means = found.map(|found| {
        definitions(found.outlooks) + &list(found.advice.iter().map(|said| escape(said)))
    });
    let means = section("conclusion", parts::CONCLUSION, &means.unwrap_or_default());
    probes.collect::<String>() + &means
}

/// A run that ended before there was anything to compare.
fn failure(error: &ErrorReport) -> String {
    let list = definitions([
        ("Stage", error.stage.to_string()),
        ("Message", sentence(&error.message)),
        ("Remedy", sentence(&error.remedy)),
    ]);
    section("failure", "What went wrong", &list)
}

fn verdict(report: &Report, rows: &[Row; 2], meaning: &Meaning) -> String {
    let compared = comparison(rows) + &paragraph("order", parts::order_note(report));
    let observations: &[_] = match report.observations.as_slice() {
        [_] => &[],
        several => several,
    };
    let observations = observations.iter().map(parts::observation);
    let observations = list(observations.map(|said| escape(&said)));
    let means = paragraph("connection", Some(meaning.connection.to_owned()))
        + &definitions(parts::outlooks(report, meaning));
    let hints = hints::of_run(report).into_iter();
    let hints = list(hints.map(|hint| escape(&sentence(&hint.to_string()))));
    [
        path(report),
        section("compared", parts::COMPARED, &compared),
        section("observations", parts::OBSERVATIONS, &observations),
        section("meaning", parts::MEANING, &means),
        section("try", parts::TRY, &hints),
    ]
    .concat()
}

/// The path, where anything is known of it.
fn path(report: &Report) -> String {
    let is_known = report.path.hops.iter().any(|hop| hop.address.is_some());
    let drawing = is_known.then(|| drawing::draw(&stops(report)));
    section("path", parts::PATH, &drawing.unwrap_or_default())
}

/// The comparisons as a table; a column each, because an address needs more room than a port.
fn comparison(rows: &[Row; 2]) -> String {
    let line = |name: &str, cell: &dyn Fn(&Row) -> String| {
        let cells = rows.iter().map(cell).collect::<String>();
        format!("<tr><th scope=\"row\">{name}</th>{cells}</tr>\n")
    };
    let plain = |text: &str| format!("<td>{}</td>", escape(text));
    let heads = rows
        .iter()
        .map(|row| format!("<th scope=\"col\">{}</th>", row.name));
    format!(
        "<table>\n<thead><tr><td></td>{}</tr></thead>\n<tbody>\n{}{}{}</tbody>\n</table>\n",
        heads.collect::<String>(),
        line(parts::HERE, &|row| plain(&row.here)),
        line(parts::THERE, &|row| plain(&row.there)),
        line("result", &|row| {
            let class = class(row.tone);
            format!("<td><b class=\"{class}\">{}</b></td>", row.outcome)
        }),
    )
}

/// Who made the page and when, and everything that is known, folded away.
fn footer(timings: &[Timing], document: &str, began: Option<SystemTime>) -> String {
    let timings = match parts::timing(timings) {
        Some(note) => format!(
            "<h3>Timings</h3>\n<p>{}</p>\n{}",
            said(&note),
            table(timings)
        ),
        None => String::new(),
    };
    let document = quote(document);
    let time = began.map(humantime::format_rfc3339_seconds);
    let time = time.map(|time| format!(", <time datetime=\"{time}\">{time}</time>"));
    let (tool, time) = (Tool::THIS, time.unwrap_or_default());
    format!(
        "<details id=\"evidence\">\n<summary><h2>Evidence</h2></summary>\n{timings}\
         <h3>JSON document</h3>\n<pre>{document}</pre>\n</details>\n\
         <p id=\"made-by\">{} {}{time}</p>\n",
        tool.name, tool.version
    )
}

/// The steps with bars on one scale of time.
fn table(timings: &[Timing]) -> String {
    let scale = 100.0 / parts::total(timings).max(0.01);
    let are_several = timings.iter().any(|timing| timing.observation > 0);
    let rows = timings.iter().map(|timing| {
        let width = (timing.took * scale).max(0.5);
        let start = (timing.start * scale).min(100.0 - width);
        let of = match are_several {
            true => format!("observation {}: ", timing.observation + 1),
            false => String::new(),
        };
        format!(
            "<tr><th scope=\"row\">{of}{}</th><td>{:.1}</td><td><svg aria-hidden=\"true\" \
             viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\"><rect x=\"{start:.2}\" \
             width=\"{width:.2}\" height=\"8\"/></svg></td></tr>\n",
            parts::step(timing),
            timing.took
        )
    });
    format!(
        "<table id=\"timings\">\n<thead><tr><th scope=\"col\">step</th><th scope=\"col\">ms</th>\
         <th scope=\"col\">from start to end</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n",
        rows.collect::<String>()
    )
}

/// A section, unless there is nothing in it.
fn section(id: &str, heading: &str, content: &str) -> String {
    match content {
        "" => String::new(),
        _ => format!("<section id=\"{id}\">\n<h2>{heading}</h2>\n{content}</section>\n"),
    }
}

/// A paragraph, if there is one.
fn paragraph(id: &str, text: Option<String>) -> String {
    text.map_or_else(String::new, |text| {
        format!("<p id=\"{id}\">{}</p>\n", escape(&text))
    })
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: String = items.map(|item| format!("<li>{item}</li>\n")).collect();
    match items.as_str() {
        "" => items,
        _ => format!("<ul>\n{items}</ul>\n"),
    }
}

/// Terms with what is said of them, which is escaped; nothing where there are none.
fn definitions<'a>(items: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let items = items.into_iter();
    let items: String = items
        .map(|(name, text)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(&text)))
        .collect();
    match items.is_empty() {
        true => items,
        false => format!("<dl>\n{items}</dl>\n"),
    }
}

fn said(note: &Note) -> String {
    let class = class(note.tone);
    format!(
        "<b class=\"{class}\">{}</b> {}",
        note.lead,
        escape(&note.text)
    )
}

const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Odd => "odd",
        Tone::Bad => "bad",
        Tone::Note => "note",
        Tone::Quiet => "quiet",
    }
}

/// A passage as text between tags: cut where it is too long, its hidden characters visible.
fn escape(text: &str) -> String {
    quote(&clean(text, LONGEST))
}

/// The text with nothing in it that is markup, between tags or quotes.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => quoted += "&amp;",
            '<' => quoted += "&lt;",
            '>' => quoted += "&gt;",
            '"' => quoted += "&quot;",
            '\'' => quoted += "&#39;",
            _ => quoted.push(c),
        }
    }
    quoted
}

#[cfg(test)]
mod tests;
