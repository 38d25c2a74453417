//! How a report is made: of a verdict, of a failure, of a bug.

use std::net::SocketAddr;

use super::{
    Context, ErrorReport, Expected, Hop, HopAddress, ObservationReport, Observed, ObservedIp,
    ObservedPort, PathReport, ProxyReport, Report, Rewrite, Role, SCHEMA_VERSION, Tool, Why, began,
};
use crate::address::Address;
use crate::conntype::{
    Client, Comparison, Label, Observation, OrderMatch, PathKind, PortOrder, ProxyRelation, Reason,
    Sameness, Verdict, Warning, normalise,
};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::report::{hint, invitation, words};
use crate::secret::{excerpt, redact};

impl Report {
    /// The report of a run with a verdict.
    #[must_use]
    pub fn of_verdict(verdict: &Verdict, seen: &Observation, mut context: Context) -> Self {
        context.path = seen.path;
        context.local = Some(seen.local);
        context.proxy.clone_from(&seen.proxy);
        context.warnings = [verdict.warnings.as_slice(), &context.warnings].concat();
        let mut report = Self::new(Ok(verdict), context);
        report.observed = Some(Observed::of(seen, &verdict.comparison));
        let beside = report.probes.beside();
        let clients = Client::ALL.map(|client| client.says(seen, verdict, &beside));
        report.clients = Some(clients.to_vec());
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
        Self::new(Err(failure), context)
    }

    /// The report of a run that ended in a bug of this program.
    #[must_use]
    pub fn of_bug() -> Self {
        let failure = Failure::new(Stage::Bug, ErrorCode::Bug, "a bug in this program");
        Self::of_failure(&failure, Context::default())
    }

    fn new(outcome: Result<&Verdict, &Failure>, mut context: Context) -> Self {
        let referrals = context.server.iter_mut().flat_map(|s| &mut s.referrals);
        let elsewhere = context
            .warnings
            .iter_mut()
            .filter_map(|warning| match warning {
                Warning::CredentialsElsewhere(to) | Warning::PortNotSent(to) => Some(to),
                _ => None,
            });
        let named = referrals
            .chain(elsewhere)
            .chain(&mut context.gateway)
            .chain(&mut context.credentials_to);
        named.for_each(|address| address.host = redacted(&address.host));
        let verdict = outcome.ok();
        let label = verdict.map_or(Label::UnknownConnect, |verdict| verdict.label);
        let (reason, error) = match outcome {
            Ok(verdict) => (Why::Rule(verdict.reason), ErrorReport::of_verdict(verdict)),
            Err(failure) => {
                let error = ErrorReport::from(failure);
                let (code, text) = (error.code, error.message.clone());
                (Why::Failed { code, text }, Some(error))
            }
        };
        let invitation_to_send = verdict.filter(|_| context.with_invitation).map(|verdict| {
            let client_ip = verdict.comparison.client_ip;
            invitation::sent(label, client_ip, &context.probes)
        });
        let failed = outcome.err().map(|failure| failure.code.exit());
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::THIS,
            started_at: began(context.started_at),
            redacted: false,
            label,
            determined: label.determined(),
            alternatives: verdict.map_or_else(Vec::new, |verdict| verdict.alternatives.clone()),
            reason,
            local: context.local.map(normalised),
            observed: None,
            comparison: verdict.map(|verdict| verdict.comparison.clone()),
            mapping: verdict.and_then(|verdict| verdict.mapping),
            clients: None,
            path: PathReport::of(&context, verdict),
            server: context.server,
            dialect: context.dialect,
            credentials_sent_to: context.credentials_to,
            observations: context.observations,
            probes: context.probes,
            conclusion: context.conclusion,
            invitations: context.invitations,
            invitation_to_send,
            timings_ms: context.timings,
            exit_code: Exit::of(label, failed, &context.expected),
            expected: Expected::of(context.expected, &label),
            warnings: context.warnings,
            error,
        }
    }

    /// Whether no further login gave an observation.
    pub(in crate::report) fn is_single(&self) -> bool {
        let made = self.observations.iter().filter(|one| one.label.is_some());
        made.count() < 2
    }
}

