//! What the router says of port mapping: its place in the document.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::conntype::{MappingProtocol, NoExternal, Opening, PortMappingEvidence, RouterRelation};
use crate::failure::Failure;
use crate::mask::Mask;
use crate::report::ErrorReport;

/// What the router says of its outside address, and of opening ports.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PortMappingReport {
    /// The router of the default route. Null where there is none.
    pub gateway: Option<Ipv4Addr>,
    /// This host's address toward it. Null where there is none.
    pub local: Option<Ipv4Addr>,
    /// The router's outside address. Null where no protocol tells it.
    pub external: Option<Ipv4Addr>,
    /// What lies beyond the router. Null where that cannot be told.
    pub relation: Option<RouterRelation>,
    /// What UPnP IGD tells. Null where it was not asked to the end.
    pub upnp: Option<ExternalReport>,
    /// What NAT-PMP (RFC 6886) tells. Null where it was not asked to the end.
    pub nat_pmp: Option<ExternalReport>,
    /// What PCP (RFC 6887) tells. Null where it was not asked to the end.
    pub pcp: Option<ExternalReport>,
    /// Whether the router was asked to open ports (`--port-mapping=try`).
    pub tried: bool,
    /// The ports that it opened. Null where it opened none, or one of the two alone.
    pub opened: Option<OpenedReport>,
    /// Whether a port may still be open: the router did not confirm that all are closed again.
    pub left_open: bool,
    /// How many packets arrived that answer no request. Null where the questions did not end.
    pub ignored: Option<u32>,
    /// Why the router could not be asked. Null where it was.
    pub error: Option<ErrorReport>,
}

/// What one protocol tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExternalReport {
    /// The router's outside address. Null where it is not told.
    pub external: Option<Ipv4Addr>,
    /// Why it is not told, as a stable word. Null where it is.
    pub reason: Option<NoExternal>,
}

/// Ports that the router opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OpenedReport {
    /// How it was asked.
    pub by: MappingProtocol,
    /// The port outside for TCP.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub tcp: u16,
    /// The port outside for UDP.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub udp: u16,
    /// Whether the router said that they are closed again; they close by themselves 120 s after they
    /// were opened.
    pub closed: bool,
}

impl From<Result<Ipv4Addr, NoExternal>> for ExternalReport {
    fn from(told: Result<Ipv4Addr, NoExternal>) -> Self {
        Self {
            external: told.ok(),
            reason: told.err(),
        }
    }
}

impl PortMappingReport {
    /// What the questions came to, and, where it was `tried`, what the router opened.
    #[must_use]
    pub fn of(
        outcome: &Result<PortMappingEvidence, Failure>,
        tried: bool,
        opening: Opening,
    ) -> Self {
        let seen = outcome.as_ref().ok();
        Self {
            gateway: seen.map(|seen| seen.gateway),
            local: seen.map(|seen| seen.local),
            external: seen.and_then(PortMappingEvidence::external),
            relation: seen.and_then(PortMappingEvidence::relation),
            upnp: seen.map(|seen| seen.upnp.into()),
            nat_pmp: seen.map(|seen| seen.nat_pmp.into()),
            pcp: seen.map(|seen| seen.pcp.into()),
            tried,
            opened: opening.opened.map(|opened| OpenedReport {
                by: opened.by,
                tcp: opened.tcp,
                udp: opened.udp,
                closed: opening.closed == Some(true),
            }),
            left_open: opening.closed == Some(false),
            ignored: seen.map(|seen| seen.ignored),
            error: outcome.as_ref().err().map(Into::into),
        }
    }

