//! Logins as clients of the time perform them.

use std::net::{Ipv6Addr, SocketAddr};

use msnp9_conntype::server::{AccountList, Accounts, Config, PortField, TicketKey, TicketKeys};
use support::client::{Client, field};
use support::has_ipv6;

use crate::embedded::{USER, start};

#[tokio::test]
async fn a_pipelined_login_gets_the_address_that_the_server_sees() {
    let server = start(Config::default());
    let mut client = server.connect().await;
    client.introduce("MSNP9", USER).await;
    let ticket = server.ticket(USER, "x").await.unwrap();
    client.say(&format!("USR 4 TWN S {ticket}")).await;
    assert_eq!(client.line().await, format!("USR 4 OK {USER} {USER} 1 0"));
    let profile = client.message().await;
    let local = client.stream.local_addr().unwrap();
    assert_eq!(field(&profile, "ClientIP"), Some("127.0.0.1"));
    let port = local.port().swap_bytes().to_string();
    assert_eq!(field(&profile, "ClientPort"), Some(&*port));
    assert!(profile.ends_with("\r\n\r\n"));
    client.say("OUT").await;
    client.expect_close().await;
    let counts = server.stop().await;
    assert_eq!((counts.logins, counts.tickets, counts.accepted), (1, 1, 2));
    assert_eq!((counts.failed_logins, counts.protocol_errors), (0, 0));
}

#[tokio::test]
async fn a_lockstep_login_from_trid_0_with_a_tab_and_bare_line_feeds() {
    let server = start(Config {
        client_port: PortField::Plain,
        ..Config::default()
    });
    let mut client = server.connect().await;
    client.write("VER 0 MSNP8 CVR0\n").await;
    assert_eq!(client.line().await, "VER 0 MSNP8 CVR0");
    client
        .say("CVR 1 0x0409 win 4.10 i386 MSNMSGR 5.0.0544 MSMSGS\tuser@example.com ")
        .await;
    assert!(client.line().await.starts_with("CVR 1 5.0.0544 "));
    client.write("USR 2 TWN I user@example.com\n").await;
    assert!(client.line().await.starts_with("USR 2 TWN S "));
    let ticket = server.ticket(USER, "x").await.unwrap();
    client.say(&format!("USR 3 TWN S {ticket}")).await;
    assert_eq!(client.line().await, format!("USR 3 OK {USER} {USER} 1 0"));
    let profile = client.message().await;
    let port = client.stream.local_addr().unwrap().port().to_string();
    assert_eq!(field(&profile, "ClientPort"), Some(&*port));
    client.say("PNG").await;
    assert_eq!(client.line().await, "QNG");
}

#[tokio::test]
async fn a_login_byte_by_byte() {
    let server = start(Config::default());
    let mut client = server.connect().await;
    client.stream.set_nodelay(true).unwrap();
    for byte in [
        "V",
        "E",
        "R 1 MSNP9 C",
        "VR0\r",
        "\nUSR 2 TWN I a@b",
        ".c\r\n",
    ] {
        client.write(byte).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.line().await, "VER 1 MSNP9 CVR0");
    assert!(client.line().await.starts_with("USR 2 TWN S "));
}

#[tokio::test]
async fn usr_ok_and_the_profile_are_sent_at_once() {
    let server = start(Config::default());
    let mut client = server.connect().await;
    client.introduce("MSNP9", USER).await;
    let ticket = server.ticket(USER, "x").await.unwrap();
    client.say(&format!("USR 4 TWN S {ticket}")).await;
    client.stream.readable().await.unwrap();
    let mut piece = [0; 4096];
    let length = client.stream.try_read(&mut piece).unwrap();
    let piece = String::from_utf8_lossy(&piece[..length]);
    assert!(piece.starts_with("USR 4 OK "), "{piece}");
    assert!(piece.ends_with("\r\n\r\n"), "{piece}");
}

#[tokio::test]
async fn the_dispatch_server_refers_to_the_notification_server() {
    let server = start(Config::default());
    let dispatch = server.at.dispatch[0];
    let mut client = Client::connect(dispatch).await;
    client
        .write("VER 1 MSNP8 CVR0\r\nCVR 2 a\r\nUSR 3 TWN I user@example.com\r\n")
        .await;
    assert_eq!(client.line().await, "VER 1 MSNP8 CVR0");
    client.line().await;
    let ns = server.ns();
    assert_eq!(client.line().await, format!("XFR 3 NS {ns} 0 {dispatch}"));
    drop(client);
    server.signed_in(USER).await;
    assert_eq!(server.stop().await.referrals, 1);
}

