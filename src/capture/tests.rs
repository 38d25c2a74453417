mod conversations;
mod files;

use std::net::IpAddr;

use support::capture::{
    CLIENT, ETHERNET, RAW, SERVER, Talk, ether_type, ethernet, ip, ipv6, pcap, pcapng, profile,
    segment,
};

use super::*;
use crate::conntype::{Label, PathKind, PortOrder};

const HERE: &str = "192.168.1.5:1033";
const THERE: &str = "203.0.113.9:1863";

/// What became of each session: its label, or why there is none.
fn read_in(pieces: usize, bytes: &[u8]) -> (Vec<String>, Result<(), FileError>) {
    let mut capture = Capture::new();
    let mut sessions = Vec::new();
    let mut report = |found: Found| {
        let session = match found {
            Found::Session(session) => session,
            Found::Conversation(said) => {
                for (is_own, one) in said.invitations {
                    let (account, fields) = (&said.account, one.fields.len());
                    sessions.push(format!("{} {account:?} {is_own} {fields}", said.client));
                }
                return;
            }
        };
        let judged = judge(&session, None, PortOrder::Auto);
        let ends = format!("{} {}", session.client, session.server);
        sessions.push(match judged.verdict {
            Ok(both) => format!("{ends} {}", both.1.label),
            Err(NoVerdict::NoProfile(why)) => format!("{ends} {why:?}"),
            Err(why) => format!("{ends} {why:?}"),
        });
    };
    let mut fed = Ok(());
    for piece in bytes.chunks(pieces) {
        fed = fed.and_then(|()| capture.feed(piece, &mut report));
    }
    let done = match fed {
        Ok(()) => capture.finish(&mut report),
        Err(why) => {
            capture.abandon(&mut report);
            Err(why)
        }
    };
    (sessions, done)
}

/// The same, whatever the pieces.
fn read(bytes: &[u8]) -> (Vec<String>, Result<(), FileError>) {
    let whole = read_in(1 << 20, bytes);
    assert_eq!(read_in(1, bytes), whole);
    assert_eq!(read_in(1000, bytes), whole);
    whole
}

fn sessions(bytes: &[u8]) -> Vec<String> {
    let (sessions, done) = read(bytes);
    assert_eq!(done, Ok(()));
    sessions
}

