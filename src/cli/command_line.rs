//! The whole command line: the login, the commands beside it, and the options of the output.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{
    Arg, ArgAction, Command, CommandFactory, FromArgMatches, Parser, Subcommand, value_parser,
};

use super::account::AccountArgs;
use super::args::CheckArgs;
use super::classify::ClassifyArgs;
use super::demo::DemoArgs;
use super::environment;
use super::explain::ExplainArgs;
use super::generate::GenerateArgs;
use super::output::{Output, is_given};
use super::pair::PairArgs;
use super::probe::ProbeArgs;
use super::serve::ServeArgs;
use super::values;

/// Determine the connection type between this host and an MSN notification server.
///
/// Logs in (MSNP9 or MSNP8), reads ClientIP and ClientPort from the initial profile, compares them
/// with the local socket, and prints the connection type as the official client names it:
/// Direct-Connect, IP-Restrict-NAT, Port-Restrict-NAT, Symmetric-NAT, Unknown-NAT, or
/// Unknown-Connect where it cannot be determined.
///
/// The label goes to stdout, the report to stderr. The 'demo' command needs no server.
#[derive(Debug, Parser)]
#[command(
    name = "msnp9-conntype",
    version,
    args_override_self = true,
    after_help = crate::exit::HELP,
    max_term_width = 100
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) check: CheckArgs,

    #[command(subcommand)]
    pub(super) command: Option<Action>,
}

/// What to do instead of a login.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Show every kind of path on loopback, with the embedded server; needs no network
    ///
    /// Logs in over relays that rewrite the address, the port or both, and prints the label of each
    /// path; with --path, the report of one.
    Demo(DemoArgs),
    /// Run the embedded notification server
    ///
    /// Tells each client that logs in the address and port it sees, as Microsoft's servers did. Comes
    /// with a dispatch server, Passport over TLS and an HTTP gateway. Prints its addresses on stdout as
    /// one JSON document, and serves until SIGINT or SIGTERM; SIGHUP reads its files again.
    Serve(Box<ServeArgs>),
    /// Change, list and check the accounts of 'serve --accounts'
    ///
    /// Passwords are stored as Argon2id hashes. A server that runs reads the file again after SIGHUP.
    Account(AccountArgs),
    /// Classify values that were observed elsewhere
    ///
    /// Needs no network: the values are given, or a profile or a transcript that holds them.
    Classify(ClassifyArgs),
    /// Ask the network without a login: UDP, the router, and whether others can call
    ///
    /// Prints the connection type of UDP, that of UDP echo if it is asked, else that of STUN:
    /// Direct-Connect, IP-Restrict-NAT, Port-Restrict-NAT, Symmetric-NAT, Firewall, ISALike, or
    /// Unknown-Connect where the tests do not tell. The report ends with what all of it means for file
    /// transfer, voice and webcam.
    Probe(ProbeArgs),
    /// Explain a label: what it means and what to do
    ///
    /// Tells what to expect of file transfer, voice and webcam, and what to try.
    Explain(ExplainArgs),
    /// Tell whether two people can connect directly, and who listens
    ///
    /// Follows from what their labels show, and tells what clients of the time would do. A test of a
    /// call in a document counts more than its label.
    Pair(PairArgs),
    /// Print shell completions, manual pages and JSON Schemas
    ///
    /// They describe this version of the program, and are the same on every run.
    Generate(GenerateArgs),
}

/// Reads the command line and the environment.
///
/// The options of the output may stand before a command. Any other option there is refused; in the
/// environment it is not, since it may be meant for another run.
///
/// # Errors
/// Usage errors, and the texts of `--help` and `--version`.
pub(super) fn parse(
    words: impl IntoIterator<Item = OsString>,
) -> Result<(Args, Output), clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut command = environment::without_empty(command());
    let matches = command
        .try_get_matches_from_mut(&words)
        .map_err(|error| environment::named(&mut command, error, &words))?;
    if let Some((name, inner)) = matches.subcommand() {
        let takes = |id: &str| match (name, id) {
            ("demo", "expect") => inner.contains_id("path"),
            ("serve", "format" | "output") => false,
            _ => OUTPUT_OPTIONS.contains(&id) && inner.try_contains_id(id).is_ok(),
        };
        let idle = command.get_arguments().find(|arg| {
            let id = arg.get_id().as_str();
            is_given(&matches, id) && !takes(id)
        });
        if let Some(arg) = idle {
            let text = format!("the command '{name}' does not take '{arg}'");
            return Err(command.error(ErrorKind::ArgumentConflict, text));
        }
    }
    let output =
        Output::of(&matches).map_err(|why| command.error(ErrorKind::ArgumentConflict, why))?;
    let mut args = Args::from_arg_matches(&matches)?;
    args.check.origins = environment::origins(&command, &matches);
    if let (Some(Action::Serve(serve)), Some((name, inner))) =
        (&mut args.command, matches.subcommand())
        && let Some(declared) = command.find_subcommand(name)
    {
        serve.origins = environment::origins(declared, inner);
    }
    if let (Some(Action::Account(account)), Some((name, inner))) =
        (&mut args.command, matches.subcommand())
        && let Some(declared) = command.find_subcommand(name)
        && let Some((name, inner)) = inner.subcommand()
        && let Some(declared) = declared.find_subcommand(name)
    {
        account.origins = environment::origins(declared, inner);
    }
    Ok((args, output))
}

