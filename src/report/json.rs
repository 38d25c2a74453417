//! The report for programs: one JSON document.

use serde_json::json;

use super::text::is_hidden;
use super::{Report, SCHEMA_VERSION, remedy};
use crate::exit::Exit;

/// The report as one JSON document, a newline at its end. The fields come in the order of the
/// model.
///
/// Characters that a terminal would obey are escaped, which changes nothing for a program: they
/// can stand nowhere but within strings.
#[must_use]
pub fn render(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report).unwrap_or_else(|error| {
        // No field of the model can fail; a document there must be even so.
        json!({
            "schema_version": SCHEMA_VERSION,
            "label": report.label.as_str(),
            "determined": report.determined,
            "error": {
                "stage": "bug",
                "code": "bug",
                "message": error.to_string(),
                "remedy": remedy::BUG,
            },
            "exit_code": Exit::Bug.code(),
        })
        .to_string()
    });
    let mut document = String::with_capacity(text.len() + 1);
    let mut units = [0; 2];
    for c in text.chars() {
        if c != '\n' && is_hidden(c) {
            for unit in c.encode_utf16(&mut units) {
                document.push_str(&format!("\\u{unit:04x}"));
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
pub fn of_server(code: &str, message: &str, remedy: &str) -> String {
    let error = json!({ "stage": "serve", "code": code, "message": message, "remedy": remedy });
    let exit_code = Exit::Unexpected.code();
    let document = json!({
        "schema_version": SCHEMA_VERSION,
        "error": error,
        "exit_code": exit_code,
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::human::tests::all;

    /// Every key of the document, and of the objects in it where they are there.
    const KEYS: [(&str, &[&str]); 14] = [
        (
            "",
            &[
                "schema_version",
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
                "looks",
                "timings_ms",
                "expected",
                "warnings",
                "error",
                "exit_code",
            ],
        ),
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
            "/looks/0",
            &["server", "local", "client_ip", "client_port", "label"],
        ),
        ("/timings_ms/0", &["connection", "stage", "start", "took"]),
        ("/error", &["stage", "code", "message", "remedy"]),
    ];

    #[test]
    fn every_report_is_one_json_document_with_every_key_in_its_order() {
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

    #[test]
    fn nothing_unknown_is_false() {
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
            let document = serde_json::from_str(&render(&report)).unwrap();
            falsehoods("", &document, &mut found);
            // Both are known: that there is no label, and that it is not one of those expected.
            found.retain(|at| at != "/determined" && at != "/expected/met");
            assert_eq!(found, Vec::<String>::new(), "{name}");
        }
    }
}
