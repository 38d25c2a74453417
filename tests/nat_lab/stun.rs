//! STUN beside the login, with coturn as the server: how a NAT maps, and what it lets in.

use std::time::Duration;

use crate::ends::{Tool, serve};
use crate::run::Run;
use crate::table::Row;
use crate::udp::{forwarding, with_table};
use support::lab::proxies::coturn;

use support::lab::{Error, LineOptions, Topology, topology};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "STUN, round trip 300 ms",
        run: || stun(slow(0.0), ""),
        expected: "Direct-Connect same/same 0",
        facts: &[
            (LABEL, "Direct-Connect"),
            (FILTERING, "endpoint-independent"),
        ],
    },
    Row {
        path: "STUN, round trip 300 ms, a firewall lets in only what was asked for",
        run: || stun(slow(0.0), STATEFUL),
        expected: "Direct-Connect same/same 0",
        facts: &[
            (LABEL, "Direct-Connect"),
            (FILTERING, "address-and-port-dependent"),
        ],
    },
    Row {
        path: "STUN, round trip 300 ms, 5 % loss",
        run: || stun(slow(0.05), ""),
        expected: "Direct-Connect same/same 0",
        facts: &[
            (LABEL, "Direct-Connect"),
            (FILTERING, "endpoint-independent"),
        ],
    },
    Row {
        path: "STUN, only the other address dropped",
        run: || {
            let rule = "ip daddr 203.0.113.81 meta l4proto udp drop";
            stun(topology::masquerade(), &forwarding(rule))
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (LABEL, "Unknown-Connect"),
            (MAPPING, "null"),
            ("/probes/stun/0/unknown/0/reason", "other-address-silent"),
        ],
    },
    Row {
        path: "STUN over TCP, no NAT",
        run: || over_tcp(topology::direct()),
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/probes/stun/0/transport", "tcp"),
            (LABEL, "null"),
            (MAPPING, "none"),
            (FILTERING, "null"),
            ("/probes/stun/0/error", "null"),
        ],
    },
    Row {
        path: "STUN over TCP, endpoint-independent mapping",
        run: || over_tcp(topology::endpoint_independent()),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            (MAPPING, "endpoint-independent"),
            ("/probes/stun/1/mapping", "endpoint-independent"),
            ("/probes/stun/0/outside/ip", "203.0.113.7"),
        ],
    },
    Row {
        path: "STUN over TCP, another outside port for each flow",
        run: || over_tcp(topology::endpoint_dependent()),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            (MAPPING, "endpoint-dependent"),
            ("/probes/stun/1/mapping", "endpoint-dependent"),
        ],
    },
    Row {
        path: "STUN over TCP, the port rejected",
        run: || over_tcp(topology::rejects(3478)),
        expected: "Direct-Connect same/same 0",
        facts: &[("/probes/stun/0/error/code", "connection-refused")],
    },
];

const LABEL: &str = "/probes/stun/0/label";
const MAPPING: &str = "/probes/stun/0/mapping";
const FILTERING: &str = "/probes/stun/0/filtering";

/// The table of a host that lets in answers alone.
const STATEFUL: &str = "table inet stateful {
    chain in {
        type filter hook input priority filter;
        meta l4proto udp ct state new drop
    }
}";

/// A line with a round trip of 300 ms that loses this share of the packets.
fn slow(loss: f64) -> Result<Topology, Error> {
    let options = LineOptions {
        delay: Duration::from_millis(150),
        loss,
        ..LineOptions::default()
    };
    topology::delayed("150 ms one way", &options)
}

/// A login with STUN beside it, the router, or the host where there is none, having this table as well.
fn stun(net: Result<Topology, Error>, table: &str) -> Result<Run, Error> {
    let net = with_table(net, table)?;
    let server = serve(&net)?;
    let _coturn = coturn(&net.server, [net.servers[0], net.servers[1]])?;
    let run = Tool::new(&net, &server)
        .args(&["--stun", "203.0.113.80"])
        .run()?;
    Ok(run.seen_as(&net))
}

/// A login with two servers asked over TCP beside it.
fn over_tcp(net: Result<Topology, Error>) -> Result<Run, Error> {
    let net = net?;
    let server = serve(&net)?;
    let _coturn = coturn(&net.server, [net.servers[0], net.servers[1]])?;
    let stun = "tcp://203.0.113.80,tcp://203.0.113.81";
    Tool::new(&net, &server).args(&["--stun", stun]).run()
}
