use super::*;

const TOKEN: Token = Token(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
const DIGITS: &str = "00112233445566778899aabbccddeeff";

fn request(text: &str) -> Result<Request, BadRequest> {
    Request::parse(text.replace("TOKEN", DIGITS).as_bytes())
}

#[test]
fn every_request_is_read_as_it_is_written() {
    for (tcp, udp, line) in [
        (Some(1024), Some(65535), "CALL 1 1024 65535 TOKEN"),
        (Some(5000), None, "CALL 1 5000 - TOKEN"),
        (None, Some(5001), "CALL 1 - 5001 TOKEN"),
    ] {
        let made = Request::new(tcp, udp, TOKEN).unwrap();
        assert_eq!(made.to_string(), line.replace("TOKEN", DIGITS));
        assert_eq!((made.tcp(), made.udp(), made.token()), (tcp, udp, TOKEN));
        for end in ["\r\n", "\n"] {
            assert_eq!(request(&format!("{line}{end}")), Ok(made), "{line}");
        }
    }
    assert_eq!(Request::new(None, None, TOKEN), Err(BadRequest::Malformed));
    assert_eq!(Request::new(Some(80), None, TOKEN), Err(BadRequest::Port));
}

#[test]
fn a_bad_request_is_told_apart() {
    use BadRequest::{Malformed, Port, Version};
    let long = format!("CALL 2 {}\r\n", "x".repeat(MAX_LINE - 9));
    let longest = format!("CALL 2 {}\n", "x".repeat(MAX_LINE - 8));
    for (line, why) in [
        ("", Malformed),
        ("\r\n", Malformed),
        ("CALL\r\n", Malformed),
        ("CALL \r\n", Malformed),
        ("CALL 1\r\n", Malformed),
        ("CALL 1 \r\n", Malformed),
        ("CALL 1 5000\r\n", Malformed),
        ("CALL 1 5000 5001\r\n", Malformed),
        ("CALL 1 5000 5001 \r\n", Malformed),
        ("CALL 1 5000 5001 TOKEN", Malformed),
        ("CALL 1 5000 5001 TOKEN\r", Malformed),
        ("CALL 1 5000 5001 TOKEN\r\r\n", Malformed),
        ("CALL 1 5000 5001 TOKEN \r\n", Malformed),
        ("CALL 1 5000 5001 TOKEN x\r\n", Malformed),
        ("CALL 1 5000 5001 TOKEN\r\nCALL\r\n", Malformed),
        ("CALL 1  5000 5001 TOKEN\r\n", Malformed),
        (" CALL 1 5000 5001 TOKEN\r\n", Malformed),
        ("call 1 5000 5001 TOKEN\r\n", Malformed),
        ("CALL\t1 5000 5001 TOKEN\r\n", Malformed),
        ("CALLED TOKEN\r\n", Malformed),
        ("CALL 1 - - TOKEN\r\n", Malformed),
        ("CALL 1 5000 65536 TOKEN\r\n", Malformed),
        ("CALL 1 +5000 - TOKEN\r\n", Malformed),
        ("CALL 1 05000 - TOKEN\r\n", Malformed),
        ("CALL 1 -1 - TOKEN\r\n", Malformed),
        ("CALL 1 5000 x TOKEN\r\n", Malformed),
        ("CALL 1 5000 5001 TOKEN0\r\n", Malformed),
        (
            "CALL 1 5000 - 0112233445566778899aabbccddeeff\r\n",
            Malformed,
        ),
        (
            "CALL 1 5000 - 00112233445566778899AABBCCDDEEFF\r\n",
            Malformed,
        ),
        (
            "CALL 1 5000 - 0011223344556677x899aabbccddeeff\r\n",
            Malformed,
        ),
        // What is wrong with the form comes first.
        ("CALL 1 80 - x\r\n", Malformed),
        ("CALL x 5000 - TOKEN\r\n", Malformed),
        ("CALL 01 5000 - TOKEN\r\n", Malformed),
        ("CALL 0 5000 - TOKEN\r\n", Version),
        ("CALL 2 5000 - TOKEN\r\n", Version),
        ("CALL 2\r\n", Version),
        ("CALL 12 whatever that may mean\n", Version),
        (&*long, Version),
        (&*longest, Version),
        (&*format!("{}x\n", longest.trim_end()), Malformed),
        ("CALL 1 1023 - TOKEN\r\n", Port),
        ("CALL 1 0 - TOKEN\r\n", Port),
        ("CALL 1 - 53 TOKEN\r\n", Port),
        ("CALL 1 5000 1023 TOKEN\r\n", Port),
    ] {
        assert_eq!(request(line), Err(why), "{line:?}");
        let word = Refusal::from(why).word();
        assert_eq!(word, format!("{why:?}").to_lowercase());
    }
    assert_eq!(Request::parse(b"CALL 2 \xff\r\n"), Err(Malformed));
}

/// Every reply there is, with a few addresses.
fn replies() -> Vec<(Reply, String)> {
    let addresses = ["203.0.113.7:1033", "[2001:db8::7]:65535", "[::]:0"];
    let seen = addresses.map(|at| (Reply::Seen(at.parse().unwrap()), format!("SEEN {at}")));
    let refused = Refusal::ALL.iter().map(|&why| {
        let line = format!("REFUSED {}", format!("{why:?}").to_lowercase());
        (Reply::Refused(why), line)
    });
    let word = |debug: String| match &*debug {
        "None" => "-".to_owned(),
        some => some["Some(".len()..some.len() - 1].to_lowercase(),
    };
    let mut all: Vec<_> = seen.into_iter().chain(refused).collect();
    for tcp in TcpOutcome::ALL.iter().copied().map(Some).chain([None]) {
        for udp in UdpOutcome::ALL.iter().copied().map(Some).chain([None]) {
            let line = format!(
                "DONE {} {}",
                word(format!("{tcp:?}")),
                word(format!("{udp:?}"))
            );
            all.push((Reply::Done { tcp, udp }, line));
        }
    }
    all
}

#[test]
fn every_reply_is_read_as_it_is_written() {
    let all = replies();
    assert_eq!(all.len(), 3 + 6 + 6 * 3);
    for (reply, line) in all {
        assert_eq!(reply.to_string(), line);
        for end in ["\r\n", "\n"] {
            let line = format!("{line}{end}");
            assert!(line.len() <= MAX_LINE);
            assert_eq!(Reply::parse(line.as_bytes()), Some(reply), "{line:?}");
        }
        assert_eq!(Reply::parse(line.as_bytes()), None, "{line:?}");
    }
}

#[test]
fn a_zone_is_not_told() {
    let zoned = Reply::Seen("[fe80::1%7]:5000".parse().unwrap());
    assert_eq!(zoned.to_string(), "SEEN [fe80::1]:5000");
}

#[test]
fn what_is_no_reply_is_not_read() {
    let long = format!("SEEN 192.0.2.1:1{}\r\n", " ".repeat(MAX_LINE));
    for line in [
        "",
        "\r\n",
        "SEEN\r\n",
        "SEEN \r\n",
        "SEEN 192.0.2.1\r\n",
        "SEEN 192.0.2.1:\r\n",
        "SEEN 192.0.2.1:65536\r\n",
        "SEEN 192.0.2.1:1 \r\n",
        "SEEN 192.0.2.1:1 x\r\n",
        "SEEN 192.0.2.1:1\r\n\r\n",
        "SEEN  192.0.2.1:1\r\n",
        "SEEN 2001:db8::1:1\r\n",
        "SEEN [fe80::1%7]:1\r\n",
        "SEEN host:1\r\n",
        "seen 192.0.2.1:1\r\n",
        "DONE\r\n",
        "DONE connected\r\n",
        "DONE connected sent x\r\n",
        "DONE connected  sent\r\n",
        "DONE sent connected\r\n",
        "DONE Connected sent\r\n",
        "DONE - timeout\r\n",
        "REFUSED\r\n",
        "REFUSED \r\n",
        "REFUSED no\r\n",
        "REFUSED busy x\r\n",
        "CALLED TOKEN\r\n",
        &*long,
    ] {
        let bytes = line.replace("TOKEN", DIGITS);
        assert_eq!(Reply::parse(bytes.as_bytes()), None, "{line:?}");
    }
    assert_eq!(Reply::parse(b"REFUSED \xff\r\n"), None);
}

#[test]
fn a_call_is_known_by_its_token() {
    let line = called(TOKEN);
    assert_eq!(line, format!("CALLED {DIGITS}\r\n").as_bytes());
    assert!(is_called(&line, TOKEN));
    assert!(!is_called(&line, Token([0; 16])));
    for len in 0..line.len() {
        assert!(!is_called(&line[..len], TOKEN), "{len} bytes");
    }
    assert!(!is_called(&[&*line, b"x"].concat(), TOKEN));
    // Whoever is called must not take it for a request.
    assert_eq!(Request::parse(&line), Err(BadRequest::Malformed));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, text: String) {
        let lines = ["CALL 1 ", "CALL ", "SEEN ", "DONE ", "REFUSED ", ""].map(|start| {
            format!("{start}{text}\r\n").into_bytes()
        });
        for line in lines.iter().chain([&bytes]) {
            if let Ok(request) = Request::parse(line) {
                proptest::prop_assert_eq!(Request::parse(format!("{request}\n").as_bytes()), Ok(request));
            }
            if let Some(reply) = Reply::parse(line) {
                proptest::prop_assert_eq!(Reply::parse(format!("{reply}\n").as_bytes()), Some(reply));
            }
            let _ = is_called(line, TOKEN);
        }
    }
}
