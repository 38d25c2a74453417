//! The one model that every format renders.
//!
//! What is not known is `null` or `"unknown"`, never `false`. Fields are only ever added; a
//! change of meaning raises [`SCHEMA_VERSION`].

mod build;

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::remedy;

use crate::conntype::{Label, PathKind, Proxy, Verdict, Warning};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::run_log::Purpose;

/// The version of the JSON document.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that is said about one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The connection type.
    #[serde(serialize_with = "as_text")]
    pub label: Label,
    /// Whether the label says something: false for `Unknown-Connect` only.
    pub determined: bool,
    /// Other labels that the same evidence allows.
    #[serde(serialize_with = "as_texts")]
    pub alternatives: Vec<Label>,
    /// Why this label.
    pub reason: Said,
    /// The local end of the connection that carried the login.
    pub local: Option<Endpoint>,
    /// What the profile says.
    pub observed: Option<Observed>,
    /// What was compared, and how it came out.
    pub comparison: Option<Compared>,
    /// How the NAT maps toward two servers: `endpoint-independent`, `endpoint-dependent`.
    pub mapping: Option<&'static str>,
    /// Who was asked.
    pub server: Option<Server>,
    /// The dialect agreed on.
    pub dialect: Option<String>,
    /// Every Passport server that got the account and the password, as `host:port`.
    pub credentials_sent_to: Vec<String>,
    /// The way there.
    pub path: PathReport,
    /// Each look, where there was more than one.
    pub looks: Vec<Look>,
    /// Milliseconds each stage took; stages of the two servers overlap.
    pub timings_ms: Vec<Timing>,
    /// What was expected, where something was.
    pub expected: Option<Expected>,
    /// What does not change the label but is worth knowing.
    pub warnings: Vec<Said>,
    /// What kept us from telling.
    pub error: Option<ErrorReport>,
    /// How the program ends.
    #[serde(serialize_with = "as_code")]
    pub exit_code: Exit,
}

/// A word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// A stable word.
    pub code: &'static str,
    /// A sentence without its full stop.
    pub text: String,
}

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// IPv4 or IPv6.
    pub ip: IpAddr,
    /// 0 to 65535.
    pub port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: crate::conntype::normalise(address.ip()),
            port: address.port(),
        }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(end: Endpoint) -> Self {
        Self::new(end.ip, end.port)
    }
}

/// What the profile says, as it stands and as it was read.
#[derive(Clone, Debug, Serialize)]
pub struct Observed {
    /// `ClientIP`.
    pub client_ip: ObservedIp,
    /// `ClientPort`.
    pub client_port: ObservedPort,
}

/// `ClientIP`.
#[derive(Clone, Debug, Serialize)]
pub struct ObservedIp {
    /// As it stands in the profile; null where it is missing.
    pub raw: Option<String>,
    /// As an address; null where it is none.
    pub ip: Option<IpAddr>,
}

/// `ClientPort`.
#[derive(Clone, Debug, Serialize)]
pub struct ObservedPort {
    /// As it stands in the profile; null where it is missing.
    pub raw: Option<String>,
    /// The number in it, 1 to 65535, its byte order not yet decided; null where there is none.
    pub number: Option<u16>,
    /// The byte order that was believed: `plain`, `swapped`, `either`; null where nobody knows.
    pub order: Option<&'static str>,
    /// The outside port, where the order is known.
    pub port: Option<u16>,
}

/// Both comparisons: `same`, `different` or `unknown`.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The addresses.
    pub ip: &'static str,
    /// The ports.
    pub port: &'static str,
    /// The reading that made the ports equal: `plain`, `swapped`, `either`.
    pub order_matched: Option<&'static str>,
    /// The order that was asked for: `auto`, `plain`, `swapped`.
    pub order_asked: &'static str,
}

/// Who was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Server {
    /// `host:port` as it was asked for.
    pub requested: String,
    /// The address that the last connection went to; null behind a proxy or gateway, which have their
    /// own places.
    pub address: Option<SocketAddr>,
    /// Where the servers referred to, in order.
    pub referrals: Vec<String>,
}

