//! The verdict's parts: what was compared, the rule that spoke, what would change the answer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{IpReading, Label, PortReading};

/// The outcome of one comparison; not knowing is one of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sameness {
    /// Both values are known and equal.
    Same,
    /// Both values are known and differ.
    Different,
    /// At least one value is unknown, or comparing them would mean nothing.
    Unknown,
}

impl Sameness {
    /// The word for it in JSON and in the story.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Sameness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which reading of `ClientPort` made it equal to the local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderMatch {
    /// Only the plain reading.
    Plain,
    /// Only the swapped reading.
    Swapped,
    /// The port's two bytes are equal, so both readings are one.
    Either,
}

impl OrderMatch {
    /// The word for it in JSON and in the story.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Swapped => "swapped",
            Self::Either => "either",
        }
    }
}

/// How a NAT maps our port toward different destinations (RFC 4787 §4.1, RFC 5382 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// The same outside port toward both destinations.
    EndpointIndependent,
    /// Another outside port for each destination.
    EndpointDependent,
}

impl Mapping {
    /// The word for it in JSON and in the story.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::EndpointDependent => "endpoint-dependent",
        }
    }
}

/// Where a second look went, seen from the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To the same address and port.
    Same,
    /// To another port of the same address.
    OtherPort,
    /// To another address.
    OtherAddress,
}

/// Whether the address the server sees is the proxy's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyRelation {
    /// `ClientIP` is one of the proxy's addresses: it is the last hop before the server.
    LastHop,
    /// `ClientIP` is none of the proxy's addresses: something further on rewrites again.
    Beyond,
    /// The proxy's addresses or `ClientIP` are not known.
    Unknown,
}

impl ProxyRelation {
    /// The word for it in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LastHop => "last-hop",
            Self::Beyond => "beyond",
            Self::Unknown => "unknown",
        }
    }
}

/// Both comparisons, with the values they were made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The local end, normalised.
    pub local: SocketAddr,
    /// What `ClientIP` came to.
    pub client_ip: IpReading,
    /// What `ClientPort` came to.
    pub client_port: PortReading,
    /// The addresses compared.
    pub ip: Sameness,
    /// The ports compared.
    pub port: Sameness,
    /// The reading that made the ports equal; `None` when they are not.
    pub order_matched: Option<OrderMatch>,
    /// The outside port where it is settled: the ports are the same, or the order was given, or
    /// both readings are one.
    pub outside_port: Option<u16>,
}

impl Comparison {
    /// Takes the outcomes back: the profile's values turned out to be no observation. The values
    /// stay.
    pub(super) const fn forget(&mut self) {
        self.ip = Sameness::Unknown;
        self.port = Sameness::Unknown;
        self.order_matched = None;
        self.outside_port = None;
    }
}

/// The rule that gave the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Address and port are equal.
    NothingRewritten,
    /// Only the address differs.
    AddressRewritten,
    /// Only the port differs.
    PortRewritten,
    /// Both differ.
    BothRewritten,
    /// Both differ, and another server saw another outside port from the same local port.
    MappingDependsOnDestination,
    /// Both differ, and another server saw the same outside port from the same local port.
    MappingIndependentOfDestination,
    /// The local port is kept toward one server and replaced toward another.
    PortKeptTowardOne,
    /// Two observations contradict each other; the label is one that both allow.
    ObservationsDisagree,
    /// The address differs, the port cannot be compared.
    AddressRewrittenPortUnknown(PortUnknown),
    /// The address is ours, the port cannot be compared.
    AddressOursPortUnknown(PortUnknown),
    /// `ClientIP` is missing or no address.
    AddressUnknown,
    /// `ClientIP` is a loopback address, but the server is not on this host.
    LoopbackElsewhere,
    /// The values are ones that a server is known to print for everybody.
    KnownConstant,
    /// Another login from another local port got the very same `ClientPort`.
    ObservedConstant,
}

/// Why the ports could not be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortUnknown {
    /// The profile has no `ClientPort`.
    Absent,
    /// It is not a number.
    Unreadable,
    /// It is above 65535.
    OutOfRange,
    /// It is 0: the server was reached through an HTTP gateway.
    Zero,
    /// The local port belongs to the connection to a proxy or gateway.
    OtherConnection,
}

