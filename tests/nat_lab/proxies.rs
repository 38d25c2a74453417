//! Proxies that do their work: microsocks, Dante and tinyproxy, as Debian ships them.
//!
//! In most of these networks there is no other way to the server, so a login that succeeds shows
//! that the Passport requests went through the proxy, too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::ends::{NAME, PROXY_PASSWORD, Tool, serve};
use crate::run::Run;
use crate::table::Row;
use support::lab::proxies::{self, Login, Proxy, dante, microsocks, tinyproxy};
use support::lab::topology::{self, PROXY_HOST, Topology};
use support::lab::{Error, Host};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "SOCKS5 (microsocks)",
        run: || through(open_microsocks, OUTSIDE, "socks5://203.0.113.20:1080"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/kind", "socks5"),
            ("/path/proxy/name", "203.0.113.20:1080"),
            ("/path/proxy/addresses", r#"["203.0.113.20"]"#),
            ("/path/proxy/relation", "last-hop"),
            ("/local/ip", "192.168.1.5"),
            ("/observed/client_ip/ip", "203.0.113.20"),
            ("/path/hops/1/role", "proxy"),
            ("/path/hops/2/role", "server"),
            ("~/reason/text", "proxy"),
        ],
    },
    Row {
        path: "SOCKS5 with a password (microsocks)",
        run: || given_all(closed_microsocks, &with_password("socks5")),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/proxy/relation", "last-hop"),
            ("/path/proxy/name", "203.0.113.20:1080"),
        ],
    },
    Row {
        path: "SOCKS5, the proxy looks up the name (microsocks)",
        run: || by_name(open_microsocks, "socks5h://203.0.113.20:1080"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/server/requested", "messenger.example:1863")],
    },
    Row {
        path: "SOCKS5 (Dante), which says where it dials from",
        run: || through(open_dante, INSIDE, "socks5://192.168.1.20:1080"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/proxy/addresses", r#"["192.168.1.20"]"#),
            ("/path/proxy/bound/ip", "203.0.113.20"),
            ("/path/proxy/relation", "last-hop"),
        ],
    },
    Row {
        path: "SOCKS5 (Dante), whose port happens to be ours",
        run: || same_port(through(open_dante, INSIDE, "socks5://192.168.1.20:1080")?),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/comparison/order_matched", "null")],
    },
    Row {
        path: "SOCKS4 (Dante)",
        run: || through(open_dante, OUTSIDE, "socks4://203.0.113.20:1080"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/kind", "socks4"),
            ("/path/proxy/relation", "last-hop"),
        ],
    },
    Row {
        path: "SOCKS4a, the proxy looks up the name",
        run: socks4a,
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/kind", "socks4"),
            ("/path/proxy/relation", "last-hop"),
            ("/server/requested", "messenger.example:1863"),
        ],
    },
    Row {
        path: "CONNECT (tinyproxy)",
        run: || through(open_tinyproxy, OUTSIDE, "http://203.0.113.20:1080"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/kind", "http-connect"),
            ("/path/proxy/relation", "last-hop"),
            ("/path/proxy/bound", "null"),
        ],
    },
    Row {
        path: "CONNECT with a password (tinyproxy)",
        run: || given_all(closed_tinyproxy, &with_password("http")),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/path/proxy/name", "203.0.113.20:1080")],
    },
    Row {
        path: "CONNECT, the proxy looks up the name (tinyproxy)",
        run: || by_name(open_tinyproxy, "http://203.0.113.20:1080"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/path/kind", "http-connect")],
    },
    Row {
        path: "CONNECT, password from MSNP9_PROXY (tinyproxy)",
        run: || {
            let url = with_password("http");
            in_office(closed_tinyproxy, OUTSIDE, |tool| {
                tool.env("MSNP9_PROXY", &url)
            })
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: &[],
    },
    Row {
        path: "SOCKS5, proxy by name",
        run: proxy_by_name,
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/proxy/name", "proxy.example:1080"),
            ("/path/proxy/addresses", r#"["203.0.113.20"]"#),
            ("/path/proxy/relation", "last-hop"),
        ],
    },
    Row {
        // Whether it is the last hop is unknown: it has another address outside.
        path: "SOCKS5, only the proxy's inside address is known (microsocks)",
        run: || through(open_microsocks, INSIDE, "socks5://192.168.1.20:1080"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/proxy/bound", "null"),
            ("/path/proxy/relation", "unknown"),
            ("/path/hops/2/role", "server"),
            ("/observed/client_ip/ip", "203.0.113.20"),
        ],
    },
    Row {
        path: "SOCKS5 on this host, behind a NAT (microsocks)",
        run: on_this_host,
        expected: "Unknown-NAT different/unknown 0",
        facts: UNKNOWN_RELATION,
    },
    Row {
        path: "SOCKS5, A and AAAA, the proxy has IPv4 only (microsocks)",
        run: || two_families("socks5://203.0.113.20", &[]),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/observed/client_ip/ip", "203.0.113.20")],
    },
    Row {
        path: "SOCKS5, A and AAAA, -4 (microsocks)",
        run: || two_families("socks5://203.0.113.20", &["-4"]),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/observed/client_ip/ip", "203.0.113.20")],
    },
    Row {
        path: "SOCKS5 by IPv6 to an IPv4-only server (microsocks)",
        run: by_ipv6,
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/local/ip", "2001:db8:1::5"),
            ("/observed/client_ip/ip", "203.0.113.1"),
        ],
    },
    Row {
        path: "SOCKS5, proxy behind a NAT (Dante)",
        run: || behind_nat(|host, at| dante(host, at, BEHIND_NAT), "socks5"),
        expected: "Unknown-NAT different/unknown 0",
        facts: BEYOND,
    },
    Row {
        path: "CONNECT, proxy behind a NAT (tinyproxy)",
        run: || behind_nat(open_tinyproxy, "http"),
        expected: "Unknown-NAT different/unknown 0",
        facts: UNKNOWN_RELATION,
    },
    Row {
        path: "ALL_PROXY with --proxy env",
        run: || {
            in_office(open_microsocks, OUTSIDE, |tool| {
                tool.env("ALL_PROXY", "socks5://203.0.113.20:1080")
                    .args(&["--proxy", "env"])
            })
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/path/kind", "socks5")],
    },
    Row {
        path: "HTTPS_PROXY before ALL_PROXY with --proxy env",
        run: || {
            in_office(open_tinyproxy, OUTSIDE, |tool| {
                tool.env("ALL_PROXY", "socks5://203.0.113.20:9")
                    .env("https_proxy", "http://203.0.113.20:1080")
                    .args(&["--proxy", "env"])
            })
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/path/kind", "http-connect")],
    },
    Row {
        path: "ALL_PROXY without --proxy env, no other way",
        run: || {
            in_office(open_microsocks, OUTSIDE, |tool| {
                tool.env("ALL_PROXY", "socks5://203.0.113.20:1080")
            })
        },
        expected: "Unknown-Connect 3 connect unreachable",
        facts: &[("/path/proxy", "null")],
    },
    Row {
        path: "NO_PROXY has an asterisk, no other way",
        run: || {
            in_office(open_microsocks, OUTSIDE, |tool| {
                tool.env("ALL_PROXY", "socks5://203.0.113.20:1080")
                    .env("no_proxy", "*")
                    .args(&["--proxy", "env"])
            })
        },
        expected: "Unknown-Connect 3 connect unreachable",
        facts: &[("/path/proxy", "null")],
    },
    Row {
        path: "NO_PROXY has the server, no other way",
        run: || {
            in_office(open_microsocks, OUTSIDE, |tool| {
                tool.env("ALL_PROXY", "socks5://203.0.113.20:1080")
                    .env("NO_PROXY", "10.0.0.0/8,203.0.113.0/24")
                    .args(&["--proxy", "env"])
            })
        },
        expected: "Unknown-Connect 3 connect unreachable",
        facts: &[("/path/proxy", "null")],
    },
];

/// Neither the proxy's inside address nor one of loopback tells where it leaves from.
const UNKNOWN_RELATION: &[crate::table::Fact] = &[
    ("/path/proxy/relation", "unknown"),
    ("/path/proxy/bound", "null"),
    ("/observed/client_ip/ip", "203.0.113.7"),
    ("/path/hops/2/role", "server"),
];

/// The proxy says where it leaves from, and what rewrites the address again stands beyond it.
const BEYOND: &[crate::table::Fact] = &[
    ("/path/proxy/relation", "beyond"),
    ("/observed/client_ip/ip", "203.0.113.7"),
    ("/path/hops/2/role", "rewriter"),
];

pub(crate) const INSIDE: SocketAddr = SocketAddr::new(PROXY_HOST[0], 1080);
pub(crate) const OUTSIDE: SocketAddr = SocketAddr::new(PROXY_HOST[1], 1080);

const BEHIND_NAT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 20));

