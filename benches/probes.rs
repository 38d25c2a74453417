//! How long the probes take, against the least that can tell the cases apart.
//!
//! As root: `cargo bench --bench probes [-- RUNS]`. Two network namespaces are joined by a line that
//! holds every packet back; the tool runs in one, with a NAT of its own there, and the servers in the
//! other. Ours is the whole process. The floor counts round trips: one shows the outside end, a second
//! one what is let in; that nothing arrives is known when an answer would have, if no packet is lost.
//! Then a login with everything asked on loopback.

#![allow(clippy::print_stdout, reason = "a bench prints")]

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::lab::proxies::coturn;
use support::lab::topology::{self, Topology};
use support::lab::{self, Lab, LineOptions};
use support::{Outcome, Serve, TOOL};

/// What is between the two ends.
struct Path {
    name: &'static str,
    /// The client's own table.
    table: &'static str,
    /// The labels that UDP echo and STUN have to find.
    labels: [&'static str; 2],
    /// The round trips that UDP echo and STUN need.
    needs: [u32; 2],
    /// The longest that either may take on a path of up to 300 ms.
    limit: Duration,
}

const PATHS: [Path; 4] = [
    Path {
        name: "no NAT",
        table: "",
        labels: ["Direct-Connect", "Direct-Connect"],
        needs: [1, 2],
        limit: Duration::from_secs(2),
    },
    Path {
        name: "NAT, everything let in",
        table: "table ip nat {
            chain out {
                type nat hook postrouting priority srcnat;
                ip saddr 203.0.113.7 meta l4proto udp snat to 203.0.113.9 : udp sport ^ 0x4000
            }
            chain in {
                type nat hook prerouting priority dstnat;
                ip daddr 203.0.113.9 meta l4proto udp dnat to 203.0.113.7 : udp dport ^ 0x4000
            }
        }",
        labels: ["IP-Restrict-NAT", "IP-Restrict-NAT"],
        needs: [2, 2],
        limit: Duration::from_secs(2),
    },
    Path {
        name: "NAT, only answers let in",
        table: "table ip nat {
            chain out {
                type nat hook postrouting priority srcnat;
                ip saddr 203.0.113.7 meta l4proto udp snat to 203.0.113.9 : udp sport ^ 0x4000
            }
        }",
        labels: ["Port-Restrict-NAT", "Port-Restrict-NAT"],
        needs: [2, 2],
        limit: Duration::from_secs(2),
    },
    Path {
        name: "nothing answers",
        table: "table ip filter {
            chain in {
                type filter hook input priority filter;
                meta l4proto udp drop
            }
        }",
        labels: ["Firewall", "Firewall"],
        needs: [1, 1],
        limit: Duration::from_secs(4),
    },
];

/// The longest for a login with everything asked on loopback.
const EVERYTHING: Duration = Duration::from_millis(50);

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let runs: usize = words.next().map_or(Ok(5), |word| word.parse())?;
    if let Err(why) = lab::requirements() {
        println!("this bench needs root and network namespaces: {why}");
        return Err("not here".into());
    }
    println!("median of {runs} runs in ms, and how many times the floor that is\n");
    println!(
        "{:<12}{:<28}{:>20}{:>20}{:>16}{:>10}",
        "round trip", "path", "--udp-echo", "--stun", "floors", "limit"
    );
    let mut met = 0;
    let trips = [0, 100, 300];
    for trip in trips {
        for path in &PATHS {
            met += usize::from(measure(Duration::from_millis(trip), path, runs)?);
        }
    }
    let all = trips.len() * PATHS.len();
    println!("\nwithin the limit: {met} of {all}");

    let took = everything(runs.min(5))?;
    let is_fast = took <= EVERYTHING;
    println!(
        "\na login with --all on loopback: {} ms, limit {} ms: {}",
        milliseconds(took),
        milliseconds(EVERYTHING),
        if is_fast { "met" } else { "not met" }
    );
    Ok(())
}

