//! Limits: too many connections, clients that are too slow, input that is too long.

use std::time::Duration;

use msnp9_conntype::server::{AccountList, Accounts, Config, Limits};
use support::client::Client;
use tokio::time::{advance, pause, resume};

use crate::embedded::{USER, eventually, start};

fn limited(limits: Limits) -> Config {
    Config {
        limits,
        ..Config::default()
    }
}

#[tokio::test]
async fn too_many_connections_of_one_address_are_refused() {
    let server = start(limited(Limits {
        max_per_address: 1,
        ..Limits::default()
    }));
    let mut first = server.connect().await;
    first.say("VER 1 MSNP9").await;
    first.line().await;
    let mut second = server.connect().await;
    // Sent before anybody reads: the refusal must survive it.
    second.say("VER 1 MSNP9").await;
    assert_eq!(second.line().await, "714 0");
    second.expect_close().await;
    let mut gateway = Client::connect(server.at.gateway[0]).await;
    let answer = gateway.head().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nConnection: close"), "{answer}");
    let mut alert = Client::connect(server.at.passport[0]).await;
    assert_eq!(alert.bytes(7).await.as_bytes(), [0x15, 3, 3, 0, 2, 2, 80]);
    drop(first);
    // Its place is free as soon as the server has seen it go.
    let again = eventually("room for another connection", async {
        loop {
            let mut client = server.connect().await;
            client.say("VER 1 MSNP9").await;
            match &*client.line().await {
                "714 0" => tokio::task::yield_now().await,
                answer => return answer.to_owned(),
            }
        }
    });
    assert_eq!(again.await, "VER 1 MSNP9 CVR0");
    assert!(server.stop().await.refused_per_address >= 3);
}

#[tokio::test]
async fn a_full_server_answers_910() {
    let server = start(limited(Limits {
        max_connections: 1,
        ..Limits::default()
    }));
    let mut first = server.connect().await;
    first.say("VER 1 MSNP9").await;
    first.line().await;
    assert_eq!(server.connect().await.line().await, "910 0");
    assert_eq!(server.stop().await.refused_total, 1);
}

#[tokio::test]
async fn a_full_server_answers_every_client() {
    let server = start(limited(Limits {
        max_connections: 1,
        ..Limits::default()
    }));
    let mut first = server.connect().await;
    first.say("VER 1 MSNP9").await;
    first.line().await;
    // More than the server waits for, and none of them closes before the last has its answer.
    let mut others = Vec::new();
    for _ in 0..200 {
        let mut notification = server.connect().await;
        // Sent before anybody reads, by some.
        if others.len() % 2 == 0 {
            notification.say("VER 1 MSNP9").await;
        }
        let passport = Client::connect(server.at.passport[0]).await;
        others.push((notification, passport));
    }
    for (notification, passport) in &mut others {
        assert_eq!(notification.line().await, "910 0");
        assert_eq!(passport.bytes(7).await.as_bytes()[0], 0x15);
    }
    assert_eq!(server.stop().await.refused_total, 400);
}

