//! What clients of the time would have said: sentences, and their part of the page that explains the
//! labels.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;

use super::page::{HEADING, PLAIN, Page};
use super::text::{join, sentence};
use crate::conntype::{
    AddressComparison, Beside, Client, ClientLabel, ClientRule, ClientSays, Fault, Label,
    LabelUnknown, LocalAddress, LocalPort, Method, Observation, PortReading, Sameness, classify,
    swap_port,
};

/// The column of the text beside a heading.
const INDENT: usize = 20;

/// The most labels that are listed where it is not known which one a client gives.
const MOST_LISTED: usize = 3;

const INTRODUCTION: &str = "\
Clients of the time took other values for their own address and port than the socket's, or \
compared them in other ways, so that one connection got several names. For each: its method, and \
what it says of a login, by what the server sees of the local address and port. 'exchanged' is the \
local port with its two bytes exchanged, as Microsoft's servers sent it.";

/// What a client would have said, in a sentence or two.
pub(super) fn said(says: &ClientSays) -> String {
    let why = says.reason.map(|why| sentence(decides(why)));
    [Some(sentence(&labels(says))), why]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The labels that a client may give, and where it goes wrong.
fn labels(says: &ClientSays) -> String {
    let labels = match says.possible.len() {
        0..=MOST_LISTED => join(says.possible.iter().map(spelt), "or"),
        _ => "not known".to_owned(),
    };
    let faults = join(says.goes_wrong.iter().map(|one| fault(*one)), "and");
    match faults.is_empty() {
        true => labels,
        false => format!("{labels}, but {faults}"),
    }
}

fn spelt(label: &ClientLabel) -> String {
    match label {
        ClientLabel::UnkownConnect => format!("{label} (so spelt)"),
        _ => label.to_string(),
    }
}

const fn decides(why: LabelUnknown) -> &'static str {
    match why {
        LabelUnknown::NeedsUdpEcho => "UDP echo decides (--udp-echo)",
        LabelUnknown::NeedsOwnConnection => "a connection to its own port decides",
        LabelUnknown::NeedsItsAddress => "the local address that it takes decides",
        LabelUnknown::TwoNames => {
            "the table has two names where both differ, and no source tells when each applies"
        }
        LabelUnknown::NotDescribed => "no source tells what it does with an unusable port",
    }
}

const fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::PortIgnored => "it ignores the port",
        Fault::LocalPortZero => "its local port is always 0",
        Fault::TextComparedWithNumber => "it compares a text with a number",
        Fault::BytesNeverExchanged => "it never exchanges the bytes of ClientPort",
        Fault::BytesAlwaysExchanged => "it always exchanges the bytes of ClientPort",
        Fault::AddressAsText => "it compares addresses as text",
        Fault::AddressNotOfSocket => "its local address is not the socket's",
        Fault::PortOfOtherConnection => {
            "it compares the port of the connection to the proxy or gateway"
        }
        Fault::UnusableValueCompared => "it compares an unusable value",
        Fault::ProfileBelieved => "it believes values that do not describe this connection",
        Fault::OneLoginOnly => "it looks at one login only",
        Fault::AboutUdp => "that is about UDP",
    }
}

/// What the server sees of the local port.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum SeenPort {
    /// It, in plain order.
    Same,
    /// It, with its two bytes exchanged.
    SameExchanged,
    /// Another port, in either order.
    Other,
    /// 0, as through an HTTP gateway.
    Zero,
    /// No port.
    Missing,
}

impl SeenPort {
    const ALL: [Self; 5] = [
        Self::Same,
        Self::SameExchanged,
        Self::Other,
        Self::Zero,
        Self::Missing,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Same => "    same port",
            Self::SameExchanged => "    same, exchanged",
            Self::Other => "    another port",
            Self::Zero => "    port 0",
            Self::Missing => "    no port",
        }
    }
}

/// A kind of login, and what a client says of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Cell {
    /// What the server sees of the local address: `same` or `different`.
    address: Sameness,
    /// What it sees of the local port.
    port: SeenPort,
    /// The label that this program gives.
    label: Label,
    /// What the client says.
    says: ClientSays,
}

