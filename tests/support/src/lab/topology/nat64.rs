//! A network that turns IPv6 into IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::{Process, link, needs_program};
use super::{
    Error, Lab, OUTSIDE_PORTS, PUBLIC, Port, SERVER_LINK, SERVERS, Sees, Topology, ends,
    through_router,
};
use crate::tool::file;

/// An IPv6-only client that reaches an IPv4-only server through NAT64 on its router, as in mobile
/// networks: it dials `2001:db8:64::203.0.113.80`, the server sees `203.0.113.7` and another port.
///
/// The translator is TAYGA (Debian package `tayga`), which [`requirements`](super::super::requirements)
/// does not ask for.
///
/// # Errors
///
/// When `tayga` is missing or the lab cannot be built.
pub fn nat64() -> Result<Topology, Error> {
    needs_program("tayga", "tayga")?;
    let sees = Sees::From(PUBLIC.into(), Port::Changed);
    let servers = SERVERS
        .map(|server| IpAddr::from(embedded(server)))
        .to_vec();
    let mut net = ends(Lab::new("nat64")?, "NAT64", servers, sees)?;
    net.any = Ipv4Addr::UNSPECIFIED.into();
    let router = ["2001:db8:1::1/64", "203.0.113.7/24"];
    let mut net = through_router(net, "2001:db8:1::5/64", router, SERVER_LINK)?;
    let (router, outside) = (&net.routers[0], &net.links[1].a.1);
    let folder = tempfile::tempdir()?;
    let config = file(
        &folder,
        "tayga.conf",
        format!(
            "tun-device {DEVICE}
ipv4-addr 192.168.255.1
prefix 2001:db8:64::/96
dynamic-pool 192.168.255.0/24
data-dir {}
",
            folder.path().display()
        ),
    );
    let mut command = router.command("tayga");
    command.args(["--nodetach", "--config"]).arg(config);
    let tayga = Process::start(command)?;
    link::wait_for_device(router, DEVICE)?;
    router.ip(&format!(
        "link set {DEVICE} up
        route add 192.168.255.0/24 dev {DEVICE}
        route add 2001:db8:64::/96 dev {DEVICE}"
    ))?;
    // TAYGA keeps ports and gives each client an address of its own; this makes it one address.
    router.nft(&format!(
        "table ip nat {{
            chain out {{
                type nat hook postrouting priority srcnat;
                oifname {outside} meta l4proto {{ tcp, udp }} masquerade to :{OUTSIDE_PORTS} fully-random
            }}
        }}"
    ))?;
    net.guard = Some(Box::new((tayga, folder)));
    Ok(net)
}

/// The device that the translator makes on the router.
const DEVICE: &str = "nat64";

/// An IPv4 address as IPv6 hosts dial it.
fn embedded(ip: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, high, low)
}
