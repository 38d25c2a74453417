//! The page that explains the labels.

use serde::Serialize;

use super::hint::of_label;
use super::meaning::{Meaning, peers};
use super::page::{PLAIN, Page};
use super::text::sentence;
use super::{SCHEMA_VERSION, clients, json};
use crate::conntype::{Client, Label};

/// The column of the text beside a heading.
const INDENT: usize = 20;

/// The table of the labels.
const TABLE: &str = "\
The server reports to each client the address and port it sees. Compared with
the client's own address and port, they give the connection type:

                     │ the same address    │ another address
  ───────────────────┼─────────────────────┼──────────────────────────────
  the same port      │ Direct-Connect      │ IP-Restrict-NAT
  another port       │ Port-Restrict-NAT   │ Symmetric-NAT or Unknown-NAT
  no port to compare │ Unknown-Connect     │ Unknown-NAT
";

/// The columns of [`TABLE`].
const TABLE_WIDTH: usize = 79;

/// The table for narrower terminals.
const LIST: &str = "\
The server reports to each client the
address and port it sees. Compared with
the client's own:

  same address
    same port     Direct-Connect
    another port  Port-Restrict-NAT
    no port       Unknown-Connect
  another address
    same port     IP-Restrict-NAT
    another port  Symmetric-NAT
                  or Unknown-NAT
    no port       Unknown-NAT
";

/// What the table cannot show.
const LIMITS: [&str; 3] = [
    "All of this is about one TCP connection and what happens to its address and port on the way \
     (network address translation, NAT). Which connections a router accepts, and what it does \
     with UDP, does not show: a strict router that keeps ports gets IP-Restrict-NAT, a lenient \
     one that changes them gets Symmetric-NAT.",
    "Symmetric-NAT or Unknown-NAT: one observation cannot tell them apart, and Symmetric-NAT is \
     printed. With --second-server HOST, a second server is asked from the same local port. If \
     it sees the same outside port, the label becomes Unknown-NAT.",
    "Firewall and ISALike, which some programs use as well, come from other tests and are never \
     printed here.",
];

/// The page for one label, or for all of them with the table first; with `clients`, what these say of
/// logins that have the label, or of all.
#[must_use]
pub fn text(label: Option<Label>, clients: Option<&[Client]>, width: usize) -> String {
    if let Some(clients) = clients {
        return clients::text(clients, label, width);
    }
    let mut page = Page::new(width, false);
    if let Some(label) = label {
        section(&mut page, label);
        return page.finish();
    }
    let table = if width < TABLE_WIDTH { LIST } else { TABLE };
    page.heading(table.trim_end(), PLAIN);
    for limit in LIMITS {
        page.blank();
        page.text(0, limit);
    }
    for label in Label::ALL {
        page.blank();
        page.blank();
        section(&mut page, label);
    }
    page.finish()
}

fn section(page: &mut Page, label: Label) {
    let meaning = Meaning::of(label);
    page.heading(label.as_str(), PLAIN);
    for (heading, text) in [
        ("  Seen when", seen_when(label)),
        ("  Meaning", meaning.connection),
        ("  File transfer", meaning.file_transfer),
        ("  Voice and webcam", meaning.voice),
        ("  Other programs", peers(label)),
    ] {
        page.item(heading, PLAIN, INDENT, text);
    }
    let mut heading = "  What to try";
    for hint in of_label(label) {
        let lead = format!("{heading:INDENT$}-");
        page.item(&lead, PLAIN, INDENT + 2, &sentence(&hint.to_string()));
        heading = "";
    }
}

/// What the labels mean, in words for a person, which may change.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Document {
    /// What clients say of logins that have the label that was asked for, or of all. Null without `--as`.
    clients: Option<Vec<clients::Section>>,
    /// The label that was asked for, or all of them.
    labels: Vec<Section>,
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    schema_version: u32,
}

/// What one label means.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Section {
    /// What it means for sending files.
    file_transfer: &'static str,
    /// The label.
    label: Label,
    /// What it means for the connection.
    meaning: &'static str,
    /// How other programs treat it when somebody sends it to them.
    other_programs: &'static str,
    /// What the server sees of the local end.
    seen_when: &'static str,
    /// What to try, one sentence each.
    try_next: Vec<String>,
    /// What it means for voice and webcam.
    voice_and_webcam: &'static str,
}

/// The page as a JSON document.
#[must_use]
pub fn json(label: Option<Label>, clients: Option<&[Client]>) -> String {
    let section = |label: Label| {
        let meaning = Meaning::of(label);
        let hints = of_label(label).iter();
        Section {
            file_transfer: meaning.file_transfer,
            label,
            meaning: meaning.connection,
            other_programs: peers(label),
            seen_when: seen_when(label),
            try_next: hints.map(|hint| sentence(&hint.to_string())).collect(),
            voice_and_webcam: meaning.voice,
        }
    };
    let labels = label.map_or_else(|| Label::ALL.to_vec(), |label| vec![label]);
    json::render(&Document {
        clients: clients.map(|clients| clients::sections(clients, label)),
        labels: labels.into_iter().map(section).collect(),
        schema_version: SCHEMA_VERSION,
    })
}

/// The label's place in the table, in words.
pub(super) const fn seen_when(label: Label) -> &'static str {
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

#[cfg(test)]
mod tests {
    use support::document;

    use super::*;
    use crate::report::human::tests::snapshot;

    #[test]
    fn the_pages_match_their_snapshots() {
        snapshot("explain", &text(None, None, 80));
        for label in Label::ALL {
            let name = format!("explain-{}", label.as_str().to_lowercase());
            snapshot(&name, &text(Some(label), None, 80));
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 50, 78, 79, 80, 100] {
            for line in text(None, None, width).lines() {
                assert!(
                    textwrap::core::display_width(line) <= width,
                    "{width}: {line}"
                );
                assert_eq!(line.trim_end(), line);
            }
        }
    }

    #[test]
    fn the_document_has_every_label() {
        let read = |label| document::read(document::Document::Explain, &json(label, None)).unwrap();
        let all = read(None);
        assert_eq!(all["labels"].as_array().unwrap().len(), Label::ALL.len());
        assert_eq!(
            read(Some(Label::UnknownNat))["labels"][0]["label"],
            "Unknown-NAT"
        );
    }
}
