//! Options that come from `MSNP9_…` variables.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::report::text::clean;

/// The longest value that an error repeats, in characters.
const LONGEST: usize = 100;

/// The options whose values come from the environment, with the names of the variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(HashMap<String, String>);

impl Origins {
    /// Whether the value of an option comes from a variable.
    pub(super) fn is_variable(&self, option: &str) -> bool {
        self.0.contains_key(option.trim_start_matches('-'))
    }

    /// The name for an option such as `--proxy` in an error: the variable that its value comes from,
    /// if any.
    pub(super) fn name(&self, option: &str) -> String {
        let variable = self.0.get(option.trim_start_matches('-'));
        variable.map_or_else(|| option.to_owned(), Clone::clone)
    }
}

/// Ignores empty variables: CI systems set those for secrets that are not set.
pub(super) fn without_empty(command: Command) -> Command {
    command
        .mut_args(|arg| match variable(&arg) {
            Some(name) if std::env::var_os(&name).is_some_and(|value| value.is_empty()) => {
                arg.env(None::<&'static str>)
            }
            _ => arg,
        })
        .mut_subcommands(without_empty)
}

/// The options whose values come from the environment.
pub(super) fn origins(command: &Command, matches: &ArgMatches) -> Origins {
    let from_environment =
        |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable);
    let origins = command.get_arguments().filter(from_environment);
    Origins(
        origins
            .filter_map(|arg| Some((arg.get_long()?.to_owned(), variable(arg)?)))
            .collect(),
    )
}

/// The same error, fit for a terminal, with the variable named in place of each option whose value
/// came from one.
pub(super) fn named(command: &mut Command, error: clap::Error, words: &[OsString]) -> clap::Error {
    let bad = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(bad)) => bad.as_str(),
        _ => "",
    };
    let holds_it = |name: &String| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.is_some_and(|value| value.to_string_lossy().contains(bad))
    };
    // Until then the arguments of the commands cannot be printed.
    command.build();
    let original = error.render().to_string();
    let mut text = match bad {
        "" => original.clone(),
        // It may hold control characters.
        _ => original.replace(bad, &clean(bad, LONGEST)),
    };
    let inner = command.get_subcommands().flat_map(Command::get_arguments);
    let arguments = command.get_arguments().chain(inner);
    for arg in arguments.filter(|arg| !is_among(arg, words)) {
        if let Some(name) = variable(arg).filter(holds_it) {
            text = text.replace(&format!("'{arg}'"), &name);
        }
    }
    match text == original {
        true => error,
        false => clap::Error::raw(error.kind(), text.trim_start_matches("error: ")),
    }
}

/// Whether an option is given among the words of the command line.
fn is_among(arg: &Arg, words: &[OsString]) -> bool {
    arg.get_long().is_some_and(|long| {
        words.iter().any(|word| {
            let word = word.to_string_lossy();
            let name = word.strip_prefix("--").unwrap_or_default();
            name.split('=').next() == Some(long)
        })
    })
}

fn variable(arg: &Arg) -> Option<String> {
    arg.get_env()
        .map(|name| name.to_string_lossy().into_owned())
}
