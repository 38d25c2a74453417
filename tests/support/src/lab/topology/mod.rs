//! Whole networks, one function each: a client, a server, what is between them, and what the server
//! should see.
//!
//! Every function builds a lab of its own, so addresses repeat: the client is `192.168.1.5` behind
//! a NAT and `203.0.113.7` in the open, a NAT's public address is `203.0.113.7`, the server is
//! `203.0.113.80` and `203.0.113.81`.
//!
//! The ports of the two sides of a NAT that renumbers never overlap: clients take theirs from
//! [`INSIDE_PORTS`], NATs from [`OUTSIDE_PORTS`]. So "changed" is certain, not likely.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Error, Host, Lab, Line, LineOptions, Link};

mod filter;
mod nat;
mod nat64;
mod open;

#[allow(unused_imports, reason = "each test binary names only some of these")]
pub use self::{
    filter::{
        PROXY_HOST, RELAY_PORT, Verdict, drops, firewall, proxy_behind_nat, proxy_only, rejects,
        transparent_redirect,
    },
    nat::{
        behind_nat, carrier_grade, endpoint_dependent, endpoint_independent, hairpin,
        ipv6_prefix_translation, masquerade, masquerade_random, one_to_one, own_port_rewritten,
    },
    nat64::nat64,
    open::{delayed, direct, dual_stack, ipv6_direct, ipv6_only_client, mtu_576, slow_and_lossy},
};

/// The ports that a client of the lab dials from.
///
/// None of them reads the same with its bytes exchanged, and none becomes one that a NAT of the lab
/// gives out: a test that knows which rewriting happened knows which comparison fits. A port of a
/// test's own choice is best taken from beyond: the system may give out any of these first.
pub const INSIDE_PORTS: &str = "41024 41119";

/// The ports that a NAT of the lab gives out when it renumbers.
pub const OUTSIDE_PORTS: &str = "61000-65535";

/// A network that stands. Everything of it goes when it is dropped.
#[derive(Debug)]
pub struct Topology {
    /// One line for a table or a failure message.
    pub name: &'static str,
    /// Where the tool runs.
    pub client: Host,
    /// Where the server runs.
    pub server: Host,
    /// The hosts between them, from the client's side on. The first is the proxy host in
    /// [`proxy_only`].
    pub routers: Vec<Host>,
    /// The server's addresses as the client dials them; never empty, mostly two.
    pub servers: Vec<IpAddr>,
    /// What the server sees of a client that dials directly.
    pub sees: Sees,
    /// The wires, from the client's side on.
    pub links: Vec<Link>,
    /// The delay line, if there is one between client and server.
    pub line: Option<Line>,
    /// The wildcard address of the server's own family.
    any: IpAddr,
    /// A process or service that belongs to the network itself.
    guard: Option<Box<dyn Any + Send>>,
    /// For more hosts on this network. The last field, for it is dropped last.
    pub lab: Lab,
}

impl Topology {
    /// Where the client dials this port of the server, at its first address.
    pub fn dial(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.servers[0], port)
    }

    /// Where the client dials this port at each of the server's addresses.
    pub fn dial_all(&self, port: u16) -> Vec<SocketAddr> {
        self.servers
            .iter()
            .map(|ip| SocketAddr::new(*ip, port))
            .collect()
    }

    /// Where the server listens to be found at any of its addresses.
    pub fn listen(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.any, port)
    }
}

/// What a server at the end of a network sees of the client's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// A connection from this address.
    From(IpAddr, Port),
    /// No connection; this is how the client notices.
    Nothing(Failure),
}

/// What became of the client's port on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The server sees the port that the client's socket has.
    Kept,
    /// Another one; it may or may not be the same toward another server.
    Changed,
    /// Another one, and the same one toward every server.
    ChangedAlike,
    /// Another one, and a different one toward every server.
    ChangedPerServer,
}

/// How a dial fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing answers: the dial ends by the client's own time limit.
    Silence,
    /// `ECONNREFUSED` at once.
    Refused,
    /// `EHOSTUNREACH` at once: a router said so.
    HostUnreachable,
    /// `ENETUNREACH` at once: the client itself has no route.
    NetworkUnreachable,
}

impl Sees {
    /// Whether a connection with this local address, seen at that one, is as it should be.
    pub fn fits(&self, local: SocketAddr, seen: SocketAddr) -> bool {
        match self {
            Self::From(ip, Port::Kept) => seen == SocketAddr::new(*ip, local.port()),
            Self::From(ip, _) => seen.ip() == *ip && seen.port() != local.port(),
            Self::Nothing(_) => false,
        }
    }
}

impl fmt::Display for Sees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(ip, port) => write!(f, "{ip}, {port}"),
            Self::Nothing(failure) => write!(f, "nothing, {failure}"),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "the client's port",
            Self::Changed => "another port",
            Self::ChangedAlike => "another port, one for all servers",
            Self::ChangedPerServer => "another port for each server",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "the dial times out",
            Self::Refused => "connection refused",
            Self::HostUnreachable => "host unreachable",
            Self::NetworkUnreachable => "network unreachable",
        })
    }
}

const CLIENT_BEHIND: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 5);
const ROUTER_INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const SERVERS: [Ipv4Addr; 2] = [
    Ipv4Addr::new(203, 0, 113, 80),
    Ipv4Addr::new(203, 0, 113, 81),
];

/// The server's addresses on its link.
const SERVER_LINK: &str = "203.0.113.80/24 203.0.113.81/24";

fn servers() -> Vec<IpAddr> {
    SERVERS.map(IpAddr::from).to_vec()
}

/// A client and a server with a lab around them, not joined yet.
fn ends(lab: Lab, name: &'static str, servers: Vec<IpAddr>, sees: Sees) -> Result<Topology, Error> {
    let (client, server) = (lab.host("client")?, lab.host("server")?);
    client.sysctl("net.ipv4.ip_local_port_range", INSIDE_PORTS)?;
    let any = match servers[0] {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let (routers, links, line, guard) = (Vec::new(), Vec::new(), None, None);
    Ok(Topology {
        name,
        client,
        server,
        routers,
        servers,
        sees,
        links,
        line,
        any,
        guard,
        lab,
    })
}

/// Joins client and server through one forwarding router. The client has a default route, the
/// server none.
fn through_router(
    mut net: Topology,
    client: &str,
    [inside, outside]: [&str; 2],
    server: &str,
) -> Result<Topology, Error> {
    let router = net.lab.host("router")?;
    router.forward()?;
    net.links
        .push(net.lab.link(&net.client, client, &router, inside)?);
    net.links
        .push(net.lab.link(&router, outside, &net.server, server)?);
    net.client.route_default(address_of(inside))?;
    net.routers.push(router);
    Ok(net)
}

/// The address in the first word of `192.0.2.1/24 192.0.2.2/24`.
fn address_of(addresses: &str) -> &str {
    let first = addresses.split_whitespace().next().unwrap_or_default();
    first.split_once('/').map_or(first, |(address, _)| address)
}
