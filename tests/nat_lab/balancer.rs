//! HAProxy as `deploy/haproxy.cfg` has it, before two replicas on a network of their own.

#![allow(clippy::expect_used, reason = "a client that cannot go on has failed")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::authority::Authority;
use support::client::{Browser, Client, block_on, field, tls};
use support::lab::proxies::{Proxy, haproxy};
use support::lab::topology::{self, Topology};
use support::lab::{self, Error, Host};
use support::{Serve, file, print_past_the_harness, text};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::ends::{NAME, Tool, binary};
use crate::run::Run;
use crate::table::Row;

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haproxy.cfg");

/// The addresses in it.
const BALANCER: &str = "10.0.0.1";
const REPLICAS: [&str; 2] = ["10.0.0.11", "10.0.0.12"];

pub(crate) const ROWS: &[Row] = &[
    Row {
        path: "balancer (HAProxy), no NAT",
        run: || login(topology::direct(), &[], |config| config),
        expected: "Direct-Connect same/same 0",
        facts: &[("/observed/client_ip/ip", "203.0.113.7")],
    },
    Row {
        path: "balancer (HAProxy), masquerade",
        run: || login(topology::masquerade(), &[], |config| config),
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[],
    },
    Row {
        path: "balancer (HAProxy), host rewrites its own port",
        run: || login(topology::own_port_rewritten(), &[], |config| config),
        expected: "Port-Restrict-NAT same/different 0",
        facts: &[],
    },
    Row {
        path: "balancer (HAProxy), masquerade, random port",
        run: || login(topology::masquerade_random(), &[], |config| config),
        expected: "Symmetric-NAT different/different 0",
        facts: &[],
    },
    Row {
        path: "balancer (HAProxy), one port for all servers, second address",
        run: || {
            let second = ["--second-server", "203.0.113.81"];
            login(topology::endpoint_independent(), &second, |config| config)
        },
        expected: "Unknown-NAT different/different 0",
        facts: &[("/mapping", "endpoint-independent")],
    },
    Row {
        path: "balancer (HAProxy), another port for each server, second address",
        run: || {
            let second = ["--second-server", "203.0.113.81"];
            login(topology::endpoint_dependent(), &second, |config| config)
        },
        expected: "Symmetric-NAT different/different 0",
        facts: &[],
    },
    Row {
        path: "balancer (HAProxy), IPv6",
        run: || login(topology::ipv6_direct(), &[], |config| config),
        expected: "Direct-Connect same/same 0",
        facts: &[],
    },
    Row {
        path: "balancer (HAProxy), HTTP gateway",
        run: || {
            let gateway = ["--http-gateway", "http://203.0.113.80/gateway/gateway.dll"];
            login(topology::masquerade(), &gateway, |config| config)
        },
        expected: "Unknown-NAT different/unknown 0",
        facts: &[("/observed/client_port/raw", "0")],
    },
    Row {
        path: "balancer (HAProxy), masquerade, version 1 of the header",
        run: || {
            login(topology::masquerade(), &[], |config| {
                config.replace("send-proxy-v2", "send-proxy")
            })
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[],
    },
    Row {
        path: "balancer (HAProxy), masquerade, header with a checksum",
        run: || {
            login(topology::masquerade(), &[], |config| {
                config.replace(
                    "send-proxy-v2",
                    "send-proxy-v2 proxy-v2-options crc32c,unique-id",
                )
            })
        },
        expected: "IP-Restrict-NAT different/same 0",
        facts: &[],
    },
    Row {
        path: "balancer (HAProxy) without the header, which the replicas require",
        run: || {
            login(topology::direct(), &["--timeout", "3"], |config| {
                config.replace(" send-proxy-v2", "")
            })
        },
        expected: "Unknown-Connect 5 negotiate closed",
        facts: &[],
    },
];

/// A network whose server is HAProxy, with two replicas behind it.
struct Balanced {
    replicas: [Option<Serve>; 2],
    authority: Authority,
    files: TempDir,
    balancer: Option<Proxy>,
    inside: Host,
    net: Topology,
}

impl Balanced {
    fn start(net: Topology, change: impl FnOnce(String) -> String) -> Result<Self, Error> {
        let inside = net.lab.host("replicas")?;
        let here = REPLICAS.map(|ip| format!("{ip}/24")).join(" ");
        net.lab
            .link(&net.server, &format!("{BALANCER}/24"), &inside, &here)?;
        let config = change(std::fs::read_to_string(CONFIG)?);
        let files = tempfile::tempdir()?;
        file(&files, "tickets", "a key for tickets");
        let mut balanced = Self {
            replicas: [None, None],
            authority: Authority::generate(),
            files,
            balancer: None,
            inside,
            net,
        };
        for which in [0, 1] {
            balanced.replicas[which] = Some(balanced.replica(which)?);
        }
        // After them: for HAProxy a replica works until its checks fail.
        let at = balanced.net.dial(1863);
        balanced.balancer = Some(haproxy(&balanced.net.server, at, &config)?);
        Ok(balanced)
    }

    /// Starts a replica.
    fn replica(&self, which: usize) -> Result<Serve, Error> {
        let ip = REPLICAS[which];
        let mut names: Vec<_> = self.net.servers.iter().map(IpAddr::to_string).collect();
        names.push(NAME.to_owned());
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let (chain, key) = self.authority.files(ip, &names);
        let at = |port| format!("{ip}:{port}");
        let replica = Serve::start_by(
            binary(&self.inside),
            &[
                "--open",
                "--listen",
                &at(1863),
                "--passport-listen",
                &at(443),
                "--gateway-listen",
                &at(80),
                "--metrics-listen",
                &at(9186),
                "--proxy-protocol-from",
                BALANCER,
                "--ticket-key",
                text(&self.files.path().join("tickets")),
                "--tls-cert",
                text(&chain),
                "--tls-key",
                text(&key),
                "--drain-time",
                "5",
                "-v",
            ],
        )?;
        std::fs::copy(self.authority.file(), replica.ca_file())?;
        Ok(replica)
    }

    fn running(&self, which: usize) -> &Serve {
        self.replicas[which].as_ref().expect("it was started")
    }
}

fn login(
    net: Result<Topology, Error>,
    args: &[&str],
    change: impl FnOnce(String) -> String,
) -> Result<Run, Error> {
    let balanced = Balanced::start(net?, change)?;
    let tool = Tool::new(&balanced.net, balanced.running(0));
    tool.args(args).run()
}

/// A login by way of the balancer.
#[derive(Debug)]
struct Login {
    began: Instant,
    ended: Instant,
    succeeded: bool,
}

/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many log in at a time.
const AT_A_TIME: usize = 4;

/// A whole login, whose profile must have this client's end.
async fn log_in(account: String, to: IpAddr, tls: TlsConnector) {
    let passport = TcpStream::connect((to, 443)).await.expect("Passport");
    let mut browser = Browser::browse(passport, &tls).await;
    let ticket = browser.ticket(&account, "x").await;
    let session = TcpStream::connect((to, 1863)).await.expect("a session");
    let local = session.local_addr().expect("a connection");
    let profile = Client::new(session).sign_in(&account, &ticket).await;
    let port = local.port().swap_bytes().to_string();
    assert_eq!(field(&profile, "ClientIP"), Some(&*local.ip().to_string()));
    assert_eq!(field(&profile, "ClientPort"), Some(&*port));
}

/// Logs in until told to stop, and counts.
async fn log_in_all_the_time(
    to: IpAddr,
    authority: &Path,
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> Vec<Login> {
    let pem = std::fs::read(authority).expect("the authority");
    let tls = TlsConnector::from(tls(&pem, rustls::ALL_VERSIONS));
    let one = async |number: usize| {
        let mut logins = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let account = format!("user{number}@example.com");
            let login = tokio::spawn(log_in(account, to, tls.clone()));
            let succeeded = login.await.is_ok();
            logins.push(Login {
                began,
                ended: Instant::now(),
                succeeded,
            });
            done.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(20)).await;
        }
        logins
    };
    let all = futures_util::future::join_all((0..AT_A_TIME).map(one)).await;
    all.into_iter().flatten().collect()
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn a_replica_takes_with_it_only_logins_in_flight_and_none_when_drained() -> Result<(), Error> {
    let _alone = crate::alone();
    lab::requirements()?;
    lab::needs_program("haproxy", "haproxy")?;
    let mut balanced = Balanced::start(topology::direct()?, |config| config)?;
    let to: IpAddr = balanced.net.servers[0];
    // As many as it needs: each login takes two.
    let ports = "10000 60999";
    balanced
        .net
        .client
        .sysctl("net.ipv4.ip_local_port_range", ports)?;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = balanced.net.client.clone();
    let authority = balanced.authority.file();
    let (logins, killed) = thread::scope(|scope| {
        let logins = scope.spawn(|| {
            let all = log_in_all_the_time(to, &authority, &stop, &done);
            client.inside(|| block_on(all))
        });
        // In a thread of its own, so that the logins end after a panic, too.
        let changed = scope.spawn(|| change_replicas(&mut balanced, &done)).join();
        stop.store(true, Ordering::Relaxed);
        let changed = changed.unwrap_or_else(|panic| resume_unwind(panic));
        let logins = logins.join().map_err(|_| Error::new("no logins"))??;
        Ok::<_, Error>((logins, changed?))
    })?;
    let lost: Vec<_> = logins.iter().filter(|login| !login.succeeded).collect();
    let (all, lost_count) = (logins.len(), lost.len());
    print_past_the_harness(&format!(
        "{all} logins, {lost_count} lost with the replica\n"
    ));
    assert!(all >= 500, "{all} logins");
    for login in &lost {
        assert!(login.began <= killed && killed <= login.ended, "{login:?}");
    }
    assert!(lost_count <= AT_A_TIME);
    Ok(())
}

/// Kills one replica and starts it again, then the same with the other one, which is drained. When
/// the first was killed.
fn change_replicas(balanced: &mut Balanced, done: &AtomicUsize) -> Result<Instant, Error> {
    let more = |count: usize| {
        let before = done.load(Ordering::Relaxed);
        let began = Instant::now();
        while done.load(Ordering::Relaxed) < before + count {
            if began.elapsed() > Duration::from_secs(60) {
                return Err(Error::new(format!("no {count} logins in a minute")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    };
    more(100)?;
    let killed = Instant::now();
    balanced.running(0).signal(Signal::SIGKILL);
    more(150)?;
    balanced.replicas[0] = Some(balanced.replica(0)?);
    balanced.running(0).log_line(&["signed in"]);
    // HAProxy checks each of its services.
    balanced.running(0).log_line(&["DEBUG passport", "200 OK"]);
    let drained = balanced.replicas[1].take().expect("it was started");
    // Some of them on either replica.
    let mut midway = Vec::new();
    for _ in 0..6 {
        let to = balanced.net.dial(1863);
        let mut session = balanced.net.client.connect(to, PATIENCE)?;
        session.set_read_timeout(Some(PATIENCE))?;
        say(&mut session, "VER 1 MSNP9 CVR0", "VER 1 MSNP9 CVR0")?;
        midway.push(session);
    }
    drained.signal(Signal::SIGTERM);
    drained.log_line(&["draining"]);
    for session in &mut midway {
        say(session, "USR 2 TWN I user@example.com", "USR 2 TWN S ")?;
    }
    let run = drained.stop();
    assert_eq!(run.code, 0, "{}", run.stderr);
    more(50)?;
    balanced.replicas[1] = Some(balanced.replica(1)?);
    balanced.running(1).log_line(&["signed in"]);
    more(100)?;
    Ok(killed)
}

/// Sends a line, whose answer must begin so.
fn say(session: &mut std::net::TcpStream, line: &str, answer: &str) -> Result<(), Error> {
    session.write_all(format!("{line}\r\n").as_bytes())?;
    let mut start = vec![0; answer.len()];
    session.read_exact(&mut start)?;
    assert_eq!(String::from_utf8_lossy(&start), answer);
    // The rest of the line, so that the next answer is not mistaken for it.
    let mut rest = [0; 512];
    let _ = session.read(&mut rest)?;
    Ok(())
}

/// The addresses of the configuration are those that the text gives.
#[test]
fn the_configuration_names_the_replicas() -> Result<(), Error> {
    let config = std::fs::read_to_string(CONFIG)?;
    for ip in REPLICAS {
        for port in [1863, 443, 80] {
            let at: SocketAddr = format!("{ip}:{port}")
                .parse()
                .map_err(|error: std::net::AddrParseError| Error::new(error.to_string()))?;
            assert!(config.contains(&at.to_string()), "{at}");
        }
    }
    Ok(())
}
