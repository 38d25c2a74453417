//! Proxies that do not: wrong passwords, refusals, silence, and what is no proxy at all.

use std::net::SocketAddr;

use crate::ends::{Tool, serve, serve_with};
use crate::proxies::{
    OUTSIDE, by_name, closed_microsocks, closed_tinyproxy, in_office, open_dante, open_microsocks,
    open_tinyproxy, through,
};
use crate::run::Run;
use crate::table::{Fact, Row};
use support::lab::proxies::{self, StandIn};
use support::lab::{Error, Host, topology};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "SOCKS5, wrong password (microsocks)",
        run: || {
            through(
                closed_microsocks,
                OUTSIDE,
                "socks5://proxy-user:wrong@203.0.113.20",
            )
        },
        expected: "Unknown-Connect 3 proxy proxy-password",
        facts: REFUSED_PASSWORD,
    },
    Row {
        path: "SOCKS5, no password (microsocks)",
        run: || through(closed_microsocks, OUTSIDE, "socks5://203.0.113.20"),
        expected: "Unknown-Connect 3 proxy proxy-password",
        facts: WANTS_PASSWORD,
    },
    Row {
        path: "CONNECT, wrong password (tinyproxy)",
        run: || {
            through(
                closed_tinyproxy,
                OUTSIDE,
                "http://proxy-user:wrong@203.0.113.20:1080",
            )
        },
        expected: "Unknown-Connect 3 proxy proxy-password",
        facts: REFUSED_PASSWORD,
    },
    Row {
        path: "CONNECT, no password (tinyproxy)",
        run: || through(closed_tinyproxy, OUTSIDE, "http://203.0.113.20:1080"),
        expected: "Unknown-Connect 3 proxy proxy-password",
        facts: WANTS_PASSWORD,
    },
    Row {
        path: "SOCKS5, the proxy's rules refuse",
        run: || stand_in(proxies::refuses, "socks5"),
        expected: "Unknown-Connect 3 proxy proxy-refused",
        facts: NAMES_PROXY,
    },
    Row {
        path: "SOCKS4, the proxy's rules refuse",
        run: || stand_in(proxies::refuses, "socks4"),
        expected: "Unknown-Connect 3 proxy proxy-refused",
        facts: NAMES_PROXY,
    },
    Row {
        path: "CONNECT, the proxy's rules refuse",
        run: || stand_in(proxies::refuses, "http"),
        expected: "Unknown-Connect 3 proxy proxy-refused",
        facts: &[("~/error/message", "403")],
    },
    Row {
        path: "SOCKS5, 1863 is closed (microsocks)",
        run: || server_closed(open_microsocks, "socks5"),
        expected: "Unknown-Connect 3 proxy proxy-refused",
        facts: NAMES_BOTH,
    },
    Row {
        path: "SOCKS5, 1863 is closed (Dante)",
        run: || server_closed(open_dante, "socks5"),
        expected: "Unknown-Connect 3 proxy proxy-refused",
        facts: NAMES_BOTH,
    },
    Row {
        path: "SOCKS4, 1863 is closed (Dante)",
        run: || server_closed(open_dante, "socks4"),
        expected: "Unknown-Connect 3 proxy proxy-refused",
        facts: NAMES_BOTH,
    },
    Row {
        path: "CONNECT, 1863 is closed (tinyproxy)",
        run: || server_closed(open_tinyproxy, "http"),
        expected: "Unknown-Connect 3 proxy proxy-refused",
        facts: NAMES_BOTH,
    },
    Row {
        path: "SOCKS5, the proxy hangs",
        run: || stand_in(proxies::hangs, "socks5"),
        expected: "Unknown-Connect 3 proxy timeout",
        facts: NAMES_PROXY,
    },
    Row {
        path: "SOCKS4, the proxy hangs",
        run: || stand_in(proxies::hangs, "socks4"),
        expected: "Unknown-Connect 3 proxy timeout",
        facts: NAMES_PROXY,
    },
    Row {
        path: "CONNECT, the proxy hangs",
        run: || stand_in(proxies::hangs, "http"),
        expected: "Unknown-Connect 3 proxy timeout",
        facts: NAMES_PROXY,
    },
    Row {
        path: "SOCKS5, the proxy hangs up",
        run: || stand_in(proxies::hangs_up, "socks5"),
        expected: "Unknown-Connect 3 proxy proxy-closed",
        facts: NAMES_PROXY,
    },
    Row {
        path: "CONNECT, the proxy hangs up",
        run: || stand_in(proxies::hangs_up, "http"),
        expected: "Unknown-Connect 3 proxy proxy-closed",
        facts: NAMES_PROXY,
    },
    Row {
        path: "SOCKS5, it is an SSH server",
        run: || stand_in(ssh, "socks5"),
        expected: "Unknown-Connect 3 proxy no-proxy",
        facts: NAMES_PROXY,
    },
    Row {
        path: "SOCKS4, it is an SSH server",
        run: || stand_in(ssh, "socks4"),
        expected: "Unknown-Connect 3 proxy no-proxy",
        facts: NAMES_PROXY,
    },
    Row {
        path: "CONNECT, it is an SSH server",
        run: || stand_in(ssh, "http"),
        expected: "Unknown-Connect 3 proxy no-proxy",
        facts: NAMES_PROXY,
    },
    Row {
        // Which waits for the end of a line.
        path: "SOCKS5, it is an HTTP proxy (tinyproxy)",
        run: || {
            in_office(open_tinyproxy, OUTSIDE, |tool| {
                tool.timeout(2).args(&["--proxy", "socks5://203.0.113.20"])
            })
        },
        expected: "Unknown-Connect 3 proxy timeout",
        facts: NAMES_PROXY,
    },
    Row {
        path: "SOCKS4a, it knows SOCKS4 alone (Dante)",
        run: || by_name(open_dante, "socks4a://203.0.113.20"),
        expected: "Unknown-Connect 3 proxy proxy-refused",
        facts: &[("~/error/remedy", "SOCKS4a")],
    },
    Row {
        path: "SOCKS5, a user without a password (microsocks)",
        run: || {
            through(
                closed_microsocks,
                OUTSIDE,
                "socks5://proxy-user@203.0.113.20",
            )
        },
        expected: "Unknown-Connect 3 proxy proxy-password",
        facts: NAMES_PROXY,
    },
    Row {
        path: "CONNECT, it is a SOCKS5 proxy (microsocks)",
        run: || through(open_microsocks, OUTSIDE, "http://203.0.113.20:1080"),
        expected: "Unknown-Connect 3 proxy no-proxy",
        facts: NAMES_PROXY,
    },
    Row {
        path: "SOCKS4, it speaks SOCKS5 alone (microsocks)",
        run: || through(open_microsocks, OUTSIDE, "socks4://203.0.113.20"),
        expected: "Unknown-Connect 3 proxy proxy-closed",
        facts: NAMES_PROXY,
    },
    Row {
        path: "the proxy's port is closed",
        run: || through(open_microsocks, OUTSIDE, "socks5://203.0.113.20:9"),
        expected: "Unknown-Connect 3 proxy connection-refused",
        facts: &[("~/error/message", "203.0.113.20:9")],
    },
    Row {
        path: "the proxy's name is none",
        run: || through(open_microsocks, OUTSIDE, "socks5://proxy.example"),
        expected: "Unknown-Connect 3 resolve name-not-found",
        facts: &[("~/error/message", "proxy.example")],
    },
    Row {
        path: "the proxy's scheme is none",
        run: || through(open_microsocks, OUTSIDE, "ftp://u:marker-proxy-password@h"),
        expected: "usage 2",
        facts: &[(
            "stderr",
            "--proxy: invalid proxy scheme (expected socks5, socks5h, socks4",
        )],
    },
    Row {
        path: "the proxy is to be spoken to over TLS",
        run: || through(open_microsocks, OUTSIDE, "https://203.0.113.20"),
        expected: "usage 2",
        facts: &[("stderr", "--proxy: ")],
    },
    Row {
        path: "the proxy has no address",
        run: || through(open_microsocks, OUTSIDE, "socks5://"),
        expected: "usage 2",
        facts: &[("stderr", "--proxy: invalid proxy address")],
    },
    Row {
        path: "--proxy env, and the variable is wrong",
        run: || {
            in_office(open_microsocks, OUTSIDE, |tool| {
                tool.env("ALL_PROXY", "gopher://marker-proxy-password@h")
                    .args(&["--proxy", "env"])
            })
        },
        expected: "usage 2",
        facts: &[("stderr", "HTTPS_PROXY or ALL_PROXY: invalid proxy scheme")],
    },
    Row {
        path: "SOCKS4 cannot carry IPv6",
        run: || {
            in_office(open_dante, OUTSIDE, |tool| {
                tool.args(&[
                    "--proxy",
                    "socks4://203.0.113.20",
                    "--server",
                    "[2001:db8::1]",
                ])
            })
        },
        expected: "Unknown-Connect 3 proxy proxy-target",
        facts: &[("~/error/message", "2001:db8::1")],
    },
    Row {
        path: "proxy and second server",
        run: || {
            in_office(open_microsocks, OUTSIDE, |tool| {
                let proxy = ["--proxy", "socks5://203.0.113.20"];
                tool.args(&proxy).args(&["--second-server", "203.0.113.81"])
            })
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/mapping", "null"), ("~/warnings", "look-failed")],
    },
];

