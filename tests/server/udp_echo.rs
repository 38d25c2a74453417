//! UDP echo: what it answers, and that nobody can make it write to others.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use msnp9_conntype::msnp::udp_echo::{FROM_OTHER, LEN, Packet};
use support::Serve;

/// How long nothing is taken for no answer. Each test then shows that the server still answers.
const SILENCE: Duration = Duration::from_millis(200);

fn serve() -> (Serve, [SocketAddr; 2]) {
    let served = Serve::start(&["--udp-echo", "127.0.0.1:0,127.0.0.2:0"]);
    let at = [0, 1].map(|i| {
        let text = served.addresses()["udp_echo"][i].as_str().unwrap();
        text.parse().unwrap()
    });
    (served, at)
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket
}

/// Every packet that arrives until there is silence.
fn received(client: &UdpSocket) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| client.recv_from(&mut buffer).ok())
        .map(|(len, from)| (vec![0; len], from))
        .collect()
}

fn ask(client: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> Option<(Packet, SocketAddr)> {
    client.send_to(bytes, to).unwrap();
    let mut buffer = [0; 2048];
    let (len, from) = client.recv_from(&mut buffer).ok()?;
    assert_eq!(len, LEN, "an answer is as long as its request");
    Some((Packet::parse(&buffer[..len]).unwrap(), from))
}

#[test]
fn both_addresses_answer_and_each_lets_the_other_answer() {
    let (_served, [one, two]) = serve();
    let client = client();
    let own = client.local_addr().unwrap();
    for (at, other) in [(one, two), (two, one)] {
        let request = Packet::request([1, 2, 3, 4]);
        let (answer, from) = ask(&client, at, &request.bytes()).unwrap();
        assert_eq!(from, at);
        assert_eq!(SocketAddr::from(answer.client), own);
        assert_eq!(answer.transaction, [1, 2, 3, 4]);
        let named = answer.other.unwrap();
        assert_eq!(SocketAddr::from(named.address), other);
        assert_ne!(named.discard_port, other.port());
        let back = Packet {
            service: FROM_OTHER,
            transaction: [5, 6, 7, 8],
            ..answer
        };
        let (answer, from) = ask(&client, at, &back.bytes()).unwrap();
        assert_eq!((from, answer.transaction), (other, [5, 6, 7, 8]));
    }
}

#[test]
fn packets_of_other_forms_and_of_others_get_no_answer() {
    let (served, [one, _]) = serve();
    let client = client();
    let request = Packet::request([7; 4]);
    let (answer, _) = ask(&client, one, &request.bytes()).unwrap();
    let back = Packet {
        service: FROM_OTHER,
        ..answer
    };
    let mut version = request.bytes();
    version[0] = 3;
    let stranger = self::client();
    for (why, from, bytes) in [
        ("empty", &client, Vec::new()),
        ("short", &client, request.bytes()[..19].to_vec()),
        ("long", &client, [&request.bytes()[..], &[0]].concat()),
        (
            "oversized",
            &client,
            [&request.bytes()[..], &[0; 1400]].concat(),
        ),
        ("another version", &client, version.to_vec()),
        ("an answer", &client, answer.bytes().to_vec()),
        ("for another client", &stranger, back.bytes().to_vec()),
    ] {
        from.send_to(&bytes, one).unwrap();
        assert_eq!(received(from), [], "{why}");
        assert_eq!(received(&client), [], "{why}");
    }
    assert!(ask(&client, one, &request.bytes()).is_some());
    let pid = nix::unistd::Pid::from_raw(served.pid().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).unwrap();
    served.log_line(&["udp_answered=2", "udp_ignored=7", "udp_limited=0"]);
}

#[test]
fn a_flood_gets_few_answers_and_no_more_bytes_than_it_sends() {
    let (_served, [one, two]) = serve();
    let client = client();
    let request = Packet::request([9; 4]).bytes();
    let began = std::time::Instant::now();
    for n in 0..4000 {
        client
            .send_to(&request, if n % 2 == 0 { one } else { two })
            .unwrap();
    }
    let answers = received(&client);
    let seconds = began.elapsed().as_secs() as usize + 2;
    assert!(!answers.is_empty());
    assert!(answers.len() <= 64 * seconds, "{} answers", answers.len());
    assert!(answers.iter().all(|(bytes, _)| bytes.len() == LEN));
    // Another network is not affected by that.
    let other = UdpSocket::bind("127.0.0.9:0").unwrap();
    other
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert!(ask(&other, one, &request).is_some());
}

#[test]
fn addresses_that_cannot_be_used_are_refused() {
    for value in [
        "127.0.0.1",
        "127.0.0.1,127.0.0.1:7002",
        "0.0.0.0,127.0.0.1",
        "127.0.0.1,::1",
        "127.0.0.1:1,127.0.0.2:2,127.0.0.3:3",
    ] {
        let run = support::Run::of(support::tool().args(["serve", "--udp-echo", value]));
        assert_eq!(run.code, 2, "{value}: {}", run.stderr);
        assert!(run.stderr.contains("two different IPv4"), "{}", run.stderr);
    }
}
