//! What a router says of its outside address, and what that says of the way beyond it.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use super::Range;

/// What a router answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMappingEvidence {
    /// The router of the default route.
    pub gateway: Ipv4Addr,
    /// This host's address toward it.
    pub local: Ipv4Addr,
    /// What each protocol tells as the outside address.
    pub upnp: Result<Ipv4Addr, NoExternal>,
    /// The same of NAT-PMP.
    pub nat_pmp: Result<Ipv4Addr, NoExternal>,
    /// The same of PCP.
    pub pcp: Result<Ipv4Addr, NoExternal>,
    /// This host's address as servers saw it: `ClientIP`, and the ends that UDP probes found.
    pub seen: Vec<IpAddr>,
    /// Whether it opened ports. `None` where it was not asked to.
    pub opens: Option<bool>,
    /// How many answers came from others than the router.
    pub ignored: u32,
}

/// Why a protocol does not tell the outside address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NoExternal {
    /// Nothing answered in time.
    NoAnswer,
    /// This host could not send the request, as where its firewall forbids it.
    NotSent,
    /// The router says that nothing listens there.
    Closed,
    /// It refers to another host, which is not asked.
    Elsewhere,
    /// It redirects the request, which is not followed.
    Redirected,
    /// Its answer cannot be read, or is too long.
    Malformed,
    /// It answers with an error.
    Refused,
    /// It has no outside address now.
    NoAddress,
    /// It is there, and tells the address only to those who open a port.
    OnlyWhenOpening,
}

/// How a mapping was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MappingProtocol {
    /// UPnP IGD.
    Upnp,
    /// NAT-PMP (RFC 6886).
    NatPmp,
    /// PCP (RFC 6887).
    Pcp,
}

/// Ports that a router opened on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedPorts {
    /// How it was asked.
    pub by: MappingProtocol,
    /// The port outside for TCP.
    pub tcp: u16,
    /// The port outside for UDP.
    pub udp: u16,
}

/// What came of asking a router to open ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// What it opened.
    pub opened: Option<OpenedPorts>,
    /// Whether all that may be open was closed again; `None` where there was nothing to close.
    pub closed: Option<bool>,
}

/// What lies beyond the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RouterRelation {
    /// The router's outside address is the one that servers see: no other NAT is on the way.
    OnlyNat,
    /// It is a private one: another router does NAT as well.
    DoubleNat,
    /// It is one that providers share among customers (RFC 6598): the provider does NAT as well.
    CarrierNat,
    /// It is a public one, and servers see another: another NAT or a proxy is on the way.
    NatBeyond,
}

impl PortMappingEvidence {
    /// The outside address that the router tells: the first that any of its protocols does.
    #[must_use]
    pub fn external(&self) -> Option<Ipv4Addr> {
        let told = [self.pcp, self.nat_pmp, self.upnp];
        told.into_iter().find_map(Result::ok)
    }

    /// What lies beyond the router; `None` where that cannot be told.
    #[must_use]
    pub fn relation(&self) -> Option<RouterRelation> {
        let external = IpAddr::V4(self.external()?);
        if self.seen.contains(&external) {
            return Some(RouterRelation::OnlyNat);
        }
        // A server of this network sees an address that does not show what is beyond.
        let is_beyond = |seen: &IpAddr| seen.is_ipv4() && Range::of(*seen) == Range::Global;
        let is_compared = self.seen.iter().any(is_beyond);
        match Range::of(external) {
            Range::Private => Some(RouterRelation::DoubleNat),
            Range::Shared => Some(RouterRelation::CarrierNat),
            Range::Global => is_compared.then_some(RouterRelation::NatBeyond),
            Range::Loopback | Range::Special => None,
        }
    }

    /// Whether the router can be asked to open ports: it answered, not with an error alone, and did not
    /// refuse to.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        let told = [self.pcp, self.nat_pmp, self.upnp];
        let is_there = |told: &Result<_, _>| {
            matches!(
                told,
                Ok(_) | Err(NoExternal::OnlyWhenOpening | NoExternal::NoAddress)
            )
        };
        self.opens.unwrap_or_else(|| told.iter().any(is_there))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(external: &str, seen: &[&str]) -> PortMappingEvidence {
        PortMappingEvidence {
            gateway: Ipv4Addr::new(192, 168, 1, 1),
            local: Ipv4Addr::new(192, 168, 1, 5),
            upnp: external.parse().map_err(|_| NoExternal::NoAnswer),
            nat_pmp: Err(NoExternal::Closed),
            pcp: Err(NoExternal::OnlyWhenOpening),
            seen: seen.iter().map(|ip| ip.parse().unwrap()).collect(),
            opens: None,
            ignored: 0,
        }
    }

    #[test]
    fn the_outside_address_tells_what_lies_beyond() {
        use RouterRelation::{CarrierNat, DoubleNat, NatBeyond, OnlyNat};
        for (external, seen, want) in [
            ("203.0.113.7", &["203.0.113.7"][..], Some(OnlyNat)),
            (
                "203.0.113.7",
                &["198.51.100.9", "203.0.113.7"],
                Some(OnlyNat),
            ),
            ("203.0.113.7", &["198.51.100.9"], Some(NatBeyond)),
            ("203.0.113.7", &["2001:db8::5"], None),
            ("203.0.113.7", &[], None),
            // The server is in this host's own network.
            ("203.0.113.7", &["192.168.1.5"], None),
            (
                "203.0.113.7",
                &["192.168.1.5", "198.51.100.9"],
                Some(NatBeyond),
            ),
            ("10.0.0.2", &["203.0.113.7"], Some(DoubleNat)),
            ("10.0.0.2", &[], Some(DoubleNat)),
            // The server is in the same private network.
            ("10.0.0.2", &["10.0.0.2"], Some(OnlyNat)),
            ("100.64.0.9", &["203.0.113.7"], Some(CarrierNat)),
            ("127.0.0.1", &["203.0.113.7"], None),
            ("", &["203.0.113.7"], None),
        ] {
            let got = evidence(external, seen).relation();
            assert_eq!(got, want, "{external} {seen:?}");
        }
    }

    #[test]
    fn a_router_that_is_there_can_be_asked() {
        let mut seen = evidence("", &[]);
        assert!(seen.is_offered());
        seen.pcp = Err(NoExternal::Refused);
        assert!(!seen.is_offered());
        seen.nat_pmp = Ok(Ipv4Addr::new(203, 0, 113, 7));
        assert!(seen.is_offered());
        assert_eq!(seen.external(), seen.nat_pmp.ok());
        seen.opens = Some(false);
        assert!(!seen.is_offered());
    }
}
