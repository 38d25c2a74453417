use super::*;

/// A piece of a message of MSNSLP, as `MSG` carries it.
fn piece(client: bool, session: u32, text: &[u8], offset: u64, total: u64) -> Vec<u8> {
    let mut body =
        b"MIME-Version: 1.0\r\nContent-Type: application/x-msnmsgrp2p\r\nP2P-Dest: c@d.e\r\n\r\n"
            .to_vec();
    body.extend(session.to_le_bytes());
    body.extend([0; 4]);
    body.extend(offset.to_le_bytes());
    body.extend(total.to_le_bytes());
    body.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    body.extend([0; 20]);
    body.extend(text);
    body.extend([0; 4]);
    let head = match client {
        true => format!("MSG 5 D {}\r\n", body.len()),
        false => format!("MSG c@d.e nick {}\r\n", body.len()),
    };
    [head.into_bytes(), body].concat()
}

const INVITE: &[u8] = b"INVITE MSNMSGR:c@d.e MSNSLP/1.0\r\nFrom: <msnmsgr:a@b.example>\r\n\
    Content-Type: application/x-msnmsgr-transreqbody\r\n\r\nBridges: TRUDPv1 TCPv1\r\nNetID: 1\r\n\
    Conn-Type: IP-Restrict-NAT\r\nICF: false\r\n\r\n\0";

#[test]
fn invitations_are_found_in_conversations() {
    let total = INVITE.len() as u64;
    let (first, rest) = INVITE.split_at(90);
    let begin = || {
        Talk::new("192.168.1.5:1040", "203.0.113.10:1863")
            .open()
            .say(CLIENT, "USR 1 a@b.example 12.34\r\n")
    };
    let expected = |is_own| vec![format!("192.168.1.5:1040 Some(\"a@b.example\") {is_own} 4")];
    for (talk, found) in [
        (
            begin()
                .say(CLIENT, piece(true, 0, INVITE, 0, total))
                .close(),
            expected(true),
        ),
        (
            begin().say(SERVER, piece(false, 0, INVITE, 0, total)),
            expected(false),
        ),
        // In two pieces, with something else between; and with a piece that is missing.
        (
            begin()
                .say(CLIENT, piece(true, 0, first, 0, total))
                .say(CLIENT, "ACK 3\r\n")
                .say(CLIENT, piece(true, 0, rest, 90, total)),
            expected(true),
        ),
        (
            begin().say(CLIENT, piece(true, 0, rest, 90, total)),
            Vec::new(),
        ),
        // Data that looks like one, something too long, and a text.
        (
            begin().say(CLIENT, piece(true, 7, INVITE, 0, total)),
            Vec::new(),
        ),
        (
            begin().say(CLIENT, piece(true, 0, INVITE, 0, 1 << 40)),
            Vec::new(),
        ),
        (
            begin().say(CLIENT, "MSG 5 N 20\r\nConn-Type: Firewall"),
            Vec::new(),
        ),
    ] {
        assert_eq!(sessions(&pcap(RAW, &talk.packets, usize::MAX)), found);
    }
    // After a gap, the next command is found.
    let mut talk = begin()
        .say(CLIENT, "MSG 4 N 2000\r\n")
        .say(CLIENT, [b'x'; 1000]);
    let lost = talk.packets.len();
    talk = talk
        .say(CLIENT, [b'x'; 1000])
        .say(CLIENT, "\r\n")
        .say(CLIENT, piece(true, 0, INVITE, 0, total))
        .close();
    talk.packets.remove(lost);
    assert_eq!(
        sessions(&pcap(RAW, &talk.packets, usize::MAX)),
        expected(true)
    );
    // Of MSNP8: voice.
    let body = "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite\r\n\r\nSession-Protocol: SM1\r\n\
                Conn-Type: Symmetric-NAT\r\nPublic-IP: 203.0.113.7\r\nPrivate-IP: 192.168.1.5\r\nUPnP: FALSE\r\n";
    let talk = begin().say(CLIENT, format!("MSG 5 N {}\r\n{body}", body.len()));
    assert_eq!(
        sessions(&pcap(RAW, &talk.packets, usize::MAX)),
        expected(true)
    );
}
