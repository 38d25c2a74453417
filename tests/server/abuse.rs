//! The built server under abuse, in small: `cargo bench --bench abuse` has the figures.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use msnp9_conntype::packet::call::{MIN_PORT, Token, called};
use msnp9_conntype::server::{AccountList, Accounts, Config};
use nix::sys::signal::Signal;
use support::abuse::{self, Scale};
use support::client::{Browser, block_on, connect_from, ticket_in, tls};
use support::{Outcome, Run, Serve, text};

use crate::call_back::{Ports, ask, request, serve};
use crate::embedded::{Running, eventually, start};

/// Who asks to be called back.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 61, 0, 1);

#[test]
fn honest_logins_succeed_under_abuse() -> Outcome<()> {
    let report = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(abuse::run(Scale {
            idle: 300,
            mute: 300,
            slow: 60,
            endless: 50,
            garbage: 20_000,
            churn: 300,
            half: 100,
            junk: 90,
            wrong: 800,
            beyond: 120,
            rate: 20,
            logins: 5,
        }))?;
    println!("{report}");
    assert!(report.failed.is_empty(), "{report}");
    Ok(())
}

/// The client's ports, and the same ports of others: a neighbour, the server, this machine.
async fn ports_of_all(server: Ipv4Addr) -> (Ports, Vec<Ports>) {
    let others = [Ipv4Addr::new(127, 61, 0, 2), server, Ipv4Addr::LOCALHOST];
    loop {
        let client = Ports::open(CLIENT).await;
        let same = others.map(|at| Ports::open_at(at, client.tcp(), client.udp()));
        let same: Result<Vec<_>, _> = join_all(same).await.into_iter().collect();
        // Another program may have one of them.
        if let Ok(same) = same {
            return (client, same);
        }
    }
}

/// How many bytes came to these ports.
fn bytes(ports: &Ports) -> usize {
    let all = ports.connections.iter().chain(&ports.packets);
    all.map(|(bytes, _)| bytes.len()).sum()
}

/// The shortest request for one connection and two packets is answered with less than 2.5 times as
/// many bytes to the called ports.
#[test]
fn a_request_brings_one_connection_and_two_packets_to_its_sender_only() {
    let (_served, server) = serve();
    let std::net::IpAddr::V4(own) = server.ip() else {
        panic!("{server} is IPv4");
    };
    block_on(async {
        let (mut client, mut others) = ports_of_all(own).await;
        let line = request(Some(client.tcp()), Some(client.udp()));
        let answer = client.during(ask(server, CLIENT, &line)).await;
        assert_eq!(answer[1..], ["DONE connected sent"]);
        assert_eq!((client.connections.len(), client.packets.len()), (1, 2));
        let shortest = request(Some(MIN_PORT), Some(MIN_PORT)).trim_end().len() + 1;
        let sent = bytes(&client);
        assert_eq!(sent, 3 * called(Token([0; 16])).len());
        assert!(2 * sent < 5 * shortest, "{sent} bytes for {shortest}");
        for other in &mut others {
            other.during(async {}).await;
            assert_eq!(bytes(other) + other.connections.len(), 0);
        }
    });
}

#[test]
fn a_flood_of_requests_brings_six_calls_and_others_are_called() {
    let (_served, server) = serve();
    block_on(async {
        let mut client = Ports::open(CLIENT).await;
        let line = request(Some(client.tcp()), Some(client.udp()));
        let flood = join_all((0..400).map(|_| ask(server, CLIENT, &line)));
        let neighbour = Ipv4Addr::new(127, 61, 0, 2);
        let mut called = Ports::open(neighbour).await;
        let other = request(Some(called.tcp()), Some(called.udp()));
        let honest = called.during(ask(server, neighbour, &other));
        let (mut answers, answer) = client.during(async { tokio::join!(flood, honest) }).await;
        assert_eq!(answer[1..], ["DONE connected sent"]);
        assert_eq!((called.connections.len(), called.packets.len()), (1, 2));
        // Until the limit of a minute is met.
        while answers.last().is_some_and(|last| *last != ["REFUSED rate"]) {
            let one = client.during(ask(server, CLIENT, &line)).await;
            assert!(answers.len() < 1000, "{one:?}");
            answers.push(one);
        }
        let calls = answers.iter().filter(|answer| answer.len() == 2).count();
        assert_eq!(calls, 6);
        assert_eq!((client.connections.len(), client.packets.len()), (6, 12));
        for answer in answers.iter().filter(|answer| answer.len() != 2) {
            assert!(
                *answer == ["REFUSED busy"] || *answer == ["REFUSED rate"],
                "{answer:?}"
            );
        }
    });
}

/// Adds an account, whose password is `right`, with a hash.
fn add(path: &Path, account: &str) {
    let words = ["account", "add", "--accounts", text(path), account];
    let run = Run::with_stdin(&words, "right");
    assert_eq!(run.code, 0, "{}", run.stderr);
}

async fn browse(server: &Running, from: Ipv4Addr) -> Browser {
    let pem = server.authority.as_ref().unwrap();
    let stream = connect_from(from, server.at.passport[0]).await;
    Browser::browse(stream, &tls(pem.as_bytes(), rustls::ALL_VERSIONS).into()).await
}

