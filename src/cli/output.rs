//! How a result gets out: the label or the document on stdout, the story on stderr.

use std::io::IsTerminal;

use super::args::OutputArgs;
use crate::conntype::Label;
use crate::exit::Exit;
use crate::net::Progress;
use crate::report::{BUG_REMEDY, Report, human, json, print};

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) expected: Vec<Label>,
    pub(super) json: bool,
    pub(super) quiet: bool,
    pub(super) verbose: u8,
}

impl Output {
    pub(super) fn new(args: &OutputArgs) -> Self {
        let output = Self {
            expected: args.expect.clone(),
            json: args.json,
            quiet: args.quiet,
            verbose: args.verbose,
        };
        output.start_log();
        output
    }

    /// What is done, for whoever wants to watch. Only our own words: nothing below us logs.
    fn start_log(&self) {
        let level = match self.verbose {
            0 => return,
            _ if self.quiet => return,
            1 => tracing::Level::INFO,
            2 => tracing::Level::DEBUG,
            _ => tracing::Level::TRACE,
        };
        let _ = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .with_ansi(self.colour())
            .without_time()
            .with_target(false)
            .try_init();
    }

    /// Whether stderr may have colours: a terminal does, unless `NO_COLOR` says otherwise.
    pub(super) fn colour(&self) -> bool {
        anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
    }

    /// The columns of the terminal, where stderr is one.
    fn width() -> usize {
        match terminal_size::terminal_size_of(std::io::stderr()) {
            Some((width, _)) => usize::from(width.0),
            None => human::Style::default().width,
        }
    }

    /// What tells a waiting person what is waited for; only on a terminal.
    pub(super) fn progress(&self) -> Option<Progress> {
        let watched = std::io::stderr().is_terminal() && !self.quiet && self.verbose == 0;
        watched.then(|| -> Progress {
            Box::new(|what| print::tell(&format!("\r\x1b[2Kwaiting for {what} …")))
        })
    }

    /// Shows the result and says how the run ended.
    pub(super) fn finish(&self, report: &Report) -> Exit {
        let text = match self.json {
            true => json::render(report),
            false => format!("{}\n", report.label),
        };
        if std::io::stderr().is_terminal() && !self.quiet {
            print::tell("\r\x1b[2K");
        }
        // Made before anything is printed: nothing may go wrong between the two.
        let story = (!self.quiet).then(|| {
            let style = human::Style {
                colour: self.colour(),
                verbose: self.verbose > 0,
                width: Self::width(),
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
                Exit::Bug
            }
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
            "msnp9-conntype: a bug in this program; {BUG_REMEDY}\n"
        ));
        Exit::Bug
    }
}