impl ErrorReport {
    /// Why a verdict leaves the connection type unknown; `None` where it does not.
    fn of_verdict(verdict: &Verdict) -> Option<Self> {
        (!verdict.label.determined()).then(|| Self {
            stage: Stage::Verdict,
            code: code_of(&verdict.reason),
            message: words::reason(&verdict.reason),
            remedy: hint::remedy(&verdict.reason).to_string(),
        })
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
                raw: seen.client_ip.raw.as_deref().map(raw),
                ip: found.client_ip,
            },
            client_port: ObservedPort {
                raw: seen.client_port.raw.as_deref().map(raw),
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
            error: Some(Failure {
                message: redacted(&failure.message),
                ..*failure
            }),
        })
    }
}

impl PathReport {
    /// The path as far as the settings and the connection give it, and the verdict shows more.
    fn of(context: &Context, verdict: Option<&Verdict>) -> Self {
        let hop = |role, address| Hop {
            role,
            address,
            rewrites: Vec::new(),
        };
        let local = context.local.map(normalised);
        let proxy = context.proxy.as_ref();
        let is_proxied =
            proxy.is_some() || !matches!(context.path, PathKind::Tcp | PathKind::HttpGateway);
        let mut hops = vec![hop(Role::ThisHost, local.map(HopAddress::Socket))];
        if is_proxied {
            let name = proxy.map(|proxy| HopAddress::Name(proxy.name.clone()));
            hops.push(hop(Role::Proxy, name));
        }
        // The gateway passes on what it sees itself, so the rewriter is before it.
        hops.extend(verdict.and_then(|verdict| rewriter(verdict, is_proxied)));
        if context.path == PathKind::HttpGateway {
            let name = context.gateway.clone().map(HopAddress::Name);
            hops.push(hop(Role::Gateway, name));
        }
        if let Some(server) = &context.server {
            let last = server.referrals.last().unwrap_or(&server.requested);
            hops.push(hop(Role::Server, Some(HopAddress::Name(last.clone()))));
        }
        let relation = verdict.and_then(|verdict| verdict.proxy);
        Self {
            kind: context.path,
            proxy: proxy.map(|proxy| ProxyReport {
                name: proxy.name.clone(),
                addresses: proxy.addresses.clone(),
                bound: proxy.bound.map(normalised),
                relation: relation.unwrap_or(ProxyRelation::Unknown),
            }),
            hops,
        }
    }
}

/// What rewrites address or port on the way, where the verdict shows that something does.
fn rewriter(verdict: &Verdict, is_proxied: bool) -> Option<Hop> {
    let found = &verdict.comparison;
    let rewrites: Vec<_> = [(found.ip, Rewrite::Address), (found.port, Rewrite::Port)]
        .into_iter()
        .filter(|(sameness, _)| *sameness == Sameness::Different)
        .map(|(_, what)| what)
        .collect();
    // Behind a proxy the address always differs. What is beyond it shows only where ClientIP is
    // none of the proxy's addresses.
    let is_rewritten = match is_proxied {
        true => verdict.proxy == Some(ProxyRelation::Beyond),
        false => !rewrites.is_empty(),
    };
    is_rewritten.then(|| Hop {
        role: Role::Rewriter,
        address: found.client_ip.map(|ip| match found.outside_port {
            Some(port) => HopAddress::Socket(SocketAddr::new(ip, port)),
            None => HopAddress::Ip(ip),
        }),
        rewrites,
    })
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

/// The text of a field; the longest address has 45 characters.
fn raw(text: &str) -> String {
    excerpt(text, 128)
}

/// A text from the network, with secrets hidden that a server has repeated.
pub(super) fn redacted(text: &str) -> String {
    redact(text).into_owned()
}