#[tokio::test]
async fn wrong_passwords_lock_an_address_out_for_a_minute() {
    let server = start(Config {
        accounts: Accounts::List(AccountList::parse("user@example.com:right").unwrap()),
        limits: Limits {
            max_failures: 3,
            ..Limits::default()
        },
        ..Config::default()
    });
    for _ in 0..3 {
        let answer = server.ticket(USER, "wrong").await.unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    let answer = server.ticket(USER, "right").await.unwrap_err();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let mut client = server.connect().await;
    client.introduce("MSNP9", USER).await;
    client.say("USR 4 TWN S t=0&p=0").await;
    assert_eq!(client.line().await, "910 4");
    pause();
    advance(Duration::from_secs(61)).await;
    resume();
    assert!(server.ticket(USER, "right").await.is_ok());
    let counts = server.stop().await;
    assert_eq!((counts.failed_logins, counts.refused_logins), (3, 2));
}

#[tokio::test]
async fn a_client_that_never_signs_in_is_disconnected() {
    let server = start(Config::default());
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.introduce("MSNP9", USER).await;
    silent.say("VER 1 MSNP9").await;
    silent.line().await;
    pause();
    advance(Duration::from_secs(31)).await;
    resume();
    for mut client in [silent, slow] {
        client.expect_close().await;
    }
    assert_eq!(server.stop().await.timeouts, 2);
}

#[tokio::test]
async fn a_silent_client_stays_and_half_a_command_times_out() {
    let server = start(Config::default());
    let mut silent = server.signed_in(USER).await;
    let mut pinging = server.signed_in("pinging@example.com").await;
    let mut dribbling = server.signed_in("dribbling@example.com").await;
    for step in 0..8 {
        pause();
        advance(Duration::from_secs(50)).await;
        resume();
        if step < 2 {
            // No whole command ever comes of it.
            dribbling.write("P").await;
        }
        pinging.say("PNG").await;
        assert_eq!(pinging.line().await, "QNG 60");
    }
    dribbling.expect_close().await;
    silent.say("PNG").await;
    assert_eq!(silent.line().await, "QNG 60");
    assert_eq!(server.stop().await.timeouts, 1);
}

#[tokio::test]
async fn a_client_that_answered_a_challenge_must_answer_the_next() {
    use msnp9_conntype::msnp::challenge;
    let server = start(Config::default());
    let mut alive = server.signed_in(USER).await;
    let mut dead = server.signed_in("dead@example.com").await;
    let (product, code) = challenge::PRODUCT;
    for client in [&mut alive, &mut dead] {
        client.say("CHG 5 NLN 0").await;
        assert_eq!(client.line().await, "CHG 5 NLN 0");
        answer(client, product, code).await;
    }
    for round in 0..3 {
        pause();
        advance(Duration::from_secs(121)).await;
        resume();
        answer(&mut alive, product, code).await;
        if round == 0 {
            assert!(dead.line().await.starts_with("CHL 0 "));
        }
    }
    dead.expect_close().await;
    assert_eq!(server.stop().await.timeouts, 1);

    async fn answer(client: &mut Client<tokio::net::TcpStream>, product: &str, code: &str) {
        let line = client.line().await;
        let digits = line
            .strip_prefix("CHL 0 ")
            .unwrap_or_else(|| panic!("{line}"));
        let digest = challenge::answer(digits, code);
        client
            .write(&format!("QRY 6 {product} 32\r\n{digest}"))
            .await;
        assert_eq!(client.line().await, "QRY 6");
    }
}

#[tokio::test]
async fn half_a_request_is_answered_when_its_time_is_up() {
    let server = start(Config::default());
    let mut half = Client::connect(server.at.gateway[0]).await;
    half.write("POST /gateway/gateway.dll HTTP/1.1\r\nHost")
        .await;
    server.settle().await;
    pause();
    advance(Duration::from_secs(31)).await;
    resume();
    let answer = half.head().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    half.expect_close().await;
    // The connections of `settle` may count as well.
    assert!(server.stop().await.timeouts >= 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let server = start(Config::default());
    let client = server.signed_in(USER).await;
    // Answers are longer than questions: once nobody reads them, the server cannot go on.
    let questions = "SYN 5 0\r\n".repeat(1000);
    let mut blocked = 0;
    eventually("a server that reads no more", async {
        while blocked < 5 {
            if client.stream.try_write(questions.as_bytes()).is_ok() {
                blocked = 0;
            } else {
                blocked += 1;
                server.settle().await;
            }
        }
    })
    .await;
    pause();
    advance(Duration::from_secs(11)).await;
    resume();
    eventually("a timeout", async {
        while server.stats.counts().timeouts == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(client);
    assert_eq!(server.stop().await.timeouts, 1);
}

#[tokio::test]
async fn other_protocols_are_disconnected() {
    let server = start(Config::default());
    for noise in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\u{16}\u{3}\u{1}",
        "SSH-2.0-x\r\n",
        "\0\0\0\0",
        "lower case\r\n",
    ] {
        let mut client = server.connect().await;
        client.write(noise).await;
        client.expect_close().await;
    }
    let mut client = server.connect().await;
    client.write(&format!("VER {}", "1".repeat(9000))).await;
    assert_eq!(client.line().await, "200 0");
    client.expect_close().await;
    let mut client = server.signed_in(USER).await;
    client.write("QRY 5 x 65537\r\n").await;
    assert_eq!(client.line().await, "200 0");
    assert_eq!(server.stop().await.protocol_errors, 7);
}

#[tokio::test]
async fn a_handshake_that_does_not_begin_times_out() {
    let server = start(Config::default());
    let mut client = Client::connect(server.at.passport[0]).await;
    // A whole login on the same thread: the connection above has been taken by then.
    server.signed_in(USER).await;
    pause();
    advance(Duration::from_secs(16)).await;
    resume();
    client.expect_close().await;
    server.stop().await;
}

#[tokio::test]
async fn hundreds_of_clients_at_once_are_served() {
    let server = start(limited(Limits {
        max_per_address: 1000,
        ..Limits::default()
    }));
    let ticket = server.ticket(USER, "x").await.unwrap();
    let mut clients = Vec::new();
    for n in 0..300 {
        let mut client = server.connect().await;
        client
            .write(&format!("VER 1 MSNP9\r\nUSR 2 TWN I u{n}@b.c\r\n"))
            .await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.line().await, "VER 1 MSNP9 CVR0");
        assert!(client.line().await.starts_with("USR 2 TWN S "));
        // Another account's ticket.
        client.say(&format!("USR 3 TWN S {ticket}")).await;
    }
    let mut answers = Vec::new();
    for client in &mut clients {
        answers.push(client.line().await);
    }
    assert_eq!(answers.iter().filter(|line| *line == "911 3").count(), 100);
    assert_eq!(answers.iter().filter(|line| *line == "910 3").count(), 200);
    server.stop().await;
}
