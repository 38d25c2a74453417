//! A result in one line, and the times that programs want.

use std::fmt::Display;

use super::text::{clean, join};
use super::{
    ConclusionReport, ErrorReport, Expected, HopAddress, ProbeReport, Report, Timing, parts,
};
use crate::failure::Stage;
use crate::run_log::Purpose;

/// The longest message of an error, and the longest remedy, in columns.
const LONGEST: usize = 300;

/// The label, what the server sees, the labels expected instead, and the error: one line without
/// hidden characters.
pub(super) fn headline(report: &Report) -> String {
    let outside = outside(report).filter(|_| report.determined);
    let error = report.error.as_ref();
    compose(report.label, outside, report.expected.as_ref(), error)
}

/// The same of a run without a login, with the label of UDP.
pub(super) fn of_probe(report: &ProbeReport) -> String {
    let outside = report.outside().filter(|_| report.determined);
    let expected = report.expected.as_ref();
    compose(report.label, outside, expected, report.error())
}

fn compose<L: Display>(
    label: L,
    outside: Option<impl Display>,
    expected: Option<&Expected<L>>,
    error: Option<&ErrorReport>,
) -> String {
    let mut line = label.to_string();
    if let Some(outside) = outside {
        line += &format!(", seen as {outside}");
    }
    if let Some(expected) = expected.filter(|expected| !expected.met) {
        line += &format!(", expected {}", join(&expected.labels, "or"));
    }
    if let Some(error) = error {
        let [message, remedy] = [&error.message, &error.remedy].map(|text| clean(text, LONGEST));
        line += &format!(": {message}; {remedy}");
    }
    line
}

/// What to expect of file transfer and the like, to follow the headline; nothing where that was not
/// asked.
pub(super) fn conclusion(found: Option<&ConclusionReport>) -> String {
    found.map_or_else(String::new, |found| {
        let ConclusionReport {
            file_transfer,
            voice,
            webcam,
            ..
        } = found;
        format!("; file transfer {file_transfer}, voice {voice}, webcam {webcam}")
    })
}

/// The address that the server sees, with the port where that is known.
pub(super) fn outside(report: &Report) -> Option<HopAddress> {
    let seen = report.observed.as_ref()?;
    let ip = seen.client_ip.ip?;
    Some(match seen.client_port.port {
        Some(port) => HopAddress::Socket((ip, port).into()),
        None => HopAddress::Ip(ip),
    })
}

/// The seconds that the run took; `None` where it ended before its first step.
pub(super) fn seconds(report: &Report) -> Option<f64> {
    let timings = &report.timings_ms;
    (!timings.is_empty()).then(|| parts::total(timings) / 1e3)
}

/// The seconds until the server that was asked for accepted a connection: a round trip, unless one
/// of its addresses did not answer. `None` behind a proxy or gateway, which accepts in its place.
pub(super) fn round_trip(report: &Report) -> Option<f64> {
    let is_first = |one: &&Timing| {
        matches!(
            one,
            Timing {
                observation: 0,
                connection: Purpose::Notification,
                ..
            }
        )
    };
    let mut steps = report.timings_ms.iter().filter(is_first);
    let connect = steps.find(|one| one.stage == Stage::Connect)?;
    // Without a step after it, it failed.
    let is_open = steps
        .next()
        .is_some_and(|one| one.stage == Stage::Negotiate);
    (is_open && report.path.kind.is_end_to_end()).then_some(connect.took / 1e3)
}
