//! What clients of the time would have said of the same login.

mod compare;

use compare::{Test, Tests, faults};
use serde::{Serialize, Serializer};

use super::{Label, Observation, PeerLabel, UdpLabel, Verdict};

/// A client with a method of its own, or the official table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// The table of the official client, as it was documented.
    Official,
    /// aMSN.
    Amsn,
    /// Miranda IM and NG.
    Miranda,
    /// MSNPSharp, as of 2014.
    MsnpSharp,
    /// papyon, the library of emesene and Empathy.
    Papyon,
    /// Digsby.
    Digsby,
    /// JML, the Java MSN library.
    Jml,
}

/// How a client finds its connection type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Method {
    /// What it takes for its local address.
    pub address: LocalAddress,
    /// How it compares that with `ClientIP`.
    pub comparison: AddressComparison,
    /// What it takes for its local port.
    pub port: LocalPort,
    /// How it reads `ClientPort`.
    pub reading: PortReading,
    /// What gives the label.
    pub rule: ClientRule,
}

/// What a client takes for its local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LocalAddress {
    /// That of the socket that carried the login.
    Socket,
    /// That of a UDP socket.
    UdpSocket,
    /// The first IPv4 address that the name of this host resolves to.
    HostName,
    /// An IPv4 address found by other means than the login's socket.
    Guessed,
}

/// How a client compares its local address with `ClientIP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AddressComparison {
    /// As addresses.
    Value,
    /// As text: two spellings of one address differ.
    Text,
}

/// What a client takes for its local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LocalPort {
    /// That of the socket that carried the login.
    Socket,
    /// Always 0.
    Zero,
    /// It compares no ports of the login.
    NotUsed,
}

/// How a client reads `ClientPort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PortReading {
    /// In the byte order of the server; no source tells how it is known.
    OrderOfServer,
    /// Its two bytes exchanged, whatever the server does.
    Exchanged,
    /// As it is sent, its bytes never exchanged.
    AsSent,
    /// As text, which is never equal to a number.
    AsText,
    /// It does not read it.
    NotRead,
}

/// What gives a client's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClientRule {
    /// The table of addresses and ports, with two names where both differ.
    TableOfTwoNames,
    /// The same table with `Symmetric-NAT` where both differ.
    Table,
    /// Another address is `IP-Restrict-NAT`; else a connection to its own port decides.
    OwnConnection,
    /// The tests of UDP echo.
    UdpEcho,
    /// `DIRECT` where address and port are equal, else `NAT`.
    DirectOrNat,
}

/// The label of a client, as it spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientLabel {
    /// One of the official names.
    Named(PeerLabel),
    /// `Unknown-Connect`, misspelt.
    UnkownConnect,
    /// JML's name for a connection without NAT.
    Direct,
    /// JML's name for every other connection.
    Nat,
}

/// Why a client's label is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LabelUnknown {
    /// It decides by UDP echo, which gave no label or was not asked (`--udp-echo`).
    NeedsUdpEcho,
    /// It decides by a connection to its own port, which was not tried.
    NeedsOwnConnection,
    /// It compares a local address that is not the socket's, and which one is not known.
    NeedsItsAddress,
    /// The table has two names here, and no source tells when each applies.
    TwoNames,
    /// No source tells what it does with such a value.
    NotDescribed,
}

/// What makes a client's label differ from what the profile shows; each alone would be enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It ignores the port.
    PortIgnored,
    /// Its local port is always 0.
    LocalPortZero,
    /// It compares a text with a number.
    TextComparedWithNumber,
    /// It never exchanges the bytes of `ClientPort`.
    BytesNeverExchanged,
    /// It exchanges the bytes of `ClientPort` whatever the server does.
    BytesAlwaysExchanged,
    /// It compares addresses as text.
    AddressAsText,
    /// It compares a local address that is not the socket's.
    AddressNotOfSocket,
    /// It compares the port of the connection to a proxy or gateway.
    PortOfOtherConnection,
    /// It compares a value that is missing or that no connection has.
    UnusableValueCompared,
    /// It believes values that do not describe this connection.
    ProfileBelieved,
    /// It looks at one login, and the label here follows from several.
    OneLoginOnly,
    /// Its label is about UDP, and the label here about TCP.
    AboutUdp,
}

/// What other probes of the same run add to a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// The label of UDP echo; `None` where it was not asked.
    pub udp: Option<UdpLabel>,
    /// The outside ports of tests 1 and 3 of UDP echo; `None` unless both were answered.
    pub udp_ports: Option<(u16, u16)>,
    /// Whether a call over TCP arrived at a port of this host; `None` where none was tested.
    pub called: Option<bool>,
}

