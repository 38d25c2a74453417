//! The one model that every format renders.
//!
//! What is not known is `null` or `"unknown"`, never `false`. Keys and values may be added; anything
//! else raises [`SCHEMA_VERSION`]. The comments are the descriptions in `docs/schema`, as far as their
//! first blank line.

mod build;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::{ConclusionReport, InvitationReport, Probes, remedy};
use crate::address::Address;
use crate::conntype::{
    ClientSays, Comparison, Label, Mapping, OrderMatch, PathKind, PortUnknown, Proxy,
    ProxyRelation, Reason, Warning,
};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::invitation::ToSend;
use crate::msnp::Dialect;
use crate::run_log::Purpose;

/// The version of the JSON document.
pub const SCHEMA_VERSION: u32 = 1;

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: u32,
    /// The program that made the document.
    pub tool: Tool,
    /// When the run began: RFC 3339, UTC, with milliseconds. Null where no clock was read.
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "date-time")))]
    #[serde(serialize_with = "time")]
    pub started_at: Option<SystemTime>,
    /// Whether addresses, ports, host names and the account are masked (`--redact`).
    pub redacted: bool,
    /// The connection type.
    pub label: Label,
    /// Whether the connection type is known: false for `Unknown-Connect` only.
    pub determined: bool,
    /// Other labels that the same evidence allows.
    pub alternatives: Vec<Label>,
    /// The rule that gave the label, or the error.
    pub reason: Why,
    /// The local end of the socket that carried the login. Null where there was no connection.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<Endpoint>"))]
    pub local: Option<SocketAddr>,
    /// What the profile said. Null where there is no profile.
    pub observed: Option<Observed>,
    /// The local end compared with the profile. Null where there is no profile.
    pub comparison: Option<Comparison>,
    /// How the NAT maps toward two servers. Null unless a second observation settled it.
    pub mapping: Option<Mapping>,
    /// What clients of the time would have said of the first login. Null where there is no profile, and
    /// for a session of a capture.
    pub clients: Option<Vec<ClientSays>>,
    /// The server. Null for `classify`, and where the run ended before there was one.
    pub server: Option<ServerReport>,
    /// The dialect agreed on, such as `MSNP9`. Null where none was.
    #[serde(serialize_with = "dialect")]
    pub dialect: Option<Dialect>,
    /// Every Passport server that got the account and the password.
    pub credentials_sent_to: Vec<Address>,
    /// The path to the server.
    pub path: PathReport,
    /// One entry for each login that was tried, in order, also if there was only one. Empty for
    /// `classify`.
    pub observations: Vec<ObservationReport>,
    /// What other probes than the login found.
    pub probes: Probes,
    /// What all of it means for file transfer, voice and webcam. Null without other probes.
    pub conclusion: Option<ConclusionReport>,
    /// Invitations, each field compared with what was observed. Null where none were read.
    pub invitations: Option<Vec<InvitationReport>>,
    /// What an official client would put into an invitation (`--invitation`). Null where it was not
    /// asked for, and without a verdict.
    pub invitation_to_send: Option<ToSend>,
    /// One entry for each step. Steps of one connection do not overlap, those of different
    /// connections do.
    pub timings_ms: Vec<Timing>,
    /// The labels of `--expect`. Null where none were given.
    pub expected: Option<Expected>,
    /// What is worth knowing but does not change the label.
    pub warnings: Vec<Warning>,
    /// Why the connection type is not known. Null unless the label is `Unknown-Connect`.
    pub error: Option<ErrorReport>,
    /// The exit code of the process.
    #[serde(serialize_with = "code")]
    pub exit_code: Exit,
}

/// The program that made the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tool {
    /// Its name, `msnp9-conntype`.
    pub name: &'static str,
    /// Its version, such as `0.1.0`.
    pub version: &'static str,
}

impl Tool {
    /// This program.
    pub(super) const THIS: Self = Self {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
    };
}

/// Why there is this label: `code` and `text` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Why {
    /// The rule of the verdict.
    Rule(Reason),
    /// The run failed before a verdict.
    Failed {
        /// The error's code.
        code: ErrorCode,
        /// The error's message.
        text: String,
    },
}

