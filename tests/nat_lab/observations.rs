//! More than one observation: at a second server, and at the same one again.

use std::net::{Ipv4Addr, SocketAddr};

use crate::ends::{Tool, login, serve, serve_on, serve_with};
use crate::run::Run;
use crate::table::Row;
use support::Serve;
use support::lab::topology::{self, Port, Topology};
use support::lab::{Error, proxies};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "one mapping toward two servers",
        run: || login(topology::endpoint_independent(), SECOND),
        expected: "Unknown-NAT different/different 0",
        facts: &[
            ("/mapping", "endpoint-independent"),
            ("/reason/code", "mapping-independent-of-destination"),
            ("/alternatives", "[]"),
            ("/observations/1/server", "203.0.113.81:1863"),
            ("/observations/1/label", "Symmetric-NAT"),
        ],
    },
    Row {
        path: "another mapping toward each server",
        run: || login(topology::endpoint_dependent(), SECOND),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/mapping", "endpoint-dependent"),
            ("/reason/code", "mapping-depends-on-destination"),
            ("/alternatives", "[]"),
        ],
    },
    Row {
        path: "one mapping, second server inside the NAT",
        run: second_inside,
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/alternatives", r#"["Unknown-NAT"]"#),
            ("/mapping", "null"),
            ("/observations/1/label", "Direct-Connect"),
            ("~/warnings", "second-not-translated"),
        ],
    },
    Row {
        path: "one mapping, second server behind a proxy of its own",
        run: second_behind_relay,
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/alternatives", r#"["Unknown-NAT"]"#),
            ("/mapping", "null"),
            ("/observations/1/label", "Unknown-Connect"),
            ("~/warnings", "second-undetermined"),
        ],
    },
    Row {
        path: "another address toward each server",
        run: || login(address_pool(), SECOND),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/alternatives", r#"["Unknown-NAT"]"#),
            ("/mapping", "null"),
            ("/observations/1/observed/client_ip/ip", "203.0.113.8"),
            ("~/warnings", "two-outside-addresses"),
        ],
    },
    Row {
        path: "port kept toward the first server only",
        run: || login(kept_toward("203.0.113.80"), SECOND),
        expected: "Symmetric-NAT different/same 0",
        facts: KEPT_ONCE,
    },
    Row {
        path: "port kept toward the second server only",
        run: || login(kept_toward("203.0.113.81"), SECOND),
        expected: "Symmetric-NAT different/different 0",
        facts: KEPT_ONCE,
    },
    Row {
        path: "one port, two logins by way of a dispatch server that takes turns",
        run: dispatch_takes_turns,
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/alternatives", r#"["Unknown-NAT"]"#),
            ("/observations/0/observed/client_port/number", "12785"),
            ("/observations/1/observed/client_port/number", "12785"),
        ],
    },
    Row {
        path: "one mapping, by way of two dispatch servers",
        run: || {
            let servers = ["--server", "203.0.113.80:1864"];
            let second = ["--second-server", "203.0.113.81:1864"];
            login(
                topology::endpoint_independent(),
                &[servers, second].concat(),
            )
        },
        expected: "Unknown-NAT different/different 0",
        facts: &[("/mapping", "endpoint-independent")],
    },
    Row {
        path: "one mapping, without a second server",
        run: || login(topology::endpoint_independent(), &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/mapping", "null"),
            ("/alternatives", r#"["Unknown-NAT"]"#),
            ("/observations/0/label", "Symmetric-NAT"),
        ],
    },
    Row {
        path: "no NAT, second server",
        run: || login(topology::direct(), SECOND),
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/observations/1/label", "Direct-Connect"),
            ("/mapping", "null"),
        ],
    },
    Row {
        path: "another mapping, second server refuses",
        run: second_refuses,
        expected: "Symmetric-NAT different/different 0",
        facts: LEFT_OPEN,
    },
    Row {
        path: "another mapping, second server is silent",
        run: second_silent,
        expected: "Symmetric-NAT different/different 0",
        facts: LEFT_OPEN,
    },
    Row {
        path: "random port, second server is the first",
        run: || {
            let same = ["--second-server", "203.0.113.80"];
            login(topology::masquerade_random(), &same)
        },
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/alternatives", r#"["Unknown-NAT"]"#),
            ("~/warnings", "look-failed"),
            (
                "~/observations/1/error/message",
                "is in use toward this very address",
            ),
        ],
    },
    Row {
        path: "random port, second port of one server",
        run: || {
            let dispatch = ["--second-server", "203.0.113.80:1864"];
            login(topology::masquerade_random(), &dispatch)
        },
        expected: "Symmetric-NAT different/different 0",
        facts: LEFT_OPEN,
    },
    Row {
        path: "random port, second server has IPv6 only",
        run: || {
            let v6 = ["--second-server", "[2001:db8::81]"];
            login(topology::masquerade_random(), &v6)
        },
        expected: "Symmetric-NAT different/different 0",
        facts: LEFT_OPEN,
    },
    Row {
        path: "chosen local port, second server",
        run: || {
            let args = [SECOND, &["--bind", ":41130"]].concat();
            login(topology::endpoint_independent(), &args)
        },
        expected: "Unknown-NAT different/different 0",
        facts: &[
            ("/observations/0/local/port", "41130"),
            ("/observations/1/local/port", "41130"),
        ],
    },
    Row {
        path: "random port, three observations",
        run: || login(topology::masquerade_random(), REPEAT),
        expected: "Symmetric-NAT different/different 0",
        facts: &[("/observations/2/label", "Symmetric-NAT")],
    },
    Row {
        path: "port kept, three observations",
        run: || login(topology::masquerade(), REPEAT),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[("/observations/2/label", "IP-Restrict-NAT")],
    },
    Row {
        path: "one mapping, second server, three observations",
        run: || {
            let args = [SECOND, REPEAT].concat();
            login(topology::endpoint_independent(), &args)
        },
        expected: "Unknown-NAT different/different 0",
        facts: &[("/observations/3/label", "Symmetric-NAT")],
    },
];

