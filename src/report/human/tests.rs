//! What a person reads, as a whole: one file a case in `snapshots/`. To write them anew, run the
//! tests with `MSNP9_SNAPSHOTS=write`, then read every one that changed.

mod cases;

use std::path::PathBuf;

use super::*;
use crate::conntype::PathKind;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::report::{Context, json, text::is_hidden};
pub(crate) use cases::all;
use cases::{context, gateway, proxied, verdicts};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/report/human/snapshots")
}

/// Compares a text with the file of that name.
pub(crate) fn snapshot(name: &str, text: &str) {
    let path = directory().join(format!("{name}.txt"));
    if std::env::var("MSNP9_SNAPSHOTS").is_ok_and(|word| word == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        wanted.replace("\r\n", "\n") == text,
        "{} is not what is printed; MSNP9_SNAPSHOTS=write writes it anew. Printed:\n{text}",
        path.display()
    );
}

fn style_of(name: &str) -> Style {
    Style {
        verbose: name.ends_with("verbose"),
        ..Style::default()
    }
}

#[test]
fn every_report_reads_as_its_snapshot() {
    for (name, report) in all() {
        snapshot(name, &render(&report, style_of(name)));
    }
}

#[test]
fn no_snapshot_is_left_over() {
    let names: Vec<_> = all()
        .into_iter()
        .map(|(name, _)| format!("{name}.txt"))
        .collect();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with("explain") || names.contains(&name),
            "{name}"
        );
    }
}

#[test]
fn every_label_has_its_snapshot() {
    for label in Label::ALL {
        assert!(
            verdicts().iter().any(|(_, report)| report.label == label),
            "{label}"
        );
    }
}

#[test]
fn no_line_is_wider_than_the_page_or_ends_in_blanks() {
    for (name, report) in all() {
        for width in [0, 40, 57, 72, 80, 100, 500] {
            let page = render(
                &report,
                Style {
                    width,
                    verbose: true,
                    ..Style::default()
                },
            );
            for line in page.lines() {
                assert!(
                    line.chars().count() <= width.clamp(40, 100),
                    "{name} {width}: {line}"
                );
                assert_eq!(line, line.trim_end(), "{name} {width}");
            }
            assert!(page.ends_with('\n') && !page.ends_with("\n\n"), "{name}");
            assert!(!page.contains("\n\n\n"), "{name}");
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    for (name, report) in all() {
        let plain = render(&report, style_of(name));
        let coloured = render(
            &report,
            Style {
                colour: true,
                ..style_of(name)
            },
        );
        assert!(!plain.contains('\x1b'), "{name}");
        assert!(coloured.contains('\x1b'), "{name}");
        assert_eq!(
            anstream::adapter::strip_str(&coloured).to_string(),
            plain,
            "{name}"
        );
    }
}

#[test]
fn nothing_that_the_network_says_is_obeyed_by_a_terminal() {
    let evil = "\x1b[31m\x07\u{9b}2J\u{202e}\r\nx\u{200b}";
    for (name, mut report) in all() {
        report.dialect = Some(evil.to_owned());
        report.reason.text.push_str(evil);
        for hop in &mut report.path.hops {
            hop.address = Some(evil.to_owned());
        }
        for warning in &mut report.warnings {
            warning.text.push_str(evil);
        }
        if let Some(server) = &mut report.server {
            server.requested = evil.to_owned();
            server.referrals = vec![evil.to_owned(), evil.to_owned()];
        }
        if let Some(proxy) = &mut report.path.proxy {
            proxy.name = evil.to_owned();
        }
        if let Some(observed) = &mut report.observed {
            observed.client_ip = crate::report::ObservedIp {
                raw: Some(evil.repeat(90)),
                ip: None,
            };
            observed.client_port.raw = Some(evil.repeat(90));
            observed.client_port.number = None;
        }
        if let Some(error) = &mut report.error {
            error.message = evil.repeat(900);
        }
        let page = render(
            &report,
            Style {
                verbose: true,
                ..Style::default()
            },
        );
        let obeyed = page.chars().find(|c| *c != '\n' && is_hidden(*c));
        assert_eq!(obeyed, None, "{name}:\n{page}");
        assert!(page.lines().count() < 120, "{name}: it is cut");
        let document = json::render(&report);
        assert!(
            !document.chars().any(|c| c != '\n' && is_hidden(c)),
            "{name}"
        );
        let read: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(read["dialect"], evil, "{name}");
    }
}

#[test]
fn a_gateway_and_a_proxy_stand_in_their_order() {
    let roles = |report: &Report| -> Vec<_> { report.path.hops.iter().map(|h| h.role).collect() };
    assert_eq!(
        roles(&gateway("203.0.113.7", "0", "198.51.100.20")),
        ["this-host", "rewriter", "gateway", "server"]
    );
    assert_eq!(
        roles(&proxied(
            PathKind::HttpGateway,
            "203.0.113.7",
            &["198.51.100.20"],
            None
        )),
        ["this-host", "proxy", "rewriter", "gateway", "server"]
    );
    let failure = Failure::new(Stage::Gateway, ErrorCode::NotAGateway, "x");
    let context = Context {
        path: PathKind::HttpGateway,
        ..context()
    };
    assert_eq!(
        roles(&Report::of_failure(&failure, context)),
        ["this-host", "gateway", "server"]
    );
}
