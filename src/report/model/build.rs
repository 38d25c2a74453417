//! How a report is made: of a verdict, of a failure, of a bug.

use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use super::{
    Compared, Context, ErrorReport, Expected, Hop, HopAddress, LoginError, ObservationReport,
    Observed, ObservedIp, ObservedPort, PathReport, ProxyReport, Report, Rewrite, Role,
    SCHEMA_VERSION, Tool, Why,
};
use crate::address::Address;
use crate::conntype::{
    Comparison, Label, Observation, OrderMatch, PathKind, PortOrder, ProxyRelation, Reason,
    Sameness, Verdict, Warning, normalise,
};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::report::{hints, words};
use crate::secret::redact;

impl Report {
    /// The report of a run with a verdict.
    #[must_use]
    pub fn of_verdict(verdict: &Verdict, seen: &Observation, mut context: Context) -> Self {
        let found = &verdict.comparison;
        context.path = seen.path;
        context.local = Some(found.local);
        context.proxy.clone_from(&seen.proxy);
        context.warnings = [verdict.warnings.as_slice(), &context.warnings].concat();
        let reason = Why::Rule(verdict.reason);
        let mut report = Self::new(verdict.label, reason, None, context);
        report.alternatives.clone_from(&verdict.alternatives);
        report.observed = Some(Observed::of(seen, found));
        report.comparison = Some(Compared {
            ip: found.ip,
            port: found.port,
            order_matched: found.order_matched,
            order_asked: seen.order,
        });
        report.mapping = verdict.mapping;
        report.path.add_evidence(verdict);
        report.error = (!verdict.label.determined()).then(|| ErrorReport {
            stage: Stage::Verdict,
            code: code_of(&verdict.reason),
            message: words::reason(&verdict.reason),
            remedy: hints::remedy(&verdict.reason).to_string(),
        });
        report
    }

    /// The report of a run that failed before a verdict.
    #[must_use]
    pub fn of_failure(failure: &Failure, mut context: Context) -> Self {
        if context.observations.is_empty() {
            context.observations = ObservationReport::failed(failure, &context)
                .into_iter()
                .collect();
        }
        let reason = Why::Failed {
            code: failure.code,
            text: hidden(&failure.message),
        };
        let mut report = Self::new(Label::UnknownConnect, reason, Some(failure), context);
        report.error = Some(failure.into());
        report
    }

    /// The report of a run that ended in a bug of this program.
    #[must_use]
    pub fn of_bug() -> Self {
        let failure = Failure::new(Stage::Bug, ErrorCode::Bug, "a bug in this program");
        Self::of_failure(&failure, Context::default())
    }

    fn new(label: Label, reason: Why, failure: Option<&Failure>, mut context: Context) -> Self {
        let referrals = context.server.iter_mut().flat_map(|s| &mut s.referrals);
        let elsewhere = context
            .warnings
            .iter_mut()
            .filter_map(|warning| match warning {
                Warning::CredentialsElsewhere(to) => Some(to),
                _ => None,
            });
        let named = referrals
            .chain(elsewhere)
            .chain(&mut context.credentials_to);
        named.for_each(|address| address.host = hidden(&address.host));
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool {
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
            },
            // A clock before 1970 is wrong, and has no spelling in RFC 3339.
            started_at: context.started_at.filter(|time| *time >= UNIX_EPOCH),
            label,
            determined: label.determined(),
            alternatives: Vec::new(),
            reason,
            local: context.local.map(normalised),
            observed: None,
            comparison: None,
            mapping: None,
            path: PathReport::of(&context),
            server: context.server,
            dialect: context.dialect,
            credentials_sent_to: context.credentials_to,
            observations: context.observations,
            timings_ms: context.timings,
            exit_code: Exit::of(
                label,
                failure.map(|failure| failure.code.exit()),
                &context.expected,
            ),
            expected: (!context.expected.is_empty()).then(|| Expected {
                met: context.expected.contains(&label),
                labels: context.expected,
            }),
            warnings: context.warnings,
            error: None,
        }
    }

    /// Whether no further login gave an observation.
    pub(in crate::report) fn is_single(&self) -> bool {
        let made = self.observations.iter().filter(|one| one.label.is_some());
        made.count() < 2
    }
}

