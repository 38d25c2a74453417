//! `explain`: what the connection types mean and what to do about them.

use super::error::CommandError;
use super::output::Output;
use super::values;
use crate::conntype::Label;
use crate::exit::Exit;
use crate::report::explain;

/// The arguments of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Connection type to explain; all of them by default
    #[arg(value_name = "LABEL", value_parser = values::label())]
    label: Option<Label>,
}

/// Prints the page, or with `--json` its document.
pub(super) fn run(args: &ExplainArgs, output: &Output) -> Result<Exit, CommandError> {
    let label = args.label;
    output.page(|| explain::json(label), |width| explain::text(label, width))
}
