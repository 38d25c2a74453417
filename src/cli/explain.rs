use super::CommandError;
use super::output::Output;
use crate::exit::Exit;
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    label: Option<String>,
}
pub(super) fn run(_a: &ExplainArgs, _o: &Output) -> Result<Exit, CommandError> {
    Ok(Exit::Done)
}
