//! More looks than one: at a second server, and at the same one again.

use crate::ends::{Server, Tool, login};
use crate::lab::{Error, topology};
use crate::run::Run;
use crate::table::Row;

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "one mapping toward two servers",
        run: || login(topology::endpoint_independent(), SECOND),
        expected: "Unknown-NAT different/different 0",
        facts: &[
            ("/mapping", "endpoint-independent"),
            ("/reason/code", "mapping-independent-of-destination"),
            ("/alternatives", "[]"),
            ("/looks/1/server", "203.0.113.81:1863"),
            ("/looks/1/label", "Symmetric-NAT"),
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
        path: "one mapping, but nobody asks a second server",
        run: || login(topology::endpoint_independent(), &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/mapping", "null"),
            ("/alternatives", r#"["Unknown-NAT"]"#),
            ("/looks", "[]"),
        ],
    },
    Row {
        path: "no NAT, second server",
        run: || login(topology::direct(), SECOND),
        expected: "Direct-Connect same/same 0",
        facts: &[("/looks/1/label", "Direct-Connect"), ("/mapping", "null")],
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
            ("~/warnings", "is in use toward this very address"),
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
            ("/looks/0/local/port", "41130"),
            ("/looks/1/local/port", "41130"),
        ],
    },
    Row {
        path: "random port, three looks",
        run: || login(topology::masquerade_random(), REPEAT),
        expected: "Symmetric-NAT different/different 0",
        facts: &[("/looks/2/label", "Symmetric-NAT")],
    },
    Row {
        path: "port kept, three looks",
        run: || login(topology::masquerade(), REPEAT),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[("/looks/2/label", "IP-Restrict-NAT")],
    },
    Row {
        path: "one mapping, second server, three looks",
        run: || {
            let args = [SECOND, REPEAT].concat();
            login(topology::endpoint_independent(), &args)
        },
        expected: "Unknown-NAT different/different 0",
        facts: &[("/looks/3/label", "Symmetric-NAT")],
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

fn second_refuses() -> Result<Run, Error> {
    let net = topology::endpoint_dependent()?;
    second_is_met_by(&net, "reject with tcp reset")?;
    login(Ok(net), SECOND)
}

fn second_silent() -> Result<Run, Error> {
    let net = topology::endpoint_dependent()?;
    second_is_met_by(&net, "drop")?;
    let server = Server::start(&net)?;
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
