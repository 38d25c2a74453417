//! Sessions through the HTTP gateway.

use std::time::Duration;

use msnp9_conntype::server::{Config, GatewayPort, Limits, PortField};
use support::client::{Client, field};
use tokio::net::TcpStream;
use tokio::time::{Instant, advance, pause, resume};

use crate::embedded::{Running, USER, start};

/// A client of the gateway: one connection, one session.
struct Visitor {
    http: Client<TcpStream>,
    id: String,
    /// Whether the last answer ended the session.
    is_over: bool,
}

impl Visitor {
    async fn open(server: &Running, words: &str) -> (Self, String) {
        let mut visitor = Self {
            http: Client::connect(server.at.gateway[0]).await,
            id: String::new(),
            is_over: false,
        };
        let body = visitor
            .ask("Action=open&Server=NS&IP=messenger.hotmail.com", words)
            .await
            .unwrap();
        (visitor, body)
    }

    /// A session that is signed in, and its profile.
    async fn signed_in(server: &Running, account: &str) -> (Self, String) {
        let first = format!("VER 1 MSNP9 CVR0\r\nUSR 2 TWN I {account}\r\n");
        let (mut visitor, _) = Self::open(server, &first).await;
        let ticket = server.ticket(account, "x").await.unwrap();
        let body = visitor.say(&format!("USR 3 TWN S {ticket}\r\n")).await;
        assert!(body.starts_with("USR 3 OK "), "{body}");
        (visitor, body)
    }

    async fn say(&mut self, words: &str) -> String {
        let query = format!("SessionID={}", self.id);
        self.ask(&query, words).await.unwrap()
    }

    async fn poll(&mut self) -> Result<String, String> {
        let query = format!("Action=poll&SessionID={}", self.id);
        self.ask(&query, "").await
    }

    /// The body of an answer; or the head of one that is not 200.
    async fn ask(&mut self, query: &str, words: &str) -> Result<String, String> {
        self.http
            .write(&format!(
                "POST http://gateway.example/gateway/gateway.dll?{query} HTTP/1.1\r\n\
                 Host: gateway.example\r\nContent-Length: {}\r\n\r\n{words}",
                words.len()
            ))
            .await;
        let head = self.http.head().await;
        let length = field(&head, "Content-Length").unwrap().parse().unwrap();
        let body = self.http.bytes(length).await;
        if !head.starts_with("HTTP/1.1 200 OK\r\n") {
            return Err(head);
        }
        let header = field(&head, "X-MSN-Messenger").unwrap();
        let (id, rest) = header
            .strip_prefix("SessionID=")
            .and_then(|rest| rest.split_once("; GW-IP=gateway.example"))
            .unwrap();
        self.id = id.to_owned();
        self.is_over = rest == "; Session=close";
        assert!(self.is_over || rest.is_empty(), "{header}");
        assert_eq!(
            field(&head, "Content-Type"),
            Some("application/x-msn-messenger")
        );
        Ok(body)
    }
}

#[tokio::test]
async fn a_login_through_the_gateway_has_port_0_and_ends_with_out() {
    let server = start(Config::default());
    let (mut visitor, profile) = Visitor::signed_in(&server, USER).await;
    assert_eq!(field(&profile, "ClientIP"), Some("127.0.0.1"));
    assert_eq!(field(&profile, "ClientPort"), Some("0"));
    assert_eq!(visitor.poll().await.unwrap(), "");
    // A command may come in two requests.
    assert_eq!(visitor.say("CHG 4 H").await, "");
    assert!(visitor.say("DN 0\r\n").await.starts_with("CHG 4 HDN 0\r\n"));
    assert_eq!(visitor.say("OUT\r\n").await, "");
    assert!(visitor.is_over);
    assert!(
        visitor
            .poll()
            .await
            .unwrap_err()
            .starts_with("HTTP/1.1 400 ")
    );
    let counts = server.stop().await;
    assert_eq!((counts.gateway_sessions, counts.logins), (1, 1));
}

#[tokio::test]
async fn the_port_may_be_that_of_the_http_connection() {
    let server = start(Config {
        gateway_port: GatewayPort::Peer,
        client_port: PortField::Plain,
        ..Config::default()
    });
    let (visitor, profile) = Visitor::signed_in(&server, USER).await;
    let port = visitor.http.stream.local_addr().unwrap().port().to_string();
    assert_eq!(field(&profile, "ClientPort"), Some(&*port));
}

#[tokio::test]
async fn the_newest_session_id_is_valid_on_any_connection() {
    let server = start(Config::default());
    let (mut visitor, body) = Visitor::open(&server, "VER 1 MSNP9 CVR0\r\n").await;
    assert_eq!(body, "VER 1 MSNP9 CVR0\r\n");
    let first = visitor.id.clone();
    visitor.poll().await.unwrap();
    assert_ne!(visitor.id, first);
    let newest = std::mem::replace(&mut visitor.id, first);
    assert!(visitor.poll().await.is_err());
    visitor.id = newest;
    visitor.http = Client::connect(server.at.gateway[0]).await;
    assert!(visitor.poll().await.is_ok());
}

#[tokio::test]
async fn a_session_id_is_valid_from_its_own_address_only() {
    let server = start(Config::default());
    let (mut owner, _) = Visitor::signed_in(&server, USER).await;
    let mut thief = Visitor {
        http: Client::connect_from([127, 0, 0, 2], server.at.gateway[0]).await,
        id: owner.id.clone(),
        is_over: false,
    };
    let answer = thief.poll().await.unwrap_err();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(owner.poll().await.unwrap(), "");
}

