//! The command line: words and environment in, an exit code out.

mod args;
mod check;
mod classify;
mod demo;
mod environment;
mod explain;
mod output;
mod secret_input;
mod serve;
mod settings;
mod signals;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args as _, CommandFactory, FromArgMatches};

use args::{Action, Args, CheckArgs, OutputArgs};
use output::Output;

use crate::exit::Exit;
use crate::failure::ErrorCode;
use crate::report::print;

/// Why a command could not even begin.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// The command line, the environment or a file they name is wrong.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// The server cannot start.
    #[error("{0}")]
    Serve(serve::ServeError),
    /// A signal ended the run before there was anything to report.
    #[error("interrupted")]
    Interrupted(ErrorCode),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(std::io::Error),
    /// The machine's loopback interface cannot be used.
    #[error("{0:#}")]
    Loopback(anyhow::Error),
    /// Something that must not happen.
    #[error("{0:#}")]
    Other(anyhow::Error),
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Usage(error)
    }
}

/// Runs the program with these words, and says how it ended.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Exit {
    let args = match parse(words) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are results and end well; clap knows which is which.
            let usage = error.use_stderr();
            let _ = error.print();
            return if usage { Exit::Usage } else { Exit::Done };
        }
    };
    let output = Output::new(&args.output);
    // A bug of ours must not leave a program that reads our JSON without a document.
    match catch_unwind(AssertUnwindSafe(|| act(args, &output))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(CommandError::Interrupted(class))) => output.interrupted(class),
        Ok(Err(CommandError::Loopback(error))) => output.no_loopback(&error),
        Ok(Err(CommandError::Serve(error))) if !error.is_usage() => output.cannot_serve(&error),
        Ok(Err(error)) => {
            print::tell(&format!("msnp9-conntype: {error}\n"));
            match error {
                CommandError::Usage(_) | CommandError::Serve(_) => Exit::Usage,
                CommandError::Output(_) => Exit::Output,
                CommandError::Other(_)
                | CommandError::Interrupted(_)
                | CommandError::Loopback(_) => output.bug(),
            }
        }
        Err(_) => output.bug(),
    }
}

/// Reads the words. What has no effect on a command is refused beside it. What stands in the
/// environment is not, since it may be meant for another run.
fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut command = environment::without_empty(Args::command());
    let matches = command
        .try_get_matches_from_mut(&words)
        .map_err(|error| environment::named(&mut command, error, &words))?;
    if let Some((name, inner)) = matches.subcommand() {
        let login = CheckArgs::augment_args(clap::Command::new("login"));
        let on_command_line = |arg: &clap::Arg, matches: &clap::ArgMatches| {
            let id = arg.get_id().as_str();
            let known = matches.try_contains_id(id).is_ok();
            known && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        let has_path = name == "demo" && inner.contains_id("path");
        let output = OutputArgs::augment_args(clap::Command::new("output"));
        let idle = output
            .get_arguments()
            .filter(|arg| !takes(name, arg.get_id().as_str(), has_path))
            .find(|arg| on_command_line(arg, inner));
        let foreign = login
            .get_arguments()
            .find(|arg| on_command_line(arg, &matches));
        let text = match (foreign, idle) {
            (Some(arg), _) => format!(
                "--{} belongs to a login, not to '{name}'",
                arg.get_long().unwrap_or_default()
            ),
            (None, Some(arg)) => format!(
                "--{} has no effect on '{name}'",
                arg.get_long().unwrap_or_default()
            ),
            (None, None) => return Args::from_arg_matches(&matches),
        };
        return Err(command.error(ErrorKind::ArgumentConflict, text));
    }
    let mut args = Args::from_arg_matches(&matches)?;
    args.check.origins = environment::origins(&command, &matches);
    Ok(args)
}

/// Whether an option of the output has an effect on a command.
fn takes(command: &str, option: &str, has_path: bool) -> bool {
    match (command, option) {
        ("explain", option) => option == "json",
        ("serve", option) => option != "expect",
        ("classify", option) => option != "verbose",
        ("demo", "expect") => has_path,
        _ => true,
    }
}

fn act(args: Args, output: &Output) -> Result<Exit, CommandError> {
    // A server's log is another one.
    if !matches!(args.command, Some(Action::Serve(_))) {
        output.start_log();
    }
    match args.command {
        None => check::run(args.check, output),
        Some(Action::Demo(demo)) => demo::run(&demo, output),
        Some(Action::Classify(classify)) => classify::run(&classify, output),
        Some(Action::Explain(explain)) => explain::run(&explain, output),
        Some(Action::Serve(serve)) => serve::run(*serve, output).map_err(CommandError::Serve),
    }
}
