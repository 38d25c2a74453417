//! Options that come from `MSNP9_…` variables.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// Where the options that come from the environment come from: the variable by the option's name.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(HashMap<String, String>);

impl Origins {
    /// What to call an option such as `--server` in an error: the variable, where it comes from one.
    pub(super) fn name(&self, option: &str) -> String {
        let variable = self.0.get(option.trim_start_matches('-'));
        variable.map_or_else(|| option.to_owned(), Clone::clone)
    }
}

/// Takes empty variables for unset ones: CI systems pass unset secrets on like that.
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

/// The options that come from the environment.
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

/// The same error, but naming the variable where the value that is wrong comes from one.
pub(super) fn named(command: &mut Command, error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let is_it = |arg: &&Arg| {
        let given = arg.get_long().is_some_and(|long| {
            let long = format!("--{long}");
            let is_long = |word: &OsString| {
                let word = word.to_string_lossy();
                word == long || word.starts_with(&format!("{long}="))
            };
            words.iter().any(is_long)
        });
        arg.to_string() == *shown && !given
    };
    let Some(name) = command.get_arguments().find(is_it).and_then(variable) else {
        return error;
    };
    let text = error.render().to_string();
    let text = text
        .trim_start_matches("error: ")
        .replace(&format!("'{shown}'"), &name);
    let text = text
        .split("\n\nFor more information")
        .next()
        .unwrap_or(&text);
    command.error(error.kind(), text)
}

fn variable(arg: &Arg) -> Option<String> {
    arg.get_env()
        .map(|name| name.to_string_lossy().into_owned())
}