#[tokio::test]
async fn over_ipv6_the_profile_has_the_clients_address() {
    if !has_ipv6("over_ipv6_the_profile_has_the_clients_address") {
        return;
    }
    let v6: Vec<SocketAddr> = vec!["[::1]:0".parse().unwrap()];
    let server = start(Config {
        listen: v6.clone(),
        dispatch_listen: v6.clone(),
        passport_listen: v6,
        ..Config::default()
    });
    assert!(server.ns().is_ipv6());
    let mut client = Client::connect(server.at.dispatch[0]).await;
    client
        .write("VER 1 MSNP8 CVR0\r\nUSR 2 TWN I user@example.com\r\n")
        .await;
    client.line().await;
    let xfr = client.line().await;
    assert!(
        xfr.starts_with(&format!("XFR 2 NS {} 0 [::1]:", server.ns())),
        "{xfr}"
    );
    let mut client = server.connect().await;
    client.introduce("MSNP9", USER).await;
    let ticket = server.ticket(USER, "x").await.unwrap();
    client.say(&format!("USR 4 TWN S {ticket}")).await;
    client.line().await;
    let profile = client.message().await;
    assert_eq!(field(&profile, "ClientIP"), Some("::1"));
}

#[tokio::test]
async fn both_families_may_have_the_same_port() {
    if !has_ipv6("both_families_may_have_the_same_port") {
        return;
    }
    let first = start(Config::default());
    let port = first.ns().port();
    // The v4 port is taken; a dual-stack v6 socket could not be bound there.
    let v6 = format!("[::]:{port}").parse().unwrap();
    let second = start(Config {
        listen: vec![v6],
        ..Config::default()
    });
    let mut client = Client::connect((Ipv6Addr::LOCALHOST, second.ns().port()).into()).await;
    client.say("VER 1 MSNP9").await;
    assert_eq!(client.line().await, "VER 1 MSNP9 CVR0");
}

#[tokio::test]
async fn a_wrong_password_gets_no_ticket() {
    let server = start(Config {
        accounts: Accounts::List(AccountList::parse("user@example.com:right").unwrap()),
        ..Config::default()
    });
    let refusal = server.ticket(USER, "wrong").await.unwrap_err();
    assert!(
        refusal.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{refusal}"
    );
    assert!(field(&refusal, "WWW-Authenticate").is_some(), "{refusal}");
    assert!(server.ticket(USER, "right").await.is_ok());
    let counts = server.stop().await;
    assert_eq!((counts.failed_logins, counts.tickets), (1, 1));
}

#[tokio::test]
async fn another_accounts_ticket_is_refused_with_911() {
    let server = start(Config::default());
    let mut client = server.connect().await;
    client.introduce("MSNP9", USER).await;
    let ticket = server.ticket("other@example.com", "x").await.unwrap();
    // What follows is not read any more; a reset would take the refusal back.
    let more = "PNG\r\n".repeat(2000);
    client
        .write(&format!("USR 4 TWN S {ticket}\r\n{more}"))
        .await;
    assert_eq!(client.line().await, "911 4");
    client.expect_close().await;
    assert_eq!(server.stop().await.failed_logins, 1);
}

#[tokio::test]
async fn servers_with_one_key_accept_each_others_tickets() {
    let key = TicketKey::new(&[7; 32]).unwrap();
    let config = Config {
        ticket_keys: Some(TicketKeys::new(key, [])),
        ..Config::default()
    };
    let (one, other) = (start(config.clone()), start(config));
    let ticket = one.ticket(USER, "x").await.unwrap();
    let mut client = other.connect().await;
    client.introduce("MSNP9", USER).await;
    client.say(&format!("USR 4 TWN S {ticket}")).await;
    assert!(client.line().await.starts_with("USR 4 OK "));
}

#[tokio::test]
async fn the_second_login_of_an_account_ends_the_first() {
    let server = start(Config::default());
    let mut first = server.signed_in(USER).await;
    let mut other = server.signed_in("other@example.com").await;
    let mut second = server.signed_in("USER@example.com").await;
    assert_eq!(first.line().await, "OUT OTH");
    first.expect_close().await;
    for client in [&mut second, &mut other] {
        client.say("PNG").await;
        assert_eq!(client.line().await, "QNG 60");
    }
    assert_eq!(server.stop().await.evictions, 1);
}

#[tokio::test]
async fn a_stop_is_announced_to_signed_in_clients() {
    let server = start(Config::default());
    let mut signed_in = server.signed_in(USER).await;
    let mut waiting = server.connect().await;
    waiting.introduce("MSNP9", "other@example.com").await;
    // A client that never closes must not hold up the end.
    let _silent = server.connect().await;
    let _browser = server.browse().await;
    let ns = server.ns();
    server.stop().await;
    assert_eq!(signed_in.line().await, "OUT SSD");
    signed_in.expect_close().await;
    waiting.expect_close().await;
    assert!(tokio::net::TcpStream::connect(ns).await.is_err());
}

#[tokio::test]
async fn dropping_the_server_ends_its_sessions() {
    let server = msnp9_conntype::server::Server::bind(Config::default()).unwrap();
    let ns = server.addresses().notification[0];
    let task = tokio::spawn(server.run(std::future::pending()));
    let mut client = Client::connect(ns).await;
    client.say("VER 1 MSNP9").await;
    client.line().await;
    task.abort();
    assert!(task.await.is_err());
    client.expect_close().await;
}
