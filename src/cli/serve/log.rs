//! The log of `serve`: lines with time and level on stderr.
//!
//! A thread of its own writes them, so that a slow reader of stderr does not block the server. When
//! its queue is full, lines are dropped.

use std::io::{self, Write};
use std::str::FromStr as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use super::args::LogFormat;
use super::error::ServeError;
use crate::cli::output::Output;
use crate::report::print;
use crate::server::{Counts, SUMMARY_TARGET};

/// How many lines the queue holds.
const QUEUE: usize = 1024;

/// How long writing the last lines may take.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The queue of lines to write. Its thread starts with the first line: as long as there is one thread
/// only, allocations and system calls need no atomic operations.
#[derive(Clone)]
struct Queue(Arc<LazyLock<SyncSender<Message>>>);

impl Queue {
    fn new() -> Self {
        Self(Arc::new(LazyLock::new(|| {
            let (sender, receiver) = sync_channel(QUEUE);
            std::thread::spawn(move || write_lines(&receiver));
            sender
        })))
    }
}

enum Message {
    Line(Vec<u8>),
    /// Confirms that all earlier lines are written.
    Flush(SyncSender<()>),
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // If the queue is full, the line is dropped.
        let _ = self.0.try_send(Message::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log.
pub(super) struct Log {
    queue: Queue,
    format: LogFormat,
    has_summary: bool,
}

impl Log {
    /// Writes the summary of a run as the last line, and waits a short time for the queue.
    pub(super) fn finish(mut self, counts: Option<&Counts>) {
        match (counts.filter(|_| self.has_summary), self.format) {
            (Some(counts), LogFormat::Json) => counts.log_summary(),
            (Some(counts), LogFormat::Text) => {
                // One call of `write` is one line.
                let _ = self.queue.write(format!("{counts}\n").as_bytes());
            }
            (None, _) => {}
        }
        let (done, written) = sync_channel(1);
        if self.queue.0.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIME);
        }
    }
}

fn write_lines(lines: &Receiver<Message>) {
    for message in lines {
        match message {
            Message::Line(line) => drop(print::Log.write_all(&line)),
            Message::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Starts the log. `RUST_LOG` selects what is logged, else the options do.
pub(super) fn start(format: LogFormat, output: &Output) -> Result<Log, ServeError> {
    let variable = std::env::var("RUST_LOG").ok();
    let filter = match variable.filter(|text| !text.trim().is_empty()) {
        Some(text) => Targets::from_str(&text)
            .map_err(|_| ServeError::Usage(format!("RUST_LOG: invalid log filter '{text}'")))?,
        None => Targets::new().with_target(
            "msnp9_conntype",
            match (output.quiet, output.verbose) {
                (true, _) => LevelFilter::ERROR,
                (_, 0) => LevelFilter::INFO,
                (_, 1) => LevelFilter::DEBUG,
                _ => LevelFilter::TRACE,
            },
        ),
    };
    // The summary is not subject to the filter, as in the text format.
    let filter = filter.with_target(SUMMARY_TARGET, LevelFilter::INFO);
    let queue = Queue::new();
    let writer = queue.clone();
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
    Ok(Log {
        queue,
        format,
        has_summary: !output.quiet,
    })
}
