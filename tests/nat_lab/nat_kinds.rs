//! Every kind of NAT that nftables can make, with everything asked beside the login: one path each
//! for the label of TCP, the label of UDP, the terms of RFC 4787, and the conclusion.

use std::net::{Ipv6Addr, SocketAddr};

use crate::ends::{Tool, serve_with};
use crate::exact_nat::{ExactNat, LetsIn, Maps};
use crate::reach::everything;
use crate::run::Run;
use crate::table::Row;
use crate::udp::{forwarding, lets_in, with_table};
use support::lab::proxies::{coturn, relay};
use support::lab::topology::{self, Port, Sees};
use support::lab::{Error, Topology};

/// A path, the label of TCP, and: the label of UDP echo, that of STUN, mapping, filtering, hairpin,
/// whether the port is kept, file transfer, voice; then further facts.
macro_rules! kind {
    ($path:literal, $run:expr, $tcp:literal, [$($fact:expr),*] $(, $further:expr)*) => {{
        const VALUES: [&str; 8] = [$($fact),*];
        Row {
            path: $path,
            run: || $run,
            expected: $tcp,
            facts: &[
                ("/probes/udp_echo/label", VALUES[0]),
                ("/probes/stun/0/label", VALUES[1]),
                ("/probes/stun/0/mapping", VALUES[2]),
                ("/probes/stun/0/filtering", VALUES[3]),
                ("/probes/stun/0/hairpin", VALUES[4]),
                ("/probes/stun/0/port_kept", VALUES[5]),
                ("/conclusion/file_transfer", VALUES[6]),
                ("/conclusion/voice", VALUES[7]),
                $($further),*
            ],
        }
    }};
}

/// The same over IPv6, which UDP echo does not carry.
macro_rules! kind_v6 {
    ($path:literal, $run:expr, $tcp:literal, [$($fact:expr),*]) => {{
        const VALUES: [&str; 7] = [$($fact),*];
        Row {
            path: $path,
            run: || $run,
            expected: $tcp,
            facts: &[
                ("/probes/stun/0/label", VALUES[0]),
                ("/probes/stun/0/mapping", VALUES[1]),
                ("/probes/stun/0/filtering", VALUES[2]),
                ("/probes/stun/0/hairpin", VALUES[3]),
                ("/probes/stun/0/port_kept", VALUES[4]),
                ("/conclusion/file_transfer", VALUES[5]),
                ("/conclusion/voice", VALUES[6]),
            ],
        }
    }};
}

const DIRECT: &str = "Direct-Connect";
const OPEN: &str = "IP-Restrict-NAT";
const STRICT: &str = "Port-Restrict-NAT";
const SYMMETRIC: &str = "Symmetric-NAT";
const NONE: &str = "none";
const EI: &str = "endpoint-independent";
const AD: &str = "address-dependent";
const APD: &str = "address-and-port-dependent";
const YES: &str = "true";
const NO: &str = "false";
const UNKNOWN: &str = "null";
const ONLY: &str = "only-if-the-other-side-can-be-called";

