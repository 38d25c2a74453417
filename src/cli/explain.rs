//! `explain`: what the connection types mean and what to do about them.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::CommandError;
use super::output::Output;
use crate::conntype::Label;
use crate::exit::Exit;
use crate::report::text::wrap;
use crate::report::{advice, print};

/// Where the text beside a heading begins.
const INDENT: usize = 20;

/// The table that every label comes from.
const TABLE: &str = "\
The server tells each client the address and port it sees it come from. Beside
the client's own address and port, that gives the connection type:

                     │ the same address    │ another address
  ───────────────────┼─────────────────────┼──────────────────────────────
  the same port      │ Direct-Connect      │ IP-Restrict-NAT
  another port       │ Port-Restrict-NAT   │ Symmetric-NAT or Unknown-NAT
  no port to compare │ Unknown-Connect     │ Unknown-NAT
";

/// The columns that [`TABLE`] needs.
const TABLE_WIDTH: usize = 79;

/// The same for narrower terminals.
const LIST: &str = "\
The server tells each client the address and port
it sees. Compared with the client's own:

  same address
    same port         Direct-Connect
    another port      Port-Restrict-NAT
    no port           Unknown-Connect
  another address
    same port         IP-Restrict-NAT
    another port      Symmetric-NAT or Unknown-NAT
    no port           Unknown-NAT
";

/// What the table cannot say.
const LIMITS: [&str; 3] = [
    "All of this is about one TCP connection and what happens to its address and port on the \
     way (NAT, network address translation). Whom a router lets in, and what it does with \
     UDP, does not show. So a strict router that happens to keep the port prints \
     IP-Restrict-NAT, and a lenient one that renumbers ports prints Symmetric-NAT.",
    "Symmetric-NAT or Unknown-NAT: one look cannot tell them apart, and Symmetric-NAT is \
     printed. With --second-server HOST a second server is asked from the same local port. \
     If it sees the same outside port, the label becomes Unknown-NAT.",
    "Firewall and ISALike, which some programs name as well, come from other tests than this \
     one and are never printed here.",
];

/// What `explain` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// The connection type to explain, in any case; all of them where none is named
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
        true => format!("{:#}\n", json(args.label)),
        false => text(
            args.label,
            print::width_of(&std::io::stdout()).clamp(40, 100),
        ),
    };
    print::result(&page).map_err(CommandError::Output)?;
    Ok(Exit::Done)
}

/// The page for one label, or for all of them with the table first.
fn text(label: Option<Label>, width: usize) -> String {
    if let Some(label) = label {
        return section(label, width);
    }
    let mut page = match width < TABLE_WIDTH {
        true => LIST.to_owned(),
        false => TABLE.to_owned(),
    };
    for limit in LIMITS {
        page.push('\n');
        for line in wrap(limit, width) {
            page.push_str(&line);
            page.push('\n');
        }
    }
    for label in Label::ALL {
        page.push_str("\n\n");
        page.push_str(&section(label, width));
    }
    page
}

/// The page for one label, or for all of them, for programs.
fn json(label: Option<Label>) -> Value {
    let labels = match label {
        Some(label) => vec![label],
        None => Label::ALL.to_vec(),
    };
    let page = |label: Label| {
        json!({
            "label": label.as_str(),
            "seen_when": seen_when(label),
            "meaning": advice::meaning(label),
            "file_transfer": advice::file_transfer(label),
            "voice_and_webcam": advice::voice(label),
            "other_programs": advice::peers(label),
            "try_next": advice::try_next(label),
        })
    };
    json!({
        "schema_version": crate::report::SCHEMA_VERSION,
        "labels": labels.into_iter().map(page).collect::<Vec<_>>(),
    })
}

/// The cell of the table in words.
const fn seen_when(label: Label) -> &'static str {
    match label {
        Label::DirectConnect => "the same address, the same port",
        Label::IpRestrictNat => "another address, the same port",
        Label::PortRestrictNat => "the same address, another port",
        Label::SymmetricNat => "another address, another port",
        Label::UnknownNat => {
            "another address, and a port that cannot be compared or that a second server saw too"
        }
        Label::UnknownConnect => "no login, no address, or the same address and no port to compare",
    }
}

fn section(label: Label, width: usize) -> String {
    let mut page = format!("{label}\n");
    hang(&mut page, width, "  Seen when", seen_when(label));
    hang(&mut page, width, "  Meaning", advice::meaning(label));
    hang(
        &mut page,
        width,
        "  File transfer",
        advice::file_transfer(label),
    );
    hang(&mut page, width, "  Voice and webcam", advice::voice(label));
    hang(&mut page, width, "  Other programs", advice::peers(label));
    for (at, line) in advice::try_next(label).iter().enumerate() {
        let heading = if at == 0 { "  What to try" } else { "" };
        for (at, line) in wrap(line, width - INDENT - 2).iter().enumerate() {
            let (heading, bullet) = if at == 0 { (heading, '-') } else { ("", ' ') };
            page.push_str(&format!("{heading:INDENT$}{bullet} {line}\n"));
        }
    }
    page
}

/// A heading, and a text that hangs beside it.
fn hang(page: &mut String, width: usize, heading: &str, text: &str) {
    for (at, line) in wrap(text, width - INDENT).iter().enumerate() {
        let heading = if at == 0 { heading } else { "" };
        page.push_str(&format!("{heading:INDENT$}{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::report::human::tests::snapshot;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        explain: ExplainArgs,
    }

    fn parse(words: &[&str]) -> Result<Option<Label>, clap::Error> {
        Line::try_parse_from([&["explain"], words].concat()).map(|line| line.explain.label)
    }

    #[test]
    fn a_label_is_taken_in_any_case() {
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
    fn a_word_that_is_no_label_is_a_usage_error_that_lists_them() {
        let error = parse(&["Restrict-NAT"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("Port-Restrict-NAT"), "{error}");
    }

    #[test]
    fn the_pages_read_well() {
        snapshot("explain", &text(None, 80));
        for label in Label::ALL {
            snapshot(
                &format!("explain-{}", label.as_str().to_lowercase()),
                &text(Some(label), 80),
            );
        }
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        for width in [50, 78, 79, 80, 100] {
            for line in text(None, width).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }

    #[test]
    fn programs_get_every_label() {
        let all = json(None);
        assert_eq!(all["labels"].as_array().unwrap().len(), Label::ALL.len());
        let one = json(Some(Label::UnknownNat));
        assert_eq!(one["labels"][0]["label"], "Unknown-NAT");
    }
}
