//! The metrics of a server, in the text format of OpenMetrics, which Prometheus reads.
//!
//! Nothing is counted here: what `stats` and others hold is read when somebody asks for it. No label
//! comes from a client.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::config::Limits;
use super::limits::ConnectionLimiter;
use super::process::Process;
use super::state::ServerState;
use super::stats::Family;

/// The media type of [`text`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many connections may read the metrics at one time.
pub(crate) const MAX_READERS: usize = 8;

/// What each metric of the server itself begins with.
const PREFIX: &str = "msnp9";

/// The limit of connections that read the metrics, wherever they come from.
pub(super) fn readers() -> Arc<ConnectionLimiter> {
    ConnectionLimiter::new(&Limits {
        max_connections: MAX_READERS,
        max_per_address: MAX_READERS,
        ..Limits::default()
    })
}

/// The metrics as they are now.
pub(super) fn text(state: &ServerState) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry
        .sub_registry_with_prefix(PREFIX)
        .register_collector(Box::new(ServerMetrics::of(state)));
    registry.register_collector(Box::new(ProcessMetrics {
        process: Process::read(),
        started: state.started,
    }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The figures of a server at one moment.
#[derive(Debug)]
struct ServerMetrics {
    counters: Vec<Family>,
    sessions: Family,
    signed_in: usize,
    durations: Vec<Distribution>,
}

/// A histogram of durations at one moment.
#[derive(Debug)]
struct Distribution {
    name: &'static str,
    help: &'static str,
    sum: f64,
    buckets: Vec<(f64, u64)>,
}

impl ServerMetrics {
    fn of(state: &ServerState) -> Self {
        let stats = &state.stats;
        let durations = stats.durations.all().map(|(name, help, histogram)| {
            let (sum, buckets) = histogram.read();
            Distribution {
                name,
                help,
                sum,
                buckets,
            }
        });
        Self {
            counters: stats.families(),
            sessions: stats.open.family(),
            signed_in: state.registry.len(),
            durations: durations.into(),
        }
    }
}

impl Collector for ServerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        encoder
            .encode_descriptor(
                "build",
                "The version of the program.",
                None,
                MetricType::Info,
            )?
            .encode_info(&version)?;
        gauge(
            &mut encoder,
            "signed_in",
            "Accounts that are signed in.",
            None,
            self.signed_in,
        )?;
        family(&mut encoder, &self.sessions, MetricType::Gauge)?;
        for counter in &self.counters {
            family(&mut encoder, counter, MetricType::Counter)?;
        }
        for Distribution {
            name,
            help,
            sum,
            buckets,
        } in &self.durations
        {
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder
                .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
                .encode_histogram::<NoLabelSet>(*sum, count, buckets, None)?;
        }
        Ok(())
    }
}

/// The figures of the process, by the names that client libraries of Prometheus give them.
#[derive(Debug)]
struct ProcessMetrics {
    process: Process,
    started: SystemTime,
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Process {
            cpu_seconds,
            resident_bytes,
            open_files,
            max_files,
        } = self.process;
        if let Some(seconds) = cpu_seconds {
            let help = "Total user and system CPU time spent in seconds.";
            let (unit, kind) = (Some(&Unit::Seconds), MetricType::Counter);
            let mut metric = encoder.encode_descriptor("process_cpu", help, unit, kind)?;
            counter(&mut metric, seconds)?;
        }
        let figures = [
            (
                "process_resident_memory",
                "Resident memory size in bytes.",
                Some(&Unit::Bytes),
                resident_bytes,
            ),
            (
                "process_open_fds",
                "Number of open file descriptors.",
                None,
                open_files,
            ),
            (
                "process_max_fds",
                "Maximum number of open file descriptors.",
                None,
                max_files,
            ),
        ];
        for (name, help, unit, value) in figures {
            if let Some(value) = value {
                gauge(&mut encoder, name, help, unit, value)?;
            }
        }
        let since_1970 = self.started.duration_since(UNIX_EPOCH);
        gauge(
            &mut encoder,
            "process_start_time",
            "Start time of the process since unix epoch in seconds.",
            Some(&Unit::Seconds),
            since_1970.map_or(0.0, |since| since.as_secs_f64()),
        )
    }
}

/// A metric with a sample for each value of its label.
fn family(encoder: &mut DescriptorEncoder<'_>, family: &Family, kind: MetricType) -> fmt::Result {
    let Family {
        name,
        help,
        label,
        samples,
    } = family;
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (value, number) in samples {
        let labels: Vec<_> = label.iter().map(|label| (*label, *value)).collect();
        let mut sample = metric.encode_family(&labels)?;
        match kind {
            MetricType::Counter => counter(&mut sample, *number)?,
            _ => sample.encode_gauge(number)?,
        }
    }
    Ok(())
}

fn counter(metric: &mut MetricEncoder<'_>, value: impl EncodeCounterValue) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    metric.encode_gauge(&value)
}

#[cfg(test)]
mod tests;
