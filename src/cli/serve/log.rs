//! What `serve` logs: lines with time and level on stderr.
//!
//! A thread of its own writes them. Whoever reads stderr slowly, or not at all, does not hold up the
//! server: lines that find no room are dropped.

use std::io::{self, Write};
use std::str::FromStr as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use super::ServeError;
use super::args::LogFormat;
use crate::cli::output::Output;
use crate::report::print;

/// How many lines wait to be written.
const WAITING: usize = 1024;

/// How long the last lines may take.
const LAST: Duration = Duration::from_secs(1);

/// Where lines go to be written.
#[derive(Clone)]
pub(super) struct Log(SyncSender<Message>);

enum Message {
    Line(Vec<u8>),
    /// All lines before this one are written.
    Written(SyncSender<()>),
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // No room: the line is dropped.
        let _ = self.0.try_send(Message::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Tells a line for people, after what was logged.
    pub(super) fn tell(&self, line: &str) {
        let _ = self.0.try_send(Message::Line(line.into()));
    }

    /// Waits until what was logged is written, but not for long.
    pub(super) fn finish(&self) {
        let (done, written) = sync_channel(1);
        if self.0.try_send(Message::Written(done)).is_ok() {
            let _ = written.recv_timeout(LAST);
        }
    }
}

fn write_lines(lines: &Receiver<Message>) {
    for message in lines {
        match message {
            Message::Line(line) => drop(print::Log.write_all(&line)),
            Message::Written(done) => drop(done.try_send(())),
        }
    }
}

/// Starts the log. `RUST_LOG` decides what is told, where it is set; else the options do.
pub(super) fn start(format: LogFormat, output: &Output) -> Result<Log, ServeError> {
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
    let (to, from) = sync_channel(WAITING);
    std::thread::spawn(move || write_lines(&from));
    let log = Log(to);
    let writer = log.clone();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .with_target(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    Ok(log)
}