/// The declarations, with the options of the output for each command.
pub(super) fn command() -> Command {
    let [expect, format, json, output, redact, quiet, verbose, color] = output_options();
    // A variable may be meant for another run.
    let expect_of_demo = expect.clone().env(None::<&str>).requires("path");
    // Variables are for results.
    let output_of_page = output.clone().env(None::<&str>);
    let page = format
        .clone()
        .env(None::<&str>)
        .value_parser(values::format_of_page())
        .help("Format of the page");
    Args::command()
        .args([&expect, &format, &json, &output, &redact])
        .args([&quiet, &verbose, &color])
        .mut_subcommand("demo", |command| {
            command
                .args([&expect_of_demo, &format, &json, &output, &redact])
                .args([&quiet, &verbose])
        })
        .mut_subcommand("serve", |command| {
            command.args([
                json.clone()
                    .help("Print one JSON document if the server cannot start"),
                quiet.clone().help("Log errors only"),
                verbose.clone().help("Log more: -v debug, -vv trace"),
            ])
        })
        .mut_subcommand("account", |command| command)
        .mut_subcommand("classify", |command| {
            command.args([&expect, &format, &json, &output, &redact, &quiet])
        })
        .mut_subcommand("probe", |command| {
            command.args([&format, &json, &output, &redact, &quiet, &verbose])
        })
        .mut_subcommand("explain", |command| {
            command.args([&page, &json, &output_of_page])
        })
        .mut_subcommand("pair", |command| {
            command.args([&page, &json, &output_of_page])
        })
        // What is changed moves to the end. So does this, to stay the last.
        .mut_subcommand("generate", |command| command)
}

/// The names of the options of the output.
const OUTPUT_OPTIONS: [&str; 8] = [
    "expect", "format", "json", "output", "redact", "quiet", "verbose", "color",
];

/// The options of the output, of which every command has those that have an effect on it.
fn output_options() -> [Arg; 8] {
    let flag = |name, variable| {
        let arg = Arg::new(name).long(name).env(variable);
        arg.action(ArgAction::SetTrue)
            .value_parser(BoolishValueParser::new())
    };
    [
        Arg::new("expect")
            .long("expect")
            .env("MSNP9_EXPECT")
            .value_name("LABEL")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .value_parser(values::label())
            .help("Accepted labels; any other label exits with 1"),
        Arg::new("format")
            .long("format")
            .env("MSNP9_FORMAT")
            .value_name("FORMAT")
            .value_parser(values::format())
            .help("Format of the result [default: label]"),
        flag("json", "MSNP9_JSON").help(
            "Print one JSON document, as --format json; a usage error (exit code 2) prints none",
        ),
        Arg::new("output")
            .long("output")
            .short('o')
            .env("MSNP9_OUTPUT")
            .value_name("FILE|-")
            .value_parser(value_parser!(PathBuf))
            .help("Write the result to a file, complete or not at all; '-' is stdout"),
        flag("redact", "MSNP9_REDACT").help(
            "Replace addresses, ports, host names and the account in all output, so that it can be shared",
        ),
        flag("quiet", "MSNP9_QUIET")
            .short('q')
            .help("Suppress the report on stderr"),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .action(ArgAction::Count)
            .help("Increase verbosity: -v timings and steps, -vv debug, -vvv wire trace"),
        Arg::new("color")
            .long("color")
            .value_name("WHEN")
            .global(true)
            .value_parser(values::color())
            .help("When to use colours [default: auto, on terminals unless NO_COLOR is set]"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declarations_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn debug_output_shows_no_password_of_a_proxy() {
        let words = ["msnp9-conntype", "--proxy", "socks5://user:marker@h"];
        let (args, output) = parse(words.map(OsString::from)).unwrap();
        assert!(args.check.proxy.is_some());
        let shown = format!("{args:?} {output:?}");
        assert!(!shown.contains("marker"), "{shown}");
    }
}
