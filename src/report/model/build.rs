//! How a report is made: of a verdict, of a failure, of a bug.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::{
    Compared, Context, Endpoint, ErrorReport, Expected, Hop, Observed, ObservedIp, ObservedPort,
    PathReport, ProxyReport, Report, SCHEMA_VERSION, Said, Server,
};
use crate::conntype::{
    Comparison, Label, Observation, PathKind, PortOrder, Proxy, ProxyRelation, Reason, Sameness,
    Verdict,
};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::secret::redact;

impl Report {
    /// The report of a run that got as far as a verdict.
    #[must_use]
    pub fn of_verdict(verdict: &Verdict, seen: &Observation, context: Context) -> Self {
        let found = &verdict.comparison;
        let exit = Exit::of(verdict.label, None, &context.expected);
        let expected = expected(verdict.label, &context.expected);
        let error = (!verdict.label.determined()).then(|| ErrorReport {
            stage: Stage::Verdict,
            code: code_of(&verdict.reason),
            message: verdict.reason.to_string(),
            remedy: crate::report::advice::remedy(&verdict.reason),
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
                hops: hops(verdict, seen, &context),
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
        .redacted()
    }

    /// The report of a run that something kept from a verdict.
    #[must_use]
    pub fn of_failure(failure: &Failure, context: Context) -> Self {
        let label = Label::UnknownConnect;
        let exit = Exit::of(label, Some(failure.code.exit()), &context.expected);
        Self {
            expected: expected(label, &context.expected),
            reason: Said {
                code: failure.code.as_str(),
                text: failure.message.clone(),
            },
            error: Some(failure.into()),
            exit_code: exit,
            ..Self::blank(context)
        }
        .redacted()
    }

    /// Hides every secret that a server has repeated in a text of its own.
    fn redacted(mut self) -> Self {
        let hide = |text: &mut String| {
            if let Cow::Owned(shown) = redact(text) {
                *text = shown;
            }
        };
        hide(&mut self.reason.text);
        self.warnings
            .iter_mut()
            .for_each(|said| hide(&mut said.text));
        self.credentials_sent_to.iter_mut().for_each(hide);
        if let Some(error) = &mut self.error {
            hide(&mut error.message);
        }
        if let Some(server) = &mut self.server {
            server.referrals.iter_mut().for_each(hide);
        }
        let hops = self.path.hops.iter_mut();
        hops.filter_map(|hop| hop.address.as_mut()).for_each(hide);
        if let Some(seen) = &mut self.observed {
            let raw = [&mut seen.client_ip.raw, &mut seen.client_port.raw];
            raw.into_iter().flatten().for_each(hide);
        }
        self
    }

    /// The report of a run that ended in a bug of ours.
    #[must_use]
    pub fn of_bug() -> Self {
        let failure = Failure::new(Stage::Bug, ErrorCode::Bug, "a bug in this program");
        Self::of_failure(&failure, Context::default())
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
        hops.extend(between(
            context.path,
            context.proxy.as_ref(),
            context.gateway.clone(),
        ));
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
            credentials_sent_to: context.credentials_to,
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

/// The code of a verdict without a label.
const fn code_of(reason: &Reason) -> ErrorCode {
    match reason {
        Reason::AddressOursPortUnknown(_) => ErrorCode::AddressOursPortUnknown,
        Reason::AddressUnknown => ErrorCode::AddressUnknown,
        Reason::LoopbackElsewhere => ErrorCode::ClientIpLoopback,
        Reason::KnownConstant => ErrorCode::KnownConstant,
        Reason::ObservedConstant => ErrorCode::ObservedConstant,
        Reason::ObservationsDisagree => ErrorCode::ObservationsDisagree,
        // These have a label.
        Reason::NothingRewritten
        | Reason::AddressRewritten
        | Reason::PortRewritten
        | Reason::BothRewritten
        | Reason::MappingDependsOnDestination
        | Reason::MappingIndependentOfDestination
        | Reason::PortKeptTowardOne
        | Reason::AddressRewrittenPortUnknown(_) => ErrorCode::Bug,
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
fn between(path: PathKind, proxy: Option<&Proxy>, gateway: Option<String>) -> Vec<Hop> {
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
        hops.push(hop("gateway", gateway));
    }
    hops
}

/// The path as the evidence draws it.
fn hops(verdict: &Verdict, seen: &Observation, context: &Context) -> Vec<Hop> {
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
    let between = between(seen.path, seen.proxy.as_ref(), context.gateway.clone());
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
    hops.extend(context.server.as_ref().map(server_hop));
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
