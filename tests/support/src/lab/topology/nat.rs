//! Networks that rewrite addresses or ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::open::{SERVER_LINK_V6, servers_v6};
use super::{
    CLIENT_BEHIND, Error, Host, Lab, OUTSIDE_PORTS, PUBLIC, Port, ROUTER_INSIDE, SERVER_LINK,
    SERVERS, Sees, Topology, address_of, ends, servers, through_router,
};

/// A home router: one public address, ports kept.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn masquerade() -> Result<Topology, Error> {
    behind_nat("masq", "masquerade, port kept", "masquerade", Port::Kept)
}

/// A router that gives every connection a random port.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn masquerade_random() -> Result<Topology, Error> {
    let rule = format!("masquerade to :{OUTSIDE_PORTS} fully-random");
    behind_nat(
        "masqrandom",
        "masquerade, random port",
        &rule,
        Port::Changed,
    )
}

/// A NAT that maps an inside port to one outside port, whichever server is dialled.
///
/// The outside port is the inside one with bit 14 flipped: no two inside ports share one, and no
/// port stays what it is.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn endpoint_independent() -> Result<Topology, Error> {
    let rule = format!(
        "meta l4proto tcp snat to {PUBLIC} : tcp sport ^ 0x4000
        meta l4proto udp snat to {PUBLIC} : udp sport ^ 0x4000"
    );
    behind_nat(
        "eim",
        "endpoint-independent mapping",
        &rule,
        Port::ChangedAlike,
    )
}

/// A NAT that maps an inside port to another outside port for each server dialled.
///
/// The two servers have ranges of their own, so that the ports differ for certain.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn endpoint_dependent() -> Result<Topology, Error> {
    let rule = format!(
        "ip daddr {} meta l4proto {{ tcp, udp }} snat to {PUBLIC}:61000-62999 fully-random
        meta l4proto {{ tcp, udp }} snat to {PUBLIC}:63000-65535 fully-random",
        SERVERS[0]
    );
    behind_nat(
        "edm",
        "endpoint-dependent mapping",
        &rule,
        Port::ChangedPerServer,
    )
}

/// A NAT with a source rule of the caller's, such as `snat to 203.0.113.7:2308`.
///
/// The rule stands in a postrouting chain and meets only what leaves toward the server; where it
/// has no `meta l4proto` of its own it is for TCP and UDP. The public address is
/// `203.0.113.7`.
///
/// # Errors
///
/// When the lab cannot be built or nft refuses the rule.
pub fn behind_nat(
    lab: &str,
    name: &'static str,
    rule: &str,
    port: Port,
) -> Result<Topology, Error> {
    let sees = Sees::From(PUBLIC.into(), port);
    let net = ends(Lab::new(lab)?, name, servers(), sees)?;
    let net = through_router(
        net,
        "192.168.1.5/24",
        ["192.168.1.1/24", "203.0.113.7/24"],
        SERVER_LINK,
    )?;
    source_nat(&net.routers[0], &net.links[1].a.1, rule)?;
    Ok(net)
}

/// A host that renumbers its own outgoing ports and keeps its address, as some personal firewalls
/// did.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn own_port_rewritten() -> Result<Topology, Error> {
    let sees = Sees::From(PUBLIC.into(), Port::Changed);
    let mut net = ends(Lab::new("ownport")?, "own port rewritten", servers(), sees)?;
    net.links.push(
        net.lab
            .link(&net.client, "203.0.113.7/24", &net.server, SERVER_LINK)?,
    );
    source_nat(
        &net.client,
        &net.links[0].a.1,
        &format!("snat to {PUBLIC}:{OUTSIDE_PORTS}"),
    )?;
    Ok(net)
}

/// A router with a public address for the client alone, in both directions.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn one_to_one() -> Result<Topology, Error> {
    let public = Ipv4Addr::new(203, 0, 113, 50);
    let sees = Sees::From(public.into(), Port::Kept);
    let net = ends(Lab::new("onetoone")?, "1:1 NAT", servers(), sees)?;
    let router = ["192.168.1.1/24", "203.0.113.1/24 203.0.113.50/24"];
    let net = through_router(net, "192.168.1.5/24", router, SERVER_LINK)?;
    net.routers[0].nft(&format!(
        "table ip nat {{
            chain in {{
                type nat hook prerouting priority dstnat;
                ip daddr {public} dnat to {CLIENT_BEHIND}
            }}
            chain out {{
                type nat hook postrouting priority srcnat;
                ip saddr {CLIENT_BEHIND} snat to {public}
            }}
        }}"
    ))?;
    Ok(net)
}

