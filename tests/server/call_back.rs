//! Calling back: who asks is called, once, with its token; what is not granted is refused with a reason.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use msnp9_conntype::packet::call::{MAX_LINE, Token, is_called};
use msnp9_conntype::server::Config;
#[cfg(target_os = "linux")]
use socket2::{Domain, Socket, Type};
use support::Serve;
use support::client::{Client, block_on};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{advance, pause, resume};

#[cfg(target_os = "linux")]
use crate::embedded::Running;
use crate::embedded::{eventually, start};

const TOKEN: Token = Token(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// More than a call takes.
#[cfg(target_os = "linux")]
const CALL_TIME: Duration = Duration::from_millis(3100);

/// An address of this machine for each number.
fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 60, 0, n)
}

/// The ports of a client, and what came there, each with its sender.
pub(crate) struct Ports {
    tcp: TcpListener,
    udp: UdpSocket,
    pub(crate) connections: Vec<(Vec<u8>, SocketAddr)>,
    pub(crate) packets: Vec<(Vec<u8>, SocketAddr)>,
}

impl Ports {
    pub(crate) async fn open(at: Ipv4Addr) -> Self {
        Self::open_at(at, 0, 0).await.unwrap()
    }

    pub(crate) async fn open_at(at: Ipv4Addr, tcp: u16, udp: u16) -> io::Result<Self> {
        Ok(Self {
            tcp: TcpListener::bind((at, tcp)).await?,
            udp: UdpSocket::bind((at, udp)).await?,
            connections: Vec::new(),
            packets: Vec::new(),
        })
    }

    pub(crate) fn tcp(&self) -> u16 {
        self.tcp.local_addr().unwrap().port()
    }

    pub(crate) fn udp(&self) -> u16 {
        self.udp.local_addr().unwrap().port()
    }

    /// Takes what comes until `work` is over, and what has come by then.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut packet = [0; 256];
        let mut result = None;
        loop {
            tokio::select! {
                biased;
                accepted = self.tcp.accept() => {
                    let (mut stream, from) = accepted.unwrap();
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes).await.unwrap();
                    self.connections.push((bytes, from));
                }
                received = self.udp.recv_from(&mut packet) => {
                    let (len, from) = received.unwrap();
                    self.packets.push((packet[..len].to_vec(), from));
                }
                done = &mut work, if result.is_none() => result = Some(done),
                // Both have been asked once more after the end.
                () = tokio::time::sleep(Duration::from_millis(20)), if result.is_some() => {
                    return result.unwrap();
                }
            }
        }
    }
}

/// Sends this from there; all that the server answers, line by line.
pub(crate) async fn ask(server: SocketAddr, from: Ipv4Addr, text: &str) -> Vec<String> {
    let mut client = Client::connect_from(from, server).await;
    client.write(text).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.is_empty() || answer.ends_with("\r\n"), "{answer:?}");
    answer.lines().map(str::to_owned).collect()
}

pub(crate) fn request(tcp: Option<u16>, udp: Option<u16>) -> String {
    let port = |port: Option<u16>| port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    format!("CALL 1 {} {} {TOKEN}\r\n", port(tcp), port(udp))
}

/// The port of `from` that nothing listens at.
async fn closed(from: Ipv4Addr) -> u16 {
    Ports::open(from).await.tcp()
}

/// A server, and an address of it that the system would not call from by itself.
pub(crate) fn serve() -> (Serve, SocketAddr) {
    let served = Serve::start(&["--call-back", "0.0.0.0:0"]);
    let port = served.at("call_back").port();
    (served, SocketAddr::from((address(200), port)))
}

