//! Captures made by hand.

use std::net::{IpAddr, SocketAddr};

/// LINKTYPE_ETHERNET.
pub const ETHERNET: u32 = 1;
/// LINKTYPE_RAW.
pub const RAW: u32 = 101;

/// One TCP connection, as the packets of IP that make it up.
pub struct Talk {
    /// The two ends: the client's, the server's.
    pub ends: [SocketAddr; 2],
    /// The time to live of the packets of each.
    pub hops_left: [u8; 2],
    /// The next sequence number of each.
    pub next: [u32; 2],
    /// The packets so far.
    pub packets: Vec<Vec<u8>>,
}

/// Who sends.
pub const CLIENT: usize = 0;
/// Who sends.
pub const SERVER: usize = 1;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

impl Talk {
    /// A connection that has not begun. It is seen on the client's host.
    #[must_use]
    pub fn new(client: &str, server: &str) -> Self {
        Self {
            ends: [client, server].map(|end| end.parse().unwrap()),
            hops_left: [64, 60],
            next: [1000, u32::MAX - 100],
            packets: Vec::new(),
        }
    }

    fn segment(&mut self, from: usize, flags: u8, data: &[u8]) {
        let numbers = (self.next[from], self.next[1 - from]);
        let ends = (self.ends[from], self.ends[1 - from]);
        let packet = segment(ends, numbers, flags, self.hops_left[from], data);
        self.packets.push(packet);
        let length = u32::try_from(data.len()).unwrap();
        self.next[from] = self.next[from].wrapping_add(length);
    }

    /// The handshake.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.segment(CLIENT, SYN, b"");
        self.next[CLIENT] = self.next[CLIENT].wrapping_add(1);
        self.segment(SERVER, SYN | ACK, b"");
        self.next[SERVER] = self.next[SERVER].wrapping_add(1);
        self.segment(CLIENT, ACK, b"");
        self
    }

    /// A segment with data.
    #[must_use]
    pub fn say(mut self, from: usize, data: impl AsRef<[u8]>) -> Self {
        self.segment(from, ACK, data.as_ref());
        self
    }

    /// The end: both ends close.
    #[must_use]
    pub fn close(mut self) -> Self {
        for from in [CLIENT, SERVER] {
            self.segment(from, FIN | ACK, b"");
            self.next[from] = self.next[from].wrapping_add(1);
        }
        self
    }

    /// The end: one end breaks off.
    #[must_use]
    pub fn reset(mut self, from: usize) -> Self {
        self.segment(from, RST | ACK, b"");
        self
    }

    /// A whole login with a profile, up to and with the profile.
    #[must_use]
    pub fn log_in(self, client_ip: &str, client_port: &str) -> Self {
        let profile = profile(client_ip, client_port);
        self.say(CLIENT, "VER 1 MSNP9 CVR0\r\n")
            .say(SERVER, "VER 1 MSNP9\r\n")
            .say(
                CLIENT,
                "CVR 2 0x0409 winnt 5.1 i386 MSMSGS 6.0.0602 MSMSGS a@b.example\r\n",
            )
            .say(CLIENT, "USR 3 TWN I a@b.example\r\n")
            .say(
                SERVER,
                "CVR 2 6.0.0602 6.0.0602 1.0 http://x http://x\r\nUSR 3 TWN S lc=1033\r\n",
            )
            .say(CLIENT, "USR 4 TWN S t=secretticket\r\n")
            .say(SERVER, "USR 4 OK a@b.example A 1 0\r\n")
            .say(SERVER, profile)
    }

    /// A whole session.
    #[must_use]
    pub fn session(client: &str, server: &str, client_ip: &str, client_port: &str) -> Self {
        let talk = Self::new(client, server).open();
        talk.log_in(client_ip, client_port).close()
    }
}

/// The command with a profile.
#[must_use]
pub fn profile(client_ip: &str, client_port: &str) -> String {
    let payload = format!(
        "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\n\
         LoginTime: 1\r\nMSPAuth: secretmspauth\r\nClientIP: {client_ip}\r\nClientPort: {client_port}\r\n\r\n"
    );
    format!("MSG Hotmail Hotmail {}\r\n{payload}", payload.len())
}

