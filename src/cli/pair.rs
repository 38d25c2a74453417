//! `pair`: whether two people can connect directly.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::error::CommandError;
use super::output::Output;
use crate::conntype::{PeerLabel, Side};
use crate::exit::Exit;
use crate::report::pair;

/// The largest document that is read, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The arguments of `pair`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PairArgs {
    /// One of the two: a label, or a file with the JSON document of a login or of 'probe'
    ///
    /// +upnp after a label says that the router opens ports on request. Without arguments the table
    /// of all labels is printed.
    #[arg(value_name = "LABEL[+upnp]|FILE", requires = "second")]
    first: Option<String>,

    /// The other one
    #[arg(value_name = "LABEL[+upnp]|FILE")]
    second: Option<String>,
}

/// Prints the page, or with `--json` its document.
pub(super) fn run(args: &PairArgs, output: &Output) -> Result<Exit, CommandError> {
    let pair = match (&args.first, &args.second) {
        (Some(first), Some(second)) => Some((side(first, output)?, side(second, output)?)),
        _ => None,
    };
    output.page(|| pair::json(pair), |width| pair::text(pair, width))
}

fn side(text: &str, output: &Output) -> Result<Side, CommandError> {
    let (label, upnp) = match text.len().checked_sub("+upnp".len()) {
        Some(at) if text.is_char_boundary(at) && text[at..].eq_ignore_ascii_case("+upnp") => {
            (&text[..at], true)
        }
        _ => (text, false),
    };
    let mut labels = PeerLabel::ALL.into_iter();
    if let Some(label) = labels.find(|known| known.as_str().eq_ignore_ascii_case(label)) {
        return Ok(Side {
            label,
            upnp,
            called: None,
        });
    }
    let path = Path::new(text);
    output.check_input("pair", Some(path))?;
    let wrong = |why: &str| {
        let labels = PeerLabel::ALL.map(PeerLabel::as_str).join(", ");
        CommandError::usage(format!("'{text}' is no label ({labels}), and {why}"))
    };
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => wrong("there is no such file"),
        _ => wrong(&format!("cannot be read: {error}")),
    })?;
    let mut document = String::new();
    let read = file.take(LONGEST + 1).read_to_string(&mut document);
    read.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if document.len() as u64 > LONGEST {
        return Err(wrong("is too long for a document of a login or of 'probe'"));
    }
    let document = serde_json::from_str(&document).ok();
    document
        .and_then(|document| pair::side_of(&document))
        .ok_or_else(|| wrong("holds no JSON document of a login or of 'probe'"))
}
