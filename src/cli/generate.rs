//! `generate`: what packages install beside the program, made from the declarations of the command line.

mod man;

use std::path::{Path, PathBuf};

use clap::builder::PossibleValue;
use clap::{Arg, Command};
use clap_complete::Shell;
use clap_complete_nushell::Nushell;

use super::error::CommandError;
use super::values::{OneOf, one_of};
use crate::exit::Exit;
use crate::report::{Document, OutputFile, print};

/// The arguments of `generate`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

/// What is generated.
#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Print the completions for a shell
    Completions {
        /// Shell to complete the command line in
        #[arg(value_name = "SHELL", value_parser = shell())]
        shell: For,
    },
    /// Print the manual page, or write the pages of every command
    Man {
        /// Directory to write the pages of every command to; it is made if need be
        #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Print the JSON Schema of a document
    Schema {
        /// Document to describe: that of a login or 'classify', or of another command
        #[arg(value_name = "DOCUMENT", default_value = "report", value_parser = document())]
        document: Document,
    },
}

/// A shell.
#[derive(Clone, Copy, Debug)]
enum For {
    Shell(Shell),
    Nushell,
}

fn shell() -> OneOf<For> {
    one_of([
        ("bash", For::Shell(Shell::Bash)),
        ("zsh", For::Shell(Shell::Zsh)),
        ("fish", For::Shell(Shell::Fish)),
        ("powershell", For::Shell(Shell::PowerShell)),
        ("elvish", For::Shell(Shell::Elvish)),
        ("nushell", For::Nushell),
    ])
}

fn document() -> OneOf<Document> {
    one_of(Document::ALL.map(|document| (document.as_str(), document)))
}

/// Prints or writes what is asked for. `command` is the whole command line.
pub(super) fn run(args: &GenerateArgs, command: Command) -> Result<Exit, CommandError> {
    let text = match &args.what {
        What::Completions { shell } => completions(*shell, command),
        What::Schema { document } => document.schema(),
        What::Man { out: None } => man::main(command)?,
        What::Man { out: Some(to) } => return write(man::pages(command)?, to),
    };
    print::result(&text).map_err(|why| CommandError::unwritten("stdout", why))?;
    Ok(Exit::Done)
}

fn completions(shell: For, mut command: Command) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    match shell {
        For::Shell(shell) => clap_complete::generate(shell, &mut command, &name, &mut script),
        For::Nushell => clap_complete::generate(Nushell, &mut command, &name, &mut script),
    }
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        // The script sets one of these names and looks for the other.
        For::Shell(Shell::Bash) => {
            script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
        }
        For::Shell(Shell::Fish) => mended(&script, &command),
        _ => script,
    }
}

/// The script for fish with what clap's lacks: values after an option that stands before a command,
/// and those of arguments without an option.
fn mended(script: &str, command: &Command) -> String {
    fn add(script: &mut String, command: &Command, name: &str, condition: &str) {
        for values in command.get_positionals().map(Arg::get_possible_values) {
            let words: Vec<_> = values.iter().map(PossibleValue::get_name).collect();
            if !words.is_empty() {
                let words = words.join(" ");
                *script += &format!("complete -c {name} -n \"{condition}\" -f -a \"{words}\"\n");
            }
        }
        for inner in command.get_subcommands() {
            let known = inner.get_name();
            let condition = match condition {
                "" => format!("__fish_{}_using_subcommand {known}", name.replace('-', "_")),
                _ => format!("{condition}; and __fish_seen_subcommand_from {known}"),
            };
            add(script, inner, name, &condition);
        }
    }
    // An option that still waits for its value is an error for argparse.
    let own = command.get_name().replace('-', "_");
    let parse = format!("argparse -s (__fish_{own}_global_optspecs) -- $cmd");
    let line = format!("    {parse} 2>/dev/null\n");
    let again = format!("{line}    or {parse}[1..-2] 2>/dev/null\n");
    let mut script = script.replacen(&line, &again, 1);
    add(&mut script, command, command.get_name(), "");
    script
}

/// Writes files with these names and texts to a directory.
fn write(files: Vec<(String, String)>, to: &Path) -> Result<Exit, CommandError> {
    std::fs::create_dir_all(to)
        .map_err(|why| CommandError::value("--out", format!("{}: {why}", to.display())))?;
    for (name, text) in files {
        let file = to.join(name);
        OutputFile::open(&file)
            .and_then(|mut file| file.write(&text))
            .map_err(|why| CommandError::unwritten(file.display(), why))?;
    }
    Ok(Exit::Done)
}