impl Cell {
    /// What `client` says of every kind of login to which this program gives `label`, or of all.
    fn all(client: Client, label: Option<Label>) -> Vec<Self> {
        let addresses = [Sameness::Same, Sameness::Different].into_iter();
        let cells = addresses.flat_map(|address| {
            SeenPort::ALL.map(|port| {
                let seen = example(address, port);
                let verdict = classify(&seen);
                Self {
                    address,
                    port,
                    label: verdict.label,
                    says: client.says(&seen, &verdict, &Beside::default()),
                }
            })
        });
        let is_asked = |cell: &Self| label.is_none_or(|label| cell.label == label);
        cells.filter(is_asked).collect()
    }
}

/// A login of this kind.
fn example(address: Sameness, port: SeenPort) -> Observation {
    const PORT: u16 = 1033;
    let local = Ipv4Addr::new(192, 168, 1, 5);
    let client_ip = match address {
        Sameness::Same => local.to_string(),
        _ => "203.0.113.7".to_owned(),
    };
    let client_port = match port {
        SeenPort::Same => Some(PORT),
        SeenPort::SameExchanged => Some(swap_port(PORT)),
        SeenPort::Other => Some(PORT + 1),
        SeenPort::Zero => Some(0),
        SeenPort::Missing => None,
    };
    let client_port = client_port.map(|port| port.to_string());
    let local = SocketAddr::from((local, PORT));
    Observation::new(local, Some(&client_ip), client_port.as_deref())
}

/// A client, and what it says of each kind of login.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Section {
    /// The client.
    client: Client,
    /// Its name.
    name: &'static str,
    /// Where its method is known from.
    source: &'static str,
    /// How it finds its connection type.
    method: Method,
    /// What it says of each kind of login to which this program gives the label that was asked for, or of
    /// every kind.
    logins: Vec<Cell>,
}

/// The clients for the document.
pub(super) fn sections(clients: &[Client], label: Option<Label>) -> Vec<Section> {
    let section = |client: &Client| Section {
        client: *client,
        name: client.name(),
        source: client.source(),
        method: client.method(),
        logins: Cell::all(*client, label),
    };
    clients.iter().map(section).collect()
}

/// The page about clients.
pub(super) fn text(clients: &[Client], label: Option<Label>, width: usize) -> String {
    let mut page = Page::new(width, false);
    page.text(0, INTRODUCTION);
    if let Some(label) = label {
        page.blank();
        page.text(0, &format!("Logins to which this program gives {label}."));
    }
    for client in clients {
        page.blank();
        page.blank();
        section(&mut page, *client, label);
    }
    page.finish()
}

fn section(page: &mut Page, client: Client, label: Option<Label>) {
    let method = client.method();
    page.heading(client.name(), HEADING);
    for (lead, text) in [
        ("  Source", client.source()),
        ("  Local address", address(method)),
        ("  Local port", port(method.port)),
        ("  ClientPort", reading(method.reading)),
        ("  Label", rule(method.rule)),
    ] {
        page.item(lead, PLAIN, INDENT, text);
    }
    let cells = Cell::all(client, label);
    if let [first, ..] = &cells[..]
        && cells.iter().all(|cell| cell.says == first.says)
    {
        page.item("  Every login", PLAIN, INDENT, &said(&first.says));
        return;
    }
    for (heading, address) in [
        ("  The same address", Sameness::Same),
        ("  Another address", Sameness::Different),
    ] {
        let cells: Vec<_> = cells
            .iter()
            .filter(|cell| cell.address == address)
            .collect();
        if !cells.is_empty() {
            page.heading(heading, PLAIN);
        }
        for cell in cells {
            page.item(cell.port.name(), PLAIN, INDENT, &labels(&cell.says));
        }
    }
    let mut told = Vec::new();
    for why in cells.iter().filter_map(|cell| cell.says.reason) {
        let why = sentence(decides(why));
        if !told.contains(&why) {
            told.push(why);
        }
    }
    if !told.is_empty() {
        page.item("  Not known", PLAIN, INDENT, &told.join(" "));
    }
}