/// What the profile said, as text and as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observed {
    /// `ClientIP`, the address that the server sees.
    pub client_ip: ObservedIp,
    /// `ClientPort`, the port that the server sees.
    pub client_port: ObservedPort,
}

/// The address in the profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ObservedIp {
    /// The text of `ClientIP`. Null where it is missing.
    pub raw: Option<String>,
    /// The address in it. Null where the text is none.
    pub ip: Option<IpAddr>,
}

/// The port in the profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ObservedPort {
    /// The text of `ClientPort`. Null where it is missing.
    pub raw: Option<String>,
    /// The number in it, its byte order not decided. Null where it is no port: missing, no number, 0,
    /// or above 65535.
    #[serde(serialize_with = "known")]
    #[cfg_attr(test, schemars(with = "Option<u16>", range(min = 1)))]
    pub number: Result<u16, PortUnknown>,
    /// The byte order it was read in. Null where that is not known.
    pub order: Option<OrderMatch>,
    /// The outside port. Null where the byte order is not known.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub port: Option<u16>,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerReport {
    /// Its name and port as requested.
    pub requested: Address,
    /// The address and port of the last connection. Null behind a proxy or gateway, and where there
    /// was no connection.
    #[cfg_attr(test, schemars(with = "Option<Address>"))]
    pub address: Option<SocketAddr>,
    /// The servers it referred to, in order.
    pub referrals: Vec<Address>,
}

/// The path to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PathReport {
    /// The kind of path.
    pub kind: PathKind,
    /// The proxy. Null where there is none, or where it was not reached.
    pub proxy: Option<ProxyReport>,
    /// Everything known on the path, from this host to the server.
    pub hops: Vec<Hop>,
}

/// The proxy that the local socket is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProxyReport {
    /// Its name and port as requested.
    pub name: Address,
    /// Its addresses, the one in use first.
    pub addresses: Vec<IpAddr>,
    /// The proxy's own end toward the server, as a SOCKS proxy reports it (`BND.ADDR`, `BND.PORT`).
    /// Null where it reports none that is usable.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<Endpoint>"))]
    pub bound: Option<SocketAddr>,
    /// How `ClientIP` relates to it.
    pub relation: ProxyRelation,
}

/// One thing on the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hop {
    /// What it is.
    pub role: Role,
    /// The local socket, the proxy, the gateway, what the server sees, or the server: `host:port`, or
    /// an address alone where the port is not known. Null where nothing is known.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub address: Option<HopAddress>,
    /// What it rewrites. Empty except for a `rewriter`.
    pub rewrites: Vec<Rewrite>,
}

/// What a hop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// This computer.
    ThisHost,
    /// The proxy.
    Proxy,
    /// Something that rewrites address or port.
    Rewriter,
    /// The HTTP gateway.
    Gateway,
    /// The notification server.
    Server,
}

/// What a rewriter changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Rewrite {
    /// The address.
    Address,
    /// The port.
    Port,
}

/// The address of a [`Hop`], as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum HopAddress {
    /// A name and a port.
    Name(Address),
    /// An address and a port.
    Socket(SocketAddr),
    /// An address, the port being unknown.
    Ip(IpAddr),
}

impl fmt::Display for HopAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One login, and what it observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ObservationReport {
    /// The server's name and port as requested.
    pub server: Address,
    /// The address and port of the last connection. Null behind a proxy or gateway, and where there
    /// was no connection.
    #[cfg_attr(test, schemars(with = "Option<Address>"))]
    pub address: Option<SocketAddr>,
    /// The local end of the socket. Null where there was no connection.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<Endpoint>"))]
    pub local: Option<SocketAddr>,
    /// What the profile said. Null where the login failed.
    pub observed: Option<Observed>,
    /// The label of this login alone. Null where it failed.
    pub label: Option<Label>,
    /// Why it failed. Null where it did not.
    pub error: Option<Failure>,
}