    pub(super) fn masked(self, mask: &mut Mask) -> Self {
        let mut ip = |ip: Option<Ipv4Addr>| match mask.ip(ip?.into()) {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        };
        let mut told = |told: Option<ExternalReport>| {
            told.map(|told| ExternalReport {
                external: ip(told.external),
                ..told
            })
        };
        let (upnp, nat_pmp, pcp) = (told(self.upnp), told(self.nat_pmp), told(self.pcp));
        let (gateway, local) = (ip(self.gateway), ip(self.local));
        let external = ip(self.external);
        Self {
            gateway,
            local,
            external,
            upnp,
            nat_pmp,
            pcp,
            opened: self.opened.map(|opened| OpenedReport {
                tcp: mask.port(opened.tcp),
                udp: mask.port(opened.udp),
                ..opened
            }),
            error: self.error.map(|error| error.masked(mask)),
            ..self
        }
    }

    /// What the answers say in a few words, for a heading.
    pub(in crate::report) const fn heading(&self) -> &'static str {
        match (self.relation, self.external) {
            (Some(RouterRelation::OnlyNat), _) => "the router is the only NAT",
            (Some(RouterRelation::DoubleNat), _) => "another router does NAT beyond this one",
            (Some(RouterRelation::CarrierNat), _) => "the provider does NAT beyond the router",
            (Some(RouterRelation::NatBeyond), _) => "something rewrites beyond the router",
            (None, Some(_)) => "the router tells its address",
            (None, None) => "not known",
        }
    }

    /// The observations in sentences.
    pub(in crate::report) fn sentences(&self) -> Vec<String> {
        let mut sentences = ErrorReport::sentences(self.error.as_ref());
        let told = [
            ("UPnP", self.upnp),
            ("NAT-PMP", self.nat_pmp),
            ("PCP", self.pcp),
        ];
        let told = told
            .into_iter()
            .filter_map(|(name, told)| Some((name, told?)));
        sentences.extend(told.map(|(name, told)| match (told.external, told.reason) {
            (Some(ip), _) => format!("{name}: the router's outside address is {ip}."),
            (None, reason) => format!("{name}: {}.", reason.map_or("not asked", why)),
        }));
        if let Some(relation) = self.relation {
            sentences.push(match relation {
                RouterRelation::OnlyNat => {
                    "Servers see that very address: what is opened at the router is open to all."
                }
                RouterRelation::DoubleNat => {
                    "That address is a private one: what is opened at this router is closed at the next."
                }
                RouterRelation::CarrierNat => {
                    "That address is the provider's: what is opened at the router is closed at the \
                     provider's NAT."
                }
                RouterRelation::NatBeyond => {
                    "Servers see another address: another NAT, a proxy or a VPN is on the way."
                }
            }.to_owned());
        }
        match (self.tried, self.opened) {
            (true, Some(opened)) => sentences.push(opened.sentence()),
            (true, None) if self.left_open => sentences.push(
                "The router opened one port at most, and did not confirm that it is closed again."
                    .to_owned(),
            ),
            (true, None) => sentences.push("The router opened no port.".to_owned()),
            (false, _) => {}
        }
        sentences
    }
}

impl OpenedReport {
    fn sentence(&self) -> String {
        let by = match self.by {
            MappingProtocol::Upnp => "UPnP",
            MappingProtocol::NatPmp => "NAT-PMP",
            MappingProtocol::Pcp => "PCP",
        };
        let Self { tcp, udp, .. } = self;
        let closed = match self.closed {
            true => "and closed them again",
            false => "and did not confirm that they are closed again: they close within 2 minutes",
        };
        format!("The router opened port {tcp} for TCP and {udp} for UDP by {by}, {closed}.")
    }
}

const fn why(reason: NoExternal) -> &'static str {
    match reason {
        NoExternal::NoAnswer => "the router does not answer",
        NoExternal::NotSent => "this host could not send the request",
        NoExternal::Closed => "the router does not offer it",
        NoExternal::Elsewhere => "the router refers to another host, which was not asked",
        NoExternal::Redirected => "the router redirects the request, which was not followed",
        NoExternal::Malformed => "the router's answer cannot be read",
        NoExternal::Refused => "the router refuses",
        NoExternal::NoAddress => "the router has no outside address",
        NoExternal::OnlyWhenOpening => {
            "the router offers it; it tells the outside address only when it opens a port \
             (--port-mapping=try)"
        }
    }
}