/// Starts a proxy on a host, at an address.
type Start = fn(&Host, SocketAddr) -> Result<Proxy, Error>;

const LOGIN: Login<'_> = Login {
    user: "proxy-user",
    password: PROXY_PASSWORD,
};

pub(crate) fn open_microsocks(host: &Host, at: SocketAddr) -> Result<Proxy, Error> {
    microsocks(host, at, None)
}

pub(crate) fn closed_microsocks(host: &Host, at: SocketAddr) -> Result<Proxy, Error> {
    microsocks(host, at, Some(LOGIN))
}

pub(crate) fn open_tinyproxy(host: &Host, at: SocketAddr) -> Result<Proxy, Error> {
    tinyproxy(host, at, None)
}

pub(crate) fn closed_tinyproxy(host: &Host, at: SocketAddr) -> Result<Proxy, Error> {
    tinyproxy(host, at, Some(LOGIN))
}

pub(crate) fn open_dante(host: &Host, at: SocketAddr) -> Result<Proxy, Error> {
    dante(host, at, PROXY_HOST[1])
}

/// The URL of the proxy at [`OUTSIDE`], with what [`LOGIN`] says.
pub(crate) fn with_password(scheme: &str) -> String {
    format!("{scheme}://{}:{}@{OUTSIDE}", LOGIN.user, LOGIN.password)
}

