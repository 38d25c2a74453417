//! The report as a person reads it: one snapshot a case in `snapshots/`. To write them anew, run
//! the tests with `INSTA_UPDATE=always`, then read every one that changed.

mod cases;

use std::path::PathBuf;

use textwrap::core::display_width;

use super::*;
use crate::address::Address;
use crate::conntype::{Observation, PathKind, PortUnknown, Warning, classify};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::report::{
    Context, Format, HopAddress, ObservationReport, ServerReport, format, github, json,
    text::is_hidden,
};
pub(crate) use cases::all;
use cases::{context, gateway, proxied, verdicts};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/report/snapshots")
}

/// Compares a text with the snapshot of that name.
pub(crate) fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(directory());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn style_of(name: &str) -> Style {
    Style {
        verbose: name.ends_with("verbose"),
        ..Style::default()
    }
}

#[test]
fn every_report_matches_its_snapshot() {
    for (name, report) in all() {
        snapshot(name, &render(&report, style_of(name)));
    }
}

#[test]
fn every_snapshot_belongs_to_a_case() {
    let cases: Vec<_> = all().into_iter().map(|(name, _)| name).collect();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.trim_end_matches(".snap");
        let is_page = [
            "demo",
            "explain",
            "github",
            "junit",
            "nagios",
            "networks",
            "pair",
            "prometheus",
        ]
        .iter()
        .any(|page| name.starts_with(page));
        assert!(is_page || cases.contains(&name), "{name}");
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
                    display_width(line) <= width.clamp(40, 100),
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

/// The report with what harms a terminal, a line, XML, Markdown or a workflow command wherever text
/// from the network may be.
pub(crate) fn hostile(report: Report) -> Report {
    let evil =
        "\x1b[31m\x07\u{9b}2J\u{202e}\r\nx\u{200b}\u{ffff}|%0A::error::]]></system-out>\"'<b>\\*#";
    poisoned(report, evil)
}

/// The report with this text wherever text from the network may be, as often as fits.
pub(crate) fn poisoned(mut report: Report, evil: &str) -> Report {
    let name_of = |host: String| Address { host, port: 1863 };
    let evil_name = || name_of(evil.to_owned());
    for hop in &mut report.path.hops {
        hop.address = Some(HopAddress::Name(evil_name()));
    }
    for warning in &mut report.warnings {
        *warning = Warning::CredentialsElsewhere(evil_name());
    }
    if let Some(server) = &mut report.server {
        server.requested = evil_name();
        server.referrals = vec![evil_name(), evil_name()];
    }
    if let Some(proxy) = &mut report.path.proxy {
        proxy.name = evil_name();
    }
    if let Some(observed) = &mut report.observed {
        observed.client_ip.raw = Some(evil.repeat(90));
        observed.client_ip.ip = None;
        observed.client_port.raw = Some(evil.repeat(90));
        observed.client_port.number = Err(PortUnknown::Unreadable);
    }
    for observation in &mut report.observations {
        observation.server = evil_name();
        if let Some(error) = &mut observation.error {
            error.message = evil.repeat(900);
        }
    }
    if let Some(error) = &mut report.error {
        error.message = evil.repeat(900);
        error.remedy = evil.repeat(900);
    }
    report
}

/// The report in every format, and the job summary.
fn in_every_format(report: &Report) -> Vec<(Format, String)> {
    let rendered = |format| (format, format::render(report, format, Style::default()));
    let mut texts: Vec<_> = Format::ALL.into_iter().map(rendered).collect();
    texts.push((Format::Github, github::summary(report)));
    texts
}

#[test]
fn control_characters_from_the_network_are_escaped() {
    for (name, report) in all() {
        let report = hostile(report);
        for (format, text) in in_every_format(&report) {
            let hidden = text.chars().find(|c| *c != '\n' && is_hidden(*c));
            assert_eq!(hidden, None, "{name} {format:?}:\n{text}");
        }
        let page = render(
            &report,
            Style {
                verbose: true,
                ..Style::default()
            },
        );
        let hidden = page.chars().find(|c| *c != '\n' && is_hidden(*c));
        assert_eq!(hidden, None, "{name}:\n{page}");
        assert!(page.lines().count() < 120, "{name}: it is cut");
        let document = json::render(&report);
        let read = support::document::read(support::Document::Report, &document).unwrap();
        if let Some(error) = &report.error {
            assert_eq!(read["error"]["message"], error.message, "{name}");
        }
    }
}

#[test]
fn a_secret_that_a_server_repeats_is_hidden_everywhere() {
    const SECRET: &str = "repeated-7b1f";
    crate::secret::remember(SECRET);
    let name = |host: &str| Address::parse(host, 443).unwrap();
    let evil = name(&format!("{SECRET}.example"));
    let mut context = context();
    context.server = context.server.map(|server| ServerReport {
        referrals: vec![evil.clone(), evil.clone()],
        ..server
    });
    context.credentials_to = vec![evil.clone()];
    context.gateway = Some(evil.clone());
    context.warnings = vec![
        Warning::CredentialsElsewhere(evil.clone()),
        Warning::PortNotSent(evil),
    ];

    // Long enough that the second one is cut within the secret.
    let cut = format!("{}{SECRET}", "x".repeat(120));
    let local = "192.168.1.5:51234".parse().unwrap();
    let seen = Observation {
        path: PathKind::HttpGateway,
        ..Observation::new(local, Some(SECRET), Some(&cut))
    };
    let verdict = classify(&seen);
    let made = ObservationReport::of(&name("messenger.example"), &seen, &verdict);
    let failure = Failure::new(
        Stage::Profile,
        ErrorCode::Malformed,
        format!("got {SECRET}"),
    );
    let failed = ObservationReport::failed(&failure, &context);
    context.observations = [made].into_iter().chain(failed).collect();
    for report in [
        Report::of_verdict(&verdict, &seen, context.clone()),
        Report::of_failure(&failure, context),
    ] {
        for (format, text) in in_every_format(&report) {
            assert!(!text.contains(&SECRET[..4]), "{text}");
            let is_whole = matches!(format, Format::Json | Format::Report);
            assert!(!is_whole || text.contains("[hidden]"), "{text}");
        }
    }
}

#[test]
fn hops_are_in_their_order() {
    let roles = |report: &Report| -> Vec<_> { report.path.hops.iter().map(|h| h.role).collect() };
    assert_eq!(
        roles(&gateway("203.0.113.7", "0", "198.51.100.20")),
        [Role::ThisHost, Role::Rewriter, Role::Gateway, Role::Server]
    );
    assert_eq!(
        roles(&proxied(
            PathKind::HttpGateway,
            "203.0.113.7",
            &["198.51.100.20"],
            None
        )),
        [
            Role::ThisHost,
            Role::Proxy,
            Role::Rewriter,
            Role::Gateway,
            Role::Server
        ]
    );
    let failure = Failure::new(Stage::Gateway, ErrorCode::NotAGateway, "x");
    let context = Context {
        path: PathKind::HttpGateway,
        ..context()
    };
    assert_eq!(
        roles(&Report::of_failure(&failure, context)),
        [Role::ThisHost, Role::Gateway, Role::Server]
    );
}
