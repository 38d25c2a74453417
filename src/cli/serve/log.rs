//! What `serve` logs: lines with time and level on stderr.

use std::str::FromStr as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use super::ServeError;
use super::args::LogFormat;
use crate::cli::output::Output;
use crate::report::print;

/// Starts the log. `RUST_LOG` decides what is told, where it is set; else the options do.
pub(super) fn start(format: LogFormat, output: &Output) -> Result<(), ServeError> {
    let ours = |level: LevelFilter| Targets::new().with_target("msnp9_conntype", level);
    let wanted = std::env::var("RUST_LOG").ok();
    let filter = match wanted.filter(|text| !text.trim().is_empty()) {
        Some(text) => Targets::from_str(&text)
            .map_err(|_| ServeError::Usage(format!("RUST_LOG: '{text}' is not a log filter")))?,
        None => ours(match (output.quiet, output.verbose) {
            (true, _) => LevelFilter::ERROR,
            (_, 0) => LevelFilter::INFO,
            (_, 1) => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(print::Log::default)
        .with_target(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    Ok(())
}