/// How long a step took. Steps of one connection do not overlap; those of different connections do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timing {
    /// The observation it belongs to: an index into `observations`.
    pub observation: usize,
    /// The connection it belongs to.
    pub connection: Purpose,
    /// The step.
    pub stage: Stage,
    /// Milliseconds from the start of the run to the start of the step.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub start: f64,
    /// Milliseconds that the step took.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub took: f64,
}

/// To hundredths.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

/// The labels expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Expected<L = Label> {
    /// The labels given.
    pub labels: Vec<L>,
    /// Whether the label is one of them.
    pub met: bool,
}

impl<L: PartialEq> Expected<L> {
    /// The labels given, and whether `label` is one of them. `None` where none were given.
    pub(super) fn of(labels: Vec<L>, label: &L) -> Option<Self> {
        let met = labels.contains(label);
        (!labels.is_empty()).then_some(Self { labels, met })
    }
}

/// The time a run began: a clock before 1970 is wrong, and has no spelling in RFC 3339.
pub(super) fn began(at: Option<SystemTime>) -> Option<SystemTime> {
    at.filter(|time| *time >= UNIX_EPOCH)
}

/// Why the connection type is not known, or why `serve` cannot start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorReport {
    /// The stage that failed.
    pub stage: Stage,
    /// What happened, as a stable code.
    pub code: ErrorCode,
    /// What happened, in one line for a person. Its words may change.
    pub message: String,
    /// What to try, in one line for a person. Its words may change.
    pub remedy: String,
}

impl From<&Failure> for ErrorReport {
    fn from(failure: &Failure) -> Self {
        Self {
            stage: failure.stage,
            code: failure.code,
            message: build::redacted(&failure.message),
            remedy: remedy(failure.code, failure.stage).to_owned(),
        }
    }
}

/// What is known of a run besides the verdict; little, where it failed early.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// When the run began.
    pub started_at: Option<SystemTime>,
    /// The server.
    pub server: Option<ServerReport>,
    /// The dialect agreed on.
    pub dialect: Option<Dialect>,
    /// Every Passport server that got the account and the password.
    pub credentials_to: Vec<Address>,
    /// The kind of path.
    pub path: PathKind,
    /// The local end, where there was a connection.
    pub local: Option<SocketAddr>,
    /// The proxy, where there is one.
    pub proxy: Option<Proxy>,
    /// The HTTP gateway's address, or its name behind a proxy; where there is one.
    pub gateway: Option<Address>,
    /// How long the stages took.
    pub timings: Vec<Timing>,
    /// Warnings of the login.
    pub warnings: Vec<Warning>,
    /// Every login that was tried. [`Report::of_failure`] adds the one that failed where there is
    /// none.
    pub observations: Vec<ObservationReport>,
    /// What other probes found.
    pub probes: Probes,
    /// What all of it means.
    pub conclusion: Option<ConclusionReport>,
    /// Invitations that were read.
    pub invitations: Option<Vec<InvitationReport>>,
    /// Whether to tell what an official client would put into one.
    pub with_invitation: bool,
    /// The labels expected.
    pub expected: Vec<Label>,
}

pub(super) fn code<S: Serializer>(exit: &Exit, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u8(exit.code())
}

pub(super) fn time<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| humantime::format_rfc3339_millis(time).to_string())
        .serialize(to)
}

fn dialect<S: Serializer>(dialect: &Option<Dialect>, to: S) -> Result<S::Ok, S::Error> {
    dialect.map(|dialect| dialect.to_string()).serialize(to)
}

fn known<S: Serializer>(port: &Result<u16, PortUnknown>, to: S) -> Result<S::Ok, S::Error> {
    port.ok().serialize(to)
}

/// One end of a connection.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Endpoint {
    /// Its address.
    ip: IpAddr,
    /// Its port.
    #[cfg_attr(test, schemars(range(min = 1)))]
    port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(end: SocketAddr) -> Self {
        Self {
            ip: end.ip(),
            port: end.port(),
        }
    }
}

pub(super) fn endpoint<S: Serializer>(end: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
    end.map(Endpoint::from).serialize(to)
}
