//! Where a result goes: the label or the document to stdout or a file, the report to stderr.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anstream::ColorChoice;
use clap::ArgMatches;
use clap::parser::ValueSource;

use super::error::CommandError;
use crate::conntype::Label;
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::mask;
use crate::report::capture::CaptureReport;
use crate::report::{
    self, Context, Format, OutputFile, ProbeReport, Report, github, human, json, nagios, print,
    remedy,
};
use crate::run_log::Progress;

/// What messages begin with.
const NAME: &str = "msnp9-conntype";

/// The options of the output.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) expected: Vec<Label>,
    pub(super) format: Format,
    /// The file for the result, and the option or the variable that names it; `None` is stdout.
    path: Option<(PathBuf, &'static str)>,
    file: RefCell<Option<OutputFile>>,
    /// Whether everything that is printed is masked.
    pub(super) redact: bool,
    pub(super) quiet: bool,
    pub(super) verbose: u8,
    pub(super) started_at: Cell<SystemTime>,
}

impl Output {
    /// Reads the options of the output, which may stand before a command and after it.
    ///
    /// # Errors
    /// Two formats at once.
    pub(super) fn of(matches: &ArgMatches) -> Result<Self, String> {
        let inner = matches.subcommand().map(|(_, inner)| inner);
        // A variable is meant for results of this kind, not for pages or a server.
        let is_result = match matches.subcommand() {
            None => !matches!(
                matches.get_one("network"),
                Some(super::args::NetworkOrList::List)
            ),
            Some(("demo", inner)) => inner.contains_id("path"),
            Some((name, _)) => matches!(name, "classify" | "probe"),
        };
        // The command line counts more than the environment.
        let levels = || inner.into_iter().chain([matches]);
        let from = |id: &'static str| {
            let given = levels().find(|level| is_given(level, id));
            let has = |level: &&ArgMatches| matches!(level.try_contains_id(id), Ok(true));
            given.or_else(|| levels().find(has).filter(|_| is_result))
        };
        let flag = |id| levels().any(|level| matches!(level.try_get_one(id), Ok(Some(true))));
        let expected = from("expect").and_then(|level| level.get_many("expect"));
        let path = from("output").and_then(|level| {
            let path = level.get_one::<PathBuf>("output")?.clone();
            let name = match is_given(level, "output") {
                true => "--output",
                false => "MSNP9_OUTPUT",
            };
            (path != Path::new("-")).then_some((path, name))
        });
        // Check after check is for a terminal, or for a program that reads line after line.
        let is_watch = is_result && inner.is_none() && from("every").is_some();
        let is_live = path.is_none() && std::io::stdout().is_terminal();
        let default = match is_watch && !is_live {
            true => Format::Ndjson,
            false => Format::Label,
        };
        let asked = format(
            from("format").map(|level| (level, level.get_one("format").copied())),
            flag("json").then(|| levels().any(|level| is_given(level, "json"))),
        )?;
        Ok(Self {
            expected: expected.into_iter().flatten().copied().collect(),
            format: match asked {
                None => default,
                // Documents that follow each other take a line each.
                Some(Format::Json) if is_watch && path.is_none() => Format::Ndjson,
                Some(format) => format,
            },
            path,
            file: RefCell::default(),
            redact: flag("redact"),
            quiet: flag("quiet"),
            verbose: levels()
                .filter_map(|level| level.try_get_one("verbose").ok().flatten().copied())
                .fold(0, u8::saturating_add),
            started_at: Cell::new(SystemTime::now()),
        })
    }

    /// Opens the file for the result before the work begins.
    pub(super) fn open(&self) -> Result<(), CommandError> {
        let Some((path, name)) = &self.path else {
            return Ok(());
        };
        let file = OutputFile::open(path).map_err(|why| {
            CommandError::value(name, format!("cannot write {}: {why}", path.display()))
        })?;
        *self.file.borrow_mut() = Some(file);
        Ok(())
    }

    /// Refuses to replace a file that an option reads.
    pub(super) fn check_input(
        &self,
        option: &str,
        input: Option<&Path>,
    ) -> Result<(), CommandError> {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        match (&self.path, input) {
            (Some((path, name)), Some(input))
                if path == input || real(path).is_some_and(|path| Some(path) == real(input)) =>
            {
                let why = format!("{} is the file of {option}", path.display());
                Err(CommandError::value(name, why))
            }
            _ => Ok(()),
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

    /// Whether a line on stderr may be redrawn.
    pub(super) fn shows_status(&self) -> bool {
        print::takes_status() && !self.quiet && self.verbose == 0
    }

    /// Whether results go to a file instead of stdout.
    pub(super) const fn has_file(&self) -> bool {
        self.path.is_some()
    }

    /// What shows on a terminal what is waited for.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.shows_status().then(|| -> Progress {
            Box::new(|what, since| {
                // The time first: what is cut off on a narrow terminal is the end.
                print::status(&format!("{:.1} s, waiting for {what}", since.as_secs_f64()));
            })
        })
    }

    /// Whether a page can be printed in this format.
    ///
    /// # Errors
    /// A format that describes one login.
    pub(super) fn check_page(&self) -> Result<(), CommandError> {
        let why = "is for the result of one login; this prints 'report' or 'json'";
        self.check_format(&[Format::Label, Format::Report, Format::Json], why)
    }

    /// Whether the sessions of a capture can be printed in this format.
    ///
    /// # Errors
    /// A format that describes one login.
    pub(super) fn check_capture(&self) -> Result<(), CommandError> {
        let why =
            "is for the result of one login; a capture has 'label', 'json', 'ndjson' and 'report'";
        self.check_format(&CaptureReport::FORMATS, why)
    }

    fn check_format(&self, taken: &[Format], why: &str) -> Result<(), CommandError> {
        if taken.contains(&self.format) {
            return Ok(());
        }
        let word = self.format.words().0;
        Err(CommandError::value("--format", format!("'{word}' {why}")))
    }

    /// Prints the result of a probe, masked already, and its report.
    pub(super) fn finish_probe(&self, report: &ProbeReport) -> Exit {
        let result = report::render_probe(report, self.format, self.style_of_result());
        let text = self.beside_the_result(|style| human::probe(report, style));
        let exit = self.end(&result, &text, report.exit_code);
        self.summarize(|| github::summary_of_probe(report));
        exit
    }

    /// Prints the sessions of a capture, and the page about them.
    pub(super) fn finish_capture(&self, report: CaptureReport) -> Exit {
        let report = report.to_share();
        let result = report.render(self.format, self.style_of_result());
        let text = self.beside_the_result(|style| report.page(style));
        self.end(&result, &text, report.exit_code)
    }

    /// Prints a page, or its JSON document.
    pub(super) fn page(
        &self,
        json: impl FnOnce() -> String,
        text: impl FnOnce(usize) -> String,
    ) -> Result<Exit, CommandError> {
        self.check_page()?;
        let page = match self.format {
            Format::Json => json(),
            _ => text(self.style_of_result().width),
        };
        self.write(&page)?;
        Ok(Exit::Done)
    }

    /// Prints the result and the report.
    pub(super) fn finish(&self, report: Report) -> Exit {
        let report = report.to_share();
        let text = self.beside_the_result(|style| human::render(&report, style));
        self.end_with(&report, &text, report.exit_code)
    }

    /// The report for stderr, where there is to be one.
    fn beside_the_result(&self, render: impl FnOnce(human::Style) -> String) -> String {
        if self.quiet || self.format.stands_alone() {
            return String::new();
        }
        let to = std::io::stderr();
        render(human::Style {
            colour: has_colour(&to),
            verbose: self.verbose > 0,
            width: print::width_of(&to),
            // On one terminal, stdout's label stands right above.
            label_shown: self.format == Format::Label
                && self.path.is_none()
                && std::io::stdout().is_terminal()
                && to.is_terminal(),
        })
    }

    /// Prints why there is no result of the usual kind.
    pub(super) fn fail(&self, error: &CommandError) -> Exit {
        let message = format!("{NAME}: {error}\n");
        match error {
            CommandError::Usage(_) => self.end_without(error, Exit::Usage),
            CommandError::Refused(_) => self.end_without(error, Exit::Unexpected),
            CommandError::Output { .. } => self.end_without(error, Exit::Output),
            CommandError::Interrupted(signal) => {
                self.finish_failed(*signal, "interrupted before the login")
            }
            CommandError::Loopback(why) => self.finish_failed(ErrorCode::NoLoopback, why),
            CommandError::Serve { code, message } => {
                let failure = Failure::new(Stage::Serve, *code, message);
                let document = match self.format {
                    Format::Json => json::of_server(&failure),
                    _ => String::new(),
                };
                let remedy = remedy(*code, Stage::Serve);
                let message = format!("{NAME}: {message}; {remedy}\n");
                self.end(&document, &message, code.exit())
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
        self.end_with(&Report::of_bug().to_share(), &message, Exit::Bug)
    }

    /// Prints the result of one check among others, without its report.
    pub(super) fn result_alone(&self, report: &Report) -> Result<(), CommandError> {
        self.write(&self.result(report))
    }

    fn result(&self, report: &Report) -> String {
        report::render(report, self.format, self.style_of_result())
    }

    /// How a result looks that is for a person.
    fn style_of_result(&self) -> human::Style {
        let to = std::io::stdout();
        let (colour, width) = match self.path {
            None => (has_colour(&to), print::width_of(&to)),
            Some(_) => (ColorChoice::global() == ColorChoice::Always, 80),
        };
        human::Style {
            colour,
            width,
            verbose: self.verbose > 0,
            label_shown: false,
        }
    }

    /// Writes a result to the file, or to stdout.
    pub(super) fn write(&self, result: &str) -> Result<(), CommandError> {
        match (&mut *self.file.borrow_mut(), &self.path) {
            _ if result.is_empty() => Ok(()),
            (Some(file), Some((path, _))) => file
                .write(result)
                .map_err(|why| CommandError::unwritten(path.display(), why)),
            _ => print::result(result).map_err(|why| CommandError::unwritten("stdout", why)),
        }
    }

    /// The way out of a run with a report.
    fn end_with(&self, report: &Report, message: &str, exit: Exit) -> Exit {
        let exit = self.end(&self.result(report), message, exit);
        self.summarize(|| github::summary(report));
        exit
    }

    /// Adds to the job summary, where there is to be one.
    fn summarize(&self, summary: impl FnOnce() -> String) {
        let path = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty());
        if let (Format::Github, Some(path)) = (self.format, path.map(PathBuf::from))
            && let Err(why) = print::append(&path, &summary())
        {
            let path = path.display();
            print::message(&format!(
                "{NAME}: warning: cannot add to the job summary {path}: {why}\n"
            ));
        }
    }

    /// The way out of a command without a result.
    fn end_without(&self, error: &CommandError, exit: Exit) -> Exit {
        tell_monitoring(self.format, &error.to_string());
        end(&format!("{NAME}: {error}\n"), exit)
    }

    /// The way out of a command with a result: the result first, then the text to stderr, both
    /// masked already.
    fn end(&self, result: &str, text: &str, exit: Exit) -> Exit {
        let written = self.write(result);
        print::report(text);
        match written {
            Ok(()) => exit,
            Err(error) => self.end_without(&error, Exit::Output),
        }
    }

    /// Prints the report of a command that ended before it could connect.
    fn finish_failed(&self, code: ErrorCode, why: &str) -> Exit {
        let failure = Failure::new(Stage::Connect, code, why);
        self.finish(Report::of_failure(
            &failure,
            self.context(Context::default()),
        ))
    }

    /// What is known of a run, with the time it began and the labels expected.
    pub(super) fn context(&self, known: Context) -> Context {
        Context {
            started_at: Some(self.started_at.get()),
            expected: self.expected.clone(),
            ..known
        }
    }
}

