use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::Ordering;

use super::*;
use crate::server::config::Config;
use crate::server::state::tests::state;
use crate::server::stats::Stats;

/// A file of the repository.
fn file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of all metrics as their samples have them, a histogram's without its ending.
fn names(text: &str) -> BTreeSet<String> {
    let histograms: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram"))
        .collect();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let histogram = histograms.iter().find(|base| name.starts_with(**base));
            (*histogram.unwrap_or(&name)).to_owned()
        })
        .collect()
}

#[test]
fn every_counter_is_a_sample() {
    let state = state(Config::default());
    let stats = &state.stats;
    for (counter, value) in stats.all().into_iter().zip(1000..) {
        counter.store(value, Ordering::Relaxed);
    }
    let text = text(&state).unwrap();
    let samples: BTreeSet<&str> = text
        .lines()
        .filter(|line| line.contains("_total"))
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    // What `Debug` derives from the fields is the list to hold the samples to.
    let debug = format!("{stats:?}");
    let (fields, _) = debug.split_once(", open: ").unwrap();
    let fields: Vec<_> = fields
        .split(", ")
        .map(|field| field.rsplit(' ').next().unwrap())
        .collect();
    assert!(fields.len() > 20, "{debug}");
    for (value, field) in (1000..).zip(&fields) {
        assert!(samples.contains(*field), "{field}: {debug}\n{text}");
        assert!(
            samples.contains(&*value.to_string()),
            "{value}: {debug}\n{text}"
        );
    }
}

#[test]
fn every_counter_is_in_one_total_of_the_log() {
    let stats = Stats::default();
    for (counter, bit) in stats.all().into_iter().zip(0..) {
        counter.store(1 << bit, Ordering::Relaxed);
    }
    let text = format!("{:?}", stats.counts());
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let sum: u64 = numbers
        .filter_map(|number| number.parse::<u64>().ok())
        .sum();
    assert_eq!(sum, (1 << stats.all().len()) - 1, "{text}");
}

#[test]
fn the_log_adds_up_what_the_metrics_tell_apart() {
    let state = state(Config::default());
    let stats = &state.stats;
    stats.failed_tickets.store(41, Ordering::Relaxed);
    stats.failed_logins.store(1, Ordering::Relaxed);
    stats.evictions.store(7, Ordering::Relaxed);
    let text = text(&state).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        "msnp9_logins_total{outcome=\"refused\"} 41",
        "msnp9_passport_logins_total{outcome=\"refused\"} 1",
        "msnp9_evictions_total 7",
        "msnp9_signed_in 0",
        "msnp9_sessions{service=\"dispatch\"} 0",
        "msnp9_connections_total{service=\"call-back\"} 0",
        &format!("msnp9_build_info{{version=\"{version}\"}} 1"),
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    assert_eq!(stats.counts().failed_logins, 42);
}

#[test]
fn durations_are_cumulative_histograms() {
    let state = state(Config::default());
    let login = &state.stats.durations.login;
    for millis in [0, 3, 3, 40_000] {
        login.record(std::time::Duration::from_millis(millis));
    }
    let text = text(&state).unwrap();
    for line in [
        "# TYPE msnp9_login_duration_seconds histogram",
        "# UNIT msnp9_login_duration_seconds seconds",
        "msnp9_login_duration_seconds_bucket{le=\"0.001\"} 1",
        "msnp9_login_duration_seconds_bucket{le=\"0.0025\"} 1",
        "msnp9_login_duration_seconds_bucket{le=\"0.005\"} 3",
        "msnp9_login_duration_seconds_bucket{le=\"30.0\"} 3",
        "msnp9_login_duration_seconds_bucket{le=\"+Inf\"} 4",
        "msnp9_login_duration_seconds_count 4",
        "msnp9_login_duration_seconds_sum 40.006",
        "msnp9_session_duration_seconds_bucket{le=\"86400.0\"} 0",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
}

#[test]
fn what_the_system_does_not_tell_is_left_out() {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessMetrics {
        process: Process::default(),
        started: UNIX_EPOCH + std::time::Duration::from_millis(1500),
    }));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(samples, ["process_start_time_seconds 1.5"]);
}

/// The section of the documents.
fn section() -> String {
    let page = file("docs/server.md");
    let (_, section) = page.split_once("\n## Metrics\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    section.to_owned()
}

/// The first words of the rows of its tables that begin like this.
fn rows(section: &str, prefixes: &[&str]) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let words = rows.filter_map(|row| row.split(['`', '{']).next());
    words
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
        .map(str::to_owned)
        .collect()
}

/// On other systems the figures of the process are missing.
#[cfg(target_os = "linux")]
#[test]
fn the_table_in_the_documents_has_every_metric() {
    let state = state(Config::default());
    let section = section();
    let documented = rows(&section, &["msnp9_", "process_"]);
    assert_eq!(documented, names(&text(&state).unwrap()));
    // The values of the labels, too.
    for family in state.stats.families() {
        let start = format!("| `msnp9_{}_total", family.name);
        let row = section.lines().find(|line| line.starts_with(&start));
        for (value, _) in family.samples {
            let name = family.name;
            assert!(row.is_some_and(|row| row.contains(value)), "{name} {value}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_alerts_are_documented_and_use_metrics_that_exist() {
    let known = names(&text(&state(Config::default())).unwrap());
    let alerts = file("deploy/prometheus-alerts.yml");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let used: BTreeSet<_> = alerts
        .split(|c| !is_word(c))
        .filter(|word| word.starts_with("msnp9_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect();
    assert!(used.len() >= 4 && used.is_subset(&known), "{used:?}");
    let names = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: BTreeSet<_> = names.map(str::to_owned).collect();
    assert_eq!(rows(&section(), &["Msnp9"]), names);
}
