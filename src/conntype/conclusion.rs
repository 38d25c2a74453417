//! What will work, from everything that the probes found.

use std::net::{IpAddr, SocketAddr};

use super::{Filtering, Label, MappingProtocol, NatMapping, PathKind, RouterRelation, UdpLabel};

/// What the probes found. What was not asked for, or is not known, is `None` or left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The connection type of the TCP flow to the notification server.
    pub tcp: Option<Label>,
    /// The kind of path of that flow.
    pub path: PathKind,
    /// The local address.
    pub local: Option<IpAddr>,
    /// `ClientIP` of the profile.
    pub client_ip: Option<IpAddr>,
    /// What each server of UDP echo or STUN showed.
    pub udp: Vec<UdpFacts>,
    /// What the router said.
    pub router: Option<RouterFacts>,
    /// Whether a server could call this host.
    pub called: Option<CallFacts>,
}

/// What one server showed of UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpFacts {
    /// Which probe it was.
    pub by: UdpProbe,
    /// The connection type of UDP.
    pub label: UdpLabel,
    /// This host's end as the server sees it.
    pub outside: Option<SocketAddr>,
    /// How the NAT maps.
    pub mapping: Option<NatMapping>,
    /// What is let in.
    pub filtering: Option<Filtering>,
}

/// A probe of UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpProbe {
    /// UDP echo.
    UdpEcho,
    /// The STUN server at this place of the list.
    Stun(usize),
}

/// What the router said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterFacts {
    /// The protocols that it answered.
    pub protocols: Vec<MappingProtocol>,
    /// Its outside address.
    pub external: Option<IpAddr>,
    /// That address compared with what servers see.
    pub relation: Option<RouterRelation>,
    /// Whether it opened a port when asked to.
    pub opened: Option<bool>,
}

/// Whether a server could call this host: at a port as it is, and at one that the router opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFacts {
    /// By TCP.
    pub tcp: Option<bool>,
    /// By UDP.
    pub udp: Option<bool>,
    /// By TCP, through the router's mapping.
    pub tcp_mapped: Option<bool>,
    /// By UDP, through the router's mapping.
    pub udp_mapped: Option<bool>,
}
