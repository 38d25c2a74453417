//! The HTTP gateway: ours on real paths, and others that are none.

use std::net::SocketAddr;

use crate::ends::{Tool, serve, serve_with};
use crate::proxies::{
    OUTSIDE, closed_tinyproxy, in_office, open_microsocks, open_tinyproxy, with_password,
};
use crate::run::Run;
use crate::table::{Fact, Row};
use support::Serve;
use support::lab::proxies::{self, StandIn};
use support::lab::{Error, Host, Topology, topology};

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "gateway, no NAT",
        run: || by_gateway(topology::direct(), "zero"),
        expected: "Unknown-Connect same/unknown 5",
        facts: &[
            ("/error/code", "address-ours-port-unknown"),
            ("/observed/client_port/raw", "0"),
            ("/observed/client_ip/ip", "203.0.113.7"),
            ("/path/kind", "http-gateway"),
            ("/path/hops/1/role", "gateway"),
            ("/server/address", "null"),
            ("/path/hops/1/address", "203.0.113.80:80"),
        ],
    },
    Row {
        path: "gateway, masquerade",
        run: || by_gateway(topology::masquerade(), "zero"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/observed/client_port/raw", "0"),
            ("/observed/client_ip/ip", "203.0.113.7"),
            ("/reason/code", "address-rewritten-port-unknown"),
            ("~/reason/text", "ClientPort is 0"),
        ],
    },
    Row {
        path: "gateway that reports its peer's port, no NAT",
        run: || by_gateway(topology::direct(), "peer"),
        expected: "Unknown-Connect same/unknown 5",
        facts: &[
            ("/comparison/order_matched", "null"),
            (
                "~/reason/text",
                "belongs to the connection to the proxy or gateway",
            ),
        ],
    },
    Row {
        path: "gateway that reports its peer's port, random port",
        run: || by_gateway(topology::masquerade_random(), "peer"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/comparison/order_matched", "null")],
    },
    Row {
        path: "gateway, 1863 dropped",
        run: || by_gateway(topology::drops(1863), "zero"),
        expected: "Unknown-Connect same/unknown 5",
        facts: &[],
    },
    Row {
        path: "gateway, IPv6",
        run: || {
            let net = topology::ipv6_prefix_translation()?;
            let server = serve(&net)?;
            let gateway = ["--http-gateway", "http://[2001:db8:2::80]"];
            Tool::new(&net, &server).args(&gateway).run()
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/observed/client_ip/ip", "2001:db8:5::5")],
    },
    Row {
        path: "gateway, round trip 400 ms, 5 % loss",
        run: || {
            let net = topology::slow_and_lossy()?;
            let server = serve(&net)?;
            let tool = Tool::new(&net, &server).timeout(60);
            tool.args(&["--http-gateway", GATEWAY]).run()
        },
        expected: "Unknown-Connect same/unknown 5",
        facts: &[],
    },
    Row {
        path: "gateway through tinyproxy",
        run: || {
            in_office(open_tinyproxy, OUTSIDE, |tool| {
                let proxy = ["--proxy", "http://203.0.113.20:1080"];
                tool.args(&proxy).args(&["--http-gateway", GATEWAY])
            })
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: BEHIND_PROXY,
    },
    Row {
        path: "gateway through tinyproxy with a password",
        run: || {
            in_office(closed_tinyproxy, OUTSIDE, |tool| {
                let proxy = ["--proxy", &with_password("http")];
                tool.args(&proxy).args(&["--http-gateway", GATEWAY])
            })
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: BEHIND_PROXY,
    },
    Row {
        path: "gateway through microsocks",
        run: || {
            in_office(open_microsocks, OUTSIDE, |tool| {
                let proxy = ["--proxy", "socks5://203.0.113.20"];
                tool.args(&proxy).args(&["--http-gateway", GATEWAY])
            })
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: BEHIND_PROXY,
    },
    Row {
        path: "gateway through a proxy that does not reach it",
        run: proxy_fails,
        expected: "Unknown-Connect 5 gateway gateway-refused",
        facts: &[
            ("~/error/message", "answers HTTP 502"),
            (
                "~/error/message",
                "203.0.113.80:80 (or the proxy 203.0.113.20:1080 before it)",
            ),
        ],
    },
    Row {
        path: "gateway through tinyproxy, wrong password",
        run: || {
            in_office(closed_tinyproxy, OUTSIDE, |tool| {
                let proxy = ["--proxy", "http://proxy-user:wrong@203.0.113.20:1080"];
                tool.args(&proxy).args(&["--http-gateway", GATEWAY])
            })
        },
        expected: "Unknown-Connect 3 proxy proxy-password",
        facts: &[("~/error/message", "203.0.113.20:1080")],
    },
    Row {
        path: "gateway through tinyproxy, no password",
        run: || {
            in_office(closed_tinyproxy, OUTSIDE, |tool| {
                let proxy = ["--proxy", "http://203.0.113.20:1080"];
                tool.args(&proxy).args(&["--http-gateway", GATEWAY])
            })
        },
        expected: "Unknown-Connect 3 proxy proxy-password",
        facts: &[("~/error/message", "203.0.113.20:1080")],
    },
    Row {
        path: "gateway says 400",
        run: || stand_in(|_, _| Some(http("400 Bad Request", "", ""))),
        expected: "Unknown-Connect 5 gateway gateway-refused",
        facts: &[("~/error/message", "203.0.113.80:80 answers HTTP 400")],
    },
    Row {
        path: "gateway says 403",
        run: || stand_in(|_, _| Some(http("403 Forbidden", "", "<h1>No</h1>"))),
        expected: "Unknown-Connect 5 gateway gateway-refused",
        facts: &[("~/error/message", "203.0.113.80:80 answers HTTP 403")],
    },
    Row {
        path: "gateway says 502",
        run: || stand_in(|_, _| Some(http("502 Bad Gateway", "", ""))),
        expected: "Unknown-Connect 5 gateway gateway-refused",
        facts: &[("~/error/message", "203.0.113.80:80 answers HTTP 502")],
    },
    Row {
        path: "gateway says 400 after it opened",
        run: || {
            stand_in(|number, _| match number {
                0 => Some(http("200 OK", SESSION, "")),
                _ => Some(http("400 Bad Request", "", "")),
            })
        },
        expected: "Unknown-Connect 5 gateway gateway-refused",
        facts: &[],
    },
    Row {
        path: "gateway is a web page",
        run: || {
            let page = "Content-Type: text/html\r\n";
            stand_in(move |_, _| Some(http("200 OK", page, "<html>Sign in to the hotel</html>")))
        },
        expected: "Unknown-Connect 5 gateway no-gateway",
        facts: &[("~/error/message", "203.0.113.80:80")],
    },
    Row {
        path: "gateway redirects to a web page",
        run: || {
            let to = "Location: http://login.example/\r\n";
            stand_in(move |_, _| Some(http("302 Found", to, "")))
        },
        expected: "Unknown-Connect 5 gateway gateway-refused",
        facts: &[("~/error/message", "203.0.113.80:80 answers HTTP 302")],
    },
    Row {
        path: "gateway gives a session that does not fit",
        run: || {
            let session = "X-MSN-Messenger: SessionID=a b&c\r\n";
            stand_in(move |_, _| Some(http("200 OK", session, "")))
        },
        expected: "Unknown-Connect 5 gateway no-gateway",
        facts: &[],
    },
    Row {
        path: "gateway closes the session at once",
        run: || {
            let close = "X-MSN-Messenger: SessionID=1.2; GW-IP=203.0.113.80; Session=close\r\n";
            stand_in(move |_, _| Some(http("200 OK", close, "")))
        },
        expected: "Unknown-Connect 5 negotiate closed",
        facts: &[],
    },
    Row {
        path: "gateway never says anything",
        run: || stand_in(|_, _| None),
        expected: "Unknown-Connect 3 gateway timeout",
        facts: &[("~/error/message", "203.0.113.80:80")],
    },
    Row {
        path: "gateway answers each poll, with nothing",
        run: || stand_in(|_, _| Some(http("200 OK", SESSION, ""))),
        expected: "Unknown-Connect 3 negotiate timeout",
        facts: &[],
    },
    Row {
        path: "gateway keeps a poll for ever",
        run: || stand_in(|number, _| (number == 0).then(|| http("200 OK", SESSION, ""))),
        expected: "Unknown-Connect 3 negotiate timeout",
        facts: &[],
    },
    Row {
        path: "gateway's answer has no end",
        run: || {
            stand_in(|_, _| {
                Some(format!(
                    "HTTP/1.1 200 OK\r\n{SESSION}Content-Length: 99\r\n\r\nV"
                ))
            })
        },
        expected: "Unknown-Connect 3 gateway timeout",
        facts: &[],
    },
    Row {
        path: "gateway's answer is far too long",
        run: || {
            let body = "x".repeat(1 << 20);
            stand_in(move |_, _| Some(http("200 OK", SESSION, &body)))
        },
        expected: "Unknown-Connect 5 gateway bad-answer",
        facts: &[("~/error/message", "203.0.113.80:80")],
    },
    Row {
        path: "gateway is an SSH server",
        run: || {
            no_gateway(|host, at| proxies::speaks(host, at, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"))
        },
        expected: "Unknown-Connect 5 gateway no-http",
        facts: &[("~/error/message", "203.0.113.80:80")],
    },
    Row {
        path: "gateway hangs up",
        run: || no_gateway(proxies::hangs_up),
        expected: "Unknown-Connect 3 gateway no-http-answer",
        facts: &[("~/error/message", "203.0.113.80:80")],
    },
    Row {
        path: "gateway's port is closed",
        run: || login_without_gateway(topology::direct()),
        expected: "Unknown-Connect 3 gateway connection-refused",
        facts: &[("~/error/message", "203.0.113.80:80")],
    },
    Row {
        path: "firewall drops 80, where the gateway is",
        run: || {
            let net = topology::drops(80)?;
            let server = serve(&net)?;
            let tool = Tool::new(&net, &server).timeout(2);
            tool.args(&["--http-gateway", GATEWAY]).run()
        },
        expected: "Unknown-Connect 3 gateway timeout",
        facts: &[("~/error/message", "203.0.113.80:80")],
    },
    Row {
        path: "gateway and second server",
        run: || {
            let net = topology::direct()?;
            let server = serve(&net)?;
            let second = ["--http-gateway", GATEWAY, "--second-server", "203.0.113.81"];
            Tool::new(&net, &server).args(&second).run()
        },
        expected: "usage 2",
        facts: &[(
            "stderr",
            "'--http-gateway <URL>' cannot be used with '--second-server",
        )],
    },
];

const GATEWAY: &str = "http://203.0.113.80";

const SESSION: &str = "X-MSN-Messenger: SessionID=954547325.13160; GW-IP=203.0.113.80\r\n";

const BEHIND_PROXY: &[Fact] = &[
    ("/path/kind", "http-gateway"),
    ("/path/proxy/name", "203.0.113.20:1080"),
    ("/path/proxy/relation", "last-hop"),
    ("/observed/client_ip/ip", "203.0.113.20"),
    ("/path/hops/1/role", "proxy"),
];

/// A login by way of our gateway, which reports this port.
fn by_gateway(net: Result<Topology, Error>, port: &str) -> Result<Run, Error> {
    let net = net?;
    let server = serve_with(&net, &["--open", "--gateway-port", port])?;
    Tool::new(&net, &server)
        .args(&["--http-gateway", GATEWAY])
        .run()
}

/// The request must have given the proxy the whole address. tinyproxy guesses it from `Host`.
fn proxy_fails() -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    let server = serve(&net)?;
    let proxy = proxies::answers(&net.routers[0], OUTSIDE, |_, head| {
        let asked = head.starts_with("POST ");
        asked.then(|| http("502 Bad Gateway", "", ""))
    })?;
    let tool = Tool::new(&net, &server).args(&["--proxy", "http://203.0.113.20:1080"]);
    let mut run = tool.args(&["--http-gateway", GATEWAY]).run()?;
    let whole =
        b"POST http://203.0.113.80/gateway/gateway.dll?Action=open&Server=NS&IP=203.0.113.80 ";
    let is_given = proxy.heard().iter().any(|heard| heard.starts_with(whole));
    run.must(is_given, || {
        "the proxy did not get the whole address".to_owned()
    });
    Ok(run)
}

/// A run whose gateway answers so.
fn stand_in(
    answer: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
) -> Result<Run, Error> {
    no_gateway(|host, at| proxies::answers(host, at, answer))
}

/// A run whose gateway is something else; everything else is as it should be.
fn no_gateway(
    start: impl FnOnce(&Host, SocketAddr) -> Result<StandIn, Error>,
) -> Result<Run, Error> {
    let net = topology::direct()?;
    let server = without_gateway(&net)?;
    let _gateway = start(&net.server, net.dial(80))?;
    let tool = Tool::new(&net, &server).timeout(3);
    tool.args(&["--http-gateway", GATEWAY]).run()
}

fn login_without_gateway(net: Result<Topology, Error>) -> Result<Run, Error> {
    let net = net?;
    let server = without_gateway(&net)?;
    Tool::new(&net, &server)
        .args(&["--http-gateway", GATEWAY])
        .run()
}

fn without_gateway(net: &Topology) -> Result<Serve, Error> {
    serve_with(net, &["--open", "--gateway-listen", "none"])
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}
