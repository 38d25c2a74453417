//! Networks that leave addresses and ports alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{
    Error, Failure, Lab, LineOptions, PUBLIC, Port, SERVER_LINK, Sees, Topology, address_of, ends,
    servers, through_router,
};

/// Client and server on one wire, no NAT.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn direct() -> Result<Topology, Error> {
    let sees = Sees::From(PUBLIC.into(), Port::Kept);
    let mut net = ends(Lab::new("direct")?, "no NAT", servers(), sees)?;
    net.links.push(
        net.lab
            .link(&net.client, "203.0.113.7/24", &net.server, SERVER_LINK)?,
    );
    Ok(net)
}

/// Two routers with a wire of MTU 576 between them, and 1500 on both outer ones: both sides have to
/// learn the path's MTU from ICMP.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn mtu_576() -> Result<Topology, Error> {
    let address = IpAddr::from(Ipv4Addr::new(198, 51, 100, 5));
    let sees = Sees::From(address, Port::Kept);
    let mut net = ends(Lab::new("mtu")?, "MTU 576 on the way", servers(), sees)?;
    let (near, far) = (net.lab.host("near")?, net.lab.host("far")?);
    let first = net
        .lab
        .link(&net.client, "198.51.100.5/24", &near, "198.51.100.1/24")?;
    let narrow = net.lab.link(&near, "192.0.2.1/30", &far, "192.0.2.2/30")?;
    let last = net
        .lab
        .link(&far, "203.0.113.1/24", &net.server, SERVER_LINK)?;
    narrow.mtu(576)?;
    net.client.route_default("198.51.100.1")?;
    near.route_default("192.0.2.2")?;
    far.route_default("192.0.2.1")?;
    net.server.route_default("203.0.113.1")?;
    for router in [&near, &far] {
        router.forward()?;
    }
    net.links = vec![first, narrow, last];
    net.routers = vec![near, far];
    Ok(net)
}

/// A line of 200 ms one way that loses 5 % of the packets, the same ones in each run.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn slow_and_lossy() -> Result<Topology, Error> {
    let delay = Duration::from_millis(200);
    delayed(
        "200 ms one way, 5 % loss",
        &LineOptions {
            delay,
            loss: 0.05,
            ..Default::default()
        },
    )
}

/// A delay line between client and server, no NAT.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn delayed(name: &'static str, options: &LineOptions) -> Result<Topology, Error> {
    let sees = Sees::From(PUBLIC.into(), Port::Kept);
    let mut net = ends(Lab::new("delayed")?, name, servers(), sees)?;
    let (client, server) = (&net.client, &net.server);
    let line = net
        .lab
        .delay_line(client, "203.0.113.7/24", server, SERVER_LINK, options)?;
    net.line = Some(line);
    Ok(net)
}

/// IPv6 through a router, no NAT.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn ipv6_direct() -> Result<Topology, Error> {
    let client = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 5));
    let sees = Sees::From(client, Port::Kept);
    let net = ends(Lab::new("v6")?, "IPv6, no NAT", servers_v6(), sees)?;
    let router = ["2001:db8:1::1/64", "2001:db8:2::1/64"];
    let net = through_router(net, "2001:db8:1::5/64", router, SERVER_LINK_V6)?;
    net.server.route_default(address_of(router[1]))?;
    Ok(net)
}

/// Client and server on one wire with both families, no NAT. [`Topology::servers`] and
/// [`Topology::sees`] are about IPv4; in IPv6 the server is `2001:db8:2::80`, the client
/// `2001:db8:2::7`.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn dual_stack() -> Result<Topology, Error> {
    let sees = Sees::From(PUBLIC.into(), Port::Kept);
    let mut net = ends(Lab::new("dual")?, "IPv4 and IPv6, no NAT", servers(), sees)?;
    net.links.push(net.lab.link(
        &net.client,
        "203.0.113.7/24 2001:db8:2::7/64",
        &net.server,
        &format!("{SERVER_LINK} {SERVER_LINK_V6}"),
    )?);
    Ok(net)
}

/// A client that has IPv6 only and a server that has IPv4 only. They share a router that has both,
/// so each works by itself.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn ipv6_only_client() -> Result<Topology, Error> {
    let sees = Sees::Nothing(Failure::NetworkUnreachable);
    let net = ends(
        Lab::new("v6only")?,
        "IPv6-only client, IPv4-only server",
        servers(),
        sees,
    )?;
    let router = ["2001:db8:1::1/64", "203.0.113.1/24"];
    let net = through_router(net, "2001:db8:1::5/64", router, SERVER_LINK)?;
    net.server.route_default(address_of(router[1]))?;
    Ok(net)
}

/// The server's addresses on its link in the IPv6 networks.
pub(super) const SERVER_LINK_V6: &str = "2001:db8:2::80/64 2001:db8:2::81/64";

pub(super) fn servers_v6() -> Vec<IpAddr> {
    let server = |last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, last));
    [0x80, 0x81].map(server).to_vec()
}
