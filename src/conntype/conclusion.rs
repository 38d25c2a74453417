//! What all that was found out means for file transfer, voice and webcam.
//!
//! Messengers send files directly over TCP, whichever side can be called, and else through the server;
//! voice goes over UDP. A conclusion is drawn from evidence alone: `direct` only from a call that
//! arrived.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::{
    Call, Calls, Filtering, Label, ListenEvidence, PathKind, PortMappingEvidence, Range,
    RouterRelation, StunEvidence, UdpEvidence, UdpLabel,
};

/// All that was found out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The login, where it showed something.
    pub login: Option<LoginFacts>,
    /// The tests of UDP echo.
    pub udp_echo: Option<&'a UdpEvidence>,
    /// The tests with STUN servers.
    pub stun: &'a [&'a StunEvidence],
    /// What the router says.
    pub port_mapping: Option<&'a PortMappingEvidence>,
    /// What came of calls.
    pub listen: Option<&'a ListenEvidence>,
}

/// What a login showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginFacts {
    /// Its label.
    pub label: Label,
    /// This host's address as the server sees it.
    pub client_ip: Option<IpAddr>,
    /// The local end.
    pub local: SocketAddr,
    /// How it went.
    pub path: PathKind,
}

/// What others can expect of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// Sending and getting files.
    pub file_transfer: Finding,
    /// Voice.
    pub voice: Finding,
    /// Webcam, over TCP or UDP: the more cautious of both.
    pub webcam: Finding,
    /// The one change that would help most; `None` where none is known to.
    pub change: Option<Change>,
    /// What contradicts itself.
    pub disagreements: Vec<Disagreement>,
}

/// How it goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it goes.
    pub outlook: Outlook,
    /// The evidence that decides it.
    pub reason: Because,
}

/// How something goes; the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outlook {
    /// Directly: a call arrived.
    Direct,
    /// Probably directly; no call was tested.
    Likely,
    /// Directly only with somebody who can be called.
    OnlyIfTheOtherSideCanBeCalled,
    /// Not directly.
    ThroughTheServer,
    /// There is no evidence.
    NotKnown,
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The evidence that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// A server's call arrived.
    CallArrived,
    /// A call arrived of a server in this host's own network.
    CallArrivedFromNearby,
    /// A server's call arrived through a port that the router opened on request.
    CallArrivedThroughRouter,
    /// A server called, and nothing arrived.
    CallDidNotArrive,
    /// The router is the only NAT, and offers to open ports.
    RouterOpensPorts,
    /// Another NAT beyond the router opens no ports.
    NatBeyondRouter,
    /// Nothing rewrites this host's address.
    NothingRewritten,
    /// A NAT rewrites this host's address.
    BehindNat,
    /// This host goes out through a proxy or a gateway.
    Proxy,
    /// UDP is let in from others than those that were asked.
    UdpLetIn,
    /// UDP is let in only from where this host sends to.
    UdpFiltered,
    /// UDP has another outside end toward every destination.
    UdpMappedPerDestination,
    /// Nothing answers over UDP.
    UdpUnanswered,
    /// Nothing that was found out tells it.
    NoEvidence,
}

/// What would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// To connect without the proxy.
    ConnectWithoutProxy,
    /// To ask the provider for an address of one's own, or for IPv6.
    AskProviderForAddress,
    /// To have one of two routers pass everything on.
    BridgeOneRouter,
    /// To have the messenger open ports at the router, which offers it.
    UseUpnp,
    /// To switch on UPnP in the router, or to forward ports by hand.
    ForwardPorts,
    /// To allow the messenger in the firewall.
    AllowInFirewall,
    /// To let UDP out.
    AllowUdp,
}

/// What contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Disagreement {
    /// Tests of UDP find different labels.
    UdpLabels,
    /// Servers see this host at different addresses.
    Addresses,
    /// The router opened ports, and no call arrived through them.
    OpenedPortsNotReached,
}

