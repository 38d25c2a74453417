//! UDP echo beside the login: what a NAT lets in, and how it maps.

use crate::ends::{Tool, serve_with};
use crate::run::Run;
use crate::table::Row;
use support::lab::{Error, Topology, topology};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "UDP echo, round trip 400 ms, 5 % loss",
        run: || {
            let net = topology::slow_and_lossy()?;
            let server = serve_with(&net, SERVE)?;
            Tool::new(&net, &server).timeout(60).args(ASK).run()
        },
        expected: "Direct-Connect same/same 0",
        facts: &[(LABEL, "Direct-Connect")],
    },
    Row {
        path: "UDP echo, only the other address dropped",
        run: || {
            let rule = "ip daddr 203.0.113.81 udp dport 7001 drop";
            echo(topology::masquerade(), &forwarding(rule))
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (LABEL, "Unknown-Connect"),
            ("/probes/udp_echo/error/code", "timeout"),
        ],
    },
];

const LABEL: &str = "/probes/udp_echo/label";

const SERVE: &[&str] = &["--open", "--udp-echo", "203.0.113.80,203.0.113.81"];

const ASK: &[&str] = &["--udp-echo", "203.0.113.80"];

/// A login with UDP echo beside it, the router having this table as well.
fn echo(net: Result<Topology, Error>, table: &str) -> Result<Run, Error> {
    let net = with_table(net, table)?;
    let server = serve_with(&net, SERVE)?;
    Ok(Tool::new(&net, &server).args(ASK).run()?.seen_as(&net))
}

/// The network with this table on its router, or on the client where there is none.
pub(crate) fn with_table(net: Result<Topology, Error>, table: &str) -> Result<Topology, Error> {
    let net = net?;
    if !table.is_empty() {
        net.routers.first().unwrap_or(&net.client).nft(table)?;
    }
    Ok(net)
}

/// The table of a router that passes on what comes to an outside port, if `condition` holds; `@asked`
/// has every address that was sent UDP to, with the outside port that it came from. The mapping is that of
/// [`topology::endpoint_independent`].
pub(crate) fn lets_in(condition: &str) -> String {
    format!(
        "table ip letsin {{
            set asked {{ type ipv4_addr . inet_service; flags dynamic; size 64; }}
            chain out {{
                type filter hook postrouting priority srcnat + 10;
                ip saddr 203.0.113.7 meta l4proto udp add @asked {{ ip daddr . udp sport }}
            }}
            chain in {{
                type nat hook prerouting priority dstnat;
                ip daddr 203.0.113.7 meta l4proto udp {condition} dnat to 192.168.1.5 : udp dport ^ 0x4000
            }}
        }}"
    )
}

/// The table of a router that treats what it forwards by this rule.
pub(crate) fn forwarding(rule: &str) -> String {
    format!(
        "table inet udpecho {{
            chain through {{
                type filter hook forward priority filter;
                {rule}
            }}
        }}"
    )
}