#[test]
fn the_ports_that_a_client_asks_for_are_called_with_its_token() {
    let (served, server) = serve();
    served.log_line(&["listening", "service=\"call-back\"", "address=0.0.0.0:"]);
    for (n, (tcp, udp), done) in [
        (1, (true, true), "DONE connected sent"),
        (2, (true, false), "DONE connected -"),
        (3, (false, true), "DONE - sent"),
    ] {
        block_on(async {
            let mut ports = Ports::open(address(n)).await;
            let line = request(tcp.then(|| ports.tcp()), udp.then(|| ports.udp()));
            let mut client = Client::connect_from(address(n), server).await;
            client.write(&line).await;
            let own: SocketAddr = client
                .line()
                .await
                .strip_prefix("SEEN ")
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(own.ip(), address(n));
            let answer = ports.during(client.line()).await;
            assert_eq!(answer, done, "{line}");
            client.expect_close().await;
            assert_eq!(ports.connections.len(), usize::from(tcp), "{line}");
            assert_eq!(ports.packets.len(), 2 * usize::from(udp), "{line}");
            for (bytes, from) in ports.connections.iter().chain(&ports.packets) {
                assert!(is_called(bytes, TOKEN), "{bytes:?}");
                assert_eq!(from.ip(), server.ip());
                assert_ne!(from.port(), server.port());
            }
        });
    }
    served.signal(nix::sys::signal::Signal::SIGUSR1);
    served.log_line(&["counters", " calls=3 ", " refused_calls=0 "]);
}

#[test]
fn ipv6_is_called_by_ipv6() {
    if !support::has_ipv6("a call over IPv6") {
        return;
    }
    let served = Serve::start(&["--call-back", "[::1]:0"]);
    block_on(async {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = Client::connect(served.at("call_back")).await;
        client.write(&request(Some(port), None)).await;
        client.expect("SEEN [::1]:").await;
        let (stream, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]));
        assert!(is_called(&Client::new(stream).rest().await, TOKEN));
        assert_eq!(client.line().await, "DONE connected -");
    });
}

#[test]
fn a_port_that_nothing_listens_at_is_refused() {
    let (_served, server) = serve();
    block_on(async {
        let line = request(Some(closed(address(1)).await), None);
        // The end of a line may be LF alone.
        for line in [line.clone(), line.replace('\r', "")] {
            let answer = ask(server, address(1), &line).await;
            assert!(answer[0].starts_with("SEEN 127.60.0.1:"), "{answer:?}");
            assert_eq!(answer[1..], ["DONE refused -"], "{line:?}");
        }
    });
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    let (served, server) = serve();
    block_on(async {
        let mut ports = Ports::open(address(1)).await;
        let (tcp, udp) = (ports.tcp(), ports.udp());
        let oversized = format!("CALL 1 {tcp} {udp} {TOKEN}{}\r\n", " ".repeat(MAX_LINE));
        for (line, reason) in [
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), "malformed"),
            (format!("CALL 1 {tcp} {udp}\r\n"), "malformed"),
            (format!("CALL 1 - - {TOKEN}\r\n"), "malformed"),
            (oversized, "malformed"),
            ("x".repeat(10_000), "malformed"),
            (format!("CALL 0 {tcp} {udp} {TOKEN}\r\n"), "version"),
            (format!("CALL 2 {tcp} {udp} {TOKEN} more\r\n"), "version"),
            (format!("CALL 1 {tcp} 53 {TOKEN}\r\n"), "port"),
            (format!("CALL 1 1023 {udp} {TOKEN}\r\n"), "port"),
        ] {
            let answer = ports.during(ask(server, address(1), &line)).await;
            assert_eq!(answer, [format!("REFUSED {reason}")], "{line:.60}");
        }
        assert!(ports.connections.is_empty() && ports.packets.is_empty());
        // None of these has counted as a call.
        let line = request(Some(tcp), None);
        let answer = ports.during(ask(server, address(1), &line)).await;
        assert_eq!(answer[1..], ["DONE connected -"]);
    });
    served.signal(nix::sys::signal::Signal::SIGUSR1);
    served.log_line(&["counters", " calls=1 ", " refused_calls=9 "]);
}

#[test]
fn the_seventh_call_in_a_minute_is_refused() {
    let (_served, server) = serve();
    block_on(async {
        let port = closed(address(1)).await;
        let line = request(Some(port), None);
        for n in 1..=6 {
            let answer = ask(server, address(1), &line).await;
            assert_eq!(answer[1..], ["DONE refused -"], "{n}");
        }
        for _ in 0..3 {
            let answer = ask(server, address(1), &line).await;
            assert_eq!(answer, ["REFUSED rate"]);
        }
        // Another client is not affected by that.
        let answer = ask(server, address(2), &request(Some(port), None)).await;
        assert_eq!(answer[1..], ["DONE refused -"]);
    });
}

