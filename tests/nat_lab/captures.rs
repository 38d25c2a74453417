//! Captures that tcpdump takes of a login, on the client's host, in between, and on the server's host.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::lab::proxies::{dante, microsocks, tinyproxy};
use support::lab::topology::{self, Topology};
use support::lab::{Error, Host, Process};
use support::{Document, TOOL, document};
use tempfile::TempDir;

use crate::ends::{Tool, serve};
use crate::run::Run;
use crate::table::Row;

const CLIENT: &[(&str, &str)] = &[("/session/side", "client"), ("/session/hops/client", "0")];
const SERVER: &[(&str, &str)] = &[
    ("/session/side", "server"),
    ("/session/hops/server", "0"),
    ("/session/profile_agrees", "true"),
    ("/local", "null"),
];

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "capture of the client, no NAT",
        run: || of_client(topology::direct(), &[]),
        expected: "Direct-Connect same/same 0",
        facts: CLIENT,
    },
    Row {
        path: "capture of the client, masquerade",
        run: || of_client(topology::masquerade(), &[]),
        expected: "IP-Restrict-NAT different/same 0",
        facts: CLIENT,
    },
    Row {
        path: "capture of the client, masquerade with a random port",
        run: || of_client(topology::masquerade_random(), &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: CLIENT,
    },
    Row {
        path: "capture of the client, two NATs in a row",
        run: || of_client(topology::carrier_grade(), &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: CLIENT,
    },
    Row {
        path: "capture of the client, IPv6",
        run: || of_client(topology::ipv6_direct(), &[]),
        expected: "Direct-Connect same/same 0",
        facts: CLIENT,
    },
    Row {
        path: "capture of the client, packets lost and late",
        run: || of_client(topology::slow_and_lossy(), &[]),
        expected: "Direct-Connect same/same 0",
        facts: CLIENT,
    },
    Row {
        path: "capture of the client, SOCKS5 (microsocks)",
        run: || through_proxy("socks5"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[
            ("/path/kind", "socks5"),
            ("/path/proxy/relation", "last-hop"),
            ("/session/server/port", "1080"),
        ],
    },
    Row {
        path: "capture of the client, SOCKS4 (Dante)",
        run: || through_proxy("socks4"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/path/kind", "socks4")],
    },
    Row {
        path: "capture of the client, CONNECT (tinyproxy)",
        run: || through_proxy("http"),
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/path/kind", "http-connect")],
    },
    Row {
        path: "capture of the client, HTTP gateway",
        run: || {
            of_client(
                topology::masquerade(),
                &["--http-gateway", "http://203.0.113.80"],
            )
        },
        expected: "Unknown-Connect 5 capture over-http",
        facts: &[],
    },
    Row {
        path: "capture of the client, in packets cut after 68 bytes",
        run: || login(topology::masquerade()?, &[], client, &["-s", "68"]),
        expected: "Unknown-Connect 5 capture packets-cut",
        facts: &[],
    },
    Row {
        path: "capture of the server, no NAT",
        run: || of_server(topology::direct()),
        // Nothing is between the two hosts, so both are equally near.
        expected: "Direct-Connect same/same 0",
        facts: &[("/session/profile_agrees", "true")],
    },
    Row {
        path: "capture of the server, masquerade",
        run: || of_server(topology::masquerade()),
        expected: "Unknown-Connect 5 capture server-side",
        facts: SERVER,
    },
    Row {
        path: "capture of the server, masquerade with a random port",
        run: || of_server(topology::masquerade_random()),
        expected: "Unknown-Connect 5 capture server-side",
        facts: SERVER,
    },
    Row {
        path: "capture of the first of two NATs, inside",
        run: || login(topology::carrier_grade()?, &[], first_router, &[]),
        expected: "Symmetric-NAT different/different 0",
        facts: CLIENT,
    },
    Row {
        path: "capture of the second of two NATs, inside",
        run: || login(topology::carrier_grade()?, &[], second_router, &[]),
        expected: "Unknown-Connect 5 capture side-unknown",
        facts: &[("/session/side", "unknown")],
    },
];

/// A login with these arguments, as the client's host sees it. The label is that of the login itself.
fn of_client(net: Result<Topology, Error>, args: &[&str]) -> Result<Run, Error> {
    login(net?, args, client, &[])
}

/// The same, as the server's host sees it.
fn of_server(net: Result<Topology, Error>) -> Result<Run, Error> {
    login(net?, &[], |net| &net.server, &[])
}

fn client(net: &Topology) -> &Host {
    &net.client
}

fn first_router(net: &Topology) -> &Host {
    &net.routers[0]
}

fn second_router(net: &Topology) -> &Host {
    &net.routers[1]
}

fn through_proxy(scheme: &str) -> Result<Run, Error> {
    let net = topology::proxy_only()?;
    let [inside, outside] = topology::PROXY_HOST;
    let host = &net.routers[0];
    let at = match scheme {
        "socks4" => SocketAddr::new(inside, 1080),
        _ => SocketAddr::new(outside, 1080),
    };
    let _proxy = match scheme {
        "socks5" => microsocks(host, at, None)?,
        "socks4" => dante(host, at, outside)?,
        _ => tinyproxy(host, at, None)?,
    };
    let proxy = format!("{scheme}://{at}");
    login(net, &["--proxy", &proxy], client, &[])
}

/// One login while `host` captures, and what its first session with a notification server comes to.
fn login(
    net: Topology,
    args: &[&str],
    host: fn(&Topology) -> &Host,
    options: &[&str],
) -> Result<Run, Error> {
    let server = serve(&net)?;
    let dump = Dump::start(host(&net), options)?;
    let login = Tool::new(&net, &server).args(args).run()?;
    let mut run = dump.finish()?;
    let is_same =
        !run.json["determined"].as_bool().unwrap_or_default() || run.label() == login.label();
    run.must(is_same, || {
        format!("the login itself got {}", login.label())
    });
    run.faults.extend(login.faults);
    Ok(run)
}

/// tcpdump on every interface of a host.
struct Dump {
    process: Process,
    folder: TempDir,
}

/// How long packets may take to be in the file.
const PATIENCE: Duration = Duration::from_secs(10);

impl Dump {
    fn start(host: &Host, options: &[&str]) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let mut command = host.command("tcpdump");
        command
            .args(["-U", "-B", "8192", "-i", "any", "-Z", "root", "-w"])
            .arg(folder.path().join("capture"))
            .args(options)
            .arg("tcp");
        let process = Process::start(command)?;
        process.wait_for_line("listening on", PATIENCE)?;
        Ok(Self { process, folder })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("capture")
    }

    /// Ends the capture when its session has come to its end, and classifies it.
    fn finish(mut self) -> Result<Run, Error> {
        let until = Instant::now() + PATIENCE;
        while self.classify()?.json["error"]["code"] == "capture-ends" && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(PATIENCE)?;
        self.classify()
    }

    fn classify(&self) -> Result<Run, Error> {
        let mut command = Command::new(&*TOOL);
        command
            .args(["classify", "--json", "--pcap"])
            .arg(self.path());
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found = document::read(Document::Capture, &text).map_err(Error::new)?;
        let session = &found["sessions"][0];
        if session.is_null() {
            let session = serde_json::json!({"error": {"code": "capture-ends"}});
            return Ok(Run::of_session(&output, &session));
        }
        Ok(Run::of_session(&output, session))
    }
}
