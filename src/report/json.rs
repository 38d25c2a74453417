//! The JSON documents.

use serde::Serialize;
use serde_json::json;

use super::text::is_hidden;
use super::{ErrorReport, Report, SCHEMA_VERSION};
use crate::failure::Failure;

/// A report, or a list, as a JSON document: its keys in the order of the model, a newline at its
/// end.
///
/// Hidden characters are escaped, which changes nothing for a program: they can be in strings
/// only.
#[must_use]
pub fn render(report: &impl Serialize) -> String {
    // No value can fail. If one does, that is a bug, and a document of a bug is printed.
    let text = serde_json::to_string_pretty(report)
        .or_else(|_| serde_json::to_string_pretty(&Report::of_bug()))
        .unwrap_or_default();
    escaped(&text)
}

/// The same document on one line.
#[must_use]
pub fn line(report: &impl Serialize) -> String {
    let text = serde_json::to_string(report)
        .or_else(|_| serde_json::to_string(&Report::of_bug()))
        .unwrap_or_default();
    escaped(&text)
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

/// The document of a server that cannot start.
#[must_use]
pub fn of_server(failure: &Failure) -> String {
    let error = ErrorReport::from(failure);
    let exit_code = failure.code.exit().code();
    let document = json!({
        "schema_version": SCHEMA_VERSION,
        "error": error,
        "exit_code": exit_code,
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::address::Address;
    use crate::failure::{ErrorCode, Stage};
    use crate::report::human::tests::all;
    use crate::report::{Context, ServerReport};

    /// Every key of the document and of the objects in it.
    const KEYS: [(&str, &[&str]); 17] = [
        (
            "",
            &[
                "schema_version",
                "tool",
                "started_at",
                "label",
                "determined",
                "alternatives",
                "reason",
                "local",
                "observed",
                "comparison",
                "mapping",
                "server",
                "dialect",
                "credentials_sent_to",
                "path",
                "observations",
                "timings_ms",
                "expected",
                "warnings",
                "error",
                "exit_code",
            ],
        ),
        ("/tool", &["name", "version"]),
        ("/reason", &["code", "text"]),
        ("/local", &["ip", "port"]),
        ("/observed", &["client_ip", "client_port"]),
        ("/observed/client_ip", &["raw", "ip"]),
        ("/observed/client_port", &["raw", "number", "order", "port"]),
        (
            "/comparison",
            &["ip", "port", "order_matched", "order_asked"],
        ),
        ("/server", &["requested", "address", "referrals"]),
        ("/path", &["kind", "proxy", "hops"]),
        ("/path/proxy", &["name", "addresses", "bound", "relation"]),
        ("/path/hops/0", &["role", "address", "rewrites"]),
        (
            "/observations/0",
            &["server", "address", "local", "observed", "label", "error"],
        ),
        (
            "/observations/1/observed/client_port",
            &["raw", "number", "order", "port"],
        ),
        ("/observations/1/error", &["stage", "code", "message"]),
        (
            "/timings_ms/0",
            &["observation", "connection", "stage", "start", "took"],
        ),
        ("/error", &["stage", "code", "message", "remedy"]),
    ];

    #[test]
    fn every_report_is_one_document_with_every_key_in_order() {
        for (name, report) in all() {
            let document = render(&report);
            assert!(document.ends_with("}\n"), "{name}");
            assert_eq!(document, render(&report), "{name}");
            let read: serde_json::Value = serde_json::from_str(&document).unwrap();
            for (pointer, keys) in KEYS {
                match read.pointer(pointer) {
                    Some(serde_json::Value::Object(object)) => {
                        let found: std::collections::BTreeSet<_> =
                            object.keys().map(String::as_str).collect();
                        assert_eq!(found, keys.iter().copied().collect(), "{name} {pointer}");
                    }
                    found => assert!(
                        found.is_none_or(serde_json::Value::is_null),
                        "{name} {pointer}"
                    ),
                }
            }
            let order: Vec<_> = KEYS[0]
                .1
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

    fn read(report: &Report) -> serde_json::Value {
        serde_json::from_str(&render(report)).unwrap()
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
        assert_eq!(started_at(before), serde_json::Value::Null);
    }

    #[test]
    fn no_unknown_value_is_false() {
        fn falsehoods(at: &str, value: &serde_json::Value, found: &mut Vec<String>) {
            match value {
                serde_json::Value::Bool(false) => found.push(at.to_owned()),
                serde_json::Value::Array(items) => {
                    items
                        .iter()
                        .for_each(|item| falsehoods(&format!("{at}/"), item, found));
                }
                serde_json::Value::Object(object) => object
                    .iter()
                    .for_each(|(key, item)| falsehoods(&format!("{at}/{key}"), item, found)),
                _ => {}
            }
        }
        for (name, report) in all() {
            let mut found = Vec::new();
            falsehoods("", &read(&report), &mut found);
            // Both are known.
            found.retain(|at| at != "/determined" && at != "/expected/met");
            assert_eq!(found, Vec::<String>::new(), "{name}");
        }
    }
}
