//! A JUnit XML document with one test: whether the connection type is as expected.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::headline::{headline, outside, seconds};
use super::human::{self, Style};
use super::text::{clean, join, sentence};
use super::{Report, Why, words};
use crate::exit::State;

/// The longest value of an attribute, in columns.
const LONGEST: usize = 1000;

/// The document.
#[must_use]
pub(super) fn render(report: &Report) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Memory takes everything that is written to it.
    let _ = document(&mut writer, report);
    let mut text = String::from_utf8(writer.into_inner()).unwrap_or_default();
    text.push('\n');
    text
}

type Xml = Writer<Vec<u8>>;

fn document(xml: &mut Xml, report: &Report) -> io::Result<()> {
    let state = report.exit_code.state();
    let count = |counted| u8::from(state == counted).to_string();
    let (failures, errors) = (count(State::Critical), count(State::Unknown));
    let time = format!("{:.3}", seconds(report).unwrap_or_default());
    let counts = [
        ("tests", "1"),
        ("failures", &failures),
        ("errors", &errors),
        ("time", &time),
    ];
    let started_at = report
        .started_at
        .map(|at| humantime::format_rfc3339_seconds(at).to_string());
    let suite = [("name", "connection type"), ("skipped", "0")].into_iter();
    let suite = suite.chain(started_at.as_deref().map(|at| ("timestamp", at)));
    let name = match &report.expected {
        Some(expected) => format!("connection type is {}", join(&expected.labels, "or")),
        None => "connection type is determined".to_owned(),
    };
    let case = [
        ("name", &*name),
        ("classname", report.tool.name),
        ("time", &time),
    ];

    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("testsuites")
        .with_attribute(("name", report.tool.name))
        .with_attributes(counts)
        .write_inner_content(|xml| {
            xml.create_element("testsuite")
                .with_attributes(suite.chain(counts))
                .write_inner_content(|xml| {
                    xml.create_element("properties")
                        .write_inner_content(|xml| properties(xml, report))?;
                    xml.create_element("testcase")
                        .with_attributes(case)
                        .write_inner_content(|xml| outcome(xml, report, state))?;
                    Ok(())
                })?;
            Ok(())
        })?;
    Ok(())
}

fn properties(xml: &mut Xml, report: &Report) -> io::Result<()> {
    fn text<T: ToString>(value: Option<T>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    let server = report.server.as_ref();
    let properties = [
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
    ];
    for (name, value) in properties {
        if let Some(value) = value {
            xml.create_element("property")
                .with_attributes([("name", name), ("value", &*line(&value))])
                .write_empty()?;
        }
    }
    Ok(())
}

/// What is wrong, and the report for a person.
fn outcome(xml: &mut Xml, report: &Report, state: State) -> io::Result<()> {
    let (element, kind, text) = match (state, &report.error) {
        (State::Ok, _) => (None, String::new(), String::new()),
        (State::Unknown, Some(error)) => {
            let text = format!(
                "{} in the stage {}\n{}",
                error.code,
                error.stage,
                line(&sentence(&error.remedy))
            );
            (Some("error"), error.code.to_string(), text)
        }
        (State::Critical | State::Unknown, _) => {
            let text = match &report.reason {
                Why::Rule(reason) => sentence(&words::reason(reason)),
                Why::Failed { text, .. } => line(text),
            };
            (Some("failure"), report.label.to_string(), text)
        }
    };
    if let Some(element) = element {
        let message = line(&headline(report));
        xml.create_element(element)
            .with_attributes([("message", &*message), ("type", &*kind)])
            .write_text_content(BytesText::new(&text))?;
    }
    let page = allowed(&human::render(report, Style::default()));
    xml.create_element("system-out")
        .write_text_content(BytesText::new(&page))?;
    Ok(())
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
