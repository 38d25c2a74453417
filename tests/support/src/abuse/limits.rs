//! Each limit with a server of its own: clients beyond it get an answer and are counted.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use msnp9_conntype::msnp::challenge;
use tokio::net::TcpStream;

use super::Scale;
use super::passport::{PASSWORD, Passport};
use super::report::Report;
use super::server::{self, Tally, Watch};
use crate::client::{Client, connect_from};
use crate::{Outcome, Serve};

/// `--max-connections` and `--max-per-address` here.
const IN_ALL: usize = 50;
const PER_ADDRESS: usize = 5;

/// `--idle-timeout` here, and how much later than that the end may come.
const IDLE: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(2);

/// The limit of open files of the server in `open_files`.
const FILES: usize = 400;

const SEVERAL: usize = 20;

/// What a service answers to a client beyond a limit.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Line(&'static str),
    Alert,
    Unavailable,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line(line) => line,
            Self::Alert => "a TLS alert",
            Self::Unavailable => "503",
        })
    }
}

pub(super) async fn all(scale: Scale, report: &mut Report) -> Outcome<()> {
    in_all(scale, report).await?;
    per_address(report).await?;
    idle(report).await?;
    open_files(scale, report).await
}

fn address(net: u8, n: usize) -> Ipv4Addr {
    let [.., high, low] = n.to_be_bytes();
    Ipv4Addr::new(127, net, high, low)
}

/// Connects, sends VER, and must be accepted.
async fn enter(from: Ipv4Addr, server: SocketAddr) -> Outcome<Client<TcpStream>> {
    let mut client = Client::connect_from(from, server).await;
    client.write("VER 1 MSNP9 CVR0\r\n").await;
    client.expect("VER 1 MSNP9 CVR0").await;
    Ok(client)
}

/// How many of these connections got exactly this, and then the close.
async fn heard(clients: Vec<TcpStream>, answer: Answer) -> (usize, String) {
    let mut count = 0;
    let mut other = String::new();
    for stream in clients {
        let got = Client::new(stream).rest().await;
        let is_right = match answer {
            Answer::Line(line) => got == format!("{line}\r\n").as_bytes(),
            Answer::Alert => got == [0x15, 3, 3, 0, 2, 2, 80],
            Answer::Unavailable => got.starts_with(b"HTTP/1.1 503 "),
        };
        if is_right {
            count += 1;
        } else {
            other = format!("{:?}", String::from_utf8_lossy(&got));
        }
    }
    (count, other)
}

/// Connects once from each of these addresses to each of the services, all before anything is
/// read, and all must get the answer; how many they were.
async fn beyond(
    report: &mut Report,
    limit: &str,
    server: &Serve,
    addresses: &[Ipv4Addr],
    line: &'static str,
) -> Outcome<usize> {
    let mut waiting = Vec::new();
    for (kind, answer) in [
        ("notification", Answer::Line(line)),
        ("dispatch", Answer::Line(line)),
        ("passport", Answer::Alert),
        ("gateway", Answer::Unavailable),
    ] {
        let to = server.at(kind);
        let mut clients = Vec::new();
        for from in addresses {
            clients.push(connect_from(*from, to).await);
        }
        waiting.push((kind, answer, clients));
    }
    for (kind, answer, clients) in waiting {
        let count = clients.len();
        let (right, other) = heard(clients, answer).await;
        report.check(right == count, || {
            format!("{limit}, {kind}: {right} of {count} heard {answer}; another: {other}")
        });
        report.limit(format!(
            "{limit}, {kind}: {right} of {count} heard {answer}"
        ));
    }
    Ok(4 * addresses.len())
}

/// Connects until there is room; how many tries were refused before.
async fn enter_at_last(from: Ipv4Addr, server: SocketAddr, full: &str) -> Outcome<usize> {
    for refused in 0..1000 {
        let mut client = Client::connect_from(from, server).await;
        client.write("VER 1 MSNP9 CVR0\r\n").await;
        let line = client.line().await;
        if line == "VER 1 MSNP9 CVR0" {
            return Ok(refused);
        }
        if line != full {
            return Err(format!("{line:?} where {full:?} was expected").into());
        }
    }
    Err("no room again after a client has left".into())
}

async fn in_all(scale: Scale, report: &mut Report) -> Outcome<()> {
    let limit = IN_ALL.to_string();
    let server = Serve::start(&["--max-connections", &limit]);
    let to = server.at("notification");
    let mut inside = Vec::new();
    for n in 0..IN_ALL {
        inside.push(enter(address(10, n), to).await?);
    }
    let others: Vec<_> = (0..scale.beyond).map(|n| address(11, n)).collect();
    let name = format!("--max-connections {limit}");
    let mut refused = beyond(report, &name, &server, &others, "910 0").await?;
    // The first clients are still connected; one place is free once one of them disconnects.
    for client in &mut inside {
        client.write("CVR 2 x\r\n").await;
        client.expect("CVR 2 ").await;
    }
    drop(inside.pop());
    refused += enter_at_last(address(12, 1), to, "910 0").await?;
    let ended = server::stop(server)?;
    let wanted = Tally {
        turned_away: refused as u64,
        ..Tally::connections(IN_ALL + 1)
    };
    report.summary("--max-connections", &wanted, 0, &ended);
    Ok(())
}

