//! Port mapping beside the login, with miniupnpd on the router.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::ends::{Tool, serve};
use crate::router_answers::{between, described, is_taken, maps, nat_pmp, told};
use crate::run::Run;
use crate::table::Row;
use support::lab::proxies::{Proxy, miniupnpd};
use support::lab::topology::{self, Port, Sees};
use support::lab::{Error, SILENT, Script, ScriptedRouter, Topology};

/// The router's outside address: miniupnpd takes none of those for examples.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 112, 7));

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "port mapping, one NAT",
        run: || ask(router(), ON, ASK),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (RELATION, "only-nat"),
            ("/probes/port_mapping/gateway", "192.168.1.1"),
            (EXTERNAL, "203.0.112.7"),
            ("/probes/port_mapping/upnp/external", "203.0.112.7"),
            ("/probes/port_mapping/nat_pmp/external", "203.0.112.7"),
            ("/probes/port_mapping/pcp/reason", "only-when-opening"),
            ("/probes/port_mapping/tried", "false"),
            (OPENED, "null"),
        ],
    },
    Row {
        path: "port mapping, ports opened by PCP and closed",
        run: || ask(router(), ON, TRY),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (RELATION, "only-nat"),
            ("/probes/port_mapping/pcp/external", "203.0.112.7"),
            ("/probes/port_mapping/opened/by", "pcp"),
            (CLOSED, "true"),
        ],
    },
    Row {
        path: "port mapping, ports opened by UPnP and closed",
        run: || ask(router(), "enable_natpmp=no", TRY),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (RELATION, "only-nat"),
            ("/probes/port_mapping/pcp/reason", "closed"),
            ("/probes/port_mapping/nat_pmp/reason", "closed"),
            ("/probes/port_mapping/opened/by", "upnp"),
            (CLOSED, "true"),
        ],
    },
    Row {
        path: "port mapping, the router forbids it",
        run: || {
            ask(
                router(),
                "enable_natpmp=no\ndeny 0-65535 0.0.0.0/0 0-65535",
                TRY,
            )
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (RELATION, "only-nat"),
            // What it offers it does not do.
            (
                "/conclusion/file_transfer",
                "only-if-the-other-side-can-be-called",
            ),
            ("/conclusion/change", "forward-ports"),
            (OPENED, "null"),
            ("/probes/port_mapping/tried", "true"),
        ],
    },
    Row {
        path: "port mapping, carrier-grade NAT beyond the router",
        run: || scripted(topology::carrier_grade(), CARRIER, ASK),
        expected: "Symmetric-NAT different/different 0",
        facts: &[(RELATION, "carrier-nat"), (EXTERNAL, "100.64.3.9")],
    },
    Row {
        path: "port mapping, another router beyond the router",
        run: || scripted(topology::masquerade(), PRIVATE, ASK),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[(RELATION, "double-nat"), (EXTERNAL, "10.0.0.2")],
    },
    Row {
        path: "port mapping, another public address than the server sees",
        run: || scripted(topology::masquerade(), OTHER, ASK),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[(RELATION, "nat-beyond"), (EXTERNAL, "198.51.100.9")],
    },
    Row {
        path: "port mapping, ports opened by NAT-PMP and closed",
        run: || scripted(topology::masquerade(), NAT_PMP, TRY),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (RELATION, "only-nat"),
            ("/probes/port_mapping/opened/by", "nat-pmp"),
            (CLOSED, "true"),
        ],
    },
    Row {
        path: "port mapping, the router does not confirm the end",
        run: || scripted(topology::masquerade(), KEEPS, TRY),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            ("/probes/port_mapping/opened/by", "nat-pmp"),
            (CLOSED, "false"),
        ],
    },
    Row {
        path: "port mapping, the router answers nothing",
        run: || scripted(topology::masquerade(), SILENT, TRY),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (RELATION, "null"),
            ("/probes/port_mapping/upnp/reason", "no-answer"),
            ("/probes/port_mapping/nat_pmp/reason", "no-answer"),
            ("/probes/port_mapping/pcp/reason", "no-answer"),
            (OPENED, "null"),
        ],
    },
    Row {
        path: "port mapping, the router answers with bytes that are none",
        run: || scripted(topology::masquerade(), GARBAGE, TRY),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            ("/probes/port_mapping/nat_pmp/reason", "no-answer"),
            (OPENED, "null"),
        ],
    },
    Row {
        path: "port mapping, UPnP refers to another host",
        run: || scripted(topology::masquerade(), at("http://203.0.113.80/"), ASK),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[(UPNP, "elsewhere")],
    },
    Row {
        path: "port mapping, UPnP answers from another address",
        run: || {
            let script = Script {
                from_elsewhere: true,
                ..at(DESCRIPTION)
            };
            scripted(topology::masquerade(), script, ASK)
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[(UPNP, "no-answer")],
    },
    Row {
        path: "port mapping, UPnP redirects",
        run: || {
            let page = |_: &str| {
                let to = "http://203.0.113.80/";
                (
                    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n"),
                    false,
                )
            };
            pages(page)
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[(UPNP, "redirected")],
    },
    Row {
        path: "port mapping, UPnP describes itself without end",
        run: || {
            let page = |_: &str| ("HTTP/1.1 200 OK\r\n\r\n<root>".to_owned(), true);
            pages(page)
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[(UPNP, "malformed")],
    },
    Row {
        path: "port mapping, UPnP is controlled at another host",
        run: || {
            let page = |_: &str| (described("http://203.0.113.80/ctl"), false);
            pages(page)
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[(UPNP, "elsewhere")],
    },
    Row {
        path: "port mapping, UPnP knows no outside address",
        run: || {
            let page = |request: &str| match request.starts_with("POST /ctl ") {
                true => (told(""), false),
                false => (described("/ctl"), false),
            };
            pages(page)
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[(UPNP, "no-address")],
    },
    Row {
        path: "port mapping, UPnP, another host has the port",
        run: || taken(|request| maps(request, false)),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (RELATION, "only-nat"),
            ("/probes/port_mapping/opened/by", "upnp"),
            (CLOSED, "true"),
        ],
    },
    Row {
        path: "port mapping, UPnP, this host has mapped the port already",
        run: || taken(|request| maps(request, true)),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[("/probes/port_mapping/opened/by", "upnp"), (CLOSED, "true")],
    },
    Row {
        path: "port mapping, this host's firewall forbids it",
        run: || {
            let net = topology::masquerade()?;
            net.client.nft(
                "table ip forbids {
                    chain out {
                        type filter hook output priority filter;
                        udp dport { 1900, 5351 } drop
                    }
                }",
            )?;
            scripted(Ok(net), NAT_PMP, TRY)
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[
            (UPNP, "not-sent"),
            ("/probes/port_mapping/nat_pmp/reason", "not-sent"),
            ("/probes/port_mapping/pcp/reason", "not-sent"),
            (OPENED, "null"),
        ],
    },
    Row {
        path: "port mapping, no router",
        run: || {
            let net = topology::direct()?;
            let server = serve(&net)?;
            Tool::new(&net, &server).args(TRY).run()
        },
        expected: "Direct-Connect same/same 0",
        facts: &[
            ("/probes/port_mapping/error/code", "no-router"),
            ("/probes/port_mapping/gateway", "null"),
        ],
    },
    Row {
        path: "port mapping, Ctrl-C while ports are opened",
        run: interrupted,
        expected: "Unknown-Connect 130 port-mapping interrupted",
        facts: &[],
    },
];

const RELATION: &str = "/probes/port_mapping/relation";
const EXTERNAL: &str = "/probes/port_mapping/external";
const OPENED: &str = "/probes/port_mapping/opened";
const CLOSED: &str = "/probes/port_mapping/opened/closed";
const UPNP: &str = "/probes/port_mapping/upnp/reason";

const ASK: &[&str] = &["--port-mapping"];
const TRY: &[&str] = &["--port-mapping=try"];

/// A line for miniupnpd: NAT-PMP and PCP as well.
pub(crate) const ON: &str = "enable_natpmp=yes";

/// Where [`ScriptedRouter`] describes itself.
const DESCRIPTION: &str = "http://192.168.1.1:5000/";

const CARRIER: Script = tells(|asked| nat_pmp(asked, [100, 64, 3, 9], true));
const PRIVATE: Script = tells(|asked| nat_pmp(asked, [10, 0, 0, 2], true));
const OTHER: Script = tells(|asked| nat_pmp(asked, [198, 51, 100, 9], true));
pub(crate) const NAT_PMP: Script = tells(|asked| nat_pmp(asked, [203, 0, 113, 7], true));
const KEEPS: Script = tells(|asked| nat_pmp(asked, [203, 0, 113, 7], false));
const GARBAGE: Script = tells(|asked| vec![asked.to_vec(), vec![0; 3], vec![0xff; 1500]]);

const fn tells(mapping: fn(&[u8]) -> Vec<Vec<u8>>) -> Script {
    Script { mapping, ..SILENT }
}

/// A router that answers a search with this location.
const fn at(location: &'static str) -> Script {
    Script {
        location: Some(location),
        ..SILENT
    }
}

/// A home router with a public address that keeps ports.
pub(crate) fn router() -> Result<Topology, Error> {
    let rule = format!("snat to {OUTSIDE}");
    let mut net = topology::behind_nat("upnp", "router with UPnP", &rule, Port::Kept)?;
    net.sees = Sees::From(OUTSIDE, Port::Kept);
    let (router, device) = &net.links[1].a;
    router.add_address(device, &format!("{OUTSIDE}/32"))?;
    net.server.route(&format!("{OUTSIDE}/32"), "203.0.113.7")?;
    Ok(net)
}

/// The daemon of such a router, with one more line in its configuration.
pub(crate) fn daemon(net: &Topology, line: &str) -> Result<Proxy, Error> {
    let (router, outside) = &net.links[1].a;
    let inside = (net.links[0].b.1.as_str(), [192, 168, 1, 1].into());
    miniupnpd(router, inside, (outside, OUTSIDE), line)
}

/// A login with the router asked beside it. Nothing may stay open.
fn ask(net: Result<Topology, Error>, line: &str, options: &[&str]) -> Result<Run, Error> {
    let net = net?;
    let server = serve(&net)?;
    let _daemon = daemon(&net, line)?;
    let mut run = Tool::new(&net, &server).args(options).run()?;
    let rules = net.routers[0]
        .command("nft")
        .args(["list", "ruleset"])
        .output()?;
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    run.must(!rules.contains("dnat"), || format!("left open: {rules}"));
    Ok(run)
}

/// The same with a router that answers as it is told. What it opened it has to be asked to close.
fn scripted(net: Result<Topology, Error>, script: Script, options: &[&str]) -> Result<Run, Error> {
    let net = net?;
    let server = serve(&net)?;
    let router = start(&net, script)?;
    let mut run = Tool::new(&net, &server).args(options).run()?;
    all_closed(&router, &mut run);
    let is_asked = router
        .asked()
        .iter()
        .any(|asked| asked.len() > 24 || asked.len() == 12);
    let may_ask = options == TRY;
    run.must(may_ask || !is_asked, || "it asks for a mapping".to_owned());
    Ok(run)
}

/// The same with a router whose pages are these.
fn pages(page: fn(&str) -> (String, bool)) -> Result<Run, Error> {
    let script = Script {
        page,
        ..at(DESCRIPTION)
    };
    scripted(topology::masquerade(), script, ASK)
}

pub(crate) fn start(net: &Topology, script: Script) -> Result<ScriptedRouter, Error> {
    let elsewhere = match net.links[1].a.0.name() {
        "home" => [100, 64, 3, 9],
        _ => [203, 0, 113, 7],
    };
    ScriptedRouter::start(
        &net.routers[0],
        [192, 168, 1, 1].into(),
        elsewhere.into(),
        script,
    )
}

/// Every mapping of NAT-PMP that was asked for has to be ended.
fn all_closed(router: &ScriptedRouter, run: &mut Run) {
    let asked = router.asked();
    let of = |is_end: bool| {
        let of = asked.iter().filter(|bytes| bytes.len() == 12);
        let mut of: Vec<_> = of
            .filter(|bytes| (bytes[8..] == [0; 4]) == is_end)
            .map(|bytes| (bytes[1], bytes[4], bytes[5]))
            .collect();
        of.sort_unstable();
        of.dedup();
        of
    };
    let (opened, ended) = (of(false), of(true));
    run.must(opened == ended, || {
        format!("opened {opened:?}, ended {ended:?}")
    });
}

/// Ctrl-C after TCP's port is open, while UDP's is waited for.
fn interrupted() -> Result<Run, Error> {
    let net = topology::masquerade()?;
    let server = serve(&net)?;
    let router = start(
        &net,
        tells(|asked| match asked.get(1) {
            Some(1) => Vec::new(),
            _ => nat_pmp(asked, [203, 0, 113, 7], true),
        }),
    )?;
    let started = Instant::now();
    let tool = Tool::new(&net, &server).args(TRY).start()?;
    let is_open = |asked: &Vec<u8>| asked.len() == 12 && asked[1] == 1;
    while !router.asked().iter().any(is_open) && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    tool.signal(Signal::SIGINT)?;
    let output = tool.finish(Duration::from_secs(10))?;
    let mut run = Run::new(&output, started.elapsed(), Duration::from_secs(10));
    all_closed(&router, &mut run);
    run.must(router.asked().iter().any(is_open), || {
        "nothing was opened".to_owned()
    });
    Ok(run)
}

/// What is mapped already has to stay.
fn taken(page: fn(&str) -> (String, bool)) -> Result<Run, Error> {
    let net = topology::masquerade()?;
    let server = serve(&net)?;
    let script = Script {
        page,
        ..at(DESCRIPTION)
    };
    let router = start(&net, script)?;
    let mut run = Tool::new(&net, &server).args(TRY).run()?;
    let requests = router.requests();
    let ports = |action: &str| {
        let action = format!("#{action}\"");
        let asked = requests.iter().filter(|request| request.contains(&action));
        let asked = asked.map(|request| between(request, "NewExternalPort"));
        let mut asked: Vec<_> = asked.filter(|port| !is_taken(port)).collect();
        asked.sort_unstable();
        asked
    };
    let (added, deleted) = (ports("AddPortMapping"), ports("DeletePortMapping"));
    run.must(added.len() == 2 && added == deleted, || {
        format!("added {added:?}, deleted {deleted:?}")
    });
    let is_wrong = |request: &String| {
        let is_deletion = request.contains("#DeletePortMapping\"");
        is_deletion && is_taken(between(request, "NewExternalPort"))
    };
    run.must(!requests.iter().any(is_wrong), || {
        "it closes another's port".to_owned()
    });
    Ok(run)
}
