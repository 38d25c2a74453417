//! Being called beside the login, and what everything together concludes.

use crate::ends::{Tool, serve_with};
use crate::port_mapping::{NAT_PMP, ON, daemon, router, start};
use crate::run::Run;
use crate::table::Row;
use crate::udp::with_table;
use support::lab::proxies::coturn;
use support::lab::topology::{self, Sees};
use support::lab::{Error, Topology};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "called, no NAT",
        run: || called(topology::direct(), "", CALL),
        expected: "Direct-Connect same/same 0",
        facts: &[
            (TCP, "arrived"),
            (UDP, "arrived"),
            ("/probes/listen/tcp", "true"),
            ("/probes/listen/udp", "true"),
            (FILES, "direct"),
            (VOICE, "direct"),
            ("/conclusion/webcam", "direct"),
            ("/conclusion/reason/voice", "call-arrived"),
            (CHANGE, "null"),
        ],
    },
    Row {
        path: "called, no NAT, a firewall drops what was not asked for",
        run: || called(topology::direct(), &filtered("drop"), CALL),
        expected: "Direct-Connect same/same 0",
        facts: &[
            (TCP, "lost"),
            (UDP, "lost"),
            ("/probes/listen/tcp", "false"),
            (FILES, ONLY),
            (VOICE, ONLY),
            ("/conclusion/reason/file_transfer", "call-did-not-arrive"),
            (CHANGE, "allow-in-firewall"),
        ],
    },
    Row {
        path: "called, no NAT, a firewall refuses what was not asked for",
        run: || {
            let table = filtered("meta l4proto tcp reject with tcp reset");
            called(topology::direct(), &table, CALL)
        },
        expected: "Direct-Connect same/same 0",
        facts: &[
            (TCP, "refused"),
            (UDP, "arrived"),
            (FILES, ONLY),
            (VOICE, "direct"),
        ],
    },
    Row {
        path: "called, IPv6",
        run: || {
            let net = topology::ipv6_direct()?;
            let at = format!("[{}]:7001", net.servers[0]);
            let server = serve_with(&net, &["--open", "--call-back", &at])?;
            Tool::new(&net, &server).args(&["--call-back", &at]).run()
        },
        expected: "Direct-Connect same/same 0",
        facts: &[(TCP, "arrived"), (UDP, "arrived"), (FILES, "direct")],
    },
    Row {
        path: "called, a router that refuses",
        run: || called(topology::masquerade(), "", CALL),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (TCP, "refused"),
            (UDP, "lost"),
            ("/probes/listen/seen/ip", "203.0.113.7"),
            (FILES, ONLY),
            (CHANGE, "forward-ports"),
        ],
    },
    Row {
        path: "called, a router that forwards everything",
        run: || {
            let table = "table ip forwards {
                chain in {
                    type nat hook prerouting priority dstnat;
                    ip daddr 203.0.113.7 dnat to 192.168.1.5
                }
            }";
            called(topology::masquerade(), table, CALL)
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (TCP, "arrived"),
            (UDP, "arrived"),
            (FILES, "direct"),
            (VOICE, "direct"),
        ],
    },
    Row {
        path: "called, through what the router opens",
        run: || {
            let net = router()?;
            let _daemon = daemon(&net, ON)?;
            called(Ok(net), "", TRY)
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (TCP, "refused"),
            (UDP, "lost"),
            ("/probes/listen/mapped/tcp", "arrived"),
            ("/probes/listen/mapped/udp", "arrived"),
            ("/probes/listen/tcp", "true"),
            ("/probes/port_mapping/opened/closed", "true"),
            (FILES, "direct"),
            ("/conclusion/reason/voice", "call-arrived-through-router"),
            (CHANGE, "use-upnp"),
        ],
    },
    Row {
        path: "called, the router opens ports behind another NAT",
        run: || {
            let net = topology::carrier_grade()?;
            let _router = start(&net, NAT_PMP)?;
            called(Ok(net), "", TRY)
        },
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/probes/listen/mapped/tcp", "refused"),
            ("/probes/listen/mapped/udp", "lost"),
            (FILES, ONLY),
            (
                "/conclusion/disagreements",
                r#"["opened-ports-not-reached"]"#,
            ),
            (CHANGE, "forward-ports"),
        ],
    },
    Row {
        path: "called, the server does not call",
        run: || {
            let net = topology::direct()?;
            let server = serve_with(&net, &["--open"])?;
            Tool::new(&net, &server).args(&["--listen-test"]).run()
        },
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/probes/listen/error/code", "connection-refused"),
            ("/probes/listen/tcp", "null"),
            (FILES, "likely"),
            (VOICE, "not-known"),
        ],
    },
    Row {
        path: "everything asked, a router that opens ports",
        run: || {
            let net = router()?;
            let _daemon = daemon(&net, ON)?;
            everything(Ok(net))
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            ("/probes/udp_echo/label", "Port-Restrict-NAT"),
            ("/probes/stun/0/label", "Port-Restrict-NAT"),
            ("/probes/port_mapping/relation", "only-nat"),
            ("/probes/port_mapping/opened", "null"),
            (TCP, "refused"),
            (FILES, "likely"),
            (VOICE, "likely"),
            ("/conclusion/disagreements", "[]"),
            (CHANGE, "use-upnp"),
        ],
    },
    Row {
        path: "everything asked, TCP rejected beyond the login's port",
        run: || everything(topology::rejects(7001)),
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/probes/listen/error/code", "connection-refused"),
            (FILES, "likely"),
            (VOICE, "likely"),
        ],
    },
];

const TCP: &str = "/probes/listen/own/tcp";
const UDP: &str = "/probes/listen/own/udp";
const FILES: &str = "/conclusion/file_transfer";
const VOICE: &str = "/conclusion/voice";
const CHANGE: &str = "/conclusion/change";
const ONLY: &str = "only-if-the-other-side-can-be-called";

const AT: &str = "203.0.113.80:7001";

/// The server is that of the login.
const CALL: &[&str] = &["--listen-test"];
const TRY: &[&str] = &["--call-back", AT, "--port-mapping=try"];

/// A login with a call beside it.
fn called(net: Result<Topology, Error>, table: &str, options: &[&str]) -> Result<Run, Error> {
    let net = with_table(net, table)?;
    let server = serve_with(&net, &["--open", "--call-back", AT])?;
    Tool::new(&net, &server).args(options).run()
}

/// A login with everything beside it. What the server saw must be what the network is known to show it.
pub(crate) fn everything(net: Result<Topology, Error>) -> Result<Run, Error> {
    let net = net?;
    let echo = "203.0.113.80,203.0.113.81";
    let server = serve_with(&net, &["--open", "--call-back", AT, "--udp-echo", echo])?;
    let _coturn = coturn(&net.server, [net.servers[0], net.servers[1]])?;
    let options = [
        "--all",
        "--udp-echo",
        "203.0.113.80",
        "--stun",
        "203.0.113.80",
    ];
    let run = Tool::new(&net, &server).args(&options).run()?;
    Ok(match net.sees {
        Sees::From(..) => run.seen_as(&net),
        // That is about a port which is not the login's.
        Sees::Nothing(_) => run,
    })
}

/// The table of a host that treats new connections to it by this rule.
fn filtered(rule: &str) -> String {
    format!(
        "table inet filtered {{
            chain in {{
                type filter hook input priority filter;
                ct state new {rule}
            }}
        }}"
    )
}
