//! Metrics in Prometheus' text format, for the textfile collector of its node exporter.

use std::time::{SystemTime, UNIX_EPOCH};

use super::headline::{round_trip, seconds};
use super::text::clean;
use super::{ConclusionReport, ProbeReport, Probes, Report, Why};
use crate::failure::Stage;
use crate::run_log::Purpose;

/// The longest value of a label, in columns.
const LONGEST: usize = 200;

/// Every metric that has a value, each with the server as a label.
///
/// No label holds an outside port or anything else that is new in every run.
#[must_use]
pub(super) fn render(report: &Report) -> String {
    let server = report.server.as_ref().map(|server| &server.requested);
    let mut metrics = Metrics {
        text: String::new(),
        server: server.map(ToString::to_string).or(Some(String::new())),
    };
    let seen = report.observed.as_ref().and_then(|seen| seen.client_ip.ip);
    let reason = match &report.reason {
        Why::Rule(reason) => reason.code().to_owned(),
        Why::Failed { code, .. } => code.to_string(),
    };
    let info = vec![
        ("label", report.label.to_string()),
        ("reason", reason),
        ("client_ip", text(seen)),
        ("path", report.path.kind.to_string()),
        ("dialect", text(report.dialect)),
        ("version", report.tool.version.to_owned()),
    ];
    metrics.add("info", "The result of the last run.", [(info, one())]);

    probes(&mut metrics, &report.probes, report.conclusion.as_ref());

    let is = |condition| u8::from(condition).to_string();
    let met = report.expected.as_ref().map(|expected| is(expected.met));
    for (name, help, value) in [
        (
            "determined",
            "Whether the connection type was determined.",
            Some(is(report.determined)),
        ),
        (
            "expected_met",
            "Whether the connection type was among those expected.",
            met,
        ),
        (
            "exit_code",
            "The exit code of the run.",
            Some(report.exit_code.code().to_string()),
        ),
        (
            "duration_seconds",
            "How long the run took.",
            seconds(report).map(shown),
        ),
        (
            "round_trip_seconds",
            "How long the first connection to the server took to open.",
            round_trip(report).map(shown),
        ),
        (
            "last_run_timestamp_seconds",
            "When the run began.",
            began(report.started_at),
        ),
    ] {
        metrics.add(name, help, value.map(|value| (Vec::new(), value)));
    }

    let error = report.error.as_ref().map(|error| {
        vec![
            ("code", error.code.to_string()),
            ("stage", error.stage.to_string()),
        ]
    });
    metrics.add(
        "error_info",
        "Why the connection type was not determined.",
        error.map(|labels| (labels, one())),
    );
    let stages = stages(report).into_iter();
    metrics.add(
        "stage_duration_seconds",
        "How long the steps of a stage took together; connections overlap.",
        stages.map(|(connection, stage, milliseconds)| {
            let labels = vec![
                ("connection", connection.to_string()),
                ("stage", stage.to_string()),
            ];
            (labels, shown(milliseconds / 1e3))
        }),
    );
    metrics.text
}

/// Every metric of a run without a login.
#[must_use]
pub(super) fn probe(report: &ProbeReport) -> String {
    let mut metrics = Metrics {
        text: String::new(),
        server: None,
    };
    let label = report.label.to_string();
    let info = vec![
        ("label", label),
        ("version", report.tool.version.to_owned()),
    ];
    metrics.add("probe_info", "The result of the last run.", [(info, one())]);
    probes(&mut metrics, &report.probes, report.conclusion.as_ref());
    let is = |condition| u8::from(condition).to_string();
    let expected = report.expected.as_ref();
    let began = began(report.started_at);
    for (name, help, value) in [
        (
            "probe_determined",
            "Whether the connection type of UDP was determined.",
            Some(is(report.determined)),
        ),
        (
            "probe_expected_met",
            "Whether the connection type of UDP was among those expected.",
            expected.map(|expected| is(expected.met)),
        ),
        (
            "probe_exit_code",
            "The exit code of the run.",
            Some(report.exit_code.code().to_string()),
        ),
        (
            "probe_last_run_timestamp_seconds",
            "When the run began.",
            began,
        ),
    ] {
        metrics.add(name, help, value.map(|value| (Vec::new(), value)));
    }
    metrics.text
}

/// What was found out besides the login.
fn probes(metrics: &mut Metrics, probes: &Probes, conclusion: Option<&ConclusionReport>) {
    metrics.add(
        "udp_info",
        "What a probe of UDP found.",
        without_repetition(probes.labels()).map(|(probe, asked, label)| {
            let labels = vec![
                ("probe", probe.to_owned()),
                ("asked", asked.to_string()),
                ("label", label.to_string()),
            ];
            (labels, one())
        }),
    );
    let conclusion = conclusion.map(|found| {
        let labels = vec![
            ("file_transfer", found.file_transfer.to_string()),
            ("voice", found.voice.to_string()),
            ("webcam", found.webcam.to_string()),
        ];
        (labels, one())
    });
    metrics.add(
        "conclusion_info",
        "What to expect of file transfer, voice and webcam.",
        conclusion,
    );
}

/// A server that is asked twice has one series.
fn without_repetition<T: PartialEq>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut all: Vec<T> = Vec::new();
    for item in items {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all.into_iter()
}