pub(crate) const ROWS: &[Row] = &[
    kind!(
        "kinds, no NAT",
        everything(topology::direct()),
        "Direct-Connect same/same 0",
        [DIRECT, DIRECT, NONE, EI, UNKNOWN, YES, "direct", "direct"],
        ("/probes/udp_echo/outside/ip", "203.0.113.7"),
        ("/probes/udp_echo/tests/second/outcome", "not-run")
    ),
    kind!(
        "kinds, no NAT, stateful firewall",
        everything(with_table(topology::direct(), STATEFUL)),
        "Direct-Connect same/same 0",
        [DIRECT, DIRECT, NONE, APD, UNKNOWN, YES, ONLY, ONLY]
    ),
    kind!(
        "kinds, endpoint-independent mapping and filtering",
        everything(with_table(topology::endpoint_independent(), &lets_in(""))),
        "Symmetric-NAT different/different 0",
        [OPEN, OPEN, EI, EI, NO, NO, ONLY, "likely"],
        ("/probes/udp_echo/outside/ip", "203.0.113.7"),
        ("/probes/udp_echo/tests/second/outcome", "answered")
    ),
    kind!(
        "kinds, endpoint-independent mapping, address-dependent filtering",
        {
            let table = lets_in("ip saddr . udp dport @asked");
            everything(with_table(topology::endpoint_independent(), &table))
        },
        "Symmetric-NAT different/different 0",
        [OPEN, OPEN, EI, AD, NO, NO, ONLY, ONLY],
        ("/probes/udp_echo/tests/second/outcome", "answered")
    ),
    kind!(
        "kinds, endpoint-independent mapping, address-and-port-dependent filtering",
        everything(topology::endpoint_independent()),
        "Symmetric-NAT different/different 0",
        [STRICT, STRICT, EI, APD, NO, NO, ONLY, ONLY],
        ("/probes/udp_echo/tests/second/outcome", "no-answer"),
        ("/probes/udp_echo/tests/third/outcome", "answered")
    ),
    // What comes from the other address arrives through no mapping: none is for it.
    kind!(
        "kinds, address-dependent mapping and filtering",
        everything(with_table(by_address(), BY_ADDRESS)),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, SYMMETRIC, AD, UNKNOWN, UNKNOWN, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, address-dependent mapping, address-and-port-dependent filtering",
        everything(by_address()),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, SYMMETRIC, AD, APD, UNKNOWN, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, address-and-port-dependent mapping",
        everything(topology::endpoint_dependent()),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, SYMMETRIC, APD, UNKNOWN, UNKNOWN, NO, ONLY, ONLY],
        ("/probes/udp_echo/tests/third/outcome", "answered"),
        ("/probes/stun/0/unknown/0/reason", "hidden-by-mapping")
    ),
    // The filter is that of the inside end: what it sent to gets in by each of its mappings.
    kind!(
        "kinds, address-dependent mapping, endpoint-independent filtering",
        exact(Maps::ByAddress, LetsIn::Everybody, false),
        "Symmetric-NAT different/different 0",
        [OPEN, OPEN, AD, EI, UNKNOWN, NO, ONLY, "likely"]
    ),
    // No label of STUN: that of UDP echo follows the answers that get in, that of STUN the mapping.
    Row {
        path: "kinds, address-dependent mapping, address-dependent filtering by inside end",
        run: || exact(Maps::ByAddress, LetsIn::Addresses, false),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/probes/udp_echo/label", OPEN),
            ("/probes/stun/0/label", OPEN),
            ("/conclusion/disagreements", "[]"),
            ("/probes/stun/0/mapping", AD),
            ("/probes/stun/0/filtering", AD),
            ("/probes/stun/0/hairpin", UNKNOWN),
            ("/probes/stun/0/port_kept", NO),
            ("/conclusion/file_transfer", ONLY),
            ("/conclusion/voice", ONLY),
        ],
    },
    kind!(
        "kinds, address-dependent mapping, address-and-port-dependent filtering by inside end",
        exact(Maps::ByAddress, LetsIn::AddressesAndPorts, false),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, SYMMETRIC, AD, APD, UNKNOWN, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, address-and-port-dependent mapping, endpoint-independent filtering",
        exact(Maps::ByAddressAndPort, LetsIn::Everybody, false),
        "Symmetric-NAT different/different 0",
        [OPEN, OPEN, APD, EI, UNKNOWN, NO, ONLY, "likely"]
    ),
    Row {
        path: "kinds, address-and-port-dependent mapping, address-dependent filtering by inside end",
        run: || exact(Maps::ByAddressAndPort, LetsIn::Addresses, false),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/probes/udp_echo/label", OPEN),
            ("/probes/stun/0/label", OPEN),
            ("/conclusion/disagreements", "[]"),
            ("/probes/stun/0/mapping", APD),
            ("/probes/stun/0/filtering", AD),
            ("/probes/stun/0/hairpin", UNKNOWN),
            ("/probes/stun/0/port_kept", NO),
            ("/conclusion/file_transfer", ONLY),
            ("/conclusion/voice", ONLY),
        ],
    },
    kind!(
        "kinds, address-and-port-dependent mapping and filtering by inside end",
        exact(Maps::ByAddressAndPort, LetsIn::AddressesAndPorts, false),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, SYMMETRIC, APD, APD, UNKNOWN, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, ports preserved",
        everything(topology::masquerade()),
        "IP-Restrict-NAT different/same 0",
        [STRICT, STRICT, EI, APD, NO, YES, ONLY, ONLY]
    ),
    kind!(
        "kinds, parity of ports preserved",
        everything(exchanging("0x4002")),
        "Symmetric-NAT different/different 0",
        [STRICT, STRICT, EI, APD, NO, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, parity of ports not preserved",
        everything(exchanging("0x4001")),
        "Symmetric-NAT different/different 0",
        [STRICT, STRICT, EI, APD, NO, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, hairpinning",
        {
            let table = lets_in("") + HAIRPIN;
            everything(with_table(topology::endpoint_independent(), &table))
        },
        "Symmetric-NAT different/different 0",
        [OPEN, OPEN, EI, EI, YES, NO, ONLY, "likely"]
    ),
    kind!(
        "kinds, hairpinning, address-and-port-dependent filtering",
        exact(Maps::Alike, LetsIn::AddressesAndPorts, true),
        "Symmetric-NAT different/different 0",
        [STRICT, STRICT, EI, APD, YES, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, hairpinning, address-dependent mapping, endpoint-independent filtering",
        exact(Maps::ByAddress, LetsIn::Everybody, true),
        "Symmetric-NAT different/different 0",
        [OPEN, OPEN, AD, EI, YES, NO, ONLY, "likely"]
    ),
    // Toward each other, the hosts inside have ports that neither was told of.
    kind!(
        "kinds, hairpinning, address-and-port-dependent mapping and filtering",
        exact(Maps::ByAddressAndPort, LetsIn::AddressesAndPorts, true),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, SYMMETRIC, APD, APD, UNKNOWN, NO, ONLY, ONLY]
    ),
    // The kernel gives a socket the port again that it gave it toward somebody else.
    kind!(
        "kinds, ports out of a range",
        everything(from_range()),
        "Symmetric-NAT different/different 0",
        [STRICT, STRICT, EI, APD, NO, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, another outside address for each destination",
        everything(address_pool()),
        "IP-Restrict-NAT different/same 0",
        [SYMMETRIC, SYMMETRIC, AD, APD, UNKNOWN, YES, ONLY, ONLY]
    ),
    // Calls come to the ports that are open here, which nothing rewrites on the way in.
    kind!(
        "kinds, the host rewrites its own ports",
        everything(topology::own_port_rewritten()),
        "Port-Restrict-NAT same/different 0",
        [DIRECT, DIRECT, EI, APD, NO, NO, "direct", "direct"]
    ),
    kind!(
        "kinds, one address for one host",
        everything(topology::one_to_one()),
        "IP-Restrict-NAT different/same 0",
        [OPEN, OPEN, EI, EI, YES, YES, "direct", "direct"]
    ),
    kind!(
        "kinds, carrier-grade",
        everything(topology::carrier_grade()),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, SYMMETRIC, APD, UNKNOWN, UNKNOWN, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, UDP dropped",
        {
            let table = forwarding("meta l4proto udp drop");
            everything(with_table(topology::masquerade(), &table))
        },
        "IP-Restrict-NAT different/same 0",
        [
            "Firewall",
            "Firewall",
            UNKNOWN,
            UNKNOWN,
            UNKNOWN,
            UNKNOWN,
            ONLY,
            "through-the-server"
        ],
        ("/probes/udp_echo/outside", "null"),
        ("/probes/udp_echo/error", "null")
    ),
    kind!(
        "kinds, UDP refused",
        {
            let table = forwarding("meta l4proto udp reject");
            everything(with_table(topology::masquerade(), &table))
        },
        "IP-Restrict-NAT different/same 0",
        [
            "Unknown-Connect",
            "Unknown-Connect",
            UNKNOWN,
            UNKNOWN,
            UNKNOWN,
            UNKNOWN,
            ONLY,
            ONLY
        ],
        ("/probes/udp_echo/error/code", "connection-refused"),
        ("/probes/stun/0/error/code", "connection-refused")
    ),
    kind!(
        "kinds, TCP through a transparent proxy, UDP through a NAT",
        everything(topology::transparent_redirect(1863, |router, at, _| {
            relay(router, at, None)
        })),
        "Symmetric-NAT different/different 0",
        [STRICT, STRICT, EI, APD, NO, YES, ONLY, ONLY]
    ),
    kind!(
        "kinds, TCP through a transparent proxy, UDP unchanged",
        isa_like(),
        "Symmetric-NAT different/different 0",
        [
            "ISALike", "ISALike", NONE, EI, UNKNOWN, YES, "direct", "direct"
        ]
    ),
    kind_v6!(
        "kinds, IPv6 without NAT",
        over_ipv6(topology::ipv6_direct(), ""),
        "Direct-Connect same/same 0",
        [DIRECT, NONE, EI, UNKNOWN, YES, "direct", "direct"]
    ),
    kind_v6!(
        "kinds, IPv6 without NAT, stateful firewall",
        {
            let table = forwarding("iifname \"server1\" ct state new drop");
            over_ipv6(topology::ipv6_direct(), &table)
        },
        "Direct-Connect same/same 0",
        [DIRECT, NONE, APD, UNKNOWN, YES, ONLY, ONLY]
    ),
    kind_v6!(
        "kinds, IPv6, prefix translated",
        over_ipv6(topology::ipv6_prefix_translation(), ""),
        "IP-Restrict-NAT different/same 0",
        [OPEN, EI, EI, NO, YES, "direct", "direct"]
    ),
    kind_v6!(
        "kinds, IPv6, ports preserved",
        over_ipv6(masquerade_v6("", Port::Kept), ""),
        "IP-Restrict-NAT different/same 0",
        [STRICT, EI, APD, NO, YES, ONLY, ONLY]
    ),
    kind_v6!(
        "kinds, IPv6, address-and-port-dependent mapping",
        over_ipv6(
            masquerade_v6("to :61000-65535 fully-random", Port::Changed),
            ""
        ),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, APD, UNKNOWN, UNKNOWN, NO, ONLY, ONLY]
    ),
];

const STATEFUL: &str = "table inet stateful {
    chain in {
        type filter hook input priority filter;
        ct state new drop
    }
}";

