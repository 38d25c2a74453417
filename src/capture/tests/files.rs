use super::*;

#[test]
fn every_kind_of_file_and_link_is_read() {
    let packets = session().packets;
    let frames = |frame: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<Vec<u8>> {
        packets.iter().map(|packet| frame(packet)).collect()
    };
    let plain = frames(&|packet| ethernet(packet, &[]));
    let cooked = frames(&|packet| [&[0; 14][..], &ether_type(packet), packet].concat());
    let cooked2 = frames(&|packet| [&ether_type(packet)[..], &[0; 18], packet].concat());
    let loopback = frames(&|packet| [&[2, 0, 0, 0][..], packet].concat());
    for (name, file) in [
        ("ethernet", pcap(ETHERNET, &plain, usize::MAX)),
        (
            "vlan",
            pcap(
                ETHERNET,
                &frames(&|packet| ethernet(packet, &[7])),
                usize::MAX,
            ),
        ),
        (
            "two tags",
            pcap(
                ETHERNET,
                &frames(&|packet| ethernet(packet, &[7, 8])),
                usize::MAX,
            ),
        ),
        (
            "padded",
            pcap(
                ETHERNET,
                &frames(&|packet| [ethernet(packet, &[]), vec![9; 20]].concat()),
                usize::MAX,
            ),
        ),
        ("raw", pcap(RAW, &packets, usize::MAX)),
        ("cooked", pcap(113, &cooked, usize::MAX)),
        ("cooked v2", pcap(276, &cooked2, usize::MAX)),
        ("loopback", pcap(0, &loopback, usize::MAX)),
        ("loopback of OpenBSD", pcap(108, &loopback, usize::MAX)),
        (
            "with checksums",
            pcap(ETHERNET | 0x1400_0000, &plain, usize::MAX),
        ),
        ("pcapng", pcapng(1, &plain, false)),
        ("pcapng, big-endian", pcapng(1, &plain, true)),
        (
            "two sections",
            [pcapng(1, &plain, true), pcapng(101, &[], false)].concat(),
        ),
        (
            "a section of another link type before",
            [pcapng(101, &[], false), pcapng(1, &plain, true)].concat(),
        ),
        ("gzip", gzip(&pcap(ETHERNET, &plain, usize::MAX))),
        ("gzip of pcapng", gzip(&pcapng(1, &plain, false))),
        ("gzip in two parts", {
            let whole = pcap(ETHERNET, &plain, usize::MAX);
            let (one, two) = whole.split_at(500);
            [gzip(one), gzip(two)].concat()
        }),
    ] {
        assert_eq!(sessions(&file), expected(), "{name}");
    }
}

#[test]
fn ipv6_is_read_with_its_extension_headers() {
    let (here, there) = ("[2001:db8::5]:1033", "[2001:db8::9]:1863");
    let talk = Talk::session(here, there, "2001:db8::5", "2308");
    let expected = [format!("{here} {there} Direct-Connect")];
    assert_eq!(sessions(&pcap(RAW, &talk.packets, usize::MAX)), expected);
    let extended = talk.packets.iter().map(|packet| {
        let (from, to) = (
            packet[8..24].try_into().unwrap(),
            packet[24..40].try_into().unwrap(),
        );
        // Hop-by-hop options, then destination options.
        let inner = [
            &[60, 0, 1, 4, 0, 0, 0, 0][..],
            &[6, 0, 1, 4, 0, 0, 0, 0],
            &packet[40..],
        ]
        .concat();
        ipv6(from, to, packet[7], 0, &inner)
    });
    assert_eq!(
        sessions(&pcap(RAW, &extended.collect::<Vec<_>>(), usize::MAX)),
        expected
    );
}

#[test]
fn a_file_that_is_damaged_says_where() {
    let file = pcap(RAW, &session().packets, usize::MAX);
    let packets = session().packets.len() as u64;
    let error = |bytes: &[u8]| read(bytes).1.unwrap_err();
    assert_eq!(error(b""), FileError::Empty);
    for other in [
        &b"x"[..],
        b"hello, world",
        &[0; 100],
        b"\n\r\r\nxxxxxxxxxxxxxxxxxxxxxx",
    ] {
        assert_eq!(error(other), FileError::NotACapture, "{other:?}");
    }
    assert_eq!(error(&file[..20]), FileError::NotACapture);
    let (found, done) = read(&file[..file.len() - 5]);
    assert_eq!(
        (found, done),
        (expected(), Err(FileError::Cut(packets - 1)))
    );
    assert_eq!(
        error(&pcap(147, &[vec![0; 60]], usize::MAX)),
        FileError::LinkType(147)
    );
    let zipped = gzip(&file);
    let half = error(&zipped[..zipped.len() / 2]);
    assert!(matches!(half, FileError::Compression(_)), "{half}");
    let mut torn = zipped;
    let at = torn.len() - 6;
    torn[at] ^= 0xff;
    let (found, done) = read(&torn);
    assert_eq!(found, expected());
    assert!(matches!(done, Err(FileError::Compression(_))), "{done:?}");
    // A length that nothing has.
    let mut huge = file;
    huge.extend([0xff; 16]);
    huge.resize(huge.len() + 5_000_000, 0);
    let (found, done) = read_in(1 << 16, &huge);
    assert_eq!(
        (found, done),
        (expected(), Err(FileError::Damaged(packets)))
    );
    // A block that has none, and one of an interface that there is not.
    let mut block = pcapng(101, &session().packets, false);
    let whole = block.clone();
    block.extend([6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(read(&block).1.is_err());
    // Blocks of other kinds are passed over, and lengths that none has are damage.
    for (kind, length, is_block) in [
        (4_u32, 12_u32, true),
        (0x8000_0001, 16, true),
        (0x8000_0001, 0, false),
        (0x8000_0001, 11, false),
        (1, 12, false),
        (6, 12, false),
        (6, 0xffff_fff0, false),
    ] {
        let block = [&kind.to_le_bytes()[..], &length.to_le_bytes()].concat();
        let mut block = block;
        block.resize(16, 0);
        block.truncate((length as usize).clamp(12, 16));
        let section = &whole[..28];
        let file = [section, &block, &whole[28..]].concat();
        let (found, done) = read(&file);
        assert_eq!(
            (found == expected(), done.is_ok()),
            (is_block, is_block),
            "{kind:x} {length}"
        );
    }
    let mut other = whole;
    other[28 + 20 + 8] = 9;
    assert_eq!(read(&other), (Vec::new(), Err(FileError::Damaged(0))));
}
