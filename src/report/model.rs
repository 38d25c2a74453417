//! The one model that every format renders.
//!
//! What is not known is `null` or `"unknown"`, never `false`. Fields are only ever added; a
//! change of meaning raises [`SCHEMA_VERSION`].

mod build;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::remedy;
use crate::address::Address;
use crate::conntype::{
    Comparison, Label, Mapping, OrderMatch, PathKind, PortUnknown, Proxy, ProxyRelation, Reason,
    Warning,
};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::msnp::Dialect;
use crate::run_log::Purpose;

/// The version of the JSON document.
pub const SCHEMA_VERSION: u32 = 1;

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program.
    pub tool: Tool,
    /// When the run began, in UTC; null where no clock was read.
    #[serde(serialize_with = "time")]
    pub started_at: Option<SystemTime>,
    /// The connection type.
    pub label: Label,
    /// Whether the connection type is known: false for `Unknown-Connect` only.
    pub determined: bool,
    /// Other labels that the same evidence allows.
    pub alternatives: Vec<Label>,
    /// Why this label.
    pub reason: Why,
    /// The local end of the connection that carried the login.
    #[serde(serialize_with = "endpoint")]
    pub local: Option<SocketAddr>,
    /// The profile's values.
    pub observed: Option<Observed>,
    /// The comparisons.
    pub comparison: Option<Comparison>,
    /// How the NAT maps toward two servers.
    pub mapping: Option<Mapping>,
    /// The server.
    pub server: Option<ServerReport>,
    /// The dialect agreed on.
    #[serde(serialize_with = "dialect")]
    pub dialect: Option<Dialect>,
    /// Every Passport server that got the account and the password.
    pub credentials_sent_to: Vec<Address>,
    /// The path to the server.
    pub path: PathReport,
    /// One entry for each login that was tried, in order.
    pub observations: Vec<ObservationReport>,
    /// Milliseconds each stage took; stages of the two servers overlap.
    pub timings_ms: Vec<Timing>,
    /// The labels expected, where some were.
    pub expected: Option<Expected>,
    /// What is worth knowing but does not change the label.
    pub warnings: Vec<Warning>,
    /// Why the connection type is not known.
    pub error: Option<ErrorReport>,
    /// The exit code.
    #[serde(serialize_with = "code")]
    pub exit_code: Exit,
}

/// The program that made the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
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

/// The profile's values, as text and as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// `ClientIP`.
    pub client_ip: ObservedIp,
    /// `ClientPort`.
    pub client_port: ObservedPort,
}

/// `ClientIP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedIp {
    /// The text in the profile; null where it is missing.
    pub raw: Option<String>,
    /// The address; null where the text is none.
    pub ip: Option<IpAddr>,
}

/// `ClientPort`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedPort {
    /// The text in the profile; null where it is missing.
    pub raw: Option<String>,
    /// The number in it, 1 to 65535, its byte order not decided; null where there is none.
    #[serde(serialize_with = "known")]
    pub number: Result<u16, PortUnknown>,
    /// The byte order it was read in; null where that is not known.
    pub order: Option<OrderMatch>,
    /// The outside port, where the order is known.
    pub port: Option<u16>,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerReport {
    /// Its name and port as requested.
    pub requested: Address,
    /// The address that the last connection reached; null behind a proxy or gateway, which have
    /// their own places.
    pub address: Option<SocketAddr>,
    /// The servers it referred to, in order.
    pub referrals: Vec<Address>,
}

/// The path to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathReport {
    /// The kind of path.
    pub kind: PathKind,
    /// The proxy, where there is one.
    pub proxy: Option<ProxyReport>,
    /// Everything known on the path, from this host to the server.
    pub hops: Vec<Hop>,
}

/// The proxy that the local socket is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProxyReport {
    /// Its name and port as requested.
    pub name: Address,
    /// Its addresses, the one in use first.
    pub addresses: Vec<IpAddr>,
    /// SOCKS' BND.ADDR and BND.PORT, where they are usable.
    #[serde(serialize_with = "endpoint")]
    pub bound: Option<SocketAddr>,
    /// How `ClientIP` relates to it.
    pub relation: ProxyRelation,
}

/// One thing on the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// What it is.
    pub role: Role,
    /// The local socket, the proxy, the gateway, what the server sees, or the server; null where
    /// it is not known.
    pub address: Option<HopAddress>,
    /// What it rewrites; for a rewriter only.
    pub rewrites: Vec<Rewrite>,
}

/// What a [`Hop`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
pub struct ObservationReport {
    /// The server's name and port as requested.
    pub server: Address,
    /// The address that the connection reached; null behind a proxy or gateway.
    pub address: Option<SocketAddr>,
    /// The local end; null where there was no connection.
    #[serde(serialize_with = "endpoint")]
    pub local: Option<SocketAddr>,
    /// The profile's values; null where the login failed.
    pub observed: Option<Observed>,
    /// The label of this login alone; null where it failed.
    pub label: Option<Label>,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// How long a step took. Steps of one connection do not overlap; those of different connections do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// The observation it belongs to: an index into `observations`.
    pub observation: usize,
    /// The connection it belongs to.
    pub connection: Purpose,
    /// The step.
    pub stage: Stage,
    /// Milliseconds from the start of the run to the start of the step.
    pub start: f64,
    /// Milliseconds it took.
    pub took: f64,
}

/// The labels expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// The accepted labels.
    pub labels: Vec<Label>,
    /// Whether the label is one of them.
    pub met: bool,
}

/// Why the connection type is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// The stage that failed.
    pub stage: Stage,
    /// A stable code.
    pub code: ErrorCode,
    /// What happened.
    pub message: String,
    /// What to try.
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
    /// The labels expected.
    pub expected: Vec<Label>,
}

fn code<S: Serializer>(exit: &Exit, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u8(exit.code())
}

fn time<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| humantime::format_rfc3339_millis(time).to_string())
        .serialize(to)
}

fn dialect<S: Serializer>(dialect: &Option<Dialect>, to: S) -> Result<S::Ok, S::Error> {
    dialect.map(|dialect| dialect.to_string()).serialize(to)
}

fn known<S: Serializer>(port: &Result<u16, PortUnknown>, to: S) -> Result<S::Ok, S::Error> {
    port.ok().serialize(to)
}

fn endpoint<S: Serializer>(end: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Endpoint {
        ip: IpAddr,
        port: u16,
    }
    end.map(|end| Endpoint {
        ip: end.ip(),
        port: end.port(),
    })
    .serialize(to)
}