impl Reason {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NothingRewritten => "nothing-rewritten",
            Self::AddressRewritten => "address-rewritten",
            Self::PortRewritten => "port-rewritten",
            Self::BothRewritten => "both-rewritten",
            Self::MappingDependsOnDestination => "mapping-depends-on-destination",
            Self::MappingIndependentOfDestination => "mapping-independent-of-destination",
            Self::PortKeptTowardOne => "port-kept-toward-one-server",
            Self::ObservationsDisagree => "observations-disagree",
            Self::AddressRewrittenPortUnknown(_) => "address-rewritten-port-unknown",
            Self::AddressOursPortUnknown(_) => "address-ours-port-unknown",
            Self::AddressUnknown => "address-unknown",
            Self::LoopbackElsewhere => "client-ip-loopback",
            Self::KnownConstant => "known-constant",
            Self::ObservedConstant => "observed-constant",
        }
    }
}

impl fmt::Display for PortUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "the profile has no ClientPort",
            Self::Unreadable => "ClientPort is not a number",
            Self::OutOfRange => "ClientPort is above 65535",
            Self::Zero => "ClientPort is 0, which an HTTP gateway reports",
            Self::OtherConnection => {
                "the local port belongs to the connection to the proxy or gateway"
            }
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingRewritten => {
                f.write_str("the server sees this computer's own address and port")
            }
            Self::AddressRewritten => {
                f.write_str("the server sees another address but the same port")
            }
            Self::PortRewritten => f.write_str("the server sees our address but another port"),
            Self::BothRewritten => f.write_str("the server sees another address and another port"),
            Self::MappingDependsOnDestination => f.write_str(
                "the server sees another address and another port, and a second server saw yet \
                 another port from the same local port",
            ),
            Self::MappingIndependentOfDestination => f.write_str(
                "the server sees another address and another port, but a second server saw the \
                 same port from the same local port",
            ),
            Self::PortKeptTowardOne => f.write_str(
                "from the same local port, one server sees that port and another server sees a \
                 different one: the mapping depends on the destination",
            ),
            Self::ObservationsDisagree => f.write_str(
                "two observations contradict each other, and the label is one that both allow",
            ),
            Self::AddressRewrittenPortUnknown(why) => {
                write!(
                    f,
                    "the server sees another address, and the ports cannot be compared: {why}"
                )
            }
            Self::AddressOursPortUnknown(why) => {
                write!(
                    f,
                    "the server sees our address, but the ports cannot be compared: {why}"
                )
            }
            Self::AddressUnknown => f.write_str("the profile has no ClientIP that is an address"),
            Self::LoopbackElsewhere => f.write_str(
                "ClientIP is a loopback address, which a server on another host sees only of a \
                 proxy of its own: that proxy hides this connection",
            ),
            Self::KnownConstant => f.write_str(
                "the profile holds values that a server is known to print for everybody",
            ),
            Self::ObservedConstant => f.write_str(
                "ClientPort stayed the same while the local port changed: the server prints a \
                 constant, not what it sees",
            ),
        }
    }
}

/// Why a further observation left open what it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// One server sees this private address, our own: it is on this side of the NAT.
    NotTranslated(IpAddr),
    /// Only one of these two outside addresses is on the internet.
    OtherSide(IpAddr, IpAddr),
    /// Both servers see the connection come from the internet, but from two addresses.
    TwoOutsideAddresses(IpAddr, IpAddr),
    /// The same outside port, but toward the same address.
    SameAddress,
    /// One of the ports cannot be compared.
    PortUnknown,
    /// The further observation by itself tells nothing; why.
    Undetermined(Reason),
    /// The other server is known to print constants.
    KnownConstant,
}

impl Unsettled {
    const fn code(self) -> &'static str {
        match self {
            Self::NotTranslated(_) => "second-not-translated",
            Self::OtherSide(..) => "second-on-other-side",
            Self::TwoOutsideAddresses(..) => "two-outside-addresses",
            Self::SameAddress => "second-at-same-address",
            Self::PortUnknown => "second-port-unknown",
            Self::Undetermined(_) => "second-undetermined",
            Self::KnownConstant => "second-known-constant",
        }
    }
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTranslated(ip) => write!(
                f,
                "one of the servers sees this computer's own private address {ip}: it is on this \
                 side of the NAT, so the two observations cannot be compared"
            ),
            Self::OtherSide(first, second) => write!(
                f,
                "the servers see {first} and {second}, of which only one is a public address: one \
                 server is inside a private network or behind a proxy of its own, so the two \
                 observations cannot be compared"
            ),
            Self::TwoOutsideAddresses(first, second) => write!(
                f,
                "the servers see two outside addresses, {first} and {second}, as with an address \
                 pool or two uplinks, so their ports cannot be compared"
            ),
            Self::SameAddress => f.write_str(
                "the second server has the address of the first and sees the same port: toward \
                 another address the NAT may use another port",
            ),
            Self::PortUnknown => f.write_str("one of the two observations has no port to compare"),
            Self::Undetermined(reason) => {
                write!(f, "another observation is not usable: {reason}")
            }
            Self::KnownConstant => f.write_str(
                "another server sent values that it is known to print for everybody, so it adds \
                 nothing",
            ),
        }
    }
}

