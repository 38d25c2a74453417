//! IPv6, IPv4, and both.

use std::time::Duration;

use crate::ends::{NAME, Tool, login, serve};
use crate::run::Run;
use crate::table::Row;
use support::lab::{Error, Topology, topology};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "IPv6, no NAT",
        run: || login(topology::ipv6_direct(), &[]),
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/local/ip", "2001:db8:1::5"),
            ("/observed/client_ip/raw", "2001:db8:1::5"),
            ("/server/address", "[2001:db8:2::80]:1863"),
        ],
    },
    Row {
        path: "IPv6, prefix translated",
        run: || login(topology::ipv6_prefix_translation(), &[]),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[("/observed/client_ip/ip", "2001:db8:5::5")],
    },
    Row {
        path: "IPv6, no NAT, in brackets, with port",
        run: || {
            login(
                topology::ipv6_direct(),
                &["--server", "[2001:db8:2::80]:1863"],
            )
        },
        expected: "Direct-Connect same/same 0",
        facts: &[],
    },
    Row {
        path: "IPv6, no NAT, dispatch server",
        run: || {
            login(
                topology::ipv6_direct(),
                &["--server", "[2001:db8:2::80]:1864"],
            )
        },
        expected: "Direct-Connect same/same 0",
        facts: &[("/server/referrals", r#"["[2001:db8:2::80]:1863"]"#)],
    },
    Row {
        path: "IPv6, link-local address with its zone",
        run: link_local,
        expected: "Direct-Connect same/same 0",
        facts: &[("~/local/ip", "fe80::")],
    },
    Row {
        path: "IPv6-only client, IPv4-only server",
        run: || only(topology::ipv6_only_client(), &[]),
        expected: "Unknown-Connect 3 connect unreachable",
        facts: &[("~/error/message", "203.0.113.80:1863")],
    },
    Row {
        path: "NAT64",
        run: || login(topology::nat64(), &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: &[
            ("/local/ip", "2001:db8:1::5"),
            ("/observed/client_ip/ip", "203.0.113.7"),
            ("/server/address", "[2001:db8:64::cb00:7150]:1863"),
        ],
    },
    Row {
        path: "NAT64 by name, A and AAAA",
        run: nat64_by_name,
        expected: "Symmetric-NAT different/different 0",
        facts: &[("/server/address", "[2001:db8:64::cb00:7150]:1863")],
    },
    Row {
        path: "A and AAAA, both work",
        run: || by_name("", &[]),
        expected: "Direct-Connect same/same 0",
        facts: &[("/local/ip", "2001:db8:2::7")],
    },
    Row {
        path: "A and AAAA, -4",
        run: || by_name("", &["-4"]),
        expected: "Direct-Connect same/same 0",
        facts: &[("/local/ip", "203.0.113.7")],
    },
    Row {
        path: "A and AAAA, IPv6 is a black hole",
        run: || quick(by_name(V6_DROPPED, &[])?),
        expected: "Direct-Connect same/same 0",
        facts: &[("/local/ip", "203.0.113.7")],
    },
    Row {
        path: "A and AAAA, IPv6 refused",
        run: || {
            quick(by_name(
                "meta nfproto ipv6 tcp dport { 443, 1863 } reject with tcp reset",
                &[],
            )?)
        },
        expected: "Direct-Connect same/same 0",
        facts: &[("/local/ip", "203.0.113.7")],
    },
    Row {
        path: "A and AAAA, IPv4 is a black hole",
        run: || by_name("meta nfproto ipv4 meta l4proto tcp drop", &[]),
        expected: "Direct-Connect same/same 0",
        facts: &[("/local/ip", "2001:db8:2::7")],
    },
    Row {
        path: "A and AAAA, IPv6 is a black hole, -6",
        run: || by_name(V6_DROPPED, &["-6", "--timeout", "2"]),
        expected: "Unknown-Connect 3 connect timeout",
        facts: &[("~/error/message", NAME)],
    },
    Row {
        path: "A and AAAA, both are black holes",
        run: || by_name("meta l4proto tcp drop", &["--timeout", "2"]),
        expected: "Unknown-Connect 3 connect timeout",
        facts: &[("~/error/message", NAME)],
    },
    Row {
        path: "-6, but the server has IPv4 only",
        run: || only(topology::direct(), &["-6"]),
        expected: "Unknown-Connect 3 resolve no-usable-address",
        facts: &[(
            "~/error/message",
            "203.0.113.80 has no IPv6 address, and only IPv6 may be used",
        )],
    },
    Row {
        path: "-4, but the name has AAAA only",
        run: || {
            let net = topology::dual_stack()?;
            net.client
                .etc("hosts", &format!("2001:db8:2::80 {NAME}\n"))?;
            only(Ok(net), &["-4", "--server", NAME])
        },
        expected: "Unknown-Connect 3 resolve no-usable-address",
        facts: &[(
            "~/error/message",
            "messenger.example has no IPv4 address, and only IPv4 may be used",
        )],
    },
    Row {
        path: "IPv4 local address, the server has IPv6 only",
        run: || only(topology::ipv6_direct(), &["--bind", "203.0.113.7"]),
        expected: "Unknown-Connect 3 resolve no-usable-address",
        facts: &[(
            "~/error/message",
            "2001:db8:2::80 has no address of the same family as the local",
        )],
    },
    Row {
        path: "IPv6 is switched off here, A and AAAA",
        run: || without_ipv6(NAME),
        expected: "Direct-Connect same/same 0",
        facts: &[("/local/ip", "203.0.113.7")],
    },
    Row {
        path: "IPv6 is switched off here, IPv6 address",
        run: || without_ipv6("2001:db8:2::80"),
        expected: "Unknown-Connect 3 connect unreachable",
        facts: &[("~/error/message", "[2001:db8:2::80]:1863")],
    },
    Row {
        path: "IPv4 written as IPv6",
        run: || {
            let nexus = "https://203.0.113.80/rdr/pprdr.asp";
            let mapped = ["--server", "[::ffff:203.0.113.80]", "--nexus-url", nexus];
            login(topology::direct(), &mapped)
        },
        expected: "Direct-Connect same/same 0",
        facts: &[("/local/ip", "203.0.113.7")],
    },
];

const V6_DROPPED: &str = "meta nfproto ipv6 meta l4proto tcp drop";

/// A wire with both families; the server's firewall has this rule. The client knows the server by
/// name, and IPv6 comes first.
fn by_name(rule: &str, args: &[&str]) -> Result<Run, Error> {
    let net = topology::dual_stack()?;
    net.client.etc(
        "hosts",
        &format!("2001:db8:2::80 {NAME}\n203.0.113.80 {NAME}\n"),
    )?;
    net.server.nft(&format!(
        "table inet filter {{
            chain in {{
                type filter hook input priority filter;
                {rule}
            }}
        }}"
    ))?;
    let server = serve(&net)?;
    Tool::new(&net, &server)
        .args(&["--server", NAME])
        .args(args)
        .run()
}

