//! The one model that every format renders.
//!
//! What is not known is `null` or `"unknown"`, never `false`. Fields are only ever added; a
//! change of meaning raises [`SCHEMA_VERSION`].

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::conntype::{
    Comparison, Label, Observation, PathKind, PortOrder, Proxy, ProxyRelation, Sameness, Verdict,
    Warning,
};
use crate::exit::Exit;
use crate::failure::Failure;

/// The version of the JSON document.
pub const SCHEMA_VERSION: u32 = 1;

/// What to do about a bug of ours.
pub const BUG_REMEDY: &str = "report it, with the command line and what -vv tells";

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
    /// The address that the last connection went to: the server's, or the proxy's.
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

/// How long a stage took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// The stage's word.
    pub stage: &'static str,
    /// Milliseconds from the start of the run to the start of the stage.
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

/// What kept us from telling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// The stage's word.
    pub stage: &'static str,
    /// A stable word.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to try.
    pub remedy: String,
}

impl From<&Failure> for ErrorReport {
    fn from(failure: &Failure) -> Self {
        Self {
            stage: failure.stage.as_str(),
            code: failure.code,
            message: failure.message.clone(),
            remedy: failure.remedy.clone(),
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
    /// The kind of path.
    pub path: PathKind,
    /// The local end, where a connection stood.
    pub local: Option<SocketAddr>,
    /// The proxy's name, where there is one.
    pub proxy: Option<Proxy>,
    /// How long the stages took.
    pub timings: Vec<Timing>,
    /// What was noticed on the way.
    pub warnings: Vec<Warning>,
    /// Each look, where there was more than one.
    pub looks: Vec<Look>,
    /// What was expected.
    pub expected: Vec<Label>,
}

impl Report {
    /// The report of a run that got as far as a verdict.
    #[must_use]
    pub fn of_verdict(verdict: &Verdict, seen: &Observation, context: Context) -> Self {
        let found = &verdict.comparison;
        let exit = Exit::of(verdict.label, None, &context.expected);
        let expected = expected(verdict.label, &context.expected);
        let error = (!verdict.label.determined()).then(|| ErrorReport {
            stage: crate::failure::Stage::Verdict.as_str(),
            code: verdict.reason.code(),
            message: verdict.reason.to_string(),
            remedy: super::advice::remedy(&verdict.reason).to_owned(),
        });
        let mut warnings = verdict.warnings.clone();
        warnings.extend(context.warnings.iter().cloned());
        Self {
            label: verdict.label,
            determined: verdict.label.determined(),
            alternatives: verdict.alternatives.clone(),
            reason: Said {
                code: verdict.reason.code(),
                text: verdict.reason.to_string(),
            },
            local: Some(found.local.into()),
            observed: Some(observed(seen, found)),
            comparison: Some(Compared {
                ip: found.ip.as_str(),
                port: found.port.as_str(),
                order_matched: found.order_matched.map(|order| order.as_str()),
                order_asked: seen.order.as_str(),
            }),
            mapping: verdict.mapping.map(|mapping| mapping.as_str()),
            path: PathReport {
                kind: seen.path.as_str(),
                proxy: seen.proxy.as_ref().map(|proxy| {
                    proxy_report(proxy, verdict.proxy.map_or("unknown", |r| r.as_str()))
                }),
                hops: hops(verdict, seen, context.server.as_ref()),
            },
            warnings: warnings
                .iter()
                .map(|warning| Said {
                    code: warning.code(),
                    text: warning.to_string(),
                })
                .collect(),
            expected,
            error,
            exit_code: exit,
            ..Self::blank(context)
        }
    }

    /// The report of a run that something kept from a verdict.
    #[must_use]
    pub fn of_failure(failure: &Failure, context: Context) -> Self {
        let label = Label::UnknownConnect;
        let exit = Exit::of(label, Some(failure.class), &context.expected);
        Self {
            expected: expected(label, &context.expected),
            reason: Said {
                code: failure.code,
                text: failure.message.clone(),
            },
            error: Some(failure.into()),
            exit_code: exit,
            ..Self::blank(context)
        }
    }

    /// The report of a run that ended in a bug of ours.
    #[must_use]
    pub fn of_bug() -> Self {
        let message = "a bug in this program".to_owned();
        Self {
            reason: Said {
                code: "bug",
                text: message.clone(),
            },
            error: Some(ErrorReport {
                stage: "bug",
                code: "bug",
                message,
                remedy: BUG_REMEDY.to_owned(),
            }),
            exit_code: Exit::Bug,
            ..Self::blank(Context::default())
        }
    }

    /// What the context alone says.
    fn blank(context: Context) -> Self {
        let label = Label::UnknownConnect;
        let mut hops = vec![Hop {
            role: "this-host",
            address: context
                .local
                .map(|local| SocketAddr::from(Endpoint::from(local)).to_string()),
            rewrites: Vec::new(),
        }];
        hops.extend(between(context.path, context.proxy.as_ref()));
        hops.extend(context.server.as_ref().map(server_hop));
        Self {
            schema_version: SCHEMA_VERSION,
            label,
            determined: false,
            alternatives: Vec::new(),
            reason: Said {
                code: "not-told",
                text: "nothing was found out".to_owned(),
            },
            local: context.local.map(Endpoint::from),
            observed: None,
            comparison: None,
            mapping: None,
            server: context.server,
            dialect: context.dialect,
            path: PathReport {
                kind: context.path.as_str(),
                proxy: context
                    .proxy
                    .as_ref()
                    .map(|proxy| proxy_report(proxy, "unknown")),
                hops,
            },
            looks: context.looks,
            timings_ms: context.timings,
            expected: None,
            warnings: context
                .warnings
                .iter()
                .map(|warning| Said {
                    code: warning.code(),
                    text: warning.to_string(),
                })
                .collect(),
            error: None,
            exit_code: Exit::NoProfile,
        }
    }
}

fn expected(label: Label, labels: &[Label]) -> Option<Expected> {
    (!labels.is_empty()).then(|| Expected {
        labels: labels.to_vec(),
        met: labels.contains(&label),
    })
}

fn observed(seen: &Observation, found: &Comparison) -> Observed {
    let said = match seen.order {
        PortOrder::Auto => None,
        order => Some(order.as_str()),
    };
    let number = found.client_port.port();
    Observed {
        client_ip: ObservedIp {
            raw: seen.client_ip.clone(),
            ip: found.client_ip.ip(),
        },
        client_port: ObservedPort {
            raw: seen.client_port.clone(),
            number,
            order: number.and_then(|_| found.order_matched.map(|order| order.as_str()).or(said)),
            port: found.outside_port,
        },
    }
}

fn proxy_report(proxy: &Proxy, relation: &'static str) -> ProxyReport {
    ProxyReport {
        name: proxy.name.clone(),
        addresses: proxy.addresses.clone(),
        bound: proxy.bound.map(Endpoint::from),
        relation,
    }
}

fn server_hop(server: &Server) -> Hop {
    let last = server.referrals.last().unwrap_or(&server.requested);
    Hop {
        role: "server",
        address: Some(last.clone()),
        rewrites: Vec::new(),
    }
}

/// The proxy and the gateway, as far as the path has them.
fn between(path: PathKind, proxy: Option<&Proxy>) -> Vec<Hop> {
    let hop = |role, address| Hop {
        role,
        address,
        rewrites: Vec::new(),
    };
    let name = proxy.map(|proxy| proxy.name.clone());
    let mut hops = Vec::new();
    let is_proxied = !matches!(path, PathKind::Tcp | PathKind::HttpGateway);
    if name.is_some() || is_proxied {
        hops.push(hop("proxy", name));
    }
    if path == PathKind::HttpGateway {
        hops.push(hop("gateway", None));
    }
    hops
}

/// The path as the evidence draws it.
fn hops(verdict: &Verdict, seen: &Observation, server: Option<&Server>) -> Vec<Hop> {
    let found = &verdict.comparison;
    let mut hops = vec![Hop {
        role: "this-host",
        address: Some(found.local.to_string()),
        rewrites: Vec::new(),
    }];
    let rewrites: Vec<_> = [(found.ip, "address"), (found.port, "port")]
        .into_iter()
        .filter(|(sameness, _)| *sameness == Sameness::Different)
        .map(|(_, what)| what)
        .collect();
    let between = between(seen.path, seen.proxy.as_ref());
    // Behind a proxy the address always differs; what stands further on is known only where
    // ClientIP is none of the proxy's. To a gateway the connection is our own.
    let rewritten = match between.first().map(|hop| hop.role) {
        Some("proxy") => verdict.proxy == Some(ProxyRelation::Beyond),
        _ => !rewrites.is_empty(),
    };
    let rewriter = rewritten.then(|| Hop {
        role: "rewriter",
        address: seen_as(found),
        rewrites,
    });
    // The gateway tells the server what it sees itself, so what is rewritten is rewritten before.
    let (gateways, proxies): (Vec<_>, Vec<_>) =
        between.into_iter().partition(|hop| hop.role == "gateway");
    hops.extend(proxies);
    hops.extend(rewriter);
    hops.extend(gateways);
    hops.extend(server.map(server_hop));
    hops
}

/// What the server sees: the address and, where its order is settled, the port.
fn seen_as(found: &Comparison) -> Option<String> {
    let ip = found.client_ip.ip()?;
    Some(match found.outside_port {
        Some(port) => SocketAddr::new(ip, port).to_string(),
        None => ip.to_string(),
    })
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
