//! Networks that stop or divert connections.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::super::wait_for_port;
use super::{
    Error, Failure, Host, Lab, OUTSIDE_PORTS, PUBLIC, Port, ROUTER_INSIDE, SERVER_LINK, SERVERS,
    Sees, Topology, ends, nat::source_nat, servers, through_router,
};

/// The port at which the relay of [`transparent_redirect`] listens, on the router.
pub const RELAY_PORT: u16 = 3128;

/// What a firewall does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Throws its packets away without a word.
    Drop,
    /// Answers with a TCP reset.
    TcpReset,
    /// Answers with ICMP port unreachable.
    PortUnreachable,
    /// Answers with ICMP host unreachable.
    HostUnreachable,
    /// Answers with ICMP administratively prohibited.
    AdminProhibited,
}

/// A firewall that drops one TCP port without a word and lets all others through, no NAT.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn drops(port: u16) -> Result<Topology, Error> {
    firewall("firewall drops", port, Verdict::Drop)
}

/// A firewall that answers for one TCP port with a reset and lets all others through, no NAT.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn rejects(port: u16) -> Result<Topology, Error> {
    firewall("firewall resets", port, Verdict::TcpReset)
}

/// A firewall that treats one TCP port in some way and lets all others through, no NAT.
///
/// The client is `198.51.100.5`; [`Topology::sees`] is about the firewalled port, at any other the
/// server sees that address with the port kept.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn firewall(name: &'static str, port: u16, verdict: Verdict) -> Result<Topology, Error> {
    let (statement, failure) = match verdict {
        Verdict::Drop => ("drop", Failure::Silence),
        Verdict::TcpReset => ("reject with tcp reset", Failure::Refused),
        Verdict::PortUnreachable => ("reject with icmpx port-unreachable", Failure::Refused),
        Verdict::HostUnreachable => (
            "reject with icmpx host-unreachable",
            Failure::HostUnreachable,
        ),
        Verdict::AdminProhibited => (
            "reject with icmpx admin-prohibited",
            Failure::HostUnreachable,
        ),
    };
    let net = ends(
        Lab::new("firewall")?,
        name,
        servers(),
        Sees::Nothing(failure),
    )?;
    let router = ["198.51.100.1/24", "203.0.113.1/24"];
    let net = through_router(net, "198.51.100.5/24", router, SERVER_LINK)?;
    net.server.route_default("203.0.113.1")?;
    net.routers[0].nft(&format!(
        "table inet firewall {{
            chain through {{
                type filter hook forward priority filter;
                tcp dport {port} {statement}
            }}
        }}"
    ))?;
    Ok(net)
}

/// A NAT router that diverts one TCP port to a relay on itself, as transparent proxies do.
///
/// `start_relay` gets the router, where to listen (port [`RELAY_PORT`]) and the server's first
/// address; what it returns is kept and dropped with the network: a [`Process`](super::super::Process)
/// or [`proxies::relay`](super::super::proxies::relay). The server sees the relay's own connection.
/// Other ports are masqueraded, ports kept.
///
/// # Errors
///
/// When the lab cannot be built, or the relay does not listen within ten seconds.
pub fn transparent_redirect<G: Any + Send>(
    port: u16,
    start_relay: impl FnOnce(&Host, SocketAddr, SocketAddr) -> Result<G, Error>,
) -> Result<Topology, Error> {
    let sees = Sees::From(PUBLIC.into(), Port::Changed);
    let net = ends(
        Lab::new("redirect")?,
        "transparent redirect",
        servers(),
        sees,
    )?;
    let mut net = through_router(
        net,
        "192.168.1.5/24",
        ["192.168.1.1/24", "203.0.113.7/24"],
        SERVER_LINK,
    )?;
    let (router, inside, outside) = (&net.routers[0], &net.links[0].b.1, &net.links[1].a.1);
    // The relay dials from ports that no client has.
    router.sysctl(
        "net.ipv4.ip_local_port_range",
        &OUTSIDE_PORTS.replace('-', " "),
    )?;
    router.nft(&format!(
        "table ip nat {{
            chain in {{
                type nat hook prerouting priority dstnat;
                iifname {inside} tcp dport {port} redirect to :{RELAY_PORT}
            }}
            chain out {{
                type nat hook postrouting priority srcnat;
                oifname {outside} masquerade
            }}
        }}"
    ))?;
    let listen = SocketAddr::new(ROUTER_INSIDE.into(), RELAY_PORT);
    let relay = start_relay(router, listen, SocketAddr::new(SERVERS[0].into(), port))?;
    wait_for_port(router, listen, Duration::from_secs(10))?;
    net.guard = Some(Box::new(relay));
    Ok(net)
}

/// An office without a way out but through the proxies on one host, `routers[0]`, which is
/// `192.168.1.20` inside and `203.0.113.20` outside and forwards nothing.
///
/// The client reaches it at both addresses. [`Topology::sees`] is about a direct dial. Through a
/// proxy (see [`proxies`](super::super::proxies)) the server sees `203.0.113.20` and a port that the
/// client never has, but through Dante the client's own.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn proxy_only() -> Result<Topology, Error> {
    let sees = Sees::Nothing(Failure::NetworkUnreachable);
    let mut net = ends(
        Lab::new("office")?,
        "proxies are the only way",
        servers(),
        sees,
    )?;
    let proxy = net.lab.host("proxy")?;
    proxy.sysctl(
        "net.ipv4.ip_local_port_range",
        &OUTSIDE_PORTS.replace('-', " "),
    )?;
    net.links = vec![
        net.lab
            .link(&net.client, "192.168.1.5/24", &proxy, "192.168.1.20/24")?,
        net.lab
            .link(&proxy, "203.0.113.20/24", &net.server, SERVER_LINK)?,
    ];
    net.client.route("203.0.113.20/32", "192.168.1.20")?;
    net.routers.push(proxy);
    Ok(net)
}

/// An office whose proxies are behind a NAT of their own: the host for them, `routers[0]`, is
/// `192.168.1.20` inside and `10.0.0.20` outside and forwards nothing; beyond it `routers[1]` makes
/// that `203.0.113.7`.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn proxy_behind_nat() -> Result<Topology, Error> {
    let sees = Sees::Nothing(Failure::NetworkUnreachable);
    let name = "proxies behind a NAT";
    let mut net = ends(Lab::new("proxynat")?, name, servers(), sees)?;
    let (proxy, router) = (net.lab.host("proxy")?, net.lab.host("router")?);
    net.links = vec![
        net.lab
            .link(&net.client, "192.168.1.5/24", &proxy, "192.168.1.20/24")?,
        net.lab
            .link(&proxy, "10.0.0.20/24", &router, "10.0.0.1/24")?,
        net.lab
            .link(&router, "203.0.113.7/24", &net.server, SERVER_LINK)?,
    ];
    proxy.route_default("10.0.0.1")?;
    router.forward()?;
    source_nat(&router, &net.links[2].a.1, "masquerade")?;
    net.routers = vec![proxy, router];
    Ok(net)
}

/// The proxy host's addresses in [`proxy_only`]: inside and outside.
pub const PROXY_HOST: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 168, 1, 20)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 20)),
];
