//! From the bytes of a packet to a segment of TCP.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, IpNumber, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, LenSource,
    TransportSlice,
};

/// What the first bytes of a packet are (tcpdump.org, "Link-layer header types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Ethernet, with VLAN tags or without.
    Ethernet,
    /// The number of a protocol family, as on the loopback interfaces of BSD.
    Loopback,
    /// IPv4 or IPv6 without anything before it.
    Ip,
    /// Linux "cooked", as on the interface `any`.
    Cooked,
    /// The second version of it.
    Cooked2,
}

impl Link {
    /// The kind of a link type's number.
    ///
    /// # Errors
    /// The number, where packets of that type are not read.
    pub(super) const fn of(number: i32) -> Result<Self, i32> {
        // The bits above tell whether there is a checksum after each packet.
        match number & 0xffff {
            1 => Ok(Self::Ethernet),
            0 | 108 => Ok(Self::Loopback),
            12 | 14 | 101 | 228 | 229 => Ok(Self::Ip),
            113 => Ok(Self::Cooked),
            276 => Ok(Self::Cooked2),
            other => Err(other),
        }
    }
}

/// What a packet is to the table of connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packet<'a> {
    /// A segment of TCP.
    Segment(Segment<'a>),
    /// A fragment of an IP packet with TCP. The first one has the ports.
    Fragment(Option<(SocketAddr, SocketAddr)>),
    /// TCP, cut before the end of its header.
    Cut,
    /// Something else.
    Other,
}

/// A segment of TCP (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    /// Where it comes from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// The sequence number of its first byte, or of its SYN.
    pub sequence: u32,
    /// What of its other direction has arrived, where the flag is set.
    pub acknowledged: Option<u32>,
    /// SYN.
    pub syn: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
    /// The time to live, or the hop limit.
    pub hops_left: u8,
    /// The payload, as far as it was captured.
    pub payload: &'a [u8],
    /// How many bytes of the payload were not captured.
    pub missing: usize,
}

/// Reads a packet. `missing` is how many of its bytes were not captured.
pub(super) fn read(link: Link, data: &[u8], missing: usize) -> Packet<'_> {
    match sliced(link, data) {
        Some(packet) => of_slices(&packet, missing),
        None => Packet::Other,
    }
}

/// Finds IP behind the header of the link.
fn sliced(link: Link, data: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    match link {
        Link::Ethernet => LaxSlicedPacket::from_ethernet(data).ok(),
        Link::Ip => LaxSlicedPacket::from_ip(data).ok(),
        Link::Loopback => LaxSlicedPacket::from_ip(data.get(4..)?).ok(),
        Link::Cooked => cooked(data.get(14..16)?, data.get(16..)?),
        Link::Cooked2 => cooked(data.get(..2)?, data.get(20..)?),
    }
}

fn cooked<'a>(protocol: &[u8], rest: &'a [u8]) -> Option<LaxSlicedPacket<'a>> {
    let protocol = u16::from_be_bytes(protocol.try_into().ok()?);
    Some(LaxSlicedPacket::from_ether_type(EtherType(protocol), rest))
}

fn of_slices<'a>(packet: &LaxSlicedPacket<'a>, missing: usize) -> Packet<'a> {
    let (from, to, hops_left, ip) = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (
                IpAddr::V4(header.source_addr()),
                IpAddr::V4(header.destination_addr()),
                header.ttl(),
                ip.payload(),
            )
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            (
                IpAddr::V6(header.source_addr()),
                IpAddr::V6(header.destination_addr()),
                header.hop_limit(),
                ip.payload(),
            )
        }
        _ => return Packet::Other,
    };
    if ip.ip_number != IpNumber::TCP {
        return Packet::Other;
    }
    let ports = |from_port, to_port| {
        (
            SocketAddr::new(from.to_canonical(), from_port),
            SocketAddr::new(to.to_canonical(), to_port),
        )
    };
    if ip.fragmented {
        let is_first = match &packet.net {
            Some(LaxNetSlice::Ipv4(ip)) => ip.header().fragments_offset().value() == 0,
            Some(LaxNetSlice::Ipv6(ip)) => {
                let mut extensions = ip.extensions().clone().into_iter();
                extensions.all(|extension| match extension {
                    Ipv6ExtensionSlice::Fragment(of) => of.fragment_offset().value() == 0,
                    _ => true,
                })
            }
            _ => false,
        };
        let head = ip.payload.first_chunk::<4>().filter(|_| is_first);
        return Packet::Fragment(
            head.map(|&[a, b, c, d]| ports(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
        );
    }
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        return match cut_in_options(ip.payload, missing) {
            Some((ends, segment)) => {
                let (from, to) = ports(ends[0], ends[1]);
                Packet::Segment(Segment {
                    from,
                    to,
                    hops_left,
                    ..segment
                })
            }
            None => Packet::Cut,
        };
    };
    let (from, to) = ports(tcp.source_port(), tcp.destination_port());
    Packet::Segment(Segment {
        from,
        to,
        sequence: tcp.sequence_number(),
        acknowledged: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        hops_left,
        payload: tcp.payload(),
        // A length of 0 stands for one that the network card was to fill in.
        missing: match (ip.incomplete, ip.len_source) {
            (true, _) => missing.max(1),
            (false, LenSource::Slice) => missing,
            (false, _) => 0,
        },
    })
}

/// A segment that was cut within the options of its header: the two ports, and the rest without ends.
fn cut_in_options(tcp: &[u8], missing: usize) -> Option<([u16; 2], Segment<'_>)> {
    let header: &[u8; 20] = tcp.first_chunk()?;
    let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| header[at + byte]));
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let length = usize::from(header[12] >> 4) * 4;
    let flag = |bit: u8| header[13] & bit != 0;
    let nobody = SocketAddr::new(IpAddr::from([0; 4]), 0);
    (length > tcp.len()).then(|| {
        let segment = Segment {
            from: nobody,
            to: nobody,
            sequence: number(4),
            acknowledged: flag(16).then(|| number(8)),
            syn: flag(2),
            fin: flag(1),
            rst: flag(4),
            hops_left: 0,
            payload: &[],
            missing: (tcp.len() + missing).saturating_sub(length),
        };
        ([port(0), port(2)], segment)
    })
}