/// Prints what clap made of the command line: a usage error, or a text that was asked for.
pub(super) fn of_clap(error: &clap::Error, words: &[OsString], format: Format) -> Exit {
    let text = error.render();
    if error.use_stderr() {
        let plain = text.to_string();
        // Colours would hide where a word begins.
        let (plain, message) = match mask::with(|_| without_values(plain.clone(), words)) {
            Some(masked) => (masked.clone(), masked),
            None => (plain, text.ansi().to_string()),
        };
        let first = plain.split("\n\n").next().unwrap_or_default();
        tell_monitoring(format, first.trim_start_matches("error: "));
        return end(&message, Exit::Usage);
    }
    let text = match has_colour(&std::io::stdout()) {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    match print::result(&text) {
        Ok(()) => Exit::Done,
        Err(why) => {
            let error = CommandError::unwritten("stdout", why);
            end(&format!("{NAME}: {error}\n"), Exit::Output)
        }
    }
}

/// The error without the value that is wrong, which nothing is known of.
fn without_values(error: String, words: &[OsString]) -> String {
    let variables = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("MSNP9_")
    });
    let given = words
        .iter()
        .cloned()
        .chain(variables.map(|(_, value)| value));
    given.fold(error, |error, word| {
        let word = word.to_string_lossy();
        let value = match word.strip_prefix("--") {
            Some(option) => option.split_once('=').map_or("", |(_, value)| value),
            None => &word,
        };
        match value.is_empty() {
            true => error,
            false => error.replace(&format!("'{value}'"), "'[masked]'"),
        }
    })
}

