use proptest::prelude::*;

use super::*;

/// Everything the decoder makes of the bytes, fed in pieces of `size`.
fn read(side: Side, bytes: &[u8], size: usize) -> Result<Vec<(String, Vec<u8>)>, CodecError> {
    let mut decoder = Decoder::new(side);
    let mut commands = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        decoder.feed(piece);
        while let Some(command) = decoder.decode()? {
            let args: Vec<_> = command.args().map(String::from_utf8_lossy).collect();
            commands.push((
                format!("{} {}", command.name(), args.join(" ")),
                command.payload().to_vec(),
            ));
        }
    }
    Ok(commands)
}

fn names(bytes: &[u8]) -> Vec<String> {
    read(Side::Server, bytes, bytes.len())
        .unwrap()
        .into_iter()
        .map(|(line, _)| line)
        .collect()
}

#[test]
fn empty_lines_are_skipped() {
    assert_eq!(
        names(b"VER 1 MSNP9\r\n\r\nOUT\n\nQNG 60\r\n"),
        ["VER 1 MSNP9", "OUT ", "QNG 60"]
    );
}

#[test]
fn a_payload_is_counted_in_bytes_and_may_hold_anything() {
    let got = read(
        Side::Server,
        b"MSG Hotmail Hotmail 6\r\n\r\nOUT\nUBX a@b.c 0\r\nOUT\r\n",
        3,
    )
    .unwrap();
    assert_eq!(
        got[0],
        ("MSG Hotmail Hotmail 6".into(), b"\r\nOUT\n".to_vec())
    );
    assert_eq!(got[1].0, "UBX a@b.c 0");
    assert_eq!(got[2].0, "OUT ");
}

#[test]
fn only_a_numeric_last_word_makes_some_commands_carry_a_payload() {
    assert_eq!(names(b"ADL 5 OK\r\nOUT\r\n"), ["ADL 5 OK", "OUT "]);
    assert_eq!(names(b"GCF 0 3\r\nabcOUT\r\n"), ["GCF 0 3", "OUT "]);
    assert_eq!(names(b"GCF 3\r\nOUT\r\n"), ["GCF 3", "OUT "]);
    let client = read(
        Side::Client,
        b"QRY 8 msmsgs@msnmsgr.com 4\r\nabcdPNG\r\n",
        99,
    )
    .unwrap();
    assert_eq!(client[0].1, b"abcd");
    assert_eq!(client[1].0, "PNG ");
}

#[test]
fn sizes_are_bounded() {
    let endless = vec![b'A'; MAX_LINE + 1];
    let line = [b"MSG ", endless.as_slice()].concat();
    assert_eq!(
        read(Side::Server, &line, 1000),
        Err(CodecError::LineTooLong)
    );
    for length in ["65537", "99999999999999999999999999", "4294967295"] {
        let line = format!("MSG a b {length}\r\n");
        assert!(matches!(
            read(Side::Server, line.as_bytes(), 99),
            Err(CodecError::PayloadTooLong { .. })
        ));
    }
    assert!(
        read(Side::Server, b"MSG a b 65536\r\n", 99)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_message_without_a_length_is_refused() {
    for line in [
        "MSG Hotmail Hotmail x\r\n",
        "MSG Hotmail Hotmail -1\r\n",
        "MSG\r\n",
    ] {
        assert!(matches!(
            read(Side::Server, line.as_bytes(), 99),
            Err(CodecError::NoLength { .. })
        ));
    }
}

#[test]
fn other_protocols_are_known_at_their_first_bytes() {
    let looks = |bytes: &[u8]| match read(Side::Server, bytes, 1) {
        Err(CodecError::NotMsnp(looks)) => Some(looks),
        _ => None,
    };
    assert_eq!(
        looks(b"HTTP/1.1 400 Bad Request\r\n"),
        Some(LooksLike::Http)
    );
    assert_eq!(looks(b"\x15\x03\x01\x00\x02\x02\x46"), Some(LooksLike::Tls));
    assert_eq!(looks(b"SSH-2.0-OpenSSH_9\r\n"), Some(LooksLike::Ssh));
    assert_eq!(looks(b"\0"), Some(LooksLike::Unknown));
    assert_eq!(looks(b"ver"), Some(LooksLike::Unknown));
    assert_eq!(looks(b"VER"), None);
}

#[test]
fn after_an_unknown_payload_the_next_command_is_found() {
    let mut decoder = Decoder::new(Side::Server);
    decoder.resynchronise();
    decoder.feed(b"XYZ 0 14\r\n<xml>\r\n</xml>\r\nNLN NLN a@b.c\r\n");
    assert_eq!(decoder.decode().unwrap().unwrap().name(), "XYZ");
    assert_eq!(decoder.decode().unwrap().unwrap().name(), "NLN");
    decoder.feed(&vec![b'x'; MAX_SKIP - 100]);
    assert_eq!(decoder.decode(), Ok(None));
    decoder.feed(&[b'y'; 200]);
    assert!(decoder.decode().is_err(), "the search has an end");
}

#[test]
fn a_skipped_line_is_skipped_whole_however_it_comes() {
    let mut decoder = Decoder::new(Side::Server);
    decoder.resynchronise();
    for piece in ["<xml>", "OUT ", "x", "\r", "\nNLN NLN a@b.c\r\n"] {
        assert_eq!(decoder.decode(), Ok(None));
        decoder.feed(piece.as_bytes());
    }
    assert_eq!(decoder.decode().unwrap().unwrap().name(), "NLN");
}

#[test]
fn is_midway_inside_a_command() {
    let mut decoder = Decoder::new(Side::Server);
    assert!(!decoder.is_midway());
    decoder.feed(b"OUT\r\nMSG a b 5\r\nab");
    decoder.decode().unwrap().unwrap();
    assert_eq!(decoder.decode(), Ok(None));
    assert!(decoder.is_midway());
    decoder.feed(b"cde");
    decoder.decode().unwrap().unwrap();
    assert!(!decoder.is_midway());
}

fn any_command() -> impl Strategy<Value = (String, Vec<u8>)> {
    let plain = ("[A-Z]{3}", prop::collection::vec("[!-~]{1,12}", 0..6)).prop_filter_map(
        "a payload command needs its payload",
        |(name, args)| {
            let bytes: [u8; 3] = name.as_bytes().try_into().ok()?;
            (carries(Side::Server, &bytes) == Carries::Nothing)
                .then(|| (format!("{name} {}", args.join(" ")), Vec::new()))
        },
    );
    let message = prop::collection::vec(any::<u8>(), 0..200)
        .prop_map(|payload| (format!("MSG Hotmail Hotmail {}", payload.len()), payload));
    prop_oneof![plain, message]
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_commands(
        commands in prop::collection::vec(any_command(), 1..20), size in 1usize..50,
    ) {
        let mut wire = Vec::new();
        for (line, payload) in &commands {
            wire.extend_from_slice(line.as_bytes());
            wire.extend_from_slice(b"\r\n");
            wire.extend_from_slice(payload);
        }
        let whole = read(Side::Server, &wire, wire.len());
        prop_assert_eq!(&read(Side::Server, &wire, size), &whole);
        prop_assert_eq!(whole.unwrap(), commands);
    }

    #[test]
    fn any_bytes_are_read_or_refused_alike_in_any_pieces(
        bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1usize..20,
    ) {
        prop_assert_eq!(read(Side::Client, &bytes, size).is_ok(), read(Side::Client, &bytes, 400).is_ok());
    }
}