/// The way there.
#[derive(Clone, Debug, Serialize)]
pub struct PathReport {
    /// `tcp`, `socks4`, `socks5`, `http-connect` or `http-gateway`.
    pub kind: &'static str,
    /// The proxy, where there is one.
    pub proxy: Option<ProxyReport>,
    /// Each thing on the way that could be told, from this host to the server.
    pub hops: Vec<Hop>,
}

/// The proxy at which our own connection ends.
#[derive(Clone, Debug, Serialize)]
pub struct ProxyReport {
    /// `host:port` as it was asked for.
    pub name: String,
    /// Its addresses, the one in use first.
    pub addresses: Vec<IpAddr>,
    /// SOCKS' BND.ADDR and BND.PORT, where they mean something.
    pub bound: Option<Endpoint>,
    /// Where `ClientIP` stands to it: `last-hop`, `beyond` or `unknown`.
    pub relation: &'static str,
}

/// One thing on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// `this-host`, `proxy`, `gateway`, `rewriter` or `server`.
    pub role: &'static str,
    /// Its end as far as it is known: the local socket, the proxy, what the server sees, the server.
    pub address: Option<String>,
    /// What it changes: `address`, `port`; for a rewriter only.
    pub rewrites: Vec<&'static str>,
}

/// One look of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Look {
    /// `host:port` as it was asked for.
    pub server: String,
    /// The local end.
    pub local: Endpoint,
    /// The address that the server saw.
    pub client_ip: Option<IpAddr>,
    /// The number it gave as the port, its byte order not decided.
    pub client_port: Option<u16>,
    /// The label that this look alone comes to.
    #[serde(serialize_with = "as_text")]
    pub label: Label,
}

impl Look {
    /// One look at `server`.
    #[must_use]
    pub fn of(server: &crate::address::Address, verdict: &Verdict) -> Self {
        let found = &verdict.comparison;
        Self {
            server: server.to_string(),
            local: found.local.into(),
            client_ip: found.client_ip.ip(),
            client_port: found.client_port.port(),
            label: verdict.label,
        }
    }
}

/// How long a step took. Steps of one connection do not overlap; those of different connections do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// The connection the step belongs to.
    pub connection: Purpose,
    /// The step.
    pub stage: Stage,
    /// Milliseconds from the start of the run to the start of the step.
    pub start: f64,
    /// Milliseconds it took.
    pub took: f64,
}

/// What was expected.
#[derive(Clone, Debug, Serialize)]
pub struct Expected {
    /// The labels that would have been right.
    #[serde(serialize_with = "as_texts")]
    pub labels: Vec<Label>,
    /// Whether the label is among them.
    pub met: bool,
}

/// What prevented a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// Where it happened.
    pub stage: Stage,
    /// What happened, for programs.
    pub code: ErrorCode,
    /// What happened.
    pub message: String,
    /// What to try.
    pub remedy: &'static str,
}

impl From<&Failure> for ErrorReport {
    fn from(failure: &Failure) -> Self {
        Self {
            stage: failure.stage,
            code: failure.code,
            message: failure.message.clone(),
            remedy: remedy(failure.code, failure.stage),
        }
    }
}

/// What is known of a run besides the verdict; a run that failed early knows little.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Who was asked.
    pub server: Option<Server>,
    /// The dialect agreed on.
    pub dialect: Option<String>,
    /// Every Passport server that got the account and the password.
    pub credentials_to: Vec<String>,
    /// The kind of path.
    pub path: PathKind,
    /// The local end, where a connection stood.
    pub local: Option<SocketAddr>,
    /// The proxy's name, where there is one.
    pub proxy: Option<Proxy>,
    /// The HTTP gateway's address, or its name behind a proxy; where there is one.
    pub gateway: Option<String>,
    /// How long the stages took.
    pub timings: Vec<Timing>,
    /// What was noticed on the way.
    pub warnings: Vec<Warning>,
    /// Each look, where there was more than one.
    pub looks: Vec<Look>,
    /// What was expected.
    pub expected: Vec<Label>,
}

fn as_code<S: serde::Serializer>(exit: &Exit, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u8(exit.code())
}

fn as_text<S: serde::Serializer>(label: &Label, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(label.as_str())
}

fn as_texts<S: serde::Serializer>(labels: &[Label], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(labels.iter().map(|label| label.as_str()))
}
