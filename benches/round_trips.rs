//! How many round trips a verdict takes: the tool, the tool in lockstep, and the minimum.
//!
//! As root: `cargo bench --bench round-trips [-- DELAY_MS [RUNS]]`. Two network namespaces are
//! joined by a line that holds every packet back; the tool runs in one, its own server in the
//! other. Ours is timed from the start of the process to the label on stdout. The floor is a small
//! client in this file that sends the same bytes over the same TLS library and knows all the
//! answers beforehand; it is timed from its first SYN to the last byte of the profile.
//!
//! A login with a ticket in hand is the second one of `--repeat 2`: ours is then timed as the tool's
//! own document has it, from the start of that login's first step to the end of the step that waits
//! for the profile.

#![allow(clippy::print_stdout, reason = "a bench prints")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use support::client::tls;
use support::lab::topology::{self, Topology};
use support::lab::{self, LineOptions};
use support::{Outcome, Serve, TOOL};

/// One kind of login.
struct Case {
    name: &'static str,
    /// Whether the login page has to be asked for at the nexus.
    nexus: bool,
    /// Whether the first server refers to a second one.
    dispatch: bool,
    /// Whether an earlier login has left a ticket.
    ticket: bool,
    /// The round trips that the protocol needs.
    needs: u32,
}

const CASES: [Case; 5] = [
    Case {
        name: "login address known",
        nexus: false,
        dispatch: false,
        ticket: false,
        needs: 4,
    },
    Case {
        name: "nexus on the login's host",
        nexus: true,
        dispatch: false,
        ticket: false,
        needs: 5,
    },
    Case {
        name: "login address known, referral",
        nexus: false,
        dispatch: true,
        ticket: false,
        needs: 6,
    },
    Case {
        name: "nexus, referral",
        nexus: true,
        dispatch: true,
        ticket: false,
        needs: 6,
    },
    Case {
        name: "ticket in hand",
        nexus: false,
        dispatch: false,
        ticket: true,
        needs: 2,
    },
];

/// Where the server listens.
struct Ports {
    notification: SocketAddr,
    dispatch: SocketAddr,
    passport: SocketAddr,
}

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let delay: u64 = words.next().map_or(Ok(50), |word| word.parse())?;
    let runs: usize = words.next().map_or(Ok(5), |word| word.parse())?;
    if let Err(why) = lab::requirements() {
        println!("this bench needs root and network namespaces: {why}");
        return Err("not here".into());
    }
    let trip = Duration::from_millis(2 * delay);
    let options = LineOptions {
        delay: trip / 2,
        ..LineOptions::default()
    };
    let net = topology::delayed("delay", &options)?;
    let ports = Ports {
        notification: net.dial(1863),
        dispatch: net.dial(1864),
        passport: net.dial(443),
    };
    let server = serve(&net, &ports)?;
    let ca = server.ca_file();

    println!(
        "round trip {} ms, median of {runs} runs, in round trips (and ms)\n",
        trip.as_millis()
    );
    println!(
        "{:<32}{:>18}{:>18}{:>18}  needs",
        "", "ours", "ours, --lockstep", "floor"
    );
    let mut slow = 0;
    for case in &CASES {
        let ours = median(runs, || ours(&net, &ports, &ca, case, &[]))?;
        let lockstep = median(runs, || ours_in_lockstep(&net, &ports, &ca, case))?;
        let floor = median(runs, || net.client.inside(|| floor(&ports, &ca, case))?)?;
        let shown = |time: Duration| {
            let trips = time.as_secs_f64() / trip.as_secs_f64().max(1e-9);
            format!("{trips:.2} ({:.1})", time.as_secs_f64() * 1e3)
        };
        println!(
            "{:<32}{:>18}{:>18}{:>18}{:>7}",
            case.name,
            shown(ours),
            shown(lockstep),
            shown(floor),
            case.needs
        );
        let limit = floor.mul_f64(1.1) + Duration::from_millis(10);
        slow += usize::from(ours > limit);
    }
    println!(
        "\nours within 10 % of the floor plus 10 ms: {} of {}",
        CASES.len() - slow,
        CASES.len()
    );
    Ok(())
}

fn serve(net: &Topology, ports: &Ports) -> Outcome<Serve> {
    let listen = [&ports.notification, &ports.dispatch, &ports.passport].map(SocketAddr::to_string);
    Ok(Serve::start_by(
        net.server.command(&*TOOL),
        &[
            "--open",
            "--listen",
            &listen[0],
            "--dispatch-listen",
            &listen[1],
            "--passport-listen",
            &listen[2],
        ],
    )?)
}

/// The tool as a whole process, from its start to the label.
fn ours(
    net: &Topology,
    ports: &Ports,
    ca: &Path,
    case: &Case,
    extra: &[&str],
) -> Outcome<Duration> {
    let server = if case.dispatch {
        ports.dispatch
    } else {
        ports.notification
    };
    let passport = match case.nexus {
        true => [
            "--nexus-url".to_owned(),
            format!("https://{}/rdr/pprdr.asp", ports.passport),
        ],
        false => [
            "--login-url".to_owned(),
            format!("https://{}/login2.srf", ports.passport),
        ],
    };
    let mut command = net.client.command(&*TOOL);
    command
        .args([
            "--quiet",
            "--user",
            "user@example.com",
            "--server",
            &server.to_string(),
        ])
        .args(passport)
        .arg("--ca-file")
        .arg(ca)
        .args(extra)
        .env("MSNP9_PASSWORD", "secret")
        .stdout(Stdio::piped());
    if case.ticket {
        return second_login(command.args(["--json", "--repeat", "2"]));
    }
    let start = Instant::now();
    let mut child = command.spawn()?;
    let mut label = String::new();
    BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut label)?;
    let took = start.elapsed();
    child.wait()?;
    if label != "Direct-Connect\n" {
        return Err(format!("{}: the label is {label:?}", case.name).into());
    }
    Ok(took)
}

