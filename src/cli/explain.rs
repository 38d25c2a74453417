//! `explain`: what the connection types mean and what to do about them.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::CommandError;
use super::output::Output;
use crate::conntype::Label;
use crate::exit::Exit;
use crate::report::{explain, print};

/// The arguments of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Connection type to explain; all of them if left out
    #[arg(
        value_name = "LABEL",
        ignore_case = true,
        value_parser = PossibleValuesParser::new(Label::ALL.map(Label::as_str))
            .try_map(|word| word.parse::<Label>())
    )]
    label: Option<Label>,
}

/// Prints the page, or with `--json` its document.
pub(super) fn run(args: &ExplainArgs, output: &Output) -> Result<Exit, CommandError> {
    let page = match output.json {
        true => explain::json(args.label),
        false => explain::text(args.label, print::width_of(&std::io::stdout())),
    };
    print::result(&page).map_err(CommandError::Output)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        explain: ExplainArgs,
    }

    fn parse(words: &[&str]) -> Result<Option<Label>, clap::Error> {
        Line::try_parse_from([&["explain"], words].concat()).map(|line| line.explain.label)
    }

    #[test]
    fn a_label_is_accepted_in_any_case() {
        assert_eq!(parse(&[]).unwrap(), None);
        assert_eq!(
            parse(&["symmetric-nat"]).unwrap(),
            Some(Label::SymmetricNat)
        );
        assert_eq!(
            parse(&["IP-RESTRICT-NAT"]).unwrap(),
            Some(Label::IpRestrictNat)
        );
    }

    #[test]
    fn an_invalid_label_is_a_usage_error_that_lists_them() {
        let error = parse(&["Restrict-NAT"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("Port-Restrict-NAT"), "{error}");
    }
}