/// A login from the office through the proxy.
pub(crate) fn through(start: Start, at: SocketAddr, url: &str) -> Result<Run, Error> {
    in_office(start, at, |tool| tool.args(&["--proxy", url]))
}

/// The same, and the tool tells all it can: no password must be in it.
fn given_all(start: Start, url: &str) -> Result<Run, Error> {
    in_office(start, OUTSIDE, |tool| tool.args(&["--proxy", url, "-vvv"]))
}

/// A run in the office that has a proxy at this address and no other way out.
pub(crate) fn in_office(
    start: Start,
    at: SocketAddr,
    options: impl FnOnce(Tool) -> Tool,
) -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    let server = serve(&net)?;
    let _proxy = start(&net.routers[0], at)?;
    options(Tool::new(&net, &server)).run()
}

/// Only the proxy knows the server's name.
pub(crate) fn by_name(start: Start, url: &str) -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    let hosts = format!("203.0.113.80 {NAME}\n");
    net.routers[0].etc("hosts", &hosts)?;
    let server = serve(&net)?;
    let _proxy = start(&net.routers[0], OUTSIDE)?;
    Tool::new(&net, &server)
        .args(&["--server", NAME, "--proxy", url])
        .run()
}

fn socks4a() -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    let server = serve(&net)?;
    let _proxy = proxies::socks4a(&net.routers[0], OUTSIDE, NAME, net.servers[0])?;
    let proxy = ["--proxy", "socks4a://203.0.113.20"];
    Tool::new(&net, &server)
        .args(&["--server", NAME])
        .args(&proxy)
        .run()
}

fn proxy_by_name() -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    net.client.etc("hosts", "203.0.113.20 proxy.example\n")?;
    let server = serve(&net)?;
    let _proxy = open_microsocks(&net.routers[0], OUTSIDE)?;
    Tool::new(&net, &server)
        .args(&["--proxy", "socks5://proxy.example"])
        .run()
}

/// The client looks the name up and finds two addresses, IPv6 first, which the proxy cannot reach.
fn two_families(url: &str, args: &[&str]) -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    let device = &net.links[0].a.1;
    net.client.add_address(device, "2001:db8:1::5/64")?;
    net.client.route("::/0", &format!("dev {device}"))?;
    let hosts = format!("2001:db8:2::80 {NAME}\n203.0.113.80 {NAME}\n");
    net.client.etc("hosts", &hosts)?;
    let server = serve(&net)?;
    let _proxy = open_microsocks(&net.routers[0], OUTSIDE)?;
    Tool::new(&net, &server)
        .args(&["--server", NAME, "--proxy", url])
        .args(args)
        .run()
}

/// The router that a client with IPv6 alone shares with a server with IPv4 alone has a proxy.
fn by_ipv6() -> Result<Run, Error> {
    let net = topology::ipv6_only_client()?;
    let server = serve(&net)?;
    let at = "[2001:db8:1::1]:1080";
    let listen = at.parse().map_err(|_| Error::new(at))?;
    let _proxy = open_microsocks(&net.routers[0], listen)?;
    Tool::new(&net, &server)
        .args(&["--proxy", &format!("socks5://{at}")])
        .run()
}

fn behind_nat(start: Start, scheme: &str) -> Result<Run, Error> {
    let net: Topology = topology::proxy_behind_nat()?;
    let server = serve(&net)?;
    let _proxy = start(&net.routers[0], INSIDE)?;
    Tool::new(&net, &server)
        .args(&["--proxy", &format!("{scheme}://{INSIDE}")])
        .run()
}

/// As with `ssh -D`: a proxy at loopback, and the router rewrites what it sends.
fn on_this_host() -> Result<Run, Error> {
    let net = topology::masquerade()?;
    let server = serve(&net)?;
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 1080));
    let _proxy = open_microsocks(&net.client, at)?;
    Tool::new(&net, &server)
        .args(&["--proxy", &format!("socks5://{at}")])
        .run()
}

/// The server must have seen the very port of our socket, though it is another socket's.
fn same_port(mut run: Run) -> Result<Run, Error> {
    let (local, seen) = (run.local(), run.seen());
    let same = local.is_some() && local.map(|at| at.port()) == seen.map(|at| at.port());
    run.must(same, || format!("{local:?} was seen as {seen:?}"));
    Ok(run)
}
