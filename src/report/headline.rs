//! A result in one line, and the times that programs want.

use super::text::{clean, join};
use super::{HopAddress, Report, Timing, parts};
use crate::failure::Stage;
use crate::run_log::Purpose;

/// The longest message of an error, and the longest remedy, in columns.
const LONGEST: usize = 300;

/// The label, what the server sees, the labels expected instead, and the error: one line without
/// hidden characters.
pub(super) fn headline(report: &Report) -> String {
    let mut line = report.label.to_string();
    if let Some(outside) = outside(report).filter(|_| report.determined) {
        line += &format!(", seen as {outside}");
    }
    if let Some(expected) = report.expected.as_ref().filter(|expected| !expected.met) {
        line += &format!(", expected {}", join(&expected.labels, "or"));
    }
    if let Some(error) = &report.error {
        let [message, remedy] = [&error.message, &error.remedy].map(|text| clean(text, LONGEST));
        line += &format!(": {message}; {remedy}");
    }
    line
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
