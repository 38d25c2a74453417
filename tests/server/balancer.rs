//! Behind a balancer: headers of the PROXY protocol, right and wrong, on every listener.

use std::net::{Ipv4Addr, SocketAddr};

use msnp9_conntype::server::{Config, Counts};
use support::Serve;
use support::client::{Browser, Client, block_on, field, tls};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::embedded::{Running, USER, eventually, start};

/// The balancer, and another client on this machine.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 71, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 71, 0, 2);

/// A client at 203.0.113.7:1033 that has connected to a balancer at 192.0.2.1:1863.
const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 1033 1863\r\n";
const HEADER_V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\x04\x09\x07\x47";

fn config() -> Config {
    Config {
        proxy_protocol_from: vec!["127.71.0.1/32".parse().unwrap()],
        call_back: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        ..Config::default()
    }
}

/// A connection from the balancer that begins with these bytes.
async fn from_balancer(to: SocketAddr, bytes: &[u8]) -> Client<TcpStream> {
    let mut client = Client::connect_from(BALANCER, to).await;
    client.send(bytes).await;
    client
}

/// A login with a ticket of this server's, over a connection that is open.
async fn profile(server: &Running, client: &mut Client<TcpStream>) -> String {
    let ticket = ticket(server, HEADER).await;
    client.sign_in(USER, &ticket).await
}

async fn ticket(server: &Running, header: &[u8]) -> String {
    let tcp = from_balancer(server.at.passport[0], header).await.stream;
    let pem = server.authority.as_deref().unwrap().as_bytes();
    let tls = TlsConnector::from(tls(pem, rustls::ALL_VERSIONS));
    let mut browser = Browser::browse(tcp, &tls).await;
    browser.ticket(USER, "x").await
}

