//! What stands in the way: firewalls, names that lead nowhere, paths that end half-way.

use crate::ends::{NAME, Tool, serve, serve_on, serve_with};
use crate::run::Run;
use crate::table::Row;
use support::lab::topology::{self, Verdict};
use support::lab::{Error, Topology, proxies};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "firewall drops 1863",
        run: || in_vain(topology::drops(1863), 2, &[]),
        expected: "Unknown-Connect 3 connect timeout",
        facts: &[
            ("~/error/message", "203.0.113.80:1863"),
            ("~/error/remedy", "firewall"),
            ("/comparison", "null"),
            ("/observed", "null"),
        ],
    },
    Row {
        path: "firewall drops 1863, gateway on 80 is open",
        run: || {
            in_vain(
                topology::drops(1863),
                20,
                &["--http-gateway", "http://203.0.113.80"],
            )
        },
        expected: "Unknown-Connect same/unknown 5",
        facts: &[("/path/kind", "http-gateway")],
    },
    Row {
        path: "firewall resets 1863",
        run: || in_vain(topology::rejects(1863), 20, &[]),
        expected: "Unknown-Connect 3 connect connection-refused",
        facts: &[("~/error/message", "203.0.113.80:1863")],
    },
    Row {
        path: "firewall says port unreachable",
        run: || rejected(Verdict::PortUnreachable),
        expected: "Unknown-Connect 3 connect connection-refused",
        facts: &[],
    },
    Row {
        path: "firewall says host unreachable",
        run: || rejected(Verdict::HostUnreachable),
        expected: "Unknown-Connect 3 connect unreachable",
        facts: &[],
    },
    Row {
        path: "firewall says prohibited",
        run: || rejected(Verdict::AdminProhibited),
        expected: "Unknown-Connect 3 connect unreachable",
        facts: &[],
    },
    Row {
        path: "firewall drops 443, where Passport is",
        run: || in_vain(topology::drops(443), 2, &[]),
        expected: "Unknown-Connect 3 nexus timeout",
        facts: &[("~/error/message", "203.0.113.80:443")],
    },
    Row {
        path: "firewall resets 443, where Passport is",
        run: || in_vain(topology::rejects(443), 20, &[]),
        expected: "Unknown-Connect 3 nexus connection-refused",
        facts: &[("~/error/message", "203.0.113.80:443")],
    },
    Row {
        path: "no route at all",
        run: || in_vain(topology::proxy_only(), 20, &[]),
        expected: "Unknown-Connect 3 connect unreachable",
        facts: &[],
    },
    Row {
        path: "MTU 576, without ICMP",
        run: mtu_black_hole,
        expected: "Unknown-Connect 3 nexus timeout",
        facts: &[],
    },
    Row {
        path: "firewall goes silent in the middle of the login",
        run: || cut_at_ticket("drop", 3),
        expected: "Unknown-Connect 3 sign-in timeout",
        facts: &[("~/error/message", "203.0.113.80:1863")],
    },
    Row {
        path: "firewall resets in the middle of the login",
        run: || cut_at_ticket("reject with tcp reset", 20),
        expected: "Unknown-Connect 5 sign-in connection-lost",
        facts: &[("~/error/message", "203.0.113.80:1863")],
    },
    Row {
        path: "captive portal takes 1863",
        run: || portal(b"HTTP/1.1 302 Found\r\nLocation: http://hotel.example/\r\n\r\n"),
        expected: "Unknown-Connect 5 negotiate talks-http",
        facts: &[("~/error/remedy", "1863")],
    },
    Row {
        path: "something on the way takes over TLS",
        run: takes_over_tls,
        expected: "Unknown-Connect 3 nexus certificate-untrusted",
        facts: &[("~/error/message", "203.0.113.80:443")],
    },
    Row {
        path: "server behind a name, DNS is silent",
        run: || name_server("203.0.113.99", 2),
        expected: "Unknown-Connect 3 resolve timeout",
        facts: &[("~/error/message", NAME)],
    },
    Row {
        path: "server behind a name, no DNS at all",
        run: || name_server("127.0.0.1", 20),
        expected: "Unknown-Connect 3 resolve name-not-found",
        facts: &[("~/error/message", NAME)],
    },
    Row {
        path: "masquerade, wrong password",
        run: wrong_password,
        expected: "Unknown-Connect 4 login wrong-password",
        facts: &[("~/error/message", "203.0.113.80:443")],
    },
];

/// A login that must come to nothing within so many seconds.
fn in_vain(net: Result<Topology, Error>, seconds: u32, args: &[&str]) -> Result<Run, Error> {
    let net = net?;
    let server = serve(&net)?;
    Tool::new(&net, &server).timeout(seconds).args(args).run()
}

fn rejected(verdict: Verdict) -> Result<Run, Error> {
    in_vain(topology::firewall("reject", 1863, verdict), 20, &[])
}

/// The certificate does not fit into the narrow wire, and the routers do not say so.
fn mtu_black_hole() -> Result<Run, Error> {
    let net = topology::mtu_576()?;
    for router in &net.routers {
        router.nft(
            "table ip filter {
                chain out {
                    type filter hook output priority filter;
                    icmp type destination-unreachable drop
                }
            }",
        )?;
    }
    in_vain(Ok(net), 3, &[])
}

/// A firewall meets what holds the ticket so: of the commands, which come one at a time, the only
/// one that makes a packet of more than 140 bytes.
fn cut_at_ticket(statement: &str, seconds: u32) -> Result<Run, Error> {
    let net = topology::mtu_576()?;
    net.routers[0].nft(&format!(
        "table inet filter {{
            chain through {{
                type filter hook forward priority filter;
                tcp dport 1863 meta length > 140 {statement}
            }}
        }}"
    ))?;
    in_vain(Ok(net), seconds, &["--lockstep"])
}

/// A web server that answers for every server, as in a hotel.
fn portal(words: &'static [u8]) -> Result<Run, Error> {
    let net =
        topology::transparent_redirect(1863, |router, at, _| proxies::speaks(router, at, words));
    in_vain(net, 20, &[])
}

/// A foreign Passport server with a foreign certificate.
fn takes_over_tls() -> Result<Run, Error> {
    let net = topology::masquerade()?;
    let _other = serve_on(&net.routers[0], &net, &["--open"])?;
    net.routers[0].nft(
        "table ip portal {
            chain in {
                type nat hook prerouting priority dstnat;
                ip saddr 192.168.1.5 tcp dport 443 redirect
            }
        }",
    )?;
    in_vain(Ok(net), 20, &[])
}

fn name_server(ip: &str, seconds: u32) -> Result<Run, Error> {
    let net = topology::direct()?;
    net.client
        .etc("resolv.conf", &format!("nameserver {ip}\n"))?;
    in_vain(Ok(net), seconds, &["--server", NAME])
}

fn wrong_password() -> Result<Run, Error> {
    let net = topology::masquerade()?;
    let folder = tempfile::tempdir()?;
    let accounts = folder.path().join("accounts");
    std::fs::write(&accounts, "user@example.com:another\n")?;
    let accounts = accounts.to_string_lossy();
    let server = serve_with(&net, &["--accounts", &accounts])?;
    Tool::new(&net, &server).run()
}