/// Whether a stream may have colours: a terminal may, unless `NO_COLOR` is set.
fn has_colour(stream: &impl anstream::stream::RawStream) -> bool {
    anstream::AutoStream::choice(stream) != ColorChoice::Never
}

/// Gives a monitoring system, which shows stdout, its line where there is no result.
fn tell_monitoring(format: Format, why: &str) {
    if format == Format::Nagios {
        // Where stdout is what cannot be written, the exit code is left.
        let _ = print::result(&nagios::unknown(&mask::text(why)));
    }
}

/// The way out without a result.
fn end(message: &str, exit: Exit) -> Exit {
    print::message(message);
    exit
}

/// The format, of `--format` and of `--json`; `json` says whether it is on the command line.
fn format(
    format: Option<(&ArgMatches, Option<Format>)>,
    json: Option<bool>,
) -> Result<Option<Format>, String> {
    let Some((level, Some(format))) = format else {
        return Ok(json.map(|_| Format::Json));
    };
    match (json, is_given(level, "format")) {
        (Some(true), true) if format != Format::Json => Err(format!(
            "--json and --format {} are two formats; give one of them",
            format.words().0
        )),
        (Some(true), false) => Ok(Some(Format::Json)),
        _ => Ok(Some(format)),
    }
}

/// Whether an option was given on the command line.
pub(super) fn is_given(matches: &ArgMatches, id: &str) -> bool {
    let is_known = matches.try_contains_id(id).is_ok();
    is_known && matches.value_source(id) == Some(ValueSource::CommandLine)
}