/// What comes from inside to an outside end goes back inside, with the outside end of its sender.
const HAIRPIN: &str = "
table ip hairpin {
    chain out {
        type nat hook postrouting priority srcnat;
        ip saddr 192.168.1.5 ip daddr 192.168.1.5 meta l4proto udp snat to 203.0.113.7 : udp sport ^ 0x4000
    }
}";

/// Exchanges bits of the port: one outside port for each inside port, whatever the destination.
fn exchanging(bits: &str) -> Result<Topology, Error> {
    let rule = format!(
        "meta l4proto tcp snat to 203.0.113.7 : tcp sport ^ {bits}
        meta l4proto udp snat to 203.0.113.7 : udp sport ^ {bits}"
    );
    topology::behind_nat("bits", "bits of the port", &rule, Port::ChangedAlike)
}

/// One outside port for each inside port and destination address.
fn by_address() -> Result<Topology, Error> {
    let rules = [("203.0.113.80", "0x4000"), ("203.0.113.81", "0x2000")].map(|(server, bits)| {
        format!(
            "ip daddr {server} meta l4proto tcp snat to 203.0.113.7 : tcp sport ^ {bits}
            ip daddr {server} meta l4proto udp snat to 203.0.113.7 : udp sport ^ {bits}"
        )
    });
    let rules = rules.join("\n");
    topology::behind_nat("byaddress", "by address", &rules, Port::ChangedPerServer)
}