/// A message names the proxy, and the document has it on the path.
const NAMES_PROXY: &[Fact] = &[
    ("~/error/message", "203.0.113.20:1080"),
    ("/path/proxy/name", "203.0.113.20:1080"),
];
const NAMES_BOTH: &[Fact] = &[
    ("~/error/message", "203.0.113.20:1080"),
    ("~/error/message", "203.0.113.80:1863"),
    ("/path/proxy/name", "203.0.113.20:1080"),
];
const REFUSED_PASSWORD: &[Fact] = &[
    ("~/error/message", "203.0.113.20:1080 refused the user or"),
    ("~/error/remedy", "MSNP9_PROXY"),
];
const WANTS_PASSWORD: &[Fact] = &[
    ("~/error/message", "203.0.113.20:1080 requires a user and"),
    ("~/error/remedy", "MSNP9_PROXY"),
];

/// A run through something that is no proxy, or a bad one.
fn stand_in(
    start: fn(&Host, SocketAddr) -> Result<StandIn, Error>,
    scheme: &str,
) -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    let server = serve(&net)?;
    let _stand_in = start(&net.routers[0], OUTSIDE)?;
    Tool::new(&net, &server)
        .timeout(2)
        .args(&["--proxy", &format!("{scheme}://{OUTSIDE}")])
        .run()
}

fn ssh(host: &Host, at: SocketAddr) -> Result<StandIn, Error> {
    proxies::speaks(host, at, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
}

/// The proxy is in order, but the notification server does not listen.
fn server_closed(
    start: fn(&Host, SocketAddr) -> Result<proxies::Proxy, Error>,
    scheme: &str,
) -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    let server = serve_with(&net, &["--open", "--listen", "127.0.0.1:1"])?;
    let _proxy = start(&net.routers[0], OUTSIDE)?;
    Tool::new(&net, &server)
        .args(&["--proxy", &format!("{scheme}://{OUTSIDE}")])
        .run()
}