/// What a client would have said of a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClientSays {
    /// The client.
    pub client: Client,
    /// Its label, as it spells it. Null where that is not known.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub label: Option<ClientLabel>,
    /// The labels that it may give; one where its label is known.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub possible: Vec<ClientLabel>,
    /// Why its label is not known. Null where it is.
    pub reason: Option<LabelUnknown>,
    /// Whether that is the label that this program gives; `NAT` stands for each kind of NAT. False where
    /// none of `possible` is. Null where that is not known.
    pub agrees: Option<bool>,
    /// Where it goes wrong on this observation; each alone would be enough.
    pub goes_wrong: Vec<Fault>,
}

impl Client {
    /// Every client, the official table first.
    pub const ALL: [Self; 7] = [
        Self::Official,
        Self::Amsn,
        Self::Miranda,
        Self::MsnpSharp,
        Self::Papyon,
        Self::Digsby,
        Self::Jml,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Official => "Official table",
            Self::Amsn => "aMSN",
            Self::Miranda => "Miranda",
            Self::MsnpSharp => "MSNPSharp",
            Self::Papyon => "papyon",
            Self::Digsby => "Digsby",
            Self::Jml => "JML",
        }
    }

    /// Where its method is known from.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Official => "hypothetic.org research/msnp9",
            Self::Amsn => "aMSN abook.tcl",
            Self::Miranda => "Miranda msn_natdetect.cpp",
            Self::MsnpSharp => "MSNPSharp P2PSession.DC.cs, NSMessageHandler.cs",
            Self::Papyon => "papyon client.py",
            Self::Digsby => "Digsby P2PSession.py, MSN.py",
            Self::Jml => "JML, seen running",
        }
    }

    /// How it finds its connection type.
    #[must_use]
    pub const fn method(self) -> Method {
        let table = Method {
            address: LocalAddress::Socket,
            comparison: AddressComparison::Value,
            port: LocalPort::Socket,
            reading: PortReading::OrderOfServer,
            rule: ClientRule::TableOfTwoNames,
        };
        match self {
            Self::Official => table,
            Self::Amsn => Method {
                comparison: AddressComparison::Text,
                port: LocalPort::NotUsed,
                reading: PortReading::NotRead,
                rule: ClientRule::OwnConnection,
                ..table
            },
            Self::Miranda => Method {
                address: LocalAddress::UdpSocket,
                port: LocalPort::NotUsed,
                reading: PortReading::NotRead,
                rule: ClientRule::UdpEcho,
                ..table
            },
            Self::MsnpSharp => Method {
                address: LocalAddress::HostName,
                port: LocalPort::Zero,
                reading: PortReading::Exchanged,
                rule: ClientRule::Table,
                ..table
            },
            Self::Papyon => Method {
                comparison: AddressComparison::Text,
                reading: PortReading::AsText,
                rule: ClientRule::Table,
                ..table
            },
            Self::Digsby => Method {
                address: LocalAddress::Guessed,
                comparison: AddressComparison::Text,
                reading: PortReading::Exchanged,
                rule: ClientRule::Table,
                ..table
            },
            Self::Jml => Method {
                reading: PortReading::AsSent,
                rule: ClientRule::DirectOrNat,
                ..table
            },
        }
    }

    /// What it would have said of a login that this program gave `verdict`.
    #[must_use]
    pub fn says(self, seen: &Observation, verdict: &Verdict, beside: &Beside) -> ClientSays {
        let tests = Tests::of(self.method(), seen);
        let (possible, reason) = self.labels(tests, beside);
        let label = match possible[..] {
            [label] => Some(label),
            _ => None,
        };
        // What decides it was not observed.
        let is_comparable = reason != Some(LabelUnknown::NeedsUdpEcho);
        let agrees = agrees(&possible, verdict.label).filter(|_| is_comparable);
        let is_silent = label.is_some_and(|label| !label.determined());
        let goes_wrong = match agrees == Some(true) || is_silent {
            true => Vec::new(),
            false => faults(self.method(), tests, seen, verdict, agrees),
        };
        ClientSays {
            client: self,
            label,
            possible,
            reason,
            agrees,
            goes_wrong,
        }
    }

    /// The labels that its tests allow, and why there is more than one.
    fn labels(self, tests: Tests, beside: &Beside) -> (Vec<ClientLabel>, Option<LabelUnknown>) {
        use PeerLabel::{
            DirectConnect, Firewall, IpRestrictNat, PortRestrictNat, SymmetricNat, UnknownConnect,
            UnknownNat,
        };
        use Test::{Different, Same, Unusable};
        let one = |label| (vec![ClientLabel::Named(label)], None);
        let some = |labels: &[PeerLabel], why| {
            let labels = labels.iter().copied().map(ClientLabel::Named);
            (labels.collect(), Some(why))
        };
        match (self.method().rule, tests.address, tests.port) {
            (ClientRule::UdpEcho, ..) => match miranda(beside) {
                Some(label) => one(label.into()),
                None => {
                    let all = UdpLabel::ALL.map(PeerLabel::from);
                    some(&all, LabelUnknown::NeedsUdpEcho)
                }
            },
            (ClientRule::OwnConnection, Different, _) => one(IpRestrictNat),
            // It connects to ClientIP, which is an address of this host.
            (ClientRule::OwnConnection, Same, _) if beside.called == Some(true) => {
                one(DirectConnect)
            }
            (ClientRule::OwnConnection, ..) => {
                some(&[DirectConnect, Firewall], LabelUnknown::NeedsOwnConnection)
            }
            (ClientRule::DirectOrNat, Same, Same) => (vec![ClientLabel::Direct], None),
            (ClientRule::DirectOrNat, ..) => (vec![ClientLabel::Nat], None),
            (ClientRule::TableOfTwoNames, Unusable, _) => one(UnknownConnect),
            (ClientRule::TableOfTwoNames, Same, Unusable) => some(
                &[PortRestrictNat, UnknownConnect],
                LabelUnknown::NotDescribed,
            ),
            (ClientRule::TableOfTwoNames, _, Unusable) => some(
                &[SymmetricNat, UnknownNat, UnknownConnect],
                LabelUnknown::NotDescribed,
            ),
            (ClientRule::TableOfTwoNames, Different, Different) => {
                some(&[SymmetricNat, UnknownNat], LabelUnknown::TwoNames)
            }
            (ClientRule::Table, Unusable, _) | (ClientRule::Table, _, Unusable) => match self {
                Self::Papyon => (vec![ClientLabel::UnkownConnect], None),
                _ => one(UnknownConnect),
            },
            (ClientRule::Table | ClientRule::TableOfTwoNames, address, port) => {
                let cells = [
                    (DirectConnect, Same, Same),
                    (IpRestrictNat, Different, Same),
                    (PortRestrictNat, Same, Different),
                    (SymmetricNat, Different, Different),
                ];
                let allows = |test: Test, cell: Test| test == Test::Open || test == cell;
                let cells = cells
                    .into_iter()
                    .filter(|cell| allows(address, cell.1) && allows(port, cell.2));
                let labels: Vec<_> = cells.map(|cell| ClientLabel::Named(cell.0)).collect();
                let why = match (address, port) {
                    (Test::Open, _) => Some(LabelUnknown::NeedsItsAddress),
                    (_, Test::Open) => Some(LabelUnknown::NotDescribed),
                    _ => None,
                };
                (labels, why)
            }
        }
    }
}