const fn address(method: Method) -> &'static str {
    match (method.address, method.comparison) {
        (LocalAddress::Socket, AddressComparison::Value) => "that of the login's socket",
        (LocalAddress::Socket, AddressComparison::Text) => {
            "that of the login's socket, compared as text"
        }
        (LocalAddress::UdpSocket, _) => "that of a UDP socket",
        (LocalAddress::HostName, _) => "the first IPv4 address that the host's name resolves to",
        (LocalAddress::Guessed, _) => "an IPv4 address found in another way, compared as text",
    }
}

const fn port(port: LocalPort) -> &'static str {
    match port {
        LocalPort::Socket => "that of the login's socket",
        LocalPort::Zero => "always 0",
        LocalPort::NotUsed => "not used",
    }
}

const fn reading(reading: PortReading) -> &'static str {
    match reading {
        PortReading::OrderOfServer => {
            "in the byte order of the server; no source tells how that is known"
        }
        PortReading::Exchanged => "with its two bytes exchanged, whatever the server does",
        PortReading::AsSent => "as it is sent",
        PortReading::AsText => "as a text, which is never equal to a number",
        PortReading::NotRead => "not read",
    }
}

const fn rule(rule: ClientRule) -> &'static str {
    match rule {
        ClientRule::TableOfTwoNames => {
            "from the table of addresses and ports, with two names where both differ"
        }
        ClientRule::Table => {
            "from the table of addresses and ports, with Symmetric-NAT where both differ"
        }
        ClientRule::OwnConnection => {
            "IP-Restrict-NAT where the addresses differ; else Direct-Connect if it can connect to \
             its own port, and Firewall if not"
        }
        ClientRule::UdpEcho => "from the tests of UDP echo",
        ClientRule::DirectOrNat => "DIRECT where address and port are equal, else NAT",
    }
}

#[cfg(test)]
mod tests {
    use support::document::{self, Document};
    use textwrap::core::display_width;

    use super::*;
    use crate::report::explain;
    use crate::report::human::tests::snapshot;

    #[test]
    fn the_pages_match_their_snapshots() {
        let every = Some(&Client::ALL[..]);
        snapshot("explain-clients-80", &explain::text(None, every, 80));
        snapshot("explain-clients-50", &explain::text(None, every, 50));
        let direct = explain::text(Some(Label::DirectConnect), every, 80);
        snapshot("explain-clients-direct-connect", &direct);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 50, 80, 100] {
            for label in Label::ALL.map(Some).into_iter().chain([None]) {
                for line in text(&Client::ALL, label, width).lines() {
                    assert!(display_width(line) <= width, "{width}: {line}");
                    assert_eq!(line.trim_end(), line);
                }
            }
        }
    }

    #[test]
    fn the_document_has_what_was_asked_for() {
        let read = |label, clients| {
            let text = explain::json(label, clients);
            document::read(Document::Explain, &text).unwrap()
        };
        assert!(read(None, None)["clients"].is_null());
        let all = read(None, Some(&Client::ALL[..]));
        assert_eq!(all["clients"].as_array().unwrap().len(), Client::ALL.len());
        assert_eq!(all["clients"][5]["logins"].as_array().unwrap().len(), 10);
        let one = read(Some(Label::IpRestrictNat), Some(&[Client::Jml][..]));
        assert_eq!(one["labels"].as_array().unwrap().len(), 1);
        let logins = one["clients"][0]["logins"].as_array().unwrap();
        let ports: Vec<_> = logins.iter().map(|login| &login["port"]).collect();
        assert_eq!(ports, ["same", "same-exchanged"]);
        assert_eq!(logins[0]["says"]["label"], "NAT");
        assert_eq!(logins[0]["says"]["agrees"], true);
    }

    #[test]
    fn every_label_has_logins() {
        for label in Label::ALL {
            let cells = Cell::all(Client::Amsn, Some(label));
            assert!(!cells.is_empty(), "{label}");
            assert!(cells.iter().all(|cell| cell.label == label), "{label}");
        }
    }
}