/// A packet of IP with a segment of TCP. The numbers are those of the sequence and of the
/// acknowledgement.
#[must_use]
pub fn segment(
    (from, to): (SocketAddr, SocketAddr),
    (sequence, acknowledged): (u32, u32),
    flags: u8,
    hops_left: u8,
    data: &[u8],
) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    let acknowledged = if flags & ACK == 0 { 0 } else { acknowledged };
    tcp.extend(acknowledged.to_be_bytes());
    tcp.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(data);
    ip(from.ip(), to.ip(), hops_left, &tcp)
}

/// A packet of IP with TCP in it.
#[must_use]
pub fn ip(from: IpAddr, to: IpAddr, hops_left: u8, tcp: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(20 + tcp.len()).unwrap().to_be_bytes();
            let mut packet = vec![
                0x45, 0, length[0], length[1], 0, 1, 0x40, 0, hops_left, 6, 0, 0,
            ];
            packet.extend(from.octets());
            packet.extend(to.octets());
            packet.extend(tcp);
            packet
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(from.octets(), to.octets(), hops_left, 6, tcp),
        _ => panic!("two families"),
    }
}

/// A packet of IPv6 whose next header is `next`.
#[must_use]
pub fn ipv6(from: [u8; 16], to: [u8; 16], hops_left: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, hops_left];
    packet.extend(from);
    packet.extend(to);
    packet.extend(payload);
    packet
}

/// A frame of Ethernet around a packet of IP, with these VLAN tags.
#[must_use]
pub fn ethernet(packet: &[u8], tags: &[u16]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend([0x81, 0]);
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(ether_type(packet));
    frame.extend(packet);
    frame
}

/// The EtherType of a packet of IP.
#[must_use]
pub fn ether_type(packet: &[u8]) -> [u8; 2] {
    match packet[0] >> 4 {
        4 => [0x08, 0],
        _ => [0x86, 0xdd],
    }
}

/// A pcap file with these frames, a second apart. Of each, `snap` bytes at most are captured.
#[must_use]
pub fn pcap(link: u32, frames: &[Vec<u8>], snap: usize) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(u32::try_from(snap.min(262_144)).unwrap().to_le_bytes());
    file.extend(link.to_le_bytes());
    for (at, frame) in (1_700_000_000_u32..).zip(frames) {
        let kept = frame.len().min(snap);
        let lengths = [kept, frame.len()].map(|length| u32::try_from(length).unwrap());
        for number in [at, 0, lengths[0], lengths[1]] {
            file.extend(number.to_le_bytes());
        }
        file.extend(&frame[..kept]);
    }
    file
}

/// A pcapng file with these frames.
#[must_use]
pub fn pcapng(link: u16, frames: &[Vec<u8>], big_endian: bool) -> Vec<u8> {
    let u16 = |number: u16| match big_endian {
        true => number.to_be_bytes(),
        false => number.to_le_bytes(),
    };
    let u32 = |number: u32| match big_endian {
        true => number.to_be_bytes(),
        false => number.to_le_bytes(),
    };
    let block = |kind: u32, mut body: Vec<u8>| {
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32(u32::try_from(body.len() + 12).unwrap());
        [&u32(kind)[..], &length, &body, &length].concat()
    };
    let section = [&u32(0x1a2b_3c4d)[..], &u16(1), &u16(0), &[0xff; 8]].concat();
    let interface = [&u16(link)[..], &u16(0), &u32(0)].concat();
    let mut file = block(0x0a0d_0d0a, section);
    file.extend(block(1, interface));
    // Microseconds.
    for (at, frame) in (1_700_000_000_u64..).zip(frames) {
        let at = at * 1_000_000;
        let length = u32(u32::try_from(frame.len()).unwrap());
        let (high, low) = (u32((at >> 32) as u32), u32((at & 0xffff_ffff) as u32));
        let body = [&u32(0)[..], &high, &low, &length, &length, frame].concat();
        file.extend(block(6, body));
    }
    file
}
