//! `explain`: what the connection types mean and what to do about them.

use super::error::CommandError;
use super::output::Output;
use super::values;
use crate::conntype::{Client, Label};
use crate::exit::Exit;
use crate::report::explain;

/// The arguments of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Connection type to explain; all of them by default
    #[arg(value_name = "LABEL", value_parser = values::label())]
    label: Option<Label>,

    /// Tell what a client of the time says of such logins, and where it goes wrong
    ///
    /// 'all' tells of every client. With a label, of the logins to which this program gives it; else of
    /// all kinds of logins.
    #[arg(long = "as", value_name = "CLIENT", value_parser = values::client())]
    client: Option<Asked>,
}

/// A client, or all of them.
type Asked = Option<Client>;

/// Prints the page, or with `--json` its document.
pub(super) fn run(args: &ExplainArgs, output: &Output) -> Result<Exit, CommandError> {
    let label = args.label;
    let asked = args
        .client
        .map(|one| one.map_or_else(|| Client::ALL.to_vec(), |one| vec![one]));
    let clients = asked.as_deref();
    output.page(
        || explain::json(label, clients),
        |width| explain::text(label, clients, width),
    )
}
