//! The verdict's parts: what was compared, the rule that applied, what the label leaves open.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::{Label, PortOrder, PortUnknown};
use crate::address::Address;

/// The outcome of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Sameness {
    /// Both values are known and equal.
    Same,
    /// Both values are known and differ.
    Different,
    /// At least one value is unknown, or the two are not comparable.
    Unknown,
}

/// The reading of `ClientPort` that equals the local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OrderMatch {
    /// Only the plain reading.
    Plain,
    /// Only the swapped reading.
    Swapped,
    /// Both readings: the port's two bytes are equal.
    Either,
}

/// How a NAT maps one local port toward different destinations (RFC 4787 §4.1, RFC 5382 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// The same outside port toward both destinations.
    EndpointIndependent,
    /// Another outside port for each destination.
    EndpointDependent,
}

/// The destination of a further login, compared with the first one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The same address and port.
    Same,
    /// Another port of the same address.
    OtherPort,
    /// Another address.
    OtherAddress,
}

impl Destination {
    /// Where a further login went, from the remote ends of the first and of the further one.
    #[must_use]
    pub fn of(first: Option<SocketAddr>, further: Option<SocketAddr>) -> Self {
        match (first, further) {
            (Some(a), Some(b)) if a == b => Self::Same,
            (Some(a), Some(b)) if a.ip() == b.ip() => Self::OtherPort,
            _ => Self::OtherAddress,
        }
    }
}

/// Whether the address the server sees is the proxy's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProxyRelation {
    /// `ClientIP` is one of the proxy's addresses: it is the last hop before the server.
    LastHop,
    /// `ClientIP` is none of the proxy's addresses: something beyond it rewrites again.
    Beyond,
    /// The proxy's addresses or `ClientIP` are not known.
    Unknown,
}

/// The local end compared with the profile.
///
/// JSON has the values elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Comparison {
    /// The local end, normalised.
    #[serde(skip)]
    pub local: SocketAddr,
    /// `ClientIP`, where it is an address.
    #[serde(skip)]
    pub client_ip: Option<IpAddr>,
    /// `ClientPort`, where it is a port; its byte order is not decided here.
    #[serde(skip)]
    pub client_port: Option<u16>,
    /// `ClientIP` compared with the local address.
    pub ip: Sameness,
    /// `ClientPort` compared with the local port.
    pub port: Sameness,
    /// The byte order in which `ClientPort` equals the local port. Null where it does in neither.
    pub order_matched: Option<OrderMatch>,
    /// The byte order that was asked for (`--port-order`).
    pub order_asked: PortOrder,
    /// The outside port where it is known: the ports are the same, or the order was given, or
    /// both readings are equal.
    #[serde(skip)]
    pub outside_port: Option<u16>,
}

impl Comparison {
    /// Discards the outcomes, not the values: the profile does not describe this connection.
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
    /// The address is the local one, the port cannot be compared.
    AddressOursPortUnknown(PortUnknown),
    /// `ClientIP` is missing or not an address.
    AddressUnknown,
    /// `ClientIP` is a loopback address, but the server is not on this host.
    LoopbackElsewhere,
    /// A server is known to send these values to every client.
    KnownConstant,
    /// Another login, from another local port, got the same `ClientPort`.
    ObservedConstant,
}

impl Reason {
    /// The stable code in JSON.
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

/// Why a further observation leaves the label as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// One server sees this private address, the local one: it is on this side of the NAT.
    NotTranslated(IpAddr),
    /// Only one of these two outside addresses is on the internet.
    OtherSide(IpAddr, IpAddr),
    /// The servers see two different outside addresses, both on the internet.
    TwoOutsideAddresses(IpAddr, IpAddr),
    /// The outside ports are the same, but both logins went to one address.
    SameAddress,
    /// One of the ports cannot be compared.
    PortUnknown,
    /// The further observation alone is undetermined; why.
    Undetermined(Reason),
    /// The other server is known to send constants.
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

/// Why an observation that was asked for is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The login failed.
    LoginFailed,
    /// The time was up before every login was made.
    OutOfTime,
    /// The second server is the first one, reached from the same local port.
    SameServer,
}

/// Something worth knowing that does not change the label.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// `ClientIP` is not globally routable while the server's address is: a router sent the
    /// connection back (a hairpin), or a proxy is in front of the server.
    ClientIpNotGlobal(IpAddr),
    /// `ClientIP` is the server's own address, for the same two reasons.
    ClientIpIsServer(IpAddr),
    /// The ports differ and the byte order was not given: the outside port has two readings.
    OutsidePortAmbiguous(u16, u16),
    /// Both byte orders make the ports equal, so the server's order is not known.
    OrderUndecided,
    /// The label describes one TCP flow and says nothing about UDP.
    TcpFlowOnly,
    /// The login may have signed the account out elsewhere.
    SignedOutElsewhere,
    /// An HTTP gateway gets the server's host only, not the port requested here.
    PortNotSent(Address),
    /// The account and the password went to this host. It is not the server, and no option or
    /// preset names it: the nexus or a redirect did.
    CredentialsElsewhere(Address),
    /// An observation that was asked for is missing.
    ObservationMissing(Missing),
    /// Another observation alone has this label, and contradicts the first.
    ObservationsDisagree(Label),
    /// A further observation settles nothing; why.
    Unsettled(Unsettled),
}

impl Warning {
    /// The stable code in JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ClientIpNotGlobal(_) => "client-ip-not-global",
            Self::ClientIpIsServer(_) => "client-ip-is-server",
            Self::OutsidePortAmbiguous(..) => "outside-port-ambiguous",
            Self::OrderUndecided => "byte-order-undecided",
            Self::TcpFlowOnly => "tcp-flow-only",
            Self::SignedOutElsewhere => "signed-out-elsewhere",
            Self::PortNotSent(_) => "port-not-sent",
            Self::CredentialsElsewhere(_) => "credentials-elsewhere",
            Self::ObservationMissing(_) => "look-failed",
            Self::ObservationsDisagree(_) => "looks-disagree",
            Self::Unsettled(why) => why.code(),
        }
    }
}

/// The label and its evidence.
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
    /// How `ClientIP` relates to the proxy; `None` on a path without one.
    pub proxy: Option<ProxyRelation>,
    /// How the NAT maps toward two destinations; `None` where that is not known.
    pub mapping: Option<Mapping>,
    /// What is worth knowing but does not change the label.
    pub warnings: Vec<Warning>,
}

impl Verdict {
    /// Adds a warning, once.
    pub fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}