async fn per_address(report: &mut Report) -> Outcome<()> {
    let limit = PER_ADDRESS.to_string();
    let server = Serve::start(&["--max-per-address", &limit]);
    let to = server.at("notification");
    let greedy: Vec<_> = (0..SEVERAL).map(|n| address(20, n)).collect();
    let mut inside = Vec::new();
    for from in &greedy {
        for _ in 0..PER_ADDRESS {
            inside.push(enter(*from, to).await?);
        }
    }
    let name = format!("--max-per-address {limit}");
    let mut refused = beyond(report, &name, &server, &greedy, "714 0").await?;
    // Sessions behind the gateway count as well, beside the connection that opens them.
    let mut gateway = Client::connect_from(address(21, 0), server.at("gateway")).await;
    let mut opened = 0;
    for n in 1..=SEVERAL {
        gateway
            .write(
                "POST /gateway/gateway.dll?Action=open&Server=NS HTTP/1.1\r\nHost: x\r\n\
                 Content-Length: 0\r\n\r\n",
            )
            .await;
        let head = gateway.head().await;
        if n < PER_ADDRESS && head.starts_with("HTTP/1.1 200 ") {
            opened += 1;
        } else if head.starts_with("HTTP/1.1 503 ") {
            refused += 1;
        }
    }
    report.check(opened == PER_ADDRESS - 1, || {
        format!(
            "{opened} gateway sessions of one address, not {}",
            PER_ADDRESS - 1
        )
    });
    // Other addresses are not affected.
    let other = address(22, 0);
    Passport::of(&server)?
        .login(other, "user@example.com")
        .await;
    inside.truncate(greedy.len() * PER_ADDRESS - 1);
    let last = greedy.last().copied().ok_or("nobody")?;
    refused += enter_at_last(last, to, "714 0").await?;
    let ended = server::stop(server)?;
    let wanted = Tally {
        logins: 1,
        turned_away: refused as u64,
        ..Tally::connections(SEVERAL * PER_ADDRESS + 1 + 2 + 1)
    };
    report.summary("--max-per-address", &wanted, 0, &ended);
    Ok(())
}

async fn idle(report: &mut Report) -> Outcome<()> {
    let seconds = IDLE.as_secs().to_string();
    let server = Serve::start(&["--idle-timeout", &seconds]);
    let to = server.at("notification");
    let mut browser = Passport::of(&server)?.browse(address(30, 0)).await;
    let mut silent = Vec::new();
    for n in 0..=SEVERAL {
        let account = format!("silent{n}@example.com");
        let ticket = browser.ticket(&account, PASSWORD).await;
        let mut client = Client::connect_from(address(30, n), to).await;
        client.sign_in(&account, &ticket).await;
        silent.push((client, Instant::now()));
    }
    // One of them answers the challenge that CHG brings, and no later one.
    let (mut gone, _) = silent.pop().ok_or("nobody")?;
    gone.write("CHG 9 NLN 0\r\n").await;
    gone.expect("CHG 9 NLN 0").await;
    let line = gone.line().await;
    let (product, code) = challenge::PRODUCT;
    let answer = challenge::answer(line.strip_prefix("CHL 0 ").unwrap_or_default(), code);
    gone.write(&format!("QRY 10 {product} 32\r\n{answer}"))
        .await;
    gone.expect("QRY 10").await;
    let since = Instant::now();
    let rest = gone.rest().await;
    let took = since.elapsed();
    let in_time = took >= IDLE.mul_f64(1.8) && took < 2 * IDLE + LATE;
    report.check(rest.starts_with(b"CHL 0 ") && in_time, || {
        let said = String::from_utf8_lossy(&rest);
        format!("--idle-timeout: who was to be challenged heard {said:?} in {took:?}")
    });
    // Silence alone does not end a session.
    let mut stayed = 0;
    for (mut client, _) in silent {
        client.write("PNG\r\n").await;
        stayed += usize::from(client.line().await.starts_with("QNG "));
    }
    report.check(stayed == SEVERAL, || {
        format!("--idle-timeout: {stayed} of {SEVERAL} silent clients stayed")
    });
    report.limit(format!(
        "--idle-timeout {seconds}: who leaves a challenge open is closed; {stayed} of {SEVERAL} \
         silent ones stay"
    ));
    let ended = server::stop(server)?;
    let wanted = Tally {
        logins: SEVERAL as u64 + 1,
        timed_out: 1,
        ..Tally::connections(SEVERAL + 2)
    };
    report.summary("--idle-timeout", &wanted, 0, &ended);
    Ok(())
}

/// A limit of open files below `--max-connections`: the server lowers its own limit, logs that, and
/// does not run out of them.
async fn open_files(scale: Scale, report: &mut Report) -> Outcome<()> {
    let server = server::start_with_open_files(FILES)?;
    let to = server.at("notification");
    let mut inside = Vec::new();
    let full = loop {
        let mut client = Client::connect_from(address(40, inside.len()), to).await;
        client.write("VER 1 MSNP9 CVR0\r\n").await;
        match &*client.line().await {
            "VER 1 MSNP9 CVR0" if inside.len() < FILES => inside.push(client),
            line => break line.to_owned(),
        }
    };
    report.check(full == "910 0", || format!("ulimit -n {FILES}: {full:?}"));
    let others: Vec<_> = (0..scale.beyond).map(|n| address(41, n)).collect();
    let name = format!("ulimit -n {FILES}");
    let watch = Watch::start(server.pid())?;
    let refused = 1 + beyond(report, &name, &server, &others, "910 0").await?;
    let most = watch.stop().files;
    let ended = server::stop(server)?;
    let announced = format!("at most {} connections, not 10000", inside.len());
    report.check(ended.log.contains(&announced), || {
        format!("{announced:?} is not in {:?}", ended.log)
    });
    report.check(most < FILES, || {
        format!("{name}: the server has come to {most} descriptors")
    });
    let wanted = Tally {
        turned_away: refused as u64,
        ..Tally::connections(inside.len())
    };
    report.summary("ulimit -n", &wanted, 0, &ended);
    Ok(())
}