/// Draws the conclusion.
#[must_use]
pub fn conclude(facts: &Facts<'_>) -> Conclusion {
    let (file_transfer, voice) = (facts.file_transfer(), facts.voice());
    Conclusion {
        file_transfer,
        voice,
        webcam: match file_transfer.outlook >= voice.outlook {
            true => file_transfer,
            false => voice,
        },
        change: facts.change(file_transfer, voice),
        disagreements: facts.disagreements(),
    }
}

const fn finding(outlook: Outlook, reason: Because) -> Finding {
    Finding { outlook, reason }
}

impl Facts<'_> {
    fn file_transfer(&self) -> Finding {
        use Because::{BehindNat, CallDidNotArrive, NoEvidence, NothingRewritten, Proxy};
        use Outlook::{Likely, NotKnown, OnlyIfTheOtherSideCanBeCalled, ThroughTheServer};
        let tcp = |calls: &Calls| calls.tcp;
        if let Some(found) = self.arrived(tcp) {
            return found;
        }
        if self.is_proxied() {
            return finding(ThroughTheServer, Proxy);
        }
        let router = self.by_router(tcp);
        if let Some(found) = router.filter(|found| found.outlook == Likely) {
            return found;
        }
        if self.is_lost(tcp) {
            return finding(OnlyIfTheOtherSideCanBeCalled, CallDidNotArrive);
        }
        if let Some(found) = router {
            return found;
        }
        match self.login {
            Some(login) if login.label == Label::DirectConnect => {
                // Of a server that is near, nothing is known beyond it.
                match Range::of(login.local.ip()) {
                    Range::Global => finding(Likely, NothingRewritten),
                    _ => finding(NotKnown, NoEvidence),
                }
            }
            _ => match self.is_behind_nat() {
                Some(true) => finding(OnlyIfTheOtherSideCanBeCalled, BehindNat),
                _ => finding(NotKnown, NoEvidence),
            },
        }
    }

    fn voice(&self) -> Finding {
        use Because::{
            CallDidNotArrive, NoEvidence, NothingRewritten, UdpFiltered, UdpLetIn,
            UdpMappedPerDestination, UdpUnanswered,
        };
        use Outlook::{Likely, NotKnown, OnlyIfTheOtherSideCanBeCalled, ThroughTheServer};
        let udp = |calls: &Calls| calls.udp;
        if let Some(found) = self.arrived(udp) {
            return found;
        }
        let label = self.udp_label();
        let is_silent = label == Some(UdpLabel::Firewall);
        // One server alone may be down.
        if is_silent && self.udp_labels().count() > 1 {
            return finding(ThroughTheServer, UdpUnanswered);
        }
        let filterings = || self.stun.iter().filter_map(|seen| seen.filtering().ok());
        let is_open = filterings().any(|filtering| filtering == Filtering::EndpointIndependent);
        let is_let_in = label == Some(UdpLabel::IpRestrictNat) && filterings().next().is_none();
        if is_open || is_let_in {
            return finding(Likely, UdpLetIn);
        }
        let router = self.by_router(udp);
        if let Some(found) = router.filter(|found| found.outlook == Likely) {
            return found;
        }
        if self.is_lost(udp) {
            return finding(OnlyIfTheOtherSideCanBeCalled, CallDidNotArrive);
        }
        match label {
            Some(UdpLabel::SymmetricNat) => {
                finding(OnlyIfTheOtherSideCanBeCalled, UdpMappedPerDestination)
            }
            Some(UdpLabel::PortRestrictNat) => finding(OnlyIfTheOtherSideCanBeCalled, UdpFiltered),
            Some(UdpLabel::Firewall) => finding(NotKnown, UdpUnanswered),
            _ if filterings().next().is_some() => {
                finding(OnlyIfTheOtherSideCanBeCalled, UdpFiltered)
            }
            Some(UdpLabel::DirectConnect | UdpLabel::IsaLike) if self.is_udp_global() => {
                finding(Likely, NothingRewritten)
            }
            _ => router.unwrap_or(finding(NotKnown, NoEvidence)),
        }
    }

    /// That a call arrived.
    fn arrived(&self, of: fn(&Calls) -> Call) -> Option<Finding> {
        let listen = self.listen?;
        let is_near = Range::of(listen.seen.ip()) != Range::Global;
        Some(match listen.mapped.as_ref().map(of) {
            _ if of(&listen.own) == Call::Arrived => match is_near {
                false => finding(Outlook::Direct, Because::CallArrived),
                true => finding(Outlook::Likely, Because::CallArrivedFromNearby),
            },
            Some(Call::Arrived) if is_near => {
                finding(Outlook::Likely, Because::CallArrivedFromNearby)
            }
            Some(Call::Arrived) => finding(Outlook::Direct, Because::CallArrivedThroughRouter),
            _ => return None,
        })
    }

    /// Whether a call was made, and none arrived.
    fn is_lost(&self, of: fn(&Calls) -> Call) -> bool {
        self.listen.is_some_and(|listen| {
            let mapped = listen.mapped.as_ref().map(of);
            let calls = [Some(of(&listen.own)), mapped];
            let mut reached = calls.into_iter().flatten().filter_map(Call::reached);
            reached.next().is_some() && self.arrived(of).is_none()
        })
    }

    /// What the router shows, if no call through what it opened shows otherwise.
    fn by_router(&self, of: fn(&Calls) -> Call) -> Option<Finding> {
        let router = self.port_mapping?;
        let mapped = self
            .listen
            .and_then(|listen| listen.mapped.as_ref().map(of));
        let is_in_vain = mapped.and_then(Call::reached) == Some(false);
        match router.relation()? {
            RouterRelation::OnlyNat if router.is_offered() && !is_in_vain => {
                Some(finding(Outlook::Likely, Because::RouterOpensPorts))
            }
            RouterRelation::OnlyNat => None,
            RouterRelation::DoubleNat | RouterRelation::CarrierNat | RouterRelation::NatBeyond => {
                let outlook = Outlook::OnlyIfTheOtherSideCanBeCalled;
                Some(finding(outlook, Because::NatBeyondRouter))
            }
        }
    }

    fn is_proxied(&self) -> bool {
        self.login.is_some_and(|login| login.path != PathKind::Tcp)
    }

    /// What the tests of UDP tell, that of UDP echo first.
    fn udp_labels(&self) -> impl Iterator<Item = UdpLabel> {
        let udp_echo = self.udp_echo.map(UdpEvidence::label);
        let labels = udp_echo
            .into_iter()
            .chain(self.stun.iter().filter_map(|seen| seen.label()));
        labels.filter(|label| label.determined())
    }

    /// The label of UDP: the first of a server that answers.
    fn udp_label(&self) -> Option<UdpLabel> {
        let answered = self.udp_labels().find(|label| *label != UdpLabel::Firewall);
        answered.or_else(|| self.udp_labels().next())
    }

    /// Whether a NAT rewrites this host's address; `None` where nothing shows it.
    fn is_behind_nat(&self) -> Option<bool> {
        let login = self.login.and_then(|login| match login.label {
            Label::UnknownConnect => None,
            label => Some(label != Label::DirectConnect),
        });
        let udp = || match self.udp_label()? {
            UdpLabel::DirectConnect | UdpLabel::IsaLike => Some(false),
            UdpLabel::Firewall | UdpLabel::UnknownConnect => None,
            _ => Some(true),
        };
        let router = || self.port_mapping?.external().map(|_| true);
        let called = || {
            let listen = self.listen?;
            Some(listen.seen.ip() != listen.local.ip())
        };
        let over_tcp = || {
            let mut over_tcp = self.stun.iter().filter(|seen| seen.label().is_none());
            let seen = over_tcp.find(|seen| seen.outside.is_some())?;
            Some(seen.outside?.ip() != seen.local.ip())
        };
        let others = || called().or_else(over_tcp);
        login.or_else(udp).or_else(router).or_else(others)
    }

    /// Whether UDP leaves with an address of the internet.
    fn is_udp_global(&self) -> bool {
        let stun = self.stun.iter().filter(|seen| seen.label().is_some());
        let stun = stun.filter_map(|seen| seen.outside);
        let udp_echo = self.udp_echo.and_then(UdpEvidence::outside);
        let mut ends = udp_echo.map(SocketAddr::from).into_iter().chain(stun);
        ends.any(|end| Range::of(end.ip()) == Range::Global)
    }

    fn change(&self, file_transfer: Finding, voice: Finding) -> Option<Change> {
        let findings = [file_transfer, voice];
        let is_good = |found: &Finding| {
            let reason = found.reason;
            reason == Because::CallArrived || reason == Because::CallArrivedFromNearby
        };
        if findings.iter().all(is_good) {
            return None;
        }
        let is = |reason| findings.iter().any(|found| found.reason == reason);
        let relation = self.port_mapping.and_then(PortMappingEvidence::relation);
        let is_offered = self
            .port_mapping
            .is_some_and(PortMappingEvidence::is_offered);
        let is_poor =
            |found: &Finding| found.outlook > Outlook::Likely && found.outlook < Outlook::NotKnown;
        match relation {
            _ if is(Because::Proxy) => Some(Change::ConnectWithoutProxy),
            _ if is(Because::CallArrivedThroughRouter) || is(Because::RouterOpensPorts) => {
                Some(Change::UseUpnp)
            }
            Some(RouterRelation::CarrierNat) => Some(Change::AskProviderForAddress),
            Some(RouterRelation::DoubleNat) => Some(Change::BridgeOneRouter),
            Some(RouterRelation::NatBeyond) => None,
            _ if voice.reason == Because::UdpUnanswered && !is_poor(&file_transfer) => {
                Some(Change::AllowUdp)
            }
            _ if !findings.iter().any(is_poor) => None,
            _ => match self.is_behind_nat()? {
                true if is_offered && !self.is_opened_in_vain() => Some(Change::UseUpnp),
                true => Some(Change::ForwardPorts),
                false => Some(Change::AllowInFirewall),
            },
        }
    }

    /// Whether no call arrived through the ports that the router opened.
    fn is_opened_in_vain(&self) -> bool {
        let mapped = self.listen.and_then(|listen| listen.mapped);
        let is_lost = |call: Call| call.reached() == Some(false);
        mapped.is_some_and(|calls| is_lost(calls.tcp) && is_lost(calls.udp))
    }

    fn disagreements(&self) -> Vec<Disagreement> {
        let mut all = Vec::new();
        let labels = self.udp_labels().zip(self.udp_labels().skip(1));
        if labels.into_iter().any(|(one, next)| one != next) {
            all.push(Disagreement::UdpLabels);
        }
        let stun = self.stun.iter().filter_map(|seen| Some(seen.outside?.ip()));
        let udp_echo = self.udp_echo.and_then(UdpEvidence::outside);
        let mut seen: Vec<IpAddr> = stun.collect();
        seen.extend(udp_echo.map(|end| IpAddr::from(*end.ip())));
        seen.extend(self.login.and_then(|login| login.client_ip));
        seen.extend(self.listen.map(|listen| listen.seen.ip()));
        let of = |is_v4: bool| seen.iter().filter(move |ip| ip.is_ipv4() == is_v4);
        let differs = |is_v4: bool| of(is_v4).zip(of(is_v4).skip(1)).any(|(a, b)| a != b);
        if differs(true) || differs(false) {
            all.push(Disagreement::Addresses);
        }
        if self.is_opened_in_vain() {
            all.push(Disagreement::OpenedPortsNotReached);
        }
        all
    }
}

#[cfg(test)]
mod tests;