/// The second login of one run of the tool.
fn second_login(command: &mut Command) -> Outcome<Duration> {
    let json: Value = serde_json::from_slice(&command.output()?.stdout)?;
    let all = json["timings_ms"].as_array().into_iter().flatten();
    let steps: Vec<_> = all.filter(|step| step["observation"] == 1).collect();
    let at = |step: &Value, part: &str| step[part].as_f64().ok_or("no time");
    let first = steps.first().ok_or("no second login")?;
    // The profile first, then the end of the session.
    let profile = steps.iter().find(|step| step["stage"] == "profile");
    let profile = profile.ok_or("no profile")?;
    let took = at(profile, "start")? + at(profile, "took")? - at(first, "start")?;
    Ok(Duration::from_secs_f64(took / 1e3))
}

fn ours_in_lockstep(net: &Topology, ports: &Ports, ca: &Path, case: &Case) -> Outcome<Duration> {
    ours(net, ports, ca, case, &["--lockstep"])
}

/// The minimum: everything that can be done at once is done at once.
fn floor(ports: &Ports, ca: &Path, case: &Case) -> Outcome<Duration> {
    let config = tls(&std::fs::read(ca)?, rustls::ALL_VERSIONS);
    if case.ticket {
        let ticket = ticket(&mut login_server(ports.passport, config, false)?, ports)?;
        let start = Instant::now();
        let ahead = format!("USR 4 TWN S {ticket}\r\n");
        negotiated(ports.notification, &ahead, "ClientPort: ")?;
        return Ok(start.elapsed());
    }
    let start = Instant::now();
    let (passport, nexus) = (ports.passport, case.nexus);
    let ahead = std::thread::scope(|scope| -> Outcome<_> {
        let ahead = scope.spawn(move || login_server(passport, config, nexus));
        let mut server = if case.dispatch {
            let _ = negotiated(ports.dispatch, "", "XFR 3 NS")?;
            negotiated(ports.notification, "", "USR 3 TWN S")?
        } else {
            negotiated(ports.notification, "", "USR 3 TWN S")?
        };
        let mut login = ahead
            .join()
            .map_err(|_| "the login server's thread panicked")??;
        let ticket = ticket(&mut login, ports)?;
        server.write_all(format!("USR 4 TWN S {ticket}\r\n").as_bytes())?;
        until(&mut server, "ClientPort: ")?;
        Ok(())
    });
    ahead?;
    Ok(start.elapsed())
}

fn ticket(login: &mut (impl Read + Write), ports: &Ports) -> Outcome<String> {
    write!(
        login,
        "GET /login2.srf HTTP/1.1\r\nHost: {}\r\nUser-Agent: MSMSGS\r\nAccept: */*\r\n\
         Authorization: Passport1.4 OrgVerb=GET,OrgURL=http%3A%2F%2Fmessenger%2Emsn%2Ecom,\
         sign-in=user%40example%2Ecom,pwd=secret,lc=1033\r\n\r\n",
        ports.passport
    )?;
    let head = until(login, "\r\n\r\n")?;
    let ticket = head
        .split("from-PP='")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    Ok(ticket.ok_or("no ticket")?.to_owned())
}

/// A connection on which the first commands, and those `ahead` with them, are answered up to `answer`.
fn negotiated(to: SocketAddr, ahead: &str, answer: &str) -> Outcome<TcpStream> {
    let mut server = TcpStream::connect(to)?;
    server.set_nodelay(true)?;
    let first = "VER 1 MSNP9 MSNP8 CVR0\r\nCVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS \
                 user@example.com\r\nUSR 3 TWN I user@example.com\r\n";
    server.write_all([first, ahead].concat().as_bytes())?;
    until(&mut server, answer)?;
    Ok(server)
}

fn login_server(
    to: SocketAddr,
    config: Arc<ClientConfig>,
    nexus: bool,
) -> Outcome<StreamOwned<ClientConnection, TcpStream>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    let mut tls = ClientConnection::new(config, ServerName::from(to.ip()))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    let mut stream = StreamOwned::new(tls, stream);
    if nexus {
        write!(
            stream,
            "GET /rdr/pprdr.asp HTTP/1.1\r\nHost: {to}\r\nUser-Agent: MSMSGS\r\nAccept: */*\r\n\r\n"
        )?;
        until(&mut stream, "\r\n\r\n")?;
    }
    Ok(stream)
}

/// Reads until these words have come.
fn until(from: &mut impl Read, words: &str) -> Outcome<String> {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains(words) {
        let got = from.read(&mut bytes)?;
        if got == 0 {
            return Err(format!("closed before {words:?}: {text}").into());
        }
        text.push_str(&String::from_utf8_lossy(&bytes[..got]));
    }
    Ok(text)
}

fn median(runs: usize, mut run: impl FnMut() -> Outcome<Duration>) -> Outcome<Duration> {
    let mut times = (0..runs.max(1))
        .map(|_| run())
        .collect::<Outcome<Vec<_>>>()?;
    times.sort();
    Ok(times[times.len() / 2])
}