/// An honest client waits for one computation of each address that guesses, and not for the second.
#[tokio::test]
async fn an_honest_login_passes_the_second_attempts_of_all_who_guess() {
    const GUESSERS: u8 = 20;
    const ANN: &str = "ann@example.com";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts");
    add(&path, ANN);
    let list = AccountList::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let server = start(Config {
        accounts: Accounts::List(list),
        ..Config::default()
    });
    let computed = || server.stats.counts().password_hashes;
    let mut honest = browse(&server, Ipv4Addr::new(127, 0, 2, 1)).await;
    let mut guessers = Vec::new();
    for n in 1..=GUESSERS {
        let from = Ipv4Addr::new(127, 0, 1, n);
        let mut connections = Vec::new();
        for _ in 0..3 {
            connections.push(browse(&server, from).await);
        }
        guessers.push(connections);
    }
    // All at once. A third attempt of an address is turned away: then the other two are in.
    let mut pending = tokio::task::JoinSet::new();
    let (turned_away, mut all_in) = tokio::sync::mpsc::channel(64);
    for mut browser in guessers.into_iter().flatten() {
        let turned_away = turned_away.clone();
        pending.spawn(async move {
            let head = browser.log_in(ANN, "wrong").await;
            let is_refused = head.starts_with("HTTP/1.1 401 ");
            assert!(is_refused || head.starts_with("HTTP/1.1 503 "), "{head}");
            turned_away.send(()).await.unwrap();
            is_refused
        });
    }
    for _ in 0..GUESSERS {
        eventually("an answer to each address", all_in.recv()).await;
    }
    let before = computed();
    assert!(ticket_in(&honest.log_in(ANN, "right").await).is_some());
    let meanwhile = computed() - before;
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = u64::try_from(at_once.saturating_sub(1).max(1)).unwrap();
    let bound = u64::from(GUESSERS) + at_once;
    assert!(meanwhile <= bound, "{meanwhile} computations, not {bound}");
    if at_once < u64::from(GUESSERS) / 2 {
        // Of three answers to each address, the first is taken out already.
        let waiting = 2 * usize::from(GUESSERS) - all_in.len();
        assert!(waiting > 0, "nobody waits any more");
    }
    let refused = eventually("every answer", pending.join_all()).await;
    let refused = refused.into_iter().filter(|is_refused| *is_refused).count();
    let counts = server.stats.counts();
    assert_eq!(counts.failed_logins, u64::try_from(refused).unwrap());
    assert_eq!(
        counts.failed_logins + counts.refused_logins,
        3 * u64::from(GUESSERS)
    );
    // The password is known now.
    let all = computed();
    assert_eq!(all, counts.failed_logins + 1);
    assert!(ticket_in(&honest.log_in(ANN, "right").await).is_some());
    assert_eq!(computed(), all);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_turn() {
    const GUESSERS: u8 = 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts");
    add(&path, "ann@example.com");
    let list = AccountList::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let server = start(Config {
        accounts: Accounts::List(list),
        ..Config::default()
    });
    let mut browsers = Vec::new();
    for n in 0..2 * GUESSERS {
        browsers.push(browse(&server, Ipv4Addr::new(127, 0, 4, n / 2 + 1)).await);
    }
    let mut pending = tokio::task::JoinSet::new();
    for mut browser in browsers {
        pending.spawn(async move { browser.log_in("ann@example.com", "wrong").await });
    }
    // The first answer: the others wait.
    let first = eventually("an answer", pending.join_next()).await;
    assert!(first.unwrap().unwrap().starts_with("HTTP/1.1 401 "));
    let counts = server.stop().await;
    if std::thread::available_parallelism().map_or(1, usize::from) < usize::from(GUESSERS) / 2 {
        assert!(counts.failed_logins < 2 * u64::from(GUESSERS));
    }
}

#[test]
fn a_file_that_is_replaced_during_logins_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts");
    for n in 0..4 {
        add(&path, &format!("user{n}@example.com"));
    }
    let served = Serve::start(&["--accounts", text(&path)]);
    let pem = std::fs::read(served.ca_file()).unwrap();
    let is_over = AtomicBool::new(false);
    let logins = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4_u8)
            .map(|n| {
                let (served, pem, is_over) = (&served, &pem, &is_over);
                scope.spawn(move || {
                    let connector = tls(pem, rustls::ALL_VERSIONS).into();
                    block_on(async {
                        let from = Ipv4Addr::new(127, 0, 3, n + 1);
                        let mut count = 0;
                        while !is_over.load(Ordering::Relaxed) || count == 0 {
                            let stream = connect_from(from, served.at("passport")).await;
                            let mut browser = Browser::browse(stream, &connector).await;
                            let account = format!("user{n}@example.com");
                            browser.ticket(&account, "right").await;
                            count += 1;
                        }
                        count
                    })
                })
            })
            .collect();
        for n in 0..5 {
            // Another account, and another hash of the same password.
            add(&path, &format!("other{n}@example.com"));
            add(&path, &format!("user{}@example.com", n % 4));
            served.signal(Signal::SIGHUP);
            served.log_line(&["INFO", "accounts reloaded"]);
        }
        is_over.store(true, Ordering::Relaxed);
        let logins = clients.into_iter().map(|client| client.join().unwrap());
        logins.sum::<u64>()
    });
    served.signal(Signal::SIGUSR1);
    let tickets = format!(" tickets={logins} ");
    served.log_line(&[
        "counters",
        " refused_logins=0 ",
        &tickets,
        " failed_logins=0 ",
    ]);
}