/// Something worth knowing that does not change the label.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// `ClientIP` is not globally routable while the server's address is: the connection came
    /// back from a router, or a proxy stands in front of the server.
    ClientIpNotGlobal(IpAddr),
    /// `ClientIP` is the server's own address, for the same two reasons.
    ClientIpIsServer(IpAddr),
    /// The ports differ and the byte order was not given: the outside port has two readings.
    OutsidePortAmbiguous(u16, u16),
    /// Both byte orders make the ports equal, so the server's order stays unknown.
    OrderUndecided,
    /// The label describes one TCP flow and says nothing about UDP.
    TcpFlowOnly,
    /// The account may have been signed out where it was signed in.
    SignedOutElsewhere,
    /// The account was signed in elsewhere while we looked.
    SignedInElsewhere,
    /// The server was named with this port, but an HTTP gateway is told only the host.
    PortNotSent(String),
    /// The account and the password went to this host, which neither the server is nor an option or
    /// a preset names: a nexus or a redirect did.
    CredentialsElsewhere(String),
    /// Another look was asked for and could not be had; why.
    LookFailed(String),
    /// Another observation by itself has this label, and contradicts the first.
    LooksDisagree(Label),
    /// A further observation settled nothing; why.
    Unsettled(Unsettled),
}

impl Warning {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ClientIpNotGlobal(_) => "client-ip-not-global",
            Self::ClientIpIsServer(_) => "client-ip-is-server",
            Self::OutsidePortAmbiguous(..) => "outside-port-ambiguous",
            Self::OrderUndecided => "byte-order-undecided",
            Self::TcpFlowOnly => "tcp-flow-only",
            Self::SignedOutElsewhere => "signed-out-elsewhere",
            Self::SignedInElsewhere => "signed-in-elsewhere",
            Self::PortNotSent(_) => "port-not-sent",
            Self::CredentialsElsewhere(_) => "credentials-elsewhere",
            Self::LookFailed(_) => "look-failed",
            Self::LooksDisagree(_) => "looks-disagree",
            Self::Unsettled(why) => why.code(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIpNotGlobal(ip) => write!(
                f,
                "ClientIP {ip} is not an internet address although the server has one: the \
                 connection came back from a router on this network (a hairpin), or a proxy \
                 stands in front of the server; the label describes that"
            ),
            Self::ClientIpIsServer(ip) => write!(
                f,
                "ClientIP {ip} is the server's own address: the connection came back from a \
                 router (a hairpin), or a proxy stands in front of the server; the label \
                 describes that"
            ),
            Self::OutsidePortAmbiguous(plain, swapped) => write!(
                f,
                "the outside port is {plain} or, with its bytes exchanged, {swapped}; \
                 --port-order settles it"
            ),
            Self::OrderUndecided => f.write_str(
                "the port's two bytes are equal, so the server's byte order stays unknown",
            ),
            Self::TcpFlowOnly => f.write_str(
                "the label describes this one TCP connection; UDP may be treated otherwise",
            ),
            Self::SignedOutElsewhere => f.write_str(
                "this login signs the account out wherever else it was signed in; a test account \
                 avoids that",
            ),
            Self::SignedInElsewhere => {
                f.write_str("the account was signed in elsewhere while we looked (OUT OTH)")
            }
            Self::PortNotSent(server) => write!(
                f,
                "an HTTP gateway is told the host only: the port of {server} was not sent on"
            ),
            Self::CredentialsElsewhere(host) => write!(
                f,
                "the account and the password went to {host}, which is neither the server nor \
                 named by an option: the nexus or a redirect named it"
            ),
            Self::LookFailed(why) => {
                write!(
                    f,
                    "another look could not be had, so what it would settle stays open: {why}"
                )
            }
            Self::LooksDisagree(label) => write!(
                f,
                "another observation, by itself, is {label}: connections from this computer are \
                 not all treated alike"
            ),
            Self::Unsettled(why) => why.fmt(f),
        }
    }
}

/// The answer, with all that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The connection type.
    pub label: Label,
    /// Other labels that the same evidence allows.
    pub alternatives: Vec<Label>,
    /// The rule that gave the label.
    pub reason: Reason,
    /// What was compared.
    pub comparison: Comparison,
    /// Where `ClientIP` stands to the proxy; `None` on a path without one.
    pub proxy: Option<ProxyRelation>,
    /// How the NAT maps toward two destinations; `None` where nobody looked or it cannot be told.
    pub mapping: Option<Mapping>,
    /// What does not change the label but is worth knowing.
    pub warnings: Vec<Warning>,
}