/// Two NATs in a row, each with other ports: `192.168.1.5` → `100.64.3.9` → `203.0.113.7`.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn carrier_grade() -> Result<Topology, Error> {
    let sees = Sees::From(PUBLIC.into(), Port::Changed);
    let mut net = ends(Lab::new("cgn")?, "carrier-grade NAT", servers(), sees)?;
    let (home, carrier) = (net.lab.host("home")?, net.lab.host("carrier")?);
    net.links = vec![
        net.lab
            .link(&net.client, "192.168.1.5/24", &home, "192.168.1.1/24")?,
        net.lab
            .link(&home, "100.64.3.9/24", &carrier, "100.64.3.1/24")?,
        net.lab
            .link(&carrier, "203.0.113.7/24", &net.server, SERVER_LINK)?,
    ];
    net.client.route_default("192.168.1.1")?;
    home.route_default("100.64.3.1")?;
    for router in [&home, &carrier] {
        router.forward()?;
    }
    // A third range, so that each of the two renumbers for certain.
    source_nat(
        &home,
        &net.links[1].a.1,
        "masquerade to :1024-32767 fully-random",
    )?;
    let rule = format!("snat to {PUBLIC}:{OUTSIDE_PORTS} fully-random");
    source_nat(&carrier, &net.links[2].a.1, &rule)?;
    net.routers = vec![home, carrier];
    Ok(net)
}

/// Client and server behind the same NAT; the client dials the NAT's public address, whose every
/// port is forwarded to the server. The server sees the router's inside address.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn hairpin() -> Result<Topology, Error> {
    let inside = Ipv4Addr::new(192, 168, 1, 10);
    let sees = Sees::From(ROUTER_INSIDE.into(), Port::Kept);
    let mut net = ends(Lab::new("hairpin")?, "hairpin", vec![PUBLIC.into()], sees)?;
    let (router, isp) = (net.lab.host("router")?, net.lab.host("isp")?);
    router.forward()?;
    let members = [
        (&net.client, "192.168.1.5/24"),
        (&net.server, "192.168.1.10/24"),
    ];
    net.links = net.lab.lan(&router, "192.168.1.1/24", &members)?;
    net.links.push(
        net.lab
            .link(&router, "203.0.113.7/24", &isp, "203.0.113.1/24")?,
    );
    router.route_default("203.0.113.1")?;
    for host in [&net.client, &net.server] {
        host.route_default("192.168.1.1")?;
    }
    let (lan, outside) = (&net.links[0].a.1, &net.links[2].a.1);
    // A router tells a host that a packet need not go through it; here it must.
    for device in ["all", lan] {
        router.sysctl(&format!("net.ipv4.conf.{device}.send_redirects"), "0")?;
    }
    router.nft(&format!(
        "table ip nat {{
            chain in {{
                type nat hook prerouting priority dstnat;
                ip daddr {PUBLIC} meta l4proto {{ tcp, udp }} dnat to {inside}
            }}
            chain out {{
                type nat hook postrouting priority srcnat;
                oifname {{ {lan}, {outside} }} ip saddr 192.168.1.0/24 masquerade
            }}
        }}"
    ))?;
    net.routers = vec![router, isp];
    Ok(net)
}

/// IPv6 with its prefix translated, as `NPTv6` does: `fd00:1::5` is `2001:db8:5::5` outside, in both
/// directions, ports kept.
///
/// # Errors
///
/// When the lab cannot be built.
pub fn ipv6_prefix_translation() -> Result<Topology, Error> {
    let outside = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 5));
    let sees = Sees::From(outside, Port::Kept);
    let net = ends(
        Lab::new("npt")?,
        "IPv6 prefix translation",
        servers_v6(),
        sees,
    )?;
    let router = ["fd00:1::1/64", "2001:db8:2::1/64"];
    let net = through_router(net, "fd00:1::5/64", router, SERVER_LINK_V6)?;
    net.server.route("2001:db8:5::/64", address_of(router[1]))?;
    let device = &net.links[1].a.1;
    net.routers[0].nft(&format!(
        "table ip6 nat {{
            chain in {{
                type nat hook prerouting priority dstnat;
                iifname {device} dnat ip6 prefix to ip6 daddr map {{ 2001:db8:5::/64 : fd00:1::/64 }}
            }}
            chain out {{
                type nat hook postrouting priority srcnat;
                oifname {device} snat ip6 prefix to ip6 saddr map {{ fd00:1::/64 : 2001:db8:5::/64 }}
            }}
        }}"
    ))?;
    Ok(net)
}

/// Source NAT on what leaves `host` by `device`: one rule a line.
pub(super) fn source_nat(host: &Host, device: &str, rules: &str) -> Result<(), Error> {
    // A port range needs to know that there are ports.
    let for_ports = |rule: &str| {
        let says_so = rule.contains("l4proto") || rule.contains("sport");
        let protocols = if says_so {
            ""
        } else {
            "meta l4proto { tcp, udp }"
        };
        format!("oifname {device} {protocols} {}\n", rule.trim())
    };
    let rules: String = rules.lines().map(for_ports).collect();
    host.nft(&format!(
        "table ip nat {{
            chain out {{
                type nat hook postrouting priority srcnat;
                {rules}
            }}
        }}"
    ))
}
