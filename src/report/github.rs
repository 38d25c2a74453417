//! Annotations and a job summary for GitHub Actions.

use super::hints;
use super::meaning::Meaning;
use super::text::{clean, join, sentence};
use super::{ConclusionReport, ProbeReport, Report, headline, parts, words};
use crate::conntype::Warning;
use crate::exit::{Exit, State};

/// The longest text of an annotation or of a passage, in columns.
const LONGEST: usize = 1000;

/// The result as a workflow command, and each warning that changes what is to be done.
#[must_use]
pub fn annotations(report: &Report) -> String {
    let level = level(report.exit_code);
    let mut lines = command(level, &title(report), &headline::headline(report));
    for warning in &report.warnings {
        let is_usual = matches!(
            warning,
            Warning::TcpFlowOnly
                | Warning::SignedOutElsewhere
                | Warning::OutsidePortAmbiguous(..)
                | Warning::OrderUndecided
        );
        if !is_usual {
            lines += &command("warning", warning.code(), &words::warning(warning));
        }
    }
    lines
}

const fn level(exit: Exit) -> &'static str {
    match exit.state() {
        State::Ok => "notice",
        State::Critical | State::Unknown => "error",
    }
}

fn title(report: &Report) -> String {
    match &report.error {
        Some(error) => format!("{}: {}", report.label, error.code),
        None => report.label.to_string(),
    }
}

/// One workflow command. What begins or ends one, or a property of it, is escaped.
fn command(level: &str, title: &str, text: &str) -> String {
    let escaped = |text| {
        let text = clean(text, LONGEST).replace('%', "%25");
        text.replace('\r', "%0D").replace('\n', "%0A")
    };
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}\n", escaped(text))
}

/// The result of a run without a login as a workflow command.
#[must_use]
pub fn of_probe(report: &ProbeReport) -> String {
    let level = level(report.exit_code);
    command(
        level,
        &report.label.to_string(),
        &headline::of_probe(report),
    )
}

/// The result of a run without a login in Markdown.
#[must_use]
pub fn summary_of_probe(report: &ProbeReport) -> String {
    let mut page = format!("### {}\n", escaped(&headline::of_probe(report)));
    for (heading, said) in parts::probes(&report.probes) {
        page += &format!("\n#### {}\n\n", escaped(&heading));
        for text in said {
            page += &format!("- {}\n", escaped(&text));
        }
    }
    page += &conclusion(report.conclusion.as_ref());
    page.push('\n');
    page
}

/// What the probes mean.
fn conclusion(found: Option<&ConclusionReport>) -> String {
    let Some(found) = found.map(parts::Conclusion::of) else {
        return String::new();
    };
    let mut page = format!("\n#### {}\n\n", parts::CONCLUSION);
    for (lead, text) in found.outlooks {
        page += &format!("- {lead}: {}\n", escaped(&text));
    }
    for text in found.advice {
        page += &format!("\n{}\n", escaped(&text));
    }
    page
}

/// The result in Markdown.
#[must_use]
pub fn summary(report: &Report) -> String {
    let mut page = format!("### {}\n", escaped(&title(report)));
    let mut passage = |text: &str| page += &format!("\n{}\n", escaped(text));
    if let Some(why) = parts::why(report) {
        passage(&why);
    }
    if let Some(error) = &report.error {
        passage(&format!("Error: {}", error.message));
        passage(&format!("Remedy: {}", error.remedy));
    }
    if let Some(server) = &report.server {
        passage(&format!("Server: {}", server.requested));
    }
    if let Some(expected) = &report.expected {
        let met = if expected.met { "met" } else { "not met" };
        passage(&format!(
            "Expected: {} ({met})",
            join(&expected.labels, "or")
        ));
    }
    if let Some(rows) = parts::comparisons(report) {
        page += "\n| | here | the server says | |\n|---|---|---|---|\n";
        for row in rows {
            let [here, there] = [row.here, row.there].map(|cell| escaped(&cell));
            page += &format!("| {} | {here} | {there} | {} |\n", row.name, row.outcome);
        }
        let meaning = Meaning::of_run(report);
        let hints = hints::of_run(report);
        page += "\n<details><summary>What it means, and what to try</summary>\n";
        page += &format!("\n{}\n", escaped(meaning.connection));
        for (lead, text) in parts::outlooks(report, &meaning) {
            page += &format!("\n{lead}: {}\n", escaped(&text));
        }
        page.push('\n');
        for hint in hints {
            page += &format!("- {}\n", escaped(&sentence(&hint.to_string())));
        }
        page += "\n</details>\n";
    }
    page += &conclusion(report.conclusion.as_ref());
    // The next summary in the file begins a block of its own.
    page.push('\n');
    page
}

/// The text as text: nothing in it is Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in clean(text, LONGEST).chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' | '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#'
            | '@' | '!' | '$' | '/' => safe += &format!("&#{};", u32::from(c)),
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::human::tests::{all, hostile, snapshot};

    /// Level, title and text of a workflow command, as the runner reads them.
    fn read(line: &str) -> (String, String, String) {
        let text = |text: &str| {
            text.replace("%0D", "\r")
                .replace("%0A", "\n")
                .replace("%25", "%")
        };
        let (command, data) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let (level, properties) = command.split_once(' ').unwrap();
        let title = properties.strip_prefix("title=").unwrap();
        assert!(!title.contains([':', ',']), "{line}");
        let title = title.replace("%3A", ":").replace("%2C", ",");
        (level.to_owned(), text(&title), text(data))
    }

    fn check(name: &str, report: &Report) {
        let lines = annotations(report);
        let commands: Vec<_> = lines.lines().map(read).collect();
        let level = if report.exit_code.code() == 0 {
            "notice"
        } else {
            "error"
        };
        let (found, title, text) = &commands[0];
        assert_eq!(found, level, "{name}");
        assert!(title.starts_with(report.label.as_str()), "{name}: {title}");
        assert_eq!(*text, headline::headline(report), "{name}");
        assert!(
            commands[1..].iter().all(|(level, ..)| level == "warning"),
            "{name}"
        );

        let page = summary(report);
        assert!(page.starts_with(&format!("### {}", report.label)), "{name}");
        let count = |tag| page.matches(tag).count();
        let folded = usize::from(report.observed.is_some());
        for tag in ["<details>", "</details>", "<summary>", "</summary>"] {
            assert_eq!(count(tag), folded, "{name}:\n{page}");
        }
        assert_eq!(count("<"), folded * 4, "{name}:\n{page}");
        assert_eq!(
            page.lines().filter(|line| line.starts_with('#')).count(),
            1,
            "{name}"
        );
        for row in page.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(row.matches('|').count(), 5, "{name}: {row}");
        }
    }

    #[test]
    fn every_report_is_annotated_and_summarised() {
        for (name, report) in all() {
            check(name, &report);
            check(name, &hostile(report));
        }
    }

    #[test]
    fn annotations_and_summaries_match_their_snapshots() {
        for (name, report) in all() {
            if [
                "expected-and-met",
                "symmetric-two-addresses",
                "failure-unreachable",
            ]
            .contains(&name)
            {
                let text = annotations(&report) + "\n" + &summary(&report);
                snapshot(&format!("github-{name}"), &text);
            }
        }
    }

    #[test]
    fn a_workflow_command_holds_what_it_was_given() {
        let (title, text) = ("a: b, 100%", "::error::x %0A y");
        let line = command("notice", title, text);
        assert_eq!(line.lines().count(), 1);
        assert_eq!(
            read(line.trim_end()),
            ("notice".into(), title.into(), text.into())
        );
    }
}