/// What the only session came to.
fn only(packets: &[Vec<u8>]) -> String {
    let found = sessions(&pcap(RAW, packets, usize::MAX));
    let ends = format!("{HERE} {THERE} ");
    match found.as_slice() {
        [one] => one.strip_prefix(&ends).unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn session() -> Talk {
    Talk::session(HERE, THERE, "198.51.100.1", "1033")
}

fn expected() -> Vec<String> {
    vec![format!("{HERE} {THERE} IP-Restrict-NAT")]
}

fn session_of(found: Found) -> Session {
    match found {
        Found::Session(session) => session,
        Found::Conversation(said) => panic!("{said:?}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap()
}

#[test]
fn a_session_tells_its_details() {
    let mut capture = Capture::new();
    let mut found = Vec::new();
    let file = pcap(RAW, &session().packets, usize::MAX);
    capture
        .feed(&file, &mut |one| found.push(session_of(one)))
        .unwrap();
    capture
        .finish(&mut |one| found.push(session_of(one)))
        .unwrap();
    let [one] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        one.dialect.map(|dialect| dialect.to_string()).as_deref(),
        Some("MSNP9")
    );
    assert_eq!(one.account.as_deref(), Some("a@b.example"));
    assert_eq!(
        one.hops,
        Hops {
            client: Some(0),
            server: Some(4)
        }
    );
    let second = std::time::Duration::from_secs(1_700_000_000);
    assert_eq!(one.started_at, Some(std::time::UNIX_EPOCH + second));
    assert_eq!(capture.counts().packets, session().packets.len() as u64);
    assert_eq!(capture.format(), Some(Format::Pcap));
}

#[test]
fn the_order_of_the_packets_and_repeats_do_not_matter() {
    let packets = session().packets;
    let label = "IP-Restrict-NAT";
    for at in 3..packets.len() - 3 {
        let mut swapped = packets.clone();
        swapped.swap(at, at + 1);
        assert_eq!(only(&swapped), label, "{at}");
        let mut twice = packets.clone();
        twice.insert(at + 1, packets[at].clone());
        assert_eq!(only(&twice), label, "{at}");
        let mut late = packets.clone();
        late.insert(at + 3, packets[at].clone());
        assert_eq!(only(&late), label, "{at}");
    }
    // In the smallest segments.
    let mut talk = Talk::new(HERE, THERE).open();
    talk = talk.say(CLIENT, "VER 1 MSNP9 CVR0\r\n");
    for byte in [
        "VER 1 MSNP9\r\nUSR 4 OK a@b.c A 1 0\r\n",
        &profile("192.168.1.5", "1033"),
    ]
    .concat()
    .bytes()
    {
        talk = talk.say(SERVER, [byte]);
    }
    assert_eq!(only(&talk.packets), "Direct-Connect");
}

#[test]
fn what_is_missing_is_never_guessed() {
    let packets = session().packets;
    // Data of the server, and the command that shows what the connection is.
    let counts = |packet: &[u8]| {
        let is_of_server = packet[12..16] == [203, 0, 113, 9];
        packet.len() > 40 && (is_of_server || packet[40..].starts_with(b"VER"))
    };
    for at in 0..packets.len() {
        let mut without = packets.clone();
        without.remove(at);
        let found = only(&without);
        let is_label = found == "IP-Restrict-NAT";
        // The last one is the profile: after it, nothing shows that bytes are missing but the end.
        assert_eq!(is_label, !counts(&packets[at]), "{at}: {found}");
        let says = ["Lost(Gap(", "Closed", "BeginsBefore"];
        assert!(
            is_label || says.iter().any(|why| found.starts_with(why)),
            "{found}"
        );
    }
    for snap in 40..70 {
        let (found, _) = read(&pcap(RAW, &packets, snap));
        assert_eq!(found.len(), 1, "{snap}: {found:?}");
        assert!(found[0].contains("Lost(Cut("), "{found:?}");
    }
    // Cut within the options of TCP.
    let with_options = |packet: &Vec<u8>| {
        let mut packet = [&packet[..40], &[1; 12], &packet[40..]].concat();
        packet[3] += 12;
        packet[32] = 8 << 4;
        packet
    };
    let short = packets.iter().filter(|packet| packet.len() < 200);
    let packets_with: Vec<_> = short.map(with_options).collect();
    for snap in [40, 45, 51, 52] {
        let (found, _) = read(&pcap(RAW, &packets_with, snap));
        assert_eq!(found.len(), 1, "{snap}: {found:?}");
        assert!(found[0].contains("Lost(Cut("), "{snap}: {found:?}");
    }
    let (found, _) = read(&pcap(RAW, &packets, 39));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_session_that_has_no_profile_says_why() {
    let open = || Talk::new(HERE, THERE).open();
    let begun = || {
        open()
            .say(CLIENT, "VER 1 MSNP9 CVR0\r\n")
            .say(SERVER, "VER 1 MSNP9\r\n")
    };
    for (talk, why) in [
        (begun(), "CaptureEnds".to_owned()),
        (
            begun().close(),
            format!("{:?}", Ended::Closed { signed_in: false }),
        ),
        (
            begun().reset(SERVER),
            format!("{:?}", Ended::Closed { signed_in: false }),
        ),
        (
            begun().say(SERVER, "USR 4 OK a@b.c A 1 0\r\n").close(),
            format!("{:?}", Ended::Closed { signed_in: true }),
        ),
        (
            begun()
                .say(SERVER, "XFR 3 NS 203.0.113.10:1863 0 203.0.113.9:1863\r\n")
                .close(),
            format!(
                "{:?}",
                Ended::Referred(crate::address::Address {
                    host: "203.0.113.10".into(),
                    port: 1863
                })
            ),
        ),
        (
            begun().say(SERVER, "911 4\r\n").close(),
            "Refused(911)".to_owned(),
        ),
        (open().say(CLIENT, "\x16\x03\x01"), "Tls".to_owned()),
        (
            open().say(
                CLIENT,
                "POST /gateway/gateway.dll?Action=open&Server=NS HTTP/1.1\r\n",
            ),
            "Gateway".to_owned(),
        ),
        (
            begun().say(SERVER, "HTTP/1.1 400 Bad\r\n").close(),
            format!(
                "{:?}",
                Ended::Unreadable(crate::msnp::CodecError::NotMsnp(
                    crate::msnp::LooksLike::Http
                ))
            ),
        ),
    ] {
        assert_eq!(only(&talk.packets), why);
    }
}

#[test]
fn a_session_that_begins_before_the_capture_is_told() {
    let packets = session().packets;
    // Without the handshake, the first command begins it.
    for from in 1..4 {
        assert_eq!(only(&packets[from..]), "IP-Restrict-NAT", "{from}");
    }
    for from in 4..packets.len() - 3 {
        assert_eq!(only(&packets[from..]), "BeginsBefore", "{from}");
    }
    // The profile alone shows whose session it is on any port.
    let talk = Talk::session(HERE, "203.0.113.9:5000", "198.51.100.1", "1");
    let found = sessions(&pcap(
        RAW,
        &talk.packets[talk.packets.len() - 3..],
        usize::MAX,
    ));
    assert_eq!(found, [format!("{HERE} 203.0.113.9:5000 BeginsBefore")]);
}

#[test]
fn fragments_are_refused() {
    let mut talk = session();
    let at = talk
        .packets
        .iter()
        .position(|packet| packet.ends_with(b"\r\n\r\n"))
        .unwrap();
    let whole = talk.packets.remove(at);
    let (mut first, mut second) = (whole[..44].to_vec(), [&whole[..20], &whole[44..]].concat());
    let set = |packet: &mut Vec<u8>, flags: [u8; 2]| {
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        packet[6..8].copy_from_slice(&flags);
    };
    set(&mut first, [0x20, 0]);
    set(&mut second, [0, 3]);
    talk.packets.insert(at, second);
    talk.packets.insert(at, first);
    assert_eq!(only(&talk.packets), "Fragments");
}

#[test]
fn bytes_that_contradict_each_other_give_no_label() {
    let mut talk = session();
    let at = talk
        .packets
        .iter()
        .position(|packet| packet.ends_with(b"\r\n\r\n"))
        .unwrap();
    let mut other = talk.packets[at].clone();
    let port = other.len() - 8;
    other[port] = b'9';
    // Both before what they wait for: a copy that differs in the number.
    talk.packets.swap(at, at - 1);
    talk.packets.insert(at, other);
    assert_eq!(only(&talk.packets), "Lost(Conflict)");
}

#[test]
fn the_same_ports_again_are_another_session() {
    let one = session();
    let mut two = Talk::new(HERE, THERE);
    two.next = [500_000, 600_000];
    let two = two.open().log_in("192.168.1.5", "1033").close();
    let begun = Talk::new(HERE, THERE)
        .open()
        .say(CLIENT, "VER 1 MSNP9 CVR0\r\n");
    let all = [begun.packets, one.packets[..1].to_vec(), two.packets].concat();
    let found = sessions(&pcap(RAW, &all, usize::MAX));
    let ends = format!("{HERE} {THERE}");
    assert_eq!(
        found,
        [
            format!("{ends} CaptureEnds"),
            format!("{ends} Direct-Connect")
        ]
    );
}

#[test]
fn sessions_are_found_behind_proxies() {
    let open = || Talk::new(HERE, THERE).open();
    let socks = open()
        .say(CLIENT, b"\x05\x01\x00")
        .say(SERVER, b"\x05\x00")
        .say(CLIENT, b"\x05\x01\x00\x01\x01\x02\x03\x04\x07\x47")
        .say(SERVER, b"\x05\x00\x00\x01\xcb\x00\x71\x09\x04\x09")
        .log_in("203.0.113.9", "4711");
    assert_eq!(only(&socks.packets), "Unknown-NAT");
    let balanced = open()
        .say(CLIENT, b"PROXY TCP4 203.0.113.7 10.0.0.1 1033 1863\r\n")
        .log_in("203.0.113.7", "1033");
    assert_eq!(only(&balanced.packets), "Balanced");
}

#[test]
fn other_connections_are_no_sessions() {
    let open = || Talk::new(HERE, "203.0.113.9:443").open();
    for talk in [
        open()
            .say(CLIENT, "GET / HTTP/1.1\r\n\r\n")
            .say(SERVER, "HTTP/1.1 200 OK\r\n\r\n"),
        open().say(CLIENT, "\x16\x03\x01\x00"),
        open().say(SERVER, "SSH-2.0-x\r\n"),
        open(),
    ] {
        assert_eq!(
            sessions(&pcap(RAW, &talk.packets, usize::MAX)),
            Vec::<String>::new()
        );
        assert_eq!(
            sessions(&pcap(RAW, &talk.packets[3..], usize::MAX)),
            Vec::<String>::new()
        );
    }
}

#[test]
fn many_sessions_are_bounded() {
    let mut capture = Capture::new();
    let (mut labels, mut dropped) = (0_u32, 0_u32);
    let mut report = |found: Found| match session_of(found).profile {
        Ok(_) => labels += 1,
        Err(Ended::TooMany) => dropped += 1,
        Err(why) => panic!("{why:?}"),
    };
    // All begin before the first one goes on.
    let talk = |at: u32| {
        let client = format!("10.{}.{}.{}:{}", at >> 16, at >> 8 & 0xff, at & 0xff, 1033);
        Talk::new(&client, THERE)
    };
    let header = pcap(RAW, &[], usize::MAX);
    capture.feed(&header, &mut report).unwrap();
    const MANY: u32 = 20_000;
    let mut begun = Vec::new();
    for at in 0..MANY {
        let mut talk = talk(at).open().say(CLIENT, "VER 1 MSNP9 CVR0\r\n");
        let packets = std::mem::take(&mut talk.packets);
        capture
            .feed(&pcap(RAW, &packets, usize::MAX)[24..], &mut report)
            .unwrap();
        begun.push(talk);
    }
    for talk in begun {
        let talk = talk.say(SERVER, profile("198.51.100.1", "1"));
        capture
            .feed(&pcap(RAW, &talk.packets, usize::MAX)[24..], &mut report)
            .unwrap();
    }
    capture.finish(&mut report).unwrap();
    assert_eq!((labels, dropped), (16 * 1024, MANY - 16 * 1024));
}

#[test]
fn a_session_that_is_forgotten_is_not_told_again() {
    let mut capture = Capture::new();
    let mut found = Vec::new();
    let talk = session();
    capture
        .feed(&pcap(RAW, &talk.packets, usize::MAX), &mut |session| {
            found.push(session_of(session))
        })
        .unwrap();
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    // So many other connections that it is forgotten, and then a packet of it.
    for at in 0..140_000_u32 {
        let from = IpAddr::from((0x0b00_0000 + at).to_be_bytes());
        let packet = ip(
            from,
            address("203.0.113.9"),
            64,
            b"\x04\x09\x01\xbb\0\0\0\x01\0\0\0\0\x50\x10\0\0\0\0\0\0xyz",
        );
        capture
            .feed(&pcap(RAW, &[packet], usize::MAX)[24..], &mut |session| {
                found.push(session_of(session))
            })
            .unwrap();
    }
    let late = segment(
        (THERE.parse().unwrap(), HERE.parse().unwrap()),
        (9, 9),
        16,
        60,
        b"QNG 50\r\n",
    );
    capture
        .feed(&pcap(RAW, &[late], usize::MAX)[24..], &mut |session| {
            found.push(session_of(session))
        })
        .unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].profile.is_ok());
    assert_eq!(found[0].path, PathKind::Tcp);
    let judged = judge(&found[0], None, PortOrder::Auto).verdict.unwrap();
    assert_eq!(judged.1.label, Label::IpRestrictNat);
}