/// Miranda's label of UDP. In test 3 it compares the ports alone.
fn miranda(beside: &Beside) -> Option<UdpLabel> {
    let is_same_port = beside
        .udp_ports
        .is_some_and(|(first, third)| first == third);
    match beside.udp.filter(|label| label.determined())? {
        UdpLabel::SymmetricNat if is_same_port => Some(UdpLabel::PortRestrictNat),
        label => Some(label),
    }
}

fn agrees(possible: &[ClientLabel], ours: Label) -> Option<bool> {
    if !ours.determined() || possible.iter().all(|label| !label.determined()) {
        return None;
    }
    let same = possible.iter().filter(|label| label.is(ours)).count();
    match same {
        0 => Some(false),
        same if same == possible.len() => Some(true),
        _ => None,
    }
}

impl ClientLabel {
    /// The client's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Named(label) => label.as_str(),
            Self::UnkownConnect => "Unkown-Connect",
            Self::Direct => "DIRECT",
            Self::Nat => "NAT",
        }
    }

    /// Whether it names a connection type.
    const fn determined(self) -> bool {
        match self {
            Self::Named(label) => label.determined(),
            Self::UnkownConnect => false,
            Self::Direct | Self::Nat => true,
        }
    }

    /// Whether it means this label; `NAT` means each kind of NAT.
    fn is(self, label: Label) -> bool {
        match self {
            Self::Named(named) => named.as_str() == label.as_str(),
            Self::UnkownConnect => label == Label::UnknownConnect,
            Self::Direct => label == Label::DirectConnect,
            Self::Nat => label.determined() && label != Label::DirectConnect,
        }
    }
}

impl std::fmt::Display for ClientLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ClientLabel {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
