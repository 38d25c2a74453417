//! Every report as a page: read as XML, and looked at by a browser.

use std::process::Command;

use roxmltree::{Document, Node, ParsingOptions};

use super::*;
use crate::conntype::Warning;
use crate::report::human::tests::{all, poisoned};
use crate::report::text::is_hidden;

const EVIL: &str = "<script>alert(1)</script>\"'&amp;]]><!--\u{202e}\u{1b}[31m\r\n";

/// Every report, and every report full of hostile text.
fn pages() -> Vec<(String, Report)> {
    let all_poisoned = all()
        .into_iter()
        .map(|(name, report)| (format!("{name}-poisoned"), poisoned(report, EVIL)));
    let plain = all()
        .into_iter()
        .map(|(name, report)| (name.to_owned(), report));
    plain.chain(all_poisoned).collect()
}

fn read(page: &str) -> Document<'_> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(page, options).unwrap_or_else(|why| panic!("{why}:\n{page}"))
}

/// The named elements that the page of a report has.
fn parts_of(report: &Report) -> Vec<&'static str> {
    let is_verdict = report.observed.is_some();
    let is_order_open = |warning: &Warning| {
        matches!(
            warning,
            Warning::OutsidePortAmbiguous(..) | Warning::OrderUndecided
        )
    };
    let is_said = |warning: &Warning| !(is_verdict && is_order_open(warning));
    let has_path = report.path.hops.iter().any(|hop| hop.address.is_some());
    let mut all = vec!["label", "why", "evidence", "made-by"];
    for (id, has) in [
        ("alternatives", !report.alternatives.is_empty()),
        ("expected", report.expected.is_some()),
        ("failure", !is_verdict),
        ("path", has_path),
        ("path-title", has_path),
        ("path-text", has_path),
        ("compared", is_verdict),
        ("order", parts::order_note(report).is_some()),
        ("observations", is_verdict && report.observations.len() > 1),
        ("meaning", is_verdict),
        ("connection", is_verdict),
        ("try", is_verdict && !hints::of_run(report).is_empty()),
        ("warnings", report.warnings.iter().any(is_said)),
        ("timings", !report.timings_ms.is_empty()),
    ] {
        all.extend(has.then_some(id));
    }
    all.sort_unstable();
    all
}

#[test]
fn every_page_has_every_part_and_nothing_active() {
    for (name, report) in pages() {
        let page = render(&report);
        let document = read(&page);
        let elements: Vec<_> = document.descendants().filter(Node::is_element).collect();
        let mut ids: Vec<_> = elements.iter().filter_map(|e| e.attribute("id")).collect();
        ids.sort_unstable();
        assert_eq!(ids, parts_of(&report), "{name}");

        let mut level = 0;
        for element in elements {
            let tag = element.tag_name().name();
            assert!(
                !["script", "link", "img", "a", "base"].contains(&tag),
                "{name}"
            );
            assert!(tag != "th" || element.has_attribute("scope"), "{name}");
            for attribute in element.attributes() {
                let attribute = attribute.name();
                let is_active = attribute.starts_with("on");
                assert!(!is_active && !["href", "src", "style"].contains(&attribute));
            }
            if let Some(next) = tag.strip_prefix('h').and_then(|rest| rest.parse().ok()) {
                assert!(next <= level + 1 && (next > 1 || level == 0), "{name}");
                level = next;
            }
        }
        let document = document.descendants().find(|node| node.has_tag_name("pre"));
        let document = document.and_then(|node| node.text());
        assert_eq!(document, Some(json::render(&report).as_str()), "{name}");
    }
}

#[test]
fn hostile_text_is_shown_and_has_no_effect() {
    for (name, report) in pages() {
        let page = render(&report);
        let hidden = page.chars().find(|c| *c != '\n' && is_hidden(*c));
        assert_eq!(hidden, None, "{name}");
        if name.ends_with("-poisoned") && report.server.is_some() {
            assert!(read(&page).root().descendants().any(|node| {
                let text = node.text().unwrap_or_default();
                text.contains("<script>") && text.contains(r"\u{202e}\u{1b}[31m\r\n")
            }));
        }
    }
}

#[test]
fn steps_of_several_observations_are_told_apart() {
    let (_, mut report) = all().swap_remove(0);
    assert!(!render(&report).contains("observation 1"));
    report.timings_ms.last_mut().unwrap().observation = 1;
    let page = render(&report);
    assert!(page.contains(">observation 1: nexus tls<"), "{page}");
    assert!(page.contains(">observation 2: profile<"), "{page}");
}

/// What the browser measures, and says at its end.
const MEASURE: &str = include_str!("measure.html");

#[test]
fn a_browser_shows_every_part_on_a_phone_and_on_a_wide_screen() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut pages = pages();
    // The hostile texts differ in nothing that can be seen; one of each kind is enough.
    pages.retain(|(name, _)| {
        let kind = name.strip_suffix("-poisoned");
        kind.is_none_or(|kind| ["symmetric-v6-long-names", "failure-hostile"].contains(&kind))
    });
    let mut frames = String::new();
    for (name, report) in &pages {
        std::fs::write(path(&format!("{name}.html")), render(report)).unwrap();
        let ids = parts_of(report).join(" ");
        // What fits does not depend on the colours, nor the colours on the width.
        for (width, scheme) in [(360, "light"), (1280, "dark")] {
            frames += &format!(
                "<iframe src=\"{name}.html\" width=\"{width}\" data-ids=\"{ids}\" \
                 style=\"color-scheme: {scheme}\"></iframe>\n"
            );
        }
    }
    let wrapper = path("measure.html");
    std::fs::write(&wrapper, MEASURE.replace("FRAMES", &frames)).unwrap();

    let seen = Command::new("timeout")
        .args("120 chromium --headless --no-sandbox --disable-gpu --disable-quic".split(' '))
        .args("--no-first-run --disable-background-networking --disable-sync".split(' '))
        .args("--disable-component-update --allow-file-access-from-files --dump-dom".split(' '))
        .arg(format!("--user-data-dir={}", path("profile").display()))
        .arg(format!("file://{}", wrapper.display()))
        .output();
    let seen = match seen {
        Ok(seen) if seen.status.code() != Some(127) => seen,
        _ => return support::skipped("pages in a browser: there is no chromium here"),
    };
    let dom = String::from_utf8_lossy(&seen.stdout);
    let said = dom
        .split_once("<pre>")
        .and_then(|(_, rest)| rest.split_once("</pre>"));
    let said = said.map(|(said, _)| said.trim());
    let expected = format!("{} pages measured", pages.len() * 2);
    assert_eq!(
        said,
        Some(expected.as_str()),
        "{}",
        String::from_utf8_lossy(&seen.stderr)
    );
}