impl Observed {
    fn of(seen: &Observation, found: &Comparison) -> Self {
        let given = match seen.order {
            PortOrder::Auto => None,
            PortOrder::Plain => Some(OrderMatch::Plain),
            PortOrder::Swapped => Some(OrderMatch::Swapped),
        };
        Self {
            client_ip: ObservedIp {
                raw: seen.client_ip.raw.as_deref().map(hidden),
                ip: found.client_ip,
            },
            client_port: ObservedPort {
                raw: seen.client_port.raw.as_deref().map(hidden),
                number: seen.client_port.value,
                order: found
                    .order_matched
                    .or(given)
                    .filter(|_| found.client_port.is_some()),
                port: found.outside_port,
            },
        }
    }
}

impl ObservationReport {
    /// A login to `server` that gave a profile, and the verdict on it alone.
    #[must_use]
    pub fn of(server: &Address, seen: &Observation, verdict: &Verdict) -> Self {
        Self {
            server: server.clone(),
            address: seen.peer.filter(|_| seen.path.is_end_to_end()),
            local: Some(verdict.comparison.local),
            observed: Some(Observed::of(seen, &verdict.comparison)),
            label: Some(verdict.label),
            error: None,
        }
    }

    /// A login that failed; `None` where the context has no server.
    #[must_use]
    pub fn failed(failure: &Failure, context: &Context) -> Option<Self> {
        let server = context.server.as_ref()?;
        Some(Self {
            server: server.requested.clone(),
            address: server.address,
            local: context.local.map(normalised),
            observed: None,
            label: None,
            error: Some(LoginError {
                stage: failure.stage,
                code: failure.code,
                message: hidden(&failure.message),
            }),
        })
    }
}

impl PathReport {
    /// The path as far as the settings and the connection give it.
    fn of(context: &Context) -> Self {
        let hop = |role, address| Hop {
            role,
            address,
            rewrites: Vec::new(),
        };
        let local = context.local.map(normalised);
        let proxy = context.proxy.as_ref();
        let mut hops = vec![hop(Role::ThisHost, local.map(HopAddress::Socket))];
        if proxy.is_some() || !matches!(context.path, PathKind::Tcp | PathKind::HttpGateway) {
            let name = proxy.map(|proxy| HopAddress::Name(proxy.name.clone()));
            hops.push(hop(Role::Proxy, name));
        }
        if context.path == PathKind::HttpGateway {
            let name = context.gateway.clone().map(HopAddress::Name);
            hops.push(hop(Role::Gateway, name));
        }
        if let Some(server) = &context.server {
            let last = server.referrals.last().unwrap_or(&server.requested);
            hops.push(hop(Role::Server, Some(HopAddress::Name(last.clone()))));
        }
        Self {
            kind: context.path,
            proxy: proxy.map(|proxy| ProxyReport {
                name: proxy.name.clone(),
                addresses: proxy.addresses.clone(),
                bound: proxy.bound.map(normalised),
                relation: ProxyRelation::Unknown,
            }),
            hops,
        }
    }

    /// Adds what the verdict shows of the path.
    fn add_evidence(&mut self, verdict: &Verdict) {
        let found = &verdict.comparison;
        if let (Some(proxy), Some(relation)) = (&mut self.proxy, verdict.proxy) {
            proxy.relation = relation;
        }
        let rewrites: Vec<_> = [(found.ip, Rewrite::Address), (found.port, Rewrite::Port)]
            .into_iter()
            .filter(|(sameness, _)| *sameness == Sameness::Different)
            .map(|(_, what)| what)
            .collect();
        // Behind a proxy the address always differs. What is beyond it shows only where ClientIP
        // is none of the proxy's addresses.
        let is_proxied = self.hops.iter().any(|hop| hop.role == Role::Proxy);
        let is_rewritten = match is_proxied {
            true => verdict.proxy == Some(ProxyRelation::Beyond),
            false => !rewrites.is_empty(),
        };
        if !is_rewritten {
            return;
        }
        // The gateway passes on what it sees itself, so the rewriter is before it.
        let is_before = |hop: &Hop| matches!(hop.role, Role::ThisHost | Role::Proxy);
        let at = self.hops.iter().take_while(|hop| is_before(hop)).count();
        let rewriter = Hop {
            role: Role::Rewriter,
            address: found.client_ip.map(|ip| match found.outside_port {
                Some(port) => HopAddress::Socket(SocketAddr::new(ip, port)),
                None => HopAddress::Ip(ip),
            }),
            rewrites,
        };
        self.hops.insert(at, rewriter);
    }
}

fn normalised(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(normalise(end.ip()), end.port())
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

/// A text from the network, with secrets hidden that a server has repeated.
pub(super) fn hidden(text: &str) -> String {
    redact(text).into_owned()
}
