//! The command line: words and environment in, an exit code out.

mod args;
mod check;
mod classify;
mod demo;
mod explain;
mod networks;
mod output;
mod secret_input;
mod serve;
mod settings;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args as _, CommandFactory, FromArgMatches};

use args::{Action, Args, CheckArgs};
use output::Output;

use crate::exit::Exit;
use crate::report::print;

/// Why a command could not even begin.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// The command line, the environment or a file they name is wrong.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// The server cannot do what it was told to.
    #[error("{0:#}")]
    Serve(anyhow::Error),
    /// Something that must not happen.
    #[error("{0:#}")]
    Other(anyhow::Error),
}

impl CommandError {
    /// Why the server did not start: a setting, or the system.
    fn of_serve(error: anyhow::Error) -> Self {
        let known = error.downcast_ref::<serve::ServeError>();
        match known.is_some_and(serve::ServeError::is_usage) {
            true => Self::Usage(error),
            false => Self::Serve(error),
        }
    }
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
        Ok(Err(error)) => {
            print::tell(&format!("msnp9-conntype: {error}\n"));
            match error {
                CommandError::Usage(_) => Exit::Usage,
                CommandError::Serve(_) => Exit::Unexpected,
                CommandError::Other(_) => output.bug(),
            }
        }
        Err(_) => output.bug(),
    }
}

/// Reads the words. What belongs to a login is refused beside another command: it would be
/// ignored. What stands in the environment is not, since it may be meant for another run.
fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let mut command = Args::command();
    let matches = command.try_get_matches_from_mut(words)?;
    if let Some(name) = matches.subcommand_name() {
        let login = CheckArgs::augment_args(clap::Command::new("login"));
        let said = |arg: &&clap::Arg| {
            matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        };
        if let Some(arg) = login.get_arguments().find(said) {
            let word = arg.get_long().unwrap_or_default();
            let text = format!("--{word} belongs to a login, not to '{name}'");
            return Err(command.error(ErrorKind::ArgumentConflict, text));
        }
    }
    Args::from_arg_matches(&matches)
}

fn act(args: Args, output: &Output) -> Result<Exit, CommandError> {
    match args.command {
        None => check::run(args.check, output),
        Some(Action::Demo(demo)) => demo::run(&demo, output),
        Some(Action::Classify(classify)) => classify::run(&classify, output),
        Some(Action::Explain(explain)) => explain::run(&explain, output),
        Some(Action::Serve(serve)) => {
            serve::run(*serve, output.quiet).map_err(CommandError::of_serve)
        }
    }
}
