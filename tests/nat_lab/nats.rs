//! What stands between the two ends and rewrites, or does not, and what the line does.

use std::net::{Ipv4Addr, SocketAddr};

use crate::ends::{Tool, login, serve, serve_with};
use crate::run::Run;
use crate::table::Row;
use support::lab::topology::{self, Port};
use support::lab::{Error, proxies};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "no NAT",
        run: || login(topology::direct(), &[]),
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/reason/code", "nothing-rewritten"),
            ("/local/ip", "203.0.113.7"),
            ("/comparison/order_matched", "swapped"),
            ("/observed/client_ip/raw", "203.0.113.7"),
            ("/server/address", "203.0.113.80:1863"),
            ("/path/kind", "tcp"),
            ("/path/proxy", "null"),
            ("/alternatives", "[]"),
            ("/path/hops/1/role", "server"),
        ],
    },
    Row {
        path: "no NAT, server prints plain ports",
        run: plain_ports,
        expected: "Direct-Connect same/same 0",
        facts: &[("/comparison/order_matched", "plain")],
    },
    Row {
        path: "no NAT, by way of the dispatch server",
        run: || login(topology::direct(), &["--server", "203.0.113.80:1864"]),
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/server/requested", "203.0.113.80:1864"),
            ("/server/referrals", r#"["203.0.113.80:1863"]"#),
            ("/server/address", "203.0.113.80:1863"),
        ],
    },
    Row {
        path: "no NAT, another label expected",
        run: || login(topology::direct(), &["--expect", "Symmetric-NAT"]),
        expected: "Direct-Connect same/same 1",
        facts: &[("/expected/met", "false")],
    },
    Row {
        path: "masquerade, port kept",
        run: || login(topology::masquerade(), &[]),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            ("/reason/code", "address-rewritten"),
            ("/local/ip", "192.168.1.5"),
            ("/observed/client_ip/ip", "203.0.113.7"),
            ("/comparison/order_matched", "swapped"),
            ("/path/hops/1/role", "rewriter"),
            ("/path/hops/1/rewrites", r#"["address"]"#),
        ],
    },
    Row {
        path: "masquerade, chosen local port",
        run: || login(topology::masquerade(), &["--bind", ":41130"]),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            ("/local/port", "41130"),
            ("/observed/client_port/port", "41130"),
        ],
    },
    Row {
        path: "masquerade, random port",
        run: || login(topology::masquerade_random(), &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/reason/code", "both-rewritten"),
            ("/alternatives", r#"["Unknown-NAT"]"#),
            ("/mapping", "null"),
            ("/comparison/order_matched", "null"),
            ("/path/hops/1/rewrites", r#"["address","port"]"#),
        ],
    },
    Row {
        path: "random port, dispatch names another address",
        run: || {
            let net = topology::masquerade_random()?;
            let server = serve_with(&net, &["--open", "--advertise", "203.0.113.81"])?;
            let dispatch = ["--server", "203.0.113.80:1864"];
            Ok(Tool::new(&net, &server)
                .args(&dispatch)
                .run()?
                .seen_as(&net))
        },
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/server/referrals", r#"["203.0.113.81:1863"]"#),
            ("/server/address", "203.0.113.81:1863"),
        ],
    },
    Row {
        path: "host rewrites its own port",
        run: || login(topology::own_port_rewritten(), &[]),
        expected: "Port-Restrict-NAT same/different 0",
        facts: &[
            ("/reason/code", "port-rewritten"),
            ("/alternatives", "[]"),
            ("/path/hops/1/rewrites", r#"["port"]"#),
        ],
    },
    Row {
        path: "1:1 NAT",
        run: || login(topology::one_to_one(), &[]),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[("/observed/client_ip/ip", "203.0.113.50")],
    },
    Row {
        path: "two NATs in a row",
        run: || login(topology::carrier_grade(), &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: &[("/observed/client_ip/ip", "203.0.113.7")],
    },
    Row {
        path: "hairpin",
        run: || login(topology::hairpin(), &[]),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            ("/observed/client_ip/ip", "192.168.1.1"),
            ("~/warnings", "client-ip-not-global"),
        ],
    },
    Row {
        path: "transparent redirect to a proxy",
        run: || login(redirected(), &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/server/address", "203.0.113.80:1863"),
            ("/path/kind", "tcp"),
        ],
    },
    Row {
        path: "relay in front of the server",
        run: || relay_before_server(Ipv4Addr::LOCALHOST),
        expected: "Unknown-Connect unknown/unknown 5",
        facts: &[
            ("/observed/client_ip/ip", "127.0.0.1"),
            ("/error/code", "client-ip-loopback"),
        ],
    },
    Row {
        path: "relay in front of the server, at its own address",
        run: || relay_before_server(Ipv4Addr::new(203, 0, 113, 80)),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/observed/client_ip/ip", "203.0.113.80"),
            ("~/warnings", "client-ip-is-server"),
        ],
    },
    Row {
        path: "NAT that swaps the port's bytes, order auto",
        run: || swaps_bytes(&[]),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[("/comparison/order_matched", "plain")],
    },
    Row {
        path: "NAT that swaps the port's bytes, order given",
        run: || swaps_bytes(&["--port-order", "swapped"]),
        expected: "Symmetric-NAT different/different 0",
        facts: &[("/observed/client_port/port", "47264")],
    },
    Row {
        path: "MTU 576",
        run: || login(topology::mtu_576(), &[]),
        expected: "Direct-Connect same/same 0",
        facts: &[],
    },
    Row {
        path: "round trip 400 ms, 5 % loss",
        run: slow_and_lossy,
        expected: "Direct-Connect same/same 0",
        facts: &[],
    },
];

fn plain_ports() -> Result<Run, Error> {
    let net = topology::direct()?;
    let server = serve_with(&net, &["--open", "--port-order", "plain"])?;
    Tool::new(&net, &server).run()
}

fn redirected() -> Result<topology::Topology, Error> {
    topology::transparent_redirect(1863, |router, at, _| proxies::relay(router, at, None))
}

/// As with a reverse proxy that the server does not know of; the server listens at `ip`.
fn relay_before_server(ip: Ipv4Addr) -> Result<Run, Error> {
    let net = topology::direct()?;
    let behind = SocketAddr::from((ip, 1865));
    let server = serve_with(&net, &["--open", "--listen", &behind.to_string()])?;
    let _relay = proxies::relay(&net.server, net.dial(1863), Some(behind))?;
    Tool::new(&net, &server).run()
}

/// 41144 is 0xA0B8, and 47264 is 0xB8A0: no order fits but the one that the server did not use.
fn swaps_bytes(args: &[&str]) -> Result<Run, Error> {
    let rule = "snat to 203.0.113.7:47264";
    let net = topology::behind_nat("swap", "bytes swapped", rule, Port::Changed);
    login(net, &[&["--bind", ":41144"], args].concat())
}

/// One login is some ten round trips, of whose packets one in twenty is lost.
fn slow_and_lossy() -> Result<Run, Error> {
    let net = topology::slow_and_lossy()?;
    let server = serve(&net)?;
    let mut run = Tool::new(&net, &server).timeout(60).run()?.seen_as(&net);
    let lost = net.line.as_ref().map_or(0, |line| line.carried().lost);
    run.must(lost > 0, || "nothing was lost on the way".to_owned());
    Ok(run)
}