/// Happy eyeballs: IPv6 gets a head start of 250 ms, once for each of the two servers, and they
/// are dialled at the same time. A system that waits for its own SYN to be repeated needs seconds.
fn quick(mut run: Run) -> Result<Run, Error> {
    let took = run.took;
    run.must(took < Duration::from_millis(900), || {
        format!("the families do not race: {took:?}")
    });
    Ok(run)
}

/// As in many containers: the kernel has the family, but no address of it.
fn without_ipv6(server: &str) -> Result<Run, Error> {
    let net = topology::dual_stack()?;
    let hosts = format!("2001:db8:2::80 {NAME}\n203.0.113.80 {NAME}\n");
    net.client.etc("hosts", &hosts)?;
    net.client.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
    only(Ok(net), &["--server", server])
}

fn only(net: Result<Topology, Error>, args: &[&str]) -> Result<Run, Error> {
    let net = net?;
    let server = serve(&net)?;
    Tool::new(&net, &server).args(args).run()
}

/// The certificate is for the server's other address.
fn link_local() -> Result<Run, Error> {
    let net = topology::dual_stack()?;
    let link = net.links[0].clone();
    net.server.add_address(&link.b.1, "fe80::80/64")?;
    let server = format!("[fe80::80%{}]:1863", link.a.1);
    let nexus = "https://203.0.113.80/rdr/pprdr.asp";
    only(Ok(net), &["--server", &server, "--nexus-url", nexus])
}

/// DNS64 gives an address of each family; the client has no IPv4.
fn nat64_by_name() -> Result<Run, Error> {
    let net = topology::nat64()?;
    let v6 = net.servers[0];
    net.client
        .etc("hosts", &format!("203.0.113.80 {NAME}\n{v6} {NAME}\n"))?;
    login(Ok(net), &["--server", NAME])
}
