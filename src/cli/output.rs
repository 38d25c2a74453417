//! How a result gets out: the label or the document on stdout, the story on stderr.

use std::io::IsTerminal;
use std::time::SystemTime;

use super::args::OutputArgs;
use super::serve::ServeError;
use crate::conntype::Label;
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::report::{Context, Report, human, json, print, remedy};
use crate::run_log::Progress;

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) started_at: SystemTime,
    pub(super) expected: Vec<Label>,
    pub(super) json: bool,
    pub(super) quiet: bool,
    pub(super) verbose: u8,
}

impl Output {
    pub(super) fn new(args: &OutputArgs) -> Self {
        Self {
            started_at: SystemTime::now(),
            expected: args.expect.clone(),
            json: args.json,
            quiet: args.quiet,
            verbose: args.verbose,
        }
    }

    /// What is done, for whoever wants to watch. Only our own words: nothing below us logs.
    pub(super) fn start_log(&self) {
        let level = match self.verbose {
            0 => return,
            _ if self.quiet => return,
            1 => tracing::Level::INFO,
            2 => tracing::Level::DEBUG,
            _ => tracing::Level::TRACE,
        };
        let _ = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(print::Log::default)
            .without_time()
            .with_target(false)
            .try_init();
    }

    /// Whether stderr may have colours: a terminal does, unless `NO_COLOR` says otherwise.
    pub(super) fn colour(&self) -> bool {
        anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
    }

    /// What tells a waiting person what is waited for; only on a terminal.
    pub(super) fn progress(&self) -> Option<Progress> {
        let watched = print::takes_status() && !self.quiet && self.verbose == 0;
        watched.then(|| -> Progress {
            Box::new(|what, since| {
                print::status(&format!("waiting for {what} … {} s", since.as_secs()));
            })
        })
    }

    /// Shows the result and says how the run ended.
    pub(super) fn finish(&self, report: &Report) -> Exit {
        let text = match self.json {
            true => json::render(report),
            false => format!("{}\n", report.label),
        };
        // Made before anything is printed: nothing may go wrong between the two.
        let story = (!self.quiet).then(|| {
            let style = human::Style {
                colour: self.colour(),
                verbose: self.verbose > 0,
                width: print::width_of(&std::io::stderr()),
                // On one terminal, stdout's label stands right above.
                label_shown: !self.json
                    && std::io::stdout().is_terminal()
                    && std::io::stderr().is_terminal(),
            };
            human::render(report, style)
        });
        let printed = print::result(&text);
        if let Some(story) = story {
            print::tell(&story);
        }
        match printed {
            Ok(()) => report.exit_code,
            Err(error) => {
                print::tell(&format!(
                    "msnp9-conntype: cannot write the result: {error}\n"
                ));
                Exit::Output
            }
        }
    }

    /// The result of a run that a signal ended before there was anything to report.
    pub(super) fn interrupted(&self, signal: ErrorCode) -> Exit {
        let failure = Failure::new(Stage::Connect, signal, "interrupted before the login");
        self.finish(&Report::of_failure(&failure, self.context()))
    }

    /// What the report of every run begins with.
    pub(super) fn context(&self) -> Context {
        Context {
            started_at: Some(self.started_at),
            expected: self.expected.clone(),
            ..Context::default()
        }
    }

    /// The result of a demo on a machine without loopback.
    pub(super) fn no_loopback(&self, error: &anyhow::Error) -> Exit {
        let failure = Failure::new(Stage::Connect, ErrorCode::NoLoopback, format!("{error:#}"));
        self.finish(&Report::of_failure(&failure, Context::default()))
    }

    /// The result of `serve` where it cannot start.
    pub(super) fn cannot_serve(&self, error: &ServeError) -> Exit {
        let (message, remedy) = (error.to_string(), error.remedy());
        if self.json {
            let _ = print::result(&json::of_server(error.code(), &message, remedy));
        }
        print::tell(&format!("msnp9-conntype: {message}; {remedy}\n"));
        match error {
            ServeError::Output(_) => Exit::Output,
            _ => Exit::Unexpected,
        }
    }

    /// The result of a run that met a bug of ours; the panic's own line is on stderr already.
    pub(super) fn bug(&self) -> Exit {
        let report = Report::of_bug();
        let text = match self.json {
            true => json::render(&report),
            false => format!("{}\n", report.label),
        };
        let _ = print::result(&text);
        print::tell(&format!(
            "msnp9-conntype: a bug in this program; {}\n",
            remedy(ErrorCode::Bug, Stage::Bug)
        ));
        Exit::Bug
    }
}
