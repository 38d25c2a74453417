use std::collections::BTreeSet;
use std::mem::discriminant;
use std::net::IpAddr;

use super::*;
use crate::conntype::swap_port;
use crate::mask::KEPT_PORTS;
use crate::report::demo::{self, Row};
use crate::report::human::tests::all;
use crate::report::human::{self, Style};
use crate::report::{Format, hints, render};

const STYLE: Style = Style {
    colour: false,
    width: 100,
    verbose: true,
    label_shown: false,
};

/// Every report with every text of it that can be printed.
fn originals() -> Vec<(&'static str, Report)> {
    let mut all = all();
    all.retain(|(_, report)| !report.redacted);
    all
}

fn texts(path: &'static str, report: &Report) -> Vec<String> {
    let report = report.clone();
    let mut texts: Vec<_> = Format::ALL
        .map(|format| render(&report, format, STYLE))
        .into();
    texts.push(demo::table(&[Row { path, report }], 500));
    texts
}

/// A mask whose masks are none of the values in the reports.
fn mask() -> Mask {
    let mut mask = Mask::default();
    for n in 0..200 {
        for net in [
            [9, 9, 9],
            [192, 168, 9],
            [100, 64, 9],
            [127, 0, 9],
            [10, 9, 9],
        ] {
            mask.ip([net[0], net[1], net[2], n].into());
        }
        for net in [0x2a00, 0xfd00, 0xfe80] {
            mask.ip(IpAddr::from([net, 0, 0, 0, 9, 0, 0, n.into()]));
        }
    }
    mask
}

/// The values in a text: addresses, ports and host names.
fn values(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | ':' | '-');
    let mut values = BTreeSet::new();
    for word in text.split(|c| !is_part(c)) {
        let word = word.trim_end_matches(['.', ':']);
        let (host, port) = word.rsplit_once(':').unwrap_or((word, word));
        for host in [word, host] {
            let kept = ["127.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "::"].contains(&host);
            let is_value = host.parse::<IpAddr>().is_ok() || host.ends_with(".example");
            values.extend((is_value && !kept).then(|| host.to_owned()));
        }
        let port = port.trim_start_matches(':').parse::<u16>();
        let port = port.ok().filter(|port| {
            *port > 1024
                && ![*port, swap_port(*port)]
                    .iter()
                    .any(|port| KEPT_PORTS.contains(port))
        });
        values.extend(port.map(|port| port.to_string()));
    }
    // Words of the report itself.
    for word in ["65535", "6891", "6900"] {
        values.remove(word);
    }
    values
}

#[test]
fn no_value_is_left_in_any_format() {
    for (name, report) in originals() {
        let planted: BTreeSet<_> = texts(name, &report)
            .iter()
            .flat_map(|text| values(text))
            .collect();
        let mut mask = mask();
        let masked = report.masked(&mut mask);
        for text in texts(name, &masked) {
            let left: Vec<_> = values(&text).intersection(&planted).cloned().collect();
            assert_eq!(left, Vec::<String>::new(), "{name}:\n{text}");
        }
    }
}

#[test]
fn a_masked_report_says_what_the_text_of_the_report_says_masked() {
    for (name, report) in originals() {
        // A name too long for a line is in two parts; in a field for a port, every number counts.
        if ["symmetric-v6-long-names", "unknown-connect-hostile"].contains(&name) {
            continue;
        }
        let mut mask = mask();
        let masked = report.clone().masked(&mut mask);
        let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let before = mask.text(&words(human::render(&report, STYLE)));
        let after = words(human::render(&masked, STYLE));
        let (left, _) = after.split_once(" redacted: ").unwrap_or((&after, ""));
        assert!(before.starts_with(left), "{name}:\n{before}\n{after}");
        let hints = |report| {
            hints::of_run(report)
                .iter()
                .map(discriminant)
                .collect::<Vec<_>>()
        };
        assert_eq!(hints(&report), hints(&masked), "{name}");
    }
}

#[test]
fn a_report_is_masked_once() {
    for (name, report) in originals() {
        let mut mask = Mask::default();
        let once = report.masked(&mut mask);
        let twice = once.clone().masked(&mut mask);
        assert!(once.redacted);
        assert_eq!(texts(name, &once), texts(name, &twice), "{name}");
    }
}

#[test]
fn the_text_of_a_field_is_its_value_even_where_masks_are_ports_too() {
    let mut mask = Mask::default();
    for port in 61101..61500 {
        mask.port(port);
    }
    for (name, report) in originals() {
        let Some(seen) = report.masked(&mut mask).observed else {
            continue;
        };
        if let (Some(raw), Ok(number)) = (&seen.client_port.raw, seen.client_port.number) {
            assert_eq!(raw.trim_end_matches('.'), number.to_string(), "{name}");
        }
        if let (Some(raw), Some(ip)) = (&seen.client_ip.raw, seen.client_ip.ip) {
            assert_eq!(raw.parse(), Ok(ip), "{name}");
        }
    }
}