/// Lets in through the mapping of [`by_address`] what comes from the address that it is for.
const BY_ADDRESS: &str = "table ip letsin {
    set asked { type ipv4_addr . inet_service; flags dynamic; size 64; }
    chain out {
        type filter hook postrouting priority srcnat + 10;
        ip saddr 203.0.113.7 meta l4proto udp add @asked { ip daddr . udp sport }
    }
    chain in {
        type nat hook prerouting priority dstnat;
        ip daddr 203.0.113.7 ip saddr 203.0.113.80 ip saddr . udp dport @asked dnat to 192.168.1.5 : udp dport ^ 0x4000
        ip daddr 203.0.113.7 ip saddr 203.0.113.81 ip saddr . udp dport @asked dnat to 192.168.1.5 : udp dport ^ 0x2000
    }
}";

/// The login's TCP goes to a relay in place of the server; everything else is left alone.
fn isa_like() -> Result<Run, Error> {
    let mut net = topology::direct()?;
    // The relay dials from ports that no client has.
    let ports = topology::OUTSIDE_PORTS.replace('-', " ");
    net.server.sysctl("net.ipv4.ip_local_port_range", &ports)?;
    net.sees = Sees::From(net.servers[0], Port::Changed);
    net.client.nft(
        "table ip redirects {
            chain out {
                type nat hook output priority -100;
                ip daddr 203.0.113.80 tcp dport 1863 dnat to 203.0.113.81:1865
            }
        }",
    )?;
    let at = SocketAddr::from(([203, 0, 113, 81], 1865));
    let _relay = relay(&net.server, at, Some(net.dial(1863)))?;
    everything(Ok(net))
}