/// When a run began, in seconds since 1970.
fn began(at: Option<SystemTime>) -> Option<String> {
    let since = at?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{:.3}", since.as_secs_f64()))
}

/// The milliseconds of each stage of each kind of connection: a stage may come several times.
fn stages(report: &Report) -> Vec<(Purpose, Stage, f64)> {
    let mut stages: Vec<(Purpose, Stage, f64)> = Vec::new();
    for one in &report.timings_ms {
        let mut known = stages.iter_mut();
        match known.find(|known| (known.0, known.1) == (one.connection, one.stage)) {
            Some((.., sum)) => *sum += one.took,
            None => stages.push((one.connection, one.stage, one.took)),
        }
    }
    stages
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The value of a metric that is all in its labels.
fn one() -> String {
    "1".to_owned()
}

fn shown(seconds: f64) -> String {
    format!("{seconds:.5}")
}

/// The text in the making.
struct Metrics {
    text: String,
    /// The label of each metric; none where nothing has a server.
    server: Option<String>,
}

impl Metrics {
    /// Adds a metric, if it has a value.
    fn add(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<(&'static str, String)>, String)>,
    ) {
        let name = format!("msnp9_conntype_{name}");
        let mut head = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in values {
            self.text += &std::mem::take(&mut head);
            let server = self.server.clone().map(|server| ("server", server));
            let labels = server.into_iter().chain(labels);
            let labels = labels.map(|(label, text)| format!("{label}=\"{}\"", escaped(&text)));
            let labels: Vec<_> = labels.collect();
            self.text += &match labels.is_empty() {
                true => format!("{name} {value}\n"),
                false => format!("{name}{{{}}} {value}\n", labels.join(",")),
            };
        }
    }
}

/// The value of a label. Cleaned, it has no line end.
fn escaped(text: &str) -> String {
    clean(text, LONGEST)
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::report::human::tests::{all, hostile, snapshot};

    /// Splits `name{label="value",…} number`; undoes the escapes of the values.
    fn series(line: &str) -> (String, Vec<(String, String)>, f64) {
        let (name, mut rest) = line.split_once('{').unwrap();
        let mut labels = Vec::new();
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            let (mut value, mut chars) = (String::new(), after.chars());
            loop {
                match chars.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(chars.next().filter(|c| ['\\', '"'].contains(c)).unwrap()),
                    c => value.push(c),
                }
            }
            labels.push((label.to_owned(), value));
            rest = chars.as_str();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        let value = rest.strip_prefix("} ").unwrap().parse().unwrap();
        (name.to_owned(), labels, value)
    }

    fn check(name: &str, report: &Report) {
        let text = render(report);
        let (mut seen, mut values) = (BTreeSet::new(), Vec::new());
        let mut typed = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(
                    typed.insert(rest.split(' ').next().unwrap()),
                    "{name}: {line}"
                );
            } else if !line.starts_with("# HELP ") {
                let (metric, labels, value) = series(line);
                assert!(typed.contains(metric.as_str()), "{name}: {line}");
                assert!(
                    seen.insert((metric.clone(), labels.clone())),
                    "{name}: {line}"
                );
                values.push((metric, labels, value));
            }
        }
        let value = |metric: &str| {
            let metric = format!("msnp9_conntype_{metric}");
            values.iter().find(|(name, ..)| *name == metric)
        };
        let number = |metric| value(metric).map(|(.., value)| *value);
        let (_, labels, one) = value("info").unwrap();
        let label = ("label".to_owned(), report.label.to_string());
        assert!(labels.contains(&label) && *one == 1.0, "{name}");
        assert_eq!(
            number("determined"),
            Some(f64::from(report.determined)),
            "{name}"
        );
        let code = f64::from(report.exit_code.code());
        assert_eq!(number("exit_code"), Some(code), "{name}");
        assert_eq!(
            number("error_info").is_some(),
            report.error.is_some(),
            "{name}"
        );
        assert_eq!(
            number("expected_met").is_some(),
            report.expected.is_some(),
            "{name}"
        );
        let is_direct = report.path.kind.is_end_to_end() && !report.timings_ms.is_empty();
        assert_eq!(number("round_trip_seconds").is_some(), is_direct, "{name}");
    }

    #[test]
    fn every_report_has_each_series_once_with_its_type() {
        for (name, mut report) in all() {
            check(name, &report);
            // As after a referral, or another login.
            report.timings_ms.extend(report.timings_ms.clone());
            check(name, &report);
            check(name, &hostile(report));
        }
    }

    #[test]
    fn metrics_match_their_snapshots() {
        for (name, mut report) in all() {
            if ["symmetric-two-addresses", "failure-unreachable"].contains(&name) {
                report.started_at = Some(UNIX_EPOCH + Duration::from_millis(1_764_140_621_250));
                report.tool.version = "0";
                snapshot(&format!("prometheus-{name}"), &render(&report));
            }
        }
    }

    #[test]
    fn a_connection_that_was_not_accepted_has_no_round_trip() {
        let (_, mut report) = all().swap_remove(0);
        assert_eq!(round_trip(&report).map(shown).as_deref(), Some("0.02840"));
        report.timings_ms.truncate(2);
        assert_eq!(round_trip(&report), None);
    }
}
