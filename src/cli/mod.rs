//! The command line: words and environment in, an exit code out.
//!
//! Imports go one way: `command_line` declares, and below it each command has a file; `settings` turns a
//! login's options into a plan, and `probes` those of what runs beside it; `values`, `environment` and
//! `error` import nothing of this folder.

mod account;
mod args;
mod capture;
mod check;
mod classify;
mod command_line;
mod demo;
mod environment;
mod error;
mod explain;
mod generate;
mod output;
mod pair;
mod probe;
mod probes;
mod runtime;
mod secret_input;
mod serve;
mod settings;
mod signals;
mod values;
mod watch;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use command_line::{Action, Args};
use error::CommandError;
use output::Output;
use serve::ServeError;

use crate::exit::Exit;
use crate::mask;
use crate::report::{Format, print};

/// Runs the program with these words, and returns its exit code.
pub fn run(words: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<_> = words.into_iter().collect();
    // The texts of --help and of a usage error have colours, too.
    values::early_color(&words).write_global();
    let format = values::early_format(&words);
    signals::set_code_at_a_second(code(Exit::Interrupted, format));
    let (args, output) = match command_line::parse(words.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            if values::early_redact(&words) {
                mask::install();
            }
            return code(output::of_clap(&error, &words, format), format);
        }
    };
    // The variable may be meant for another run than a server's or its accounts'.
    if output.redact && !matches!(args.command, Some(Action::Serve(_) | Action::Account(_))) {
        mask::install();
        // Its message may hold anything.
        std::panic::set_hook(Box::new(|panic| {
            let at = panic.location().map(ToString::to_string);
            print::report(&format!("panicked at {}\n", at.unwrap_or_default()));
        }));
    }
    // Even a bug in this program ends with a document under --json.
    let exit = match catch_unwind(AssertUnwindSafe(|| act(args, &output))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => output.fail(&error),
        // The panic's own line is on stderr already.
        Err(_) => output.bug(),
    };
    code(exit, output.format)
}

fn code(exit: Exit, format: Format) -> u8 {
    match format {
        Format::Nagios => exit.state().code(),
        _ => exit.code(),
    }
}

fn act(args: Args, output: &Output) -> Result<Exit, CommandError> {
    // A server has a log of its own.
    if !matches!(args.command, Some(Action::Serve(_))) {
        output.start_log();
    }
    // What is generated is no result of a run, so a variable for that one's file is not meant.
    if !matches!(args.command, Some(Action::Generate(_))) {
        output.open()?;
    }
    match args.command {
        None => check::run(args.check, output),
        Some(Action::Demo(demo)) => demo::run(&demo, output),
        Some(Action::Classify(classify)) => classify::run(&classify, output),
        Some(Action::Probe(probe)) => probe::run(probe, output),
        Some(Action::Explain(explain)) => explain::run(&explain, output),
        Some(Action::Pair(pair)) => pair::run(&pair, output),
        Some(Action::Generate(what)) => generate::run(&what, command_line::command()),
        Some(Action::Account(account)) => account::run(&account),
        Some(Action::Serve(serve)) => serve::run(*serve, output).map_err(of_server),
    }
}

fn of_server(error: ServeError) -> CommandError {
    match error {
        ServeError::Output(why) => CommandError::unwritten("stdout", why),
        error if error.is_usage() => CommandError::Usage(error.to_string()),
        error => CommandError::Serve {
            code: error.code(),
            message: error.to_string(),
        },
    }
}
