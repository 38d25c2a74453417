//! The demo: one row for each path.

use serde::Serialize;

use super::page::{PLAIN, Page};
use super::{Report, SCHEMA_VERSION, json};

/// One path of the demo.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// The path's name, as `--path` takes it.
    pub path: &'static str,
    /// The report of its login.
    pub report: Report,
}

/// The rows as a table.
#[must_use]
pub fn table(rows: &[Row], width: usize) -> String {
    let mut page = Page::new(width, false);
    let cells: Vec<_> = rows
        .iter()
        .map(|Row { path, report }| {
            let observed = report.observed.as_ref();
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let cells = [
                (*path).to_owned(),
                or_dash(report.local.map(|local| local.to_string())),
                or_dash(observed.and_then(|seen| seen.client_ip.raw.clone())),
                or_dash(observed.and_then(|seen| seen.client_port.raw.clone())),
            ];
            (cells, (report.label.as_str(), PLAIN))
        })
        .collect();
    page.table(
        0,
        ["path", "this host", "ClientIP", "ClientPort"],
        "label",
        &cells,
    );
    for Row { path, report } in rows {
        if let Some(error) = &report.error {
            page.blank();
            page.text(0, &format!("{path}: {}; {}", error.message, error.remedy));
        }
    }
    page.blank();
    page.text(
        0,
        "ClientPort is sent as Microsoft's servers sent it, its two bytes exchanged.",
    );
    page.finish()
}

/// Logins over every kind of path that loopback can show.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Paths<'a> {
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    schema_version: u32,
    /// One entry for each path.
    paths: &'a [Row],
}

/// The rows as a JSON document.
#[must_use]
pub fn json(rows: &[Row]) -> String {
    json::render(&Paths {
        schema_version: SCHEMA_VERSION,
        paths: rows,
    })
}

#[cfg(test)]
mod tests {
    use support::document;

    use super::*;
    use crate::report::human::tests::{all, snapshot};

    #[test]
    fn the_table_matches_its_snapshots_and_keeps_to_the_width() {
        let is_shown = |name| matches!(name, "direct" | "symmetric" | "failure-unreachable");
        let reports = all().into_iter().filter(|(name, _)| is_shown(*name));
        let rows: Vec<_> = reports.map(|(path, report)| Row { path, report }).collect();
        for width in [50, 80] {
            let page = table(&rows, width);
            snapshot(&format!("demo-{width}"), &page);
            let widest = page.lines().map(textwrap::core::display_width).max();
            assert!(widest <= Some(width), "{page}");
        }
        let read = document::read(document::Document::Demo, &json(&rows)).unwrap();
        assert_eq!(read["paths"][0]["report"]["label"], "Direct-Connect");
    }
}
