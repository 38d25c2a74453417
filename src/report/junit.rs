//! A JUnit XML document with one test: whether the connection type is as expected.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::headline::{headline, of_probe, outside, seconds};
use super::human::{self, Style};
use super::text::{clean, join, sentence};
use super::{ErrorReport, Expected, ProbeReport, Report, Tool, Why, words};
use crate::exit::State;

/// The longest value of an attribute, in columns.
const LONGEST: usize = 1000;

/// The document.
#[must_use]
pub(super) fn render(report: &Report) -> String {
    let what = "connection type";
    document(
        name(what, report.expected.as_ref()),
        outcome(report),
        &human::render(report, Style::default()),
        seconds(report),
        report.started_at,
        properties(report),
    )
}

/// The document of a run without a login.
#[must_use]
pub(super) fn probe(report: &ProbeReport) -> String {
    fn text<T: ToString>(value: Option<T>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    let found = report.conclusion.as_ref();
    document(
        name("connection type of UDP", report.expected.as_ref()),
        outcome_of(
            report.exit_code.state(),
            report.error(),
            report.label.to_string(),
            of_probe(report),
            String::new(),
        ),
        &human::probe(report, Style::default()),
        None,
        report.started_at,
        [
            ("version", Some(report.tool.version.to_owned())),
            ("label", text(Some(report.label))),
            ("outside", text(report.outside())),
            (
                "file transfer",
                text(found.map(|found| found.file_transfer)),
            ),
            ("voice", text(found.map(|found| found.voice))),
            ("webcam", text(found.map(|found| found.webcam))),
            ("exit code", text(Some(report.exit_code.code()))),
        ],
    )
}

/// What the test is.
fn name<L: Display>(what: &str, expected: Option<&Expected<L>>) -> String {
    match expected {
        Some(expected) => format!("{what} is {}", join(&expected.labels, "or")),
        None => format!("{what} is determined"),
    }
}

fn document<const N: usize>(
    name: String,
    outcome: TestCaseStatus,
    out: &str,
    took: Option<f64>,
    began: Option<SystemTime>,
    properties: [(&str, Option<String>); N],
) -> String {
    let time = Duration::try_from_secs_f64(took.unwrap_or_default()).unwrap_or_default();
    let mut case = TestCase::new(name, outcome);
    case.set_classname(Tool::THIS.name)
        .set_time(time)
        .set_system_out(allowed(out));
    let mut suite = TestSuite::new("connection type");
    suite.set_time(time).add_test_case(case);
    if let Some(at) = began {
        // The library's own form has an offset instead of the Z of our other outputs.
        let at = humantime::format_rfc3339_seconds(at).to_string();
        suite.extra.insert("timestamp".into(), at.into());
    }
    for (name, value) in properties {
        if let Some(value) = value {
            suite.add_property((name, &*line(&value)));
        }
    }
    let mut document = quick_junit::Report::new(Tool::THIS.name);
    document.set_time(time).add_test_suite(suite);
    // Memory takes everything that is written to it.
    document.to_string().unwrap_or_default()
}

fn properties(report: &Report) -> [(&'static str, Option<String>); 9] {
    fn text<T: ToString>(value: Option<T>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    let server = report.server.as_ref();
    [
        ("version", Some(report.tool.version.to_owned())),
        ("label", text(Some(report.label))),
        ("local", text(report.local)),
        ("outside", text(outside(report))),
        ("server", text(server.map(|server| &server.requested))),
        (
            "server address",
            text(server.and_then(|server| server.address)),
        ),
        ("path", text(Some(report.path.kind))),
        ("dialect", text(report.dialect)),
        ("exit code", text(Some(report.exit_code.code()))),
    ]
}

/// What is wrong.
fn outcome(report: &Report) -> TestCaseStatus {
    let why = match &report.reason {
        Why::Rule(reason) => sentence(&words::reason(reason)),
        Why::Failed { text, .. } => line(text),
    };
    outcome_of(
        report.exit_code.state(),
        report.error.as_ref(),
        report.label.to_string(),
        headline(report),
        why,
    )
}

fn outcome_of(
    state: State,
    error: Option<&ErrorReport>,
    label: String,
    headline: String,
    why: String,
) -> TestCaseStatus {
    let (kind, ty, text) = match (state, error) {
        (State::Ok, _) => return TestCaseStatus::success(),
        (State::Unknown, Some(error)) => {
            let remedy = line(&sentence(&error.remedy));
            let text = format!("{} in the stage {}\n{remedy}", error.code, error.stage);
            (NonSuccessKind::Error, error.code.to_string(), text)
        }
        (State::Critical | State::Unknown, _) => (NonSuccessKind::Failure, label, why),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_message(line(&headline))
        .set_type(ty)
        .set_description(text);
    status
}

/// A text from the run, on one line.
fn line(text: &str) -> String {
    allowed(&clean(text, LONGEST))
}

/// The text without the characters that XML 1.0 has no form for.
fn allowed(text: &str) -> String {
    let is_forbidden =
        |c: char| matches!(c, '\u{fffe}' | '\u{ffff}') || (c.is_control() && c != '\n');
    text.replace(is_forbidden, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::*;
    use crate::report::human::tests::{all, hostile, snapshot};

    fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
        node.children().find(|child| child.has_tag_name(name))
    }

    fn check(name: &str, report: &Report) {
        let text = render(report);
        let document = Document::parse(&text).unwrap_or_else(|why| panic!("{name}: {why}\n{text}"));
        let suites = document.root_element();
        let suite = child(suites, "testsuite").unwrap();
        let case = child(suite, "testcase").unwrap();
        assert_eq!(suites.tag_name().name(), "testsuites", "{name}");
        assert_eq!(
            case.attribute("classname"),
            Some("msnp9-conntype"),
            "{name}"
        );
        let [failures, errors] = match report.exit_code.code() {
            0 => ["0", "0"],
            1 => ["1", "0"],
            _ => ["0", "1"],
        };
        for node in [suites, suite] {
            let found = ["tests", "failures", "errors"].map(|count| node.attribute(count).unwrap());
            assert_eq!(found, ["1", failures, errors], "{name}");
        }
        for (count, element) in [(failures, "failure"), (errors, "error")] {
            let found = child(case, element);
            assert_eq!(found.is_some(), count == "1", "{name}: {text}");
            if let Some(found) = found {
                let message = found.attribute("message").unwrap();
                assert!(
                    message.starts_with(report.label.as_str()),
                    "{name}: {message}"
                );
                assert!(
                    found.attribute("type").is_some() && found.text().is_some(),
                    "{name}"
                );
            }
        }
        if let Some(expected) = &report.expected {
            let title = case.attribute("name").unwrap();
            assert!(
                title.contains(expected.labels[0].as_str()),
                "{name}: {title}"
            );
        }
        let page = child(case, "system-out")
            .and_then(|node| node.text())
            .unwrap();
        let given = human::render(report, Style::default());
        assert_eq!(page, given.replace('\u{ffff}', "\u{fffd}"), "{name}");
        let order: Vec<_> = suite.children().filter(Node::is_element).collect();
        assert_eq!(order.len(), 2, "{name}");
        assert!(order[0].has_tag_name("properties"), "{name}");
        let properties = order[0].children().filter(Node::is_element);
        let label = properties
            .filter(|property| property.attribute("name") == Some("label"))
            .map(|property| property.attribute("value"));
        assert_eq!(
            label.collect::<Vec<_>>(),
            [Some(report.label.as_str())],
            "{name}"
        );
    }

    #[test]
    fn every_report_is_a_document_with_one_test() {
        for (name, report) in all() {
            check(name, &report);
            check(name, &hostile(report));
        }
    }

    #[test]
    fn documents_match_their_snapshots() {
        for (name, mut report) in all() {
            if ["expected-and-verbose", "failure-no-profile"].contains(&name) {
                report.tool.version = "0";
                report.started_at = Some(std::time::UNIX_EPOCH);
                snapshot(&format!("junit-{name}"), &render(&report));
            }
        }
    }
}