/// Ports out of a range, without a word about how they are chosen.
fn from_range() -> Result<Topology, Error> {
    let rule = format!("snat to 203.0.113.7:{}", topology::OUTSIDE_PORTS);
    topology::behind_nat("range", "ports out of a range", &rule, Port::Changed)
}

/// Two outside addresses, one for each address of the server.
fn address_pool() -> Result<Topology, Error> {
    let rule = "snat to ip daddr map { 203.0.113.80 : 203.0.113.7, 203.0.113.81 : 203.0.113.8 }";
    let net = topology::behind_nat("pool", "address pool", rule, Port::Kept)?;
    let (router, device) = &net.links[1].a;
    router.add_address(device, "203.0.113.8/24")?;
    Ok(net)
}

fn exact(maps: Maps, lets_in: LetsIn, hairpins: bool) -> Result<Run, Error> {
    let nat = ExactNat {
        maps,
        lets_in,
        hairpins,
    };
    everything(nat.build())
}

/// IPv6 through a router that masquerades it.
fn masquerade_v6(ports: &str, port: Port) -> Result<Topology, Error> {
    let mut net = topology::ipv6_direct()?;
    let (router, device) = &net.links[1].a;
    router.nft(&format!(
        "table ip6 nat {{
            chain out {{
                type nat hook postrouting priority srcnat;
                oifname {device} meta l4proto {{ tcp, udp }} masquerade {ports}
            }}
        }}"
    ))?;
    let outside = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
    net.sees = Sees::From(outside.into(), port);
    Ok(net)
}

/// STUN and calls over IPv6; UDP echo carries IPv4 alone.
fn over_ipv6(net: Result<Topology, Error>, table: &str) -> Result<Run, Error> {
    let net = with_table(net, table)?;
    let at = format!("[{}]:7001", net.servers[0]);
    let server = serve_with(&net, &["--open", "--call-back", &at])?;
    let _coturn = coturn(&net.server, [net.servers[0], net.servers[1]])?;
    let stun = format!("[{}]", net.servers[0]);
    let options = ["--stun", &stun, "--call-back", &at];
    let run = Tool::new(&net, &server).args(&options).run()?;
    Ok(run.seen_as(&net))
}