/// Waits until the counters are so.
async fn counted(server: &Running, what: &str, is_so: impl Fn(&Counts) -> bool) {
    eventually(what, async {
        while !is_so(&server.stats.counts()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_profile_has_the_client_that_the_balancer_names() {
    let server = start(config());
    for header in [HEADER, HEADER_V2] {
        let mut client = from_balancer(server.ns(), header).await;
        let profile = profile(&server, &mut client).await;
        assert_eq!(field(&profile, "ClientIP"), Some("203.0.113.7"));
        // 1033 with its bytes exchanged.
        assert_eq!(field(&profile, "ClientPort"), Some("2308"));
    }
    let v6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 1033 1863\r\n";
    let mut client = from_balancer(server.ns(), v6).await;
    let profile = profile(&server, &mut client).await;
    assert_eq!(field(&profile, "ClientIP"), Some("2001:db8::7"));
}

#[tokio::test]
async fn a_client_that_the_balancer_does_not_know_gets_no_address() {
    let server = start(config());
    for (header, ip) in [
        (&b"PROXY UNKNOWN\r\n"[..], None),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", None),
        // The balancer's own connection.
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", Some("127.71.0.1")),
    ] {
        let mut client = from_balancer(server.ns(), header).await;
        let profile = profile(&server, &mut client).await;
        assert_eq!(field(&profile, "ClientIP"), ip);
        assert_eq!(field(&profile, "ClientPort").is_some(), ip.is_some());
    }
    let mut asked = from_balancer(server.at.call_back[0], b"PROXY UNKNOWN\r\n").await;
    asked
        .say("CALL 1 5000 - 00112233445566778899aabbccddeeff")
        .await;
    assert_eq!(asked.line().await, "REFUSED address");
}

#[tokio::test]
async fn a_header_may_come_in_pieces_and_with_what_follows() {
    let server = start(config());
    for header in [HEADER, HEADER_V2] {
        let mut client = Client::connect_from(BALANCER, server.ns()).await;
        for byte in header {
            client.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        let pieced = profile(&server, &mut client).await;
        assert_eq!(field(&pieced, "ClientIP"), Some("203.0.113.7"));
        let together = [header, b"VER 1 MSNP9 CVR0\r\n"].concat();
        let mut client = from_balancer(server.ns(), &together).await;
        assert_eq!(client.line().await, "VER 1 MSNP9 CVR0");
    }
}

#[tokio::test]
async fn every_listener_takes_the_header() {
    let server = start(config());
    let mut dispatch = from_balancer(server.at.dispatch[0], HEADER).await;
    dispatch
        .write("VER 1 MSNP9 CVR0\r\nUSR 2 TWN I user@example.com\r\n")
        .await;
    dispatch.expect("VER 1 MSNP9").await;
    // From what the client has connected to, which is the balancer.
    let referral = dispatch.expect("XFR 2 NS ").await;
    assert!(referral.ends_with(" 0 192.0.2.1:1863"), "{referral}");
    let mut gateway = from_balancer(server.at.gateway[0], HEADER_V2).await;
    gateway
        .write("POST /gateway/gateway.dll?Action=open&Server=NS HTTP/1.1\r\nContent-Length: 18\r\n\r\nVER 1 MSNP9 CVR0\r\n")
        .await;
    gateway.expect("HTTP/1.1 200 OK").await;
    // Called for real, so its client is on this machine.
    let header = b"PROXY TCP4 127.71.0.9 192.0.2.1 1033 1864\r\n";
    let mut calls = from_balancer(server.at.call_back[0], header).await;
    calls
        .say("CALL 1 1024 - 00112233445566778899aabbccddeeff")
        .await;
    assert_eq!(calls.line().await, "SEEN 127.71.0.9:1033");
    assert_eq!(calls.line().await, "DONE refused -");
    // Passport: every login of these tests takes it.
    ticket(&server, HEADER_V2).await;
    assert_eq!(server.stats.counts().refused_headers, 0);
}

/// The balancer's clients count by their own addresses.
#[tokio::test]
async fn limits_are_those_of_the_client() {
    let mut config = config();
    config.limits.max_per_address = 1;
    let server = start(config);
    let mut one = from_balancer(server.ns(), HEADER).await;
    one.say("VER 1 MSNP9 CVR0").await;
    one.expect("VER 1").await;
    let neighbour = b"PROXY TCP4 203.0.113.8 192.0.2.1 1033 1863\r\n";
    let mut two = from_balancer(server.ns(), neighbour).await;
    two.say("VER 1 MSNP9 CVR0").await;
    two.expect("VER 1").await;
    let mut again = from_balancer(server.ns(), HEADER).await;
    assert_eq!(again.line().await, "714 0");
    again.expect_close().await;
    assert_eq!(server.stats.counts().refused_per_address, 1);
}

#[tokio::test]
async fn a_connection_from_a_balancer_needs_a_header() {
    let server = start(config());
    let oversized = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    let mut count = 0;
    for bytes in [
        &b"VER 1 MSNP9 CVR0\r\n"[..],
        b"PROXY TCP4 203.0.113.7 192.0.2.1 1033\r\n",
        b"PROXY TCP4 0.0.0.0 192.0.2.1 1033 1863\r\n",
        &oversized,
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\x04\x09\x07\x47",
    ] {
        for to in [server.ns(), server.at.passport[0], server.at.gateway[0]] {
            let mut client = from_balancer(to, bytes).await;
            client.closed().await;
            count += 1;
        }
    }
    assert_eq!(server.stats.counts().refused_headers, count);
    // Cut, and nothing at all: a check that only connects is no error.
    for (bytes, refused) in [(&HEADER[..20], 1), (&HEADER_V2[..27], 1), (b"", 0)] {
        let mut client = from_balancer(server.ns(), bytes).await;
        client.finish().await;
        count += refused;
    }
    counted(&server, "the cut ones", |counts| {
        counts.refused_headers == count
    })
    .await;
    let counts = server.stats.counts();
    assert_eq!((counts.accepted, counts.protocol_errors), (0, 0));
}

/// What comes after the header may be nothing.
#[tokio::test]
async fn a_header_alone_is_a_connection_that_says_nothing() {
    let server = start(config());
    let mut client = from_balancer(server.ns(), HEADER).await;
    client.finish().await;
    counted(&server, "the connection", |counts| counts.accepted == 1).await;
    assert_eq!(server.stats.counts().refused_headers, 0);
}

#[tokio::test]
async fn others_send_no_header() {
    let server = start(config());
    for header in [HEADER, HEADER_V2] {
        for to in [server.ns(), server.at.passport[0], server.at.gateway[0]] {
            let mut client = Client::connect_from(OTHER, to).await;
            client.send(header).await;
            client.closed().await;
        }
    }
    assert_eq!(server.stats.counts().refused_headers, 6);
    let mut direct = Client::connect_from(OTHER, server.ns()).await;
    let profile = profile(&server, &mut direct).await;
    assert_eq!(field(&profile, "ClientIP"), Some("127.71.0.2"));
}

/// Without the option nobody is a balancer.
#[tokio::test]
async fn a_server_without_balancers_refuses_headers() {
    let server = start(Config::default());
    for header in [HEADER, HEADER_V2] {
        let mut client = from_balancer(server.ns(), header).await;
        client.closed().await;
    }
    assert_eq!(server.stats.counts().protocol_errors, 2);
    assert_eq!(server.stats.counts().logins, 0);
}

#[test]
fn the_log_tells_what_is_refused() {
    let served = Serve::start(&["--proxy-protocol-from", "127.71.0.1,2001:db8::/32"]);
    let to = served.at("notification");
    block_on(async {
        from_balancer(to, b"VER 1 MSNP9\r\n").await.closed().await;
        served.log_line(&[
            "INFO",
            "connection refused",
            "127.71.0.1:",
            "no PROXY header",
        ]);
        let mut forged = Client::connect_from(OTHER, to).await;
        forged.send(HEADER).await;
        forged.closed().await;
        served.log_line(&["INFO", "127.71.0.2:", "not from a balancer"]);
    });
    let run = served.stop();
    assert!(run.stderr.contains("turned away: 2"), "{}", run.stderr);
}
