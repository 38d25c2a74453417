//! Every kind of NAT that nftables can make, with everything asked beside the login: one path each
//! for the label of TCP, the label of UDP, the terms of RFC 4787, and the conclusion.

use std::net::SocketAddr;

use crate::ends::{Tool, serve_with};
use crate::reach::everything;
use crate::run::Run;
use crate::table::Row;
use crate::udp::{forwarding, lets_in, with_table};
use support::lab::proxies::{coturn, relay};
use support::lab::topology::{self, Port};
use support::lab::{Error, Topology};

/// A path, the label of TCP, and: the label of UDP echo, that of STUN, mapping, filtering, hairpin,
/// whether the port is kept, file transfer, voice.
macro_rules! kind {
    ($path:literal, $run:expr, $tcp:literal, [$($fact:expr),*]) => {{
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
        [DIRECT, DIRECT, NONE, EI, UNKNOWN, YES, "direct", "direct"]
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
        [OPEN, OPEN, EI, EI, NO, NO, ONLY, "likely"]
    ),
    kind!(
        "kinds, endpoint-independent mapping, address-dependent filtering",
        {
            let table = lets_in("ip saddr . udp dport @asked");
            everything(with_table(topology::endpoint_independent(), &table))
        },
        "Symmetric-NAT different/different 0",
        [OPEN, OPEN, EI, AD, NO, NO, ONLY, ONLY]
    ),
    kind!(
        "kinds, endpoint-independent mapping, address-and-port-dependent filtering",
        everything(topology::endpoint_independent()),
        "Symmetric-NAT different/different 0",
        [STRICT, STRICT, EI, APD, NO, NO, ONLY, ONLY]
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
        everything(topology::masquerade_random()),
        "Symmetric-NAT different/different 0",
        [SYMMETRIC, SYMMETRIC, APD, UNKNOWN, UNKNOWN, NO, ONLY, ONLY]
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
        ]
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
        ]
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
    Row {
        path: "kinds, IPv6 without NAT",
        run: || over_ipv6(""),
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/probes/stun/0/label", DIRECT),
            ("/probes/stun/0/mapping", NONE),
            ("/probes/stun/0/filtering", EI),
            ("/conclusion/file_transfer", "direct"),
            ("/conclusion/voice", "direct"),
        ],
    },
    Row {
        path: "kinds, IPv6 without NAT, stateful firewall",
        run: || over_ipv6(&forwarding("iifname \"server1\" ct state new drop")),
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/probes/stun/0/label", DIRECT),
            ("/probes/stun/0/mapping", NONE),
            ("/probes/stun/0/filtering", APD),
            ("/conclusion/file_transfer", ONLY),
            ("/conclusion/voice", ONLY),
        ],
    },
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
    let net = topology::direct()?;
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

/// STUN and calls over IPv6; UDP echo carries IPv4 alone.
fn over_ipv6(table: &str) -> Result<Run, Error> {
    let net = with_table(topology::ipv6_direct(), table)?;
    let at = format!("[{}]:7001", net.servers[0]);
    let server = serve_with(&net, &["--open", "--call-back", &at])?;
    let _coturn = coturn(&net.server, [net.servers[0], net.servers[1]])?;
    let stun = format!("[{}]", net.servers[0]);
    let options = ["--stun", &stun, "--call-back", &at];
    Tool::new(&net, &server).args(&options).run()
}
