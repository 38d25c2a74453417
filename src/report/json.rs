//! The JSON documents.

use super::model::code;
use super::text::is_hidden;
use super::{ErrorReport, Report, SCHEMA_VERSION};
use crate::exit::Exit;
use crate::failure::Failure;
use serde::Serialize;

/// A report, or a list, as a JSON document: its keys in the order of the model, a newline at its
/// end.
///
/// Hidden characters are escaped, which changes nothing for a program: they can be in strings
/// only.
#[must_use]
pub fn render(report: &impl Serialize) -> String {
    // No value can fail. If one does, that is a bug, and a document of a bug is printed.
    let text = serde_json::to_string_pretty(report);
    escaped(&text.unwrap_or_else(|_| render(&Report::of_bug())))
}

/// The same document on one line.
#[must_use]
pub fn line(report: &impl Serialize) -> String {
    let text = serde_json::to_string(report);
    escaped(&text.unwrap_or_else(|_| line(&Report::of_bug())))
}

fn escaped(text: &str) -> String {
    let mut document = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c != '\n' && is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                document += &format!("\\u{unit:04x}");
            }
        } else {
            document.push(c);
        }
    }
    document.push('\n');
    document
}

/// Why a server cannot start.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NotServed {
    /// What went wrong.
    error: ErrorReport,
    /// The exit code of the process.
    #[serde(serialize_with = "code")]
    exit_code: Exit,
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    schema_version: u32,
}

/// The document of a server that cannot start.
#[must_use]
pub fn of_server(failure: &Failure) -> String {
    render(&serde_json::json!(NotServed {
        error: ErrorReport::from(failure),
        exit_code: failure.code.exit(),
        schema_version: SCHEMA_VERSION,
    }))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};
    use support::document;

    use super::*;
    use crate::address::Address;
    use crate::failure::{ErrorCode, Stage};
    use crate::report::human::tests::all;
    use crate::report::{Context, Document, ServerReport};

    #[test]
    fn every_report_is_one_document_with_every_key_in_order() {
        let schema: Value = serde_json::from_str(&Document::Report.schema()).unwrap();
        let keys: Vec<String> = serde_json::from_value(schema["required"].clone()).unwrap();
        for (name, report) in all() {
            let document = render(&report);
            assert!(document.ends_with("}\n"), "{name}");
            assert_eq!(document, render(&report), "{name}");
            let read = read(&report);
            let order: Vec<_> = keys
                .iter()
                .map(|key| document.find(&format!("\n  \"{key}\"")))
                .collect();
            assert!(
                order.iter().all(Option::is_some) && order.is_sorted(),
                "{name}: {order:?}"
            );
            assert_eq!(read["label"], report.label.as_str(), "{name}");
            assert_eq!(read["error"].is_null(), report.determined, "{name}");
        }
    }

    fn read(report: &Report) -> Value {
        document::read(document::Document::Report, &render(report)).unwrap()
    }

    #[test]
    fn a_server_that_cannot_start_is_one_document() {
        let failure = Failure::new(Stage::Serve, ErrorCode::CannotListen, "in use \u{202e}");
        let text = of_server(&failure);
        assert!(text.contains("in use \\u202e"), "{text}");
        let read = document::read(document::Document::Serve, &text).unwrap();
        assert_eq!(read["error"]["code"], "cannot-listen");
        assert_eq!(read["exit_code"], 1);
    }

    #[test]
    fn every_login_that_was_tried_is_an_observation() {
        let failure = Failure::new(Stage::Connect, ErrorCode::Timeout, "no answer");
        let nowhere = Report::of_failure(&failure, Context::default());
        assert_eq!(read(&nowhere)["observations"], json!([]));

        let server = ServerReport {
            requested: Address::parse("messenger.example", 1863).unwrap(),
            address: None,
            referrals: Vec::new(),
        };
        let context = Context {
            server: Some(server),
            ..Context::default()
        };
        assert_eq!(
            read(&Report::of_failure(&failure, context))["observations"],
            json!([{
                "server": "messenger.example:1863",
                "address": null,
                "local": null,
                "observed": null,
                "label": null,
                "error": { "stage": "connect", "code": "timeout", "message": "no answer" },
            }])
        );
    }

    #[test]
    fn the_time_is_utc_with_milliseconds() {
        let started_at = |time| {
            let failure = Failure::new(Stage::Connect, ErrorCode::Timeout, "no answer");
            let context = Context {
                started_at: Some(time),
                ..Context::default()
            };
            read(&Report::of_failure(&failure, context))["started_at"].clone()
        };
        let later = UNIX_EPOCH + Duration::from_millis(1_000_000_000_123);
        assert_eq!(started_at(later), "2001-09-09T01:46:40.123Z");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(started_at(before), Value::Null);
    }

    #[test]
    fn no_unknown_value_is_false() {
        fn falsehoods(at: &str, value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Bool(false) => found.push(at.to_owned()),
                Value::Array(items) => {
                    items
                        .iter()
                        .for_each(|item| falsehoods(&format!("{at}/"), item, found));
                }
                Value::Object(object) => object
                    .iter()
                    .for_each(|(key, item)| falsehoods(&format!("{at}/{key}"), item, found)),
                _ => {}
            }
        }
        for (name, report) in all() {
            let mut found = Vec::new();
            falsehoods("", &read(&report), &mut found);
            // All of these are known.
            let known = [
                "/redacted",
                "/determined",
                "/expected/met",
                "/clients//agrees",
            ];
            found.retain(|at| !known.contains(&at.as_str()));
            assert_eq!(found, Vec::<String>::new(), "{name}");
        }
    }
}
