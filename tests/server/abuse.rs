//! The built server under abuse, in small: `cargo bench --bench abuse` has the figures.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use msnp9_conntype::packet::call::{MIN_PORT, Token, called};
use support::Outcome;
use support::abuse::{self, Scale};
use support::client::block_on;

use crate::call_back::{Ports, ask, request, serve};

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