/// One line of the table; whether it is within the limit.
fn measure(trip: Duration, path: &Path, runs: usize) -> Outcome<bool> {
    let options = LineOptions {
        delay: trip / 2,
        ..LineOptions::default()
    };
    let net = topology::delayed("probes", &options)?;
    // So many that no run meets what the NAT remembers of another one.
    let ports = "net.ipv4.ip_local_port_range";
    net.client.sysctl(ports, "32768 60999")?;
    // The NAT's own outside address.
    net.client.add_address("lo", "203.0.113.9/32")?;
    let _server = serve(&net)?;
    let _coturn = coturn(&net.server, [net.servers[0], net.servers[1]])?;
    if !path.table.is_empty() {
        net.client.nft(path.table)?;
    }
    let mut cells = Vec::new();
    let mut is_met = true;
    for (at, option) in ["--udp-echo", "--stun"].into_iter().enumerate() {
        let once = || {
            let mut command = net.client.command(&*TOOL);
            command.args(["probe", "--json", "--quiet", option, "203.0.113.80"]);
            timed(&mut command, path.labels[at])
        };
        let took = median(runs, once)?;
        // Less than a millisecond is the process itself.
        let floor = (trip * path.needs[at]).max(Duration::from_millis(1));
        let ratio = took.as_secs_f64() / floor.as_secs_f64();
        cells.push(format!("{} ({ratio:.1})", milliseconds(took)));
        is_met &= took <= path.limit;
    }
    let floors = path.needs.map(|needs| milliseconds(trip * needs));
    println!(
        "{:<12}{:<28}{:>20}{:>20}{:>16}{:>10}",
        format!("{} ms", trip.as_millis()),
        path.name,
        cells[0],
        cells[1],
        floors.join(", "),
        milliseconds(path.limit)
    );
    Ok(is_met)
}

fn serve(net: &Topology) -> Outcome<Serve> {
    let echo = "203.0.113.80,203.0.113.81";
    let options = ["--open", "--udp-echo", echo];
    Ok(Serve::start_by(net.server.command(&*TOOL), &options)?)
}

/// A login with everything beside it, on a host that has loopback alone.
fn everything(runs: usize) -> Outcome<Duration> {
    let lab = Lab::new("loopback")?;
    let host = lab.host("host")?;
    let options = [
        ["--listen", "127.0.0.1:1863"],
        ["--dispatch-listen", "127.0.0.1:1864"],
        ["--passport-listen", "127.0.0.1:443"],
        ["--gateway-listen", "127.0.0.1:80"],
        ["--udp-echo", "127.0.0.1,127.0.0.2"],
        ["--call-back", "127.0.0.1:7001"],
    ];
    let options = [&["--open"], options.as_flattened()].concat();
    let server = Serve::start_by(host.command(&*TOOL), &options)?;
    let _coturn = coturn(&host, ["127.0.0.1".parse()?, "127.0.0.2".parse()?])?;
    median(runs, || {
        // A server makes one call for a client at a time, and the last one may not have ended.
        std::thread::sleep(Duration::from_millis(500));
        let mut command = host.command(&*TOOL);
        command
            .args(["--json", "--quiet", "--server", "127.0.0.1"])
            .args(["--user", "user@example.com", "--ca-file"])
            .arg(server.ca_file())
            .args(["--all", "--udp-echo", "127.0.0.1", "--stun", "127.0.0.1"])
            .env("MSNP9_PASSWORD", "secret");
        let (took, document) = run(&mut command)?;
        for place in ["/conclusion/file_transfer", "/conclusion/voice"] {
            if document.pointer(place) != Some(&"likely".into()) {
                return Err(format!("{place}: {document}").into());
            }
        }
        Ok(took)
    })
}

fn timed(command: &mut Command, label: &str) -> Outcome<Duration> {
    let (took, document) = run(command)?;
    match document["label"] == label {
        true => Ok(took),
        false => Err(format!("the label is not {label}: {document}").into()),
    }
}

/// A whole process, and its document.
fn run(command: &mut Command) -> Outcome<(Duration, Value)> {
    let start = Instant::now();
    let output = command.output()?;
    let took = start.elapsed();
    Ok((took, serde_json::from_slice(&output.stdout)?))
}

fn median(runs: usize, mut once: impl FnMut() -> Outcome<Duration>) -> Outcome<Duration> {
    let mut all = (0..runs.max(1))
        .map(|_| once())
        .collect::<Outcome<Vec<_>>>()?;
    all.sort_unstable();
    Ok(all[all.len() / 2])
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e3)
}