#[tokio::test]
async fn two_requests_of_one_session_at_a_time_are_refused() {
    let server = start(Config::default());
    let (mut visitor, _) = Visitor::signed_in(&server, USER).await;
    let id = visitor.id.clone();
    let query = format!("Action=poll&Lifespan=1&SessionID={id}");
    let mut other = Visitor {
        http: Client::connect(server.at.gateway[0]).await,
        id: id.clone(),
        is_over: false,
    };
    let polling = visitor.ask(&query, "");
    let overlapping = async {
        server.settle().await;
        other.ask(&format!("SessionID={id}"), "SYN 9 0\r\n").await
    };
    let (polled, overlapped) = tokio::join!(polling, overlapping);
    assert!(overlapped.unwrap_err().starts_with("HTTP/1.1 400 "));
    assert_eq!(polled.unwrap(), "");
    assert!(visitor.say("SYN 9 1\r\n").await.starts_with("SYN 9 1"));
}

#[tokio::test]
async fn a_poll_before_the_sign_in_does_not_wait() {
    let server = start(Config::default());
    let (mut visitor, _) = Visitor::open(&server, "VER 1 MSNP9\r\n").await;
    let query = format!("Action=poll&Lifespan=2&SessionID={}", visitor.id);
    pause();
    let before = Instant::now();
    assert_eq!(visitor.ask(&query, "").await.unwrap(), "");
    // Under a paused clock waiting would be visible, however short in truth.
    assert!(before.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_ping_ends_the_session_with_an_error() {
    let server = start(Config::default());
    let (mut visitor, _) = Visitor::signed_in(&server, USER).await;
    let query = format!("SessionID={}", visitor.id);
    let answer = visitor.ask(&query, "PNG\r\n").await.unwrap_err();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(visitor.ask(&query, "").await.is_err());
}

#[tokio::test]
async fn a_refusal_ends_the_session() {
    let server = start(Config::default());
    let (mut visitor, _) = Visitor::open(&server, "VER 1 MSNP9\r\nUSR 2 TWN I a@b.c\r\n").await;
    assert_eq!(visitor.say("USR 3 TWN S t=0&p=0\r\n").await, "911 3\r\n");
    assert!(visitor.is_over);
    assert_eq!(server.stop().await.failed_logins, 1);
}

#[tokio::test]
async fn a_second_login_ends_the_first_at_its_next_poll() {
    let server = start(Config::default());
    let (mut visitor, _) = Visitor::signed_in(&server, USER).await;
    server.signed_in(USER).await;
    assert_eq!(visitor.poll().await.unwrap(), "OUT OTH\r\n");
    assert!(visitor.is_over);

    let (mut visitor, _) = Visitor::signed_in(&server, USER).await;
    let query = format!("Action=poll&Lifespan=2&SessionID={}", visitor.id);
    let (polled, _) = tokio::join!(visitor.ask(&query, ""), server.signed_in(USER));
    assert_eq!(polled.unwrap(), "OUT OTH\r\n");
}

#[tokio::test]
async fn a_stop_ends_a_waiting_poll() {
    let server = start(Config::default());
    let (mut visitor, _) = Visitor::signed_in(&server, USER).await;
    let query = format!("Action=poll&Lifespan=2&SessionID={}", visitor.id);
    let stop = async {
        server.settle().await;
        server.stop().await
    };
    let (polled, _) = tokio::join!(visitor.ask(&query, ""), stop);
    assert_eq!(polled.unwrap(), "OUT SSD\r\n");
    assert!(visitor.is_over);
}

#[tokio::test]
async fn a_session_that_nobody_polls_times_out() {
    let server = start(Config {
        limits: Limits {
            max_per_address: 2,
            ..Limits::default()
        },
        ..Config::default()
    });
    // Its connection and the session itself are all that this address may have.
    let (mut visitor, _) = Visitor::open(&server, "").await;
    let full = visitor.ask("Action=open&Server=NS", "").await.unwrap_err();
    assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
    pause();
    advance(Duration::from_secs(29)).await;
    resume();
    visitor.poll().await.unwrap();
    pause();
    advance(Duration::from_secs(25)).await;
    resume();
    // It asked for it all the time, but it never signed in.
    assert!(visitor.poll().await.is_err());
    assert_eq!(server.stop().await.timeouts, 1);
}

#[tokio::test]
async fn other_requests_get_a_status() {
    let server = start(Config::default());
    for (request, status) in [
        ("GET /gateway/gateway.dll?Action=open", 405),
        ("POST /elsewhere", 404),
        ("POST /gateway/gateway.dll?Action=open&Server=SB", 400),
        ("POST /gateway/gateway.dll?Action=poll", 400),
        ("POST /gateway/gateway.dll?SessionID=1.2", 400),
        ("POST /gateway/gateway.dll?SessionID=x", 400),
        ("POST /GATEWAY/gateway.DLL", 200),
    ] {
        let mut http = Client::connect(server.at.gateway[0]).await;
        http.write(&format!("{request} HTTP/1.1\r\n\r\n")).await;
        let head = http.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {head}"
        );
    }
    let mut http = Client::connect(server.at.gateway[0]).await;
    http.write("POST /gateway/gateway.dll HTTP/1.1\r\n\r\n")
        .await;
    let head = http.head().await;
    // Nobody said what this server is called.
    let header = field(&head, "X-MSN-Messenger").unwrap();
    assert!(header.ends_with(&format!("; GW-IP={}", server.at.gateway[0])));
}
