//! Where a result goes: the label or the document to stdout, the report to stderr.

use std::io::IsTerminal;
use std::time::SystemTime;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::error::CommandError;
use crate::conntype::Label;
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::report::{Context, Report, human, json, print, remedy};
use crate::run_log::Progress;

/// What messages begin with.
const NAME: &str = "msnp9-conntype";

/// The options of the output.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) expected: Vec<Label>,
    pub(super) json: bool,
    pub(super) quiet: bool,
    pub(super) verbose: u8,
    pub(super) started_at: SystemTime,
}

impl Output {
    /// Reads the options of the output, which may stand before a command and after it.
    pub(super) fn of(matches: &ArgMatches) -> Self {
        let inner = matches.subcommand().map(|(_, inner)| inner);
        let levels = || inner.into_iter().chain([matches]);
        let flag = |id| levels().any(|level| matches!(level.try_get_one(id), Ok(Some(true))));
        let expecting = levels().find(|level| is_given(level, "expect"));
        let expected = expecting.unwrap_or(matches).get_many("expect");
        Self {
            expected: expected.into_iter().flatten().copied().collect(),
            json: flag("json"),
            quiet: flag("quiet"),
            verbose: levels()
                .filter_map(|level| level.try_get_one("verbose").ok().flatten().copied())
                .fold(0, u8::saturating_add),
            started_at: SystemTime::now(),
        }
    }

    /// Starts the log of the steps. Only this program logs, none of its libraries.
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

    /// What shows on a terminal what is waited for.
    pub(super) fn progress(&self) -> Option<Progress> {
        let watched = print::takes_status() && !self.quiet && self.verbose == 0;
        watched.then(|| -> Progress {
            Box::new(|what, since| {
                print::status(&format!("waiting for {what} … {} s", since.as_secs()));
            })
        })
    }

    /// Prints a page, or with `--json` its document.
    pub(super) fn page(
        &self,
        json: impl FnOnce() -> String,
        text: impl FnOnce(usize) -> String,
    ) -> Result<Exit, CommandError> {
        let page = match self.json {
            true => json(),
            false => text(print::width_of(&std::io::stdout())),
        };
        print::result(&page).map_err(CommandError::Output)?;
        Ok(Exit::Done)
    }

    /// Prints the result and the report.
    pub(super) fn finish(&self, report: &Report) -> Exit {
        let text = match self.quiet {
            true => String::new(),
            false => {
                let style = human::Style {
                    colour: has_colour(&std::io::stderr()),
                    verbose: self.verbose > 0,
                    width: print::width_of(&std::io::stderr()),
                    // On one terminal, stdout's label stands right above.
                    label_shown: !self.json
                        && std::io::stdout().is_terminal()
                        && std::io::stderr().is_terminal(),
                };
                human::render(report, style)
            }
        };
        end(&self.result(report), &text, report.exit_code)
    }

    /// Prints why there is no result of the usual kind.
    pub(super) fn fail(&self, error: &CommandError) -> Exit {
        let message = format!("{NAME}: {error}\n");
        match error {
            CommandError::Usage(_) => end("", &message, Exit::Usage),
            CommandError::Output(_) => end("", &message, Exit::Output),
            CommandError::Interrupted(signal) => {
                self.finish_failed(*signal, "interrupted before the login")
            }
            CommandError::Loopback(why) => self.finish_failed(ErrorCode::NoLoopback, why),
            CommandError::Serve { code, message } => {
                let failure = Failure::new(Stage::Serve, *code, message);
                let document = match self.json {
                    true => json::of_server(&failure),
                    false => String::new(),
                };
                let remedy = remedy(*code, Stage::Serve);
                let message = format!("{NAME}: {message}; {remedy}\n");
                end(&document, &message, code.exit())
            }
            CommandError::Bug(_) => {
                print::message(&message);
                self.bug()
            }
        }
    }

    /// Prints the result of a run that met a bug in this program.
    pub(super) fn bug(&self) -> Exit {
        let message = format!(
            "{NAME}: a bug in this program; {}\n",
            remedy(ErrorCode::Bug, Stage::Bug)
        );
        end(&self.result(&Report::of_bug()), &message, Exit::Bug)
    }

    fn result(&self, report: &Report) -> String {
        match self.json {
            true => json::render(report),
            false => format!("{}\n", report.label),
        }
    }

    /// Prints the report of a command that ended before it could connect.
    fn finish_failed(&self, code: ErrorCode, why: &str) -> Exit {
        let failure = Failure::new(Stage::Connect, code, why);
        self.finish(&Report::of_failure(
            &failure,
            self.context(Context::default()),
        ))
    }

    /// What is known of a run, with the time it began and the labels expected.
    pub(super) fn context(&self, known: Context) -> Context {
        Context {
            started_at: Some(self.started_at),
            expected: self.expected.clone(),
            ..known
        }
    }
}

/// Prints what clap made of the command line: a usage error, or a text that was asked for.
pub(super) fn of_clap(error: &clap::Error) -> Exit {
    let text = error.render();
    if error.use_stderr() {
        return end("", &text.ansi().to_string(), Exit::Usage);
    }
    let text = match has_colour(&std::io::stdout()) {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    end(&text, "", Exit::Done)
}

/// Whether a stream may have colours: a terminal may, unless `NO_COLOR` is set.
fn has_colour(stream: &impl anstream::stream::RawStream) -> bool {
    anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// The one way out: the result to stdout, the message to stderr.
fn end(result: &str, message: &str, exit: Exit) -> Exit {
    let printed = print::result(result);
    print::message(message);
    match printed {
        Ok(()) => exit,
        Err(error) => {
            let error = CommandError::Output(error);
            print::message(&format!("{NAME}: {error}\n"));
            Exit::Output
        }
    }
}

/// Whether an option was given on the command line.
pub(super) fn is_given(matches: &ArgMatches, id: &str) -> bool {
    let is_known = matches.try_contains_id(id).is_ok();
    is_known && matches.value_source(id) == Some(ValueSource::CommandLine)
}