const SECOND: &[&str] = &["--second-server", "203.0.113.81"];

const REPEAT: &[&str] = &["--repeat", "3"];

/// Nothing was settled, and the document says so.
const LEFT_OPEN: &[crate::table::Fact] = &[
    ("/alternatives", r#"["Unknown-NAT"]"#),
    ("/mapping", "null"),
    ("~/warnings", "look-failed"),
];

/// The mapping depends on the destination, whichever server is asked first.
const KEPT_ONCE: &[crate::table::Fact] = &[
    ("/alternatives", "[]"),
    ("/mapping", "endpoint-dependent"),
    ("/reason/code", "port-kept-toward-one-server"),
];

/// The second server is on the router, at its inside address.
fn second_inside() -> Result<Run, Error> {
    let net = topology::endpoint_independent()?;
    let first = serve(&net)?;
    let name = ["--open", "--tls-name", "192.168.1.1"];
    let second = serve_on(&net.routers[0], &net, &name)?;
    let folder = tempfile::tempdir()?;
    let both = folder.path().join("both.pem");
    let read = |server: &Serve| std::fs::read(server.ca_file());
    std::fs::write(&both, [read(&first)?, read(&second)?].concat())?;
    let ca_file = both.to_string_lossy();
    let args = ["--ca-file", &ca_file, "--second-server", "192.168.1.1"];
    Ok(Tool::new(&net, &first).args(&args).run()?.seen_as(&net))
}

/// The second server's address is that of a relay on the server's host.
fn second_behind_relay() -> Result<Run, Error> {
    let net = topology::endpoint_independent()?;
    let behind = SocketAddr::from((Ipv4Addr::LOCALHOST, 1863));
    let listen = format!("{},{behind}", net.dial(1863));
    let server = serve_with(&net, &["--open", "--listen", &listen])?;
    let _relay = proxies::relay(&net.server, net.dial_all(1863)[1], Some(behind))?;
    Ok(Tool::new(&net, &server).args(SECOND).run()?.seen_as(&net))
}

/// A NAT with two public addresses, one for each server.
fn address_pool() -> Result<Topology, Error> {
    let rules = "ip daddr 203.0.113.80 meta l4proto tcp snat to 203.0.113.7:61000-62999
        meta l4proto tcp snat to 203.0.113.8:63000-65535";
    let net = topology::behind_nat("pool", "address pool", rules, Port::ChangedPerServer)?;
    net.routers[0].add_address(&net.links[1].a.1, "203.0.113.8/24")?;
    Ok(net)
}

/// A NAT that keeps the port toward one server and replaces it toward all others. The kernel uses
/// an outside port again that fits both rules, so the ranges are apart.
fn kept_toward(server: &str) -> Result<Topology, Error> {
    let rules = format!(
        "ip daddr {server} meta l4proto tcp masquerade to :41024-41119
        meta l4proto tcp masquerade to :61000-65535 fully-random"
    );
    let port = match server {
        "203.0.113.80" => Port::Kept,
        _ => Port::Changed,
    };
    topology::behind_nat("keptonce", "port kept toward one server", &rules, port)
}

/// Two dispatch servers that take turns at one address, each of which refers to another
/// notification server. The NAT gives every connection to those the same outside port, which it
/// can: their destinations differ.
fn dispatch_takes_turns() -> Result<Run, Error> {
    let rules = "meta l4proto tcp tcp dport 1863 snat to 203.0.113.7:61745
        meta l4proto tcp masquerade";
    let net = topology::behind_nat("turns", "one outside port", rules, Port::Changed)?;
    let one = [
        "--dispatch-listen",
        "203.0.113.80:1865",
        "--advertise",
        "203.0.113.80",
    ];
    let server = serve_with(&net, &[&["--open"], &one[..]].concat())?;
    let other = [
        "--listen",
        "127.0.0.1:1866",
        "--dispatch-listen",
        "203.0.113.80:1867",
        "--advertise",
        "203.0.113.81:1863",
        "--passport-listen",
        "127.0.0.1:8443",
        "--gateway-listen",
        "127.0.0.1:8080",
    ];
    let _other = serve_with(&net, &[&["--open"], &other[..]].concat())?;
    net.server.nft(
        "table ip turns {
            chain in {
                type nat hook prerouting priority dstnat;
                tcp dport 1864 redirect to :numgen inc mod 2 map { 0 : 1865, 1 : 1867 }
            }
        }",
    )?;
    Tool::new(&net, &server)
        .args(&["--server", "203.0.113.80:1864", "--repeat", "2"])
        .run()
}

fn second_refuses() -> Result<Run, Error> {
    let net = topology::endpoint_dependent()?;
    second_is_met_by(&net, "reject with tcp reset")?;
    login(Ok(net), SECOND)
}

fn second_silent() -> Result<Run, Error> {
    let net = topology::endpoint_dependent()?;
    second_is_met_by(&net, "drop")?;
    let server = serve(&net)?;
    let run = Tool::new(&net, &server).timeout(3).args(SECOND).run()?;
    Ok(run.seen_as(&net))
}

fn second_is_met_by(net: &topology::Topology, statement: &str) -> Result<(), Error> {
    net.server.nft(&format!(
        "table ip filter {{
            chain in {{
                type filter hook input priority filter;
                ip daddr 203.0.113.81 tcp dport 1863 {statement}
            }}
        }}"
    ))
}
