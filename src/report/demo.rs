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

/// The rows as two tables: the login, and UDP echo.
#[must_use]
pub fn table(rows: &[Row], width: usize) -> String {
    let mut page = Page::new(width, false);
    let logins: Vec<_> = rows
        .iter()
        .map(|Row { path, report }| {
            let observed = report.observed.as_ref();
            let cells = [
                (*path).to_owned(),
                shown(report.local),
                shown(observed.and_then(|seen| seen.client_ip.raw.as_ref())),
                shown(observed.and_then(|seen| seen.client_port.raw.as_ref())),
            ];
            (cells, (report.label.as_str(), PLAIN))
        })
        .collect();
    let heads = ["path", "this host", "ClientIP", "ClientPort"];
    page.table(0, heads, "label", &logins);
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
    let udp: Vec<_> = rows
        .iter()
        .filter_map(|Row { path, report }| {
            let found = report.probes.udp_echo.as_ref()?;
            let cells = [(*path).to_owned(), shown(found.local), shown(found.outside)];
            Some((cells, (found.label.as_str(), PLAIN)))
        })
        .collect();
    if !udp.is_empty() {
        page.blank();
        page.table(
            0,
            ["path", "this host", "UDP echo sees"],
            "label of UDP",
            &udp,
        );
    }
    page.finish()
}

/// A value, or a dash where there is none.
fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
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