/// A server on this test's runtime, and a port that accepts nothing more, so that a call to it takes long.
#[cfg(target_os = "linux")]
async fn with_a_full_port() -> (Running, Socket, TcpStream, u16) {
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from((LOOPBACK, 0)).into()).unwrap();
    full.listen(0).unwrap();
    let at = full.local_addr().unwrap().as_socket().unwrap();
    let queued = TcpStream::connect(at).await.unwrap();
    let server = start(Config {
        call_back: vec![SocketAddr::from((LOOPBACK, 0))],
        ..Config::default()
    });
    (server, full, queued, at.port())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_call_at_a_time_and_it_ends_where_nothing_answers() {
    let (server, _full, _queued, port) = with_a_full_port().await;
    let at = server.at.call_back[0];
    let mut first = Client::connect(at).await;
    first.write(&request(Some(port), None)).await;
    first.expect("SEEN 127.0.0.1:").await;
    let busy = ask(at, LOOPBACK, &request(Some(port), None)).await;
    assert_eq!(busy, ["REFUSED busy"]);
    let other = ask(
        at,
        address(1),
        &request(Some(closed(address(1)).await), None),
    )
    .await;
    assert_eq!(other[1..], ["DONE refused -"]);
    pause();
    advance(CALL_TIME).await;
    resume();
    assert_eq!(first.line().await, "DONE timeout -");
    first.expect_close().await;
    let again = request(Some(closed(LOOPBACK).await), None);
    assert_eq!(ask(at, LOOPBACK, &again).await[1..], ["DONE refused -"]);
    let counts = server.stop().await;
    assert_eq!((counts.calls, counts.refused_calls), (3, 1));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_call_ends_with_the_server() {
    let (server, _full, _queued, port) = with_a_full_port().await;
    let mut client = Client::connect(server.at.call_back[0]).await;
    client.write(&request(Some(port), None)).await;
    client.expect("SEEN ").await;
    let stopped = server.stop();
    let ((), counts) = tokio::join!(client.expect_close(), stopped);
    assert_eq!(counts.calls, 1);
}

#[tokio::test]
async fn a_request_has_five_seconds() {
    let server = start(Config {
        call_back: vec![SocketAddr::from((LOOPBACK, 0))],
        ..Config::default()
    });
    let at = server.at.call_back[0];
    let line = request(Some(closed(LOOPBACK).await), None);
    let (start, end) = line.split_at(9);
    let mut silent = Client::connect(at).await;
    let mut slow = Client::connect(at).await;
    let mut slower = Client::connect(at).await;
    for client in [&mut slow, &mut slower] {
        client.write(start).await;
    }
    eventually("three connections", async {
        while server.stats.counts().accepted < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.settle().await;
    pause();
    advance(Duration::from_secs(4)).await;
    resume();
    slow.write(end).await;
    slow.expect("SEEN ").await;
    assert_eq!(slow.line().await, "DONE refused -");
    pause();
    advance(Duration::from_secs(2)).await;
    resume();
    silent.expect_close().await;
    slower.expect_close().await;
    let counts = server.stop().await;
    assert_eq!(
        (counts.timeouts, counts.calls, counts.refused_calls),
        (2, 1, 0)
    );
}

#[tokio::test]
async fn who_leaves_at_once_is_not_a_call() {
    let server = start(Config {
        call_back: vec![SocketAddr::from((LOOPBACK, 0))],
        ..Config::default()
    });
    let at = server.at.call_back[0];
    for _ in 0..300 {
        drop(TcpStream::connect(at).await.unwrap());
    }
    let line = request(Some(closed(LOOPBACK).await), None);
    assert_eq!(ask(at, LOOPBACK, &line).await[1..], ["DONE refused -"]);
    let counts = server.stop().await;
    assert_eq!((counts.calls, counts.refused_calls), (1, 0));
}
