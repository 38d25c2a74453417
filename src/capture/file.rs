//! Files of packets: pcap and pcapng, plain or compressed with gzip, in pieces of any size.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::write::MultiGzDecoder;
use pcap_parser::nom::{Err as Stop, IResult};
use pcap_parser::pcapng::{Block, parse_block_be, parse_block_le, parse_sectionheaderblock};
use pcap_parser::{
    LegacyPcapBlock, PcapError, PcapHeader, parse_pcap_frame, parse_pcap_frame_be,
    parse_pcap_frame_modified, parse_pcap_header,
};

use super::packet::Link;

/// The longest record or block that is read, in bytes. Capturing programs cut packets at 256 KiB.
const LONGEST_BLOCK: usize = 4 * 1024 * 1024;

/// The most interfaces of one section of a pcapng file.
const MOST_INTERFACES: usize = 1024;

/// 9999-12-31T23:59:59Z, the last second that has a spelling in RFC 3339.
const LAST_SECOND: u64 = 253_402_300_799;

/// The kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The format of libpcap.
    Pcap,
    /// PCAP Next Generation.
    Pcapng,
}

/// Why a file cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is nothing in it.
    #[error("the capture is empty")]
    Empty,
    /// It begins like no capture.
    #[error("this is neither a pcap nor a pcapng file")]
    NotACapture,
    /// It ends within a packet.
    #[error("the capture ends within a packet, after {0} whole ones")]
    Cut(u64),
    /// It is damaged.
    #[error("the capture is damaged after packet {0}")]
    Damaged(u64),
    /// Its compression is damaged or cut.
    #[error("the compressed data of the capture is damaged or cut, after packet {0}")]
    Compression(u64),
    /// Packets of this kind are not read.
    #[error("the capture is of link type {0}, which is not read")]
    LinkType(i32),
}

/// A packet as it is in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// What its first bytes are.
    pub link: Link,
    /// When it was captured; `None` where the file does not say.
    pub at: Option<SystemTime>,
    /// What was captured of it.
    pub data: &'a [u8],
    /// How many bytes of it were not captured.
    pub missing: usize,
}

/// Reads a file piece by piece.
pub(super) struct File {
    unzip: Option<MultiGzDecoder<Vec<u8>>>,
    is_begun: bool,
    buffer: Vec<u8>,
    kind: Option<Kind>,
    packets: u64,
    /// A link type that is not read, of the first interface that has one.
    unread: Option<i32>,
}

enum Kind {
    Pcap(PcapHeader),
    Pcapng {
        big_endian: bool,
        interfaces: Vec<Interface>,
    },
}

/// An interface of a pcapng file.
struct Interface {
    link: Result<Link, i32>,
    snap_length: u32,
    /// Units a second of its timestamps.
    resolution: Option<u64>,
    /// Seconds to add to them.
    offset: i64,
}

impl File {
    pub(super) const fn new() -> Self {
        Self {
            unzip: None,
            is_begun: false,
            buffer: Vec::new(),
            kind: None,
            packets: 0,
            unread: None,
        }
    }

    /// The kind of file; `None` before its header.
    pub(super) fn format(&self) -> Option<Format> {
        self.kind.as_ref().map(|kind| match kind {
            Kind::Pcap(_) => Format::Pcap,
            Kind::Pcapng { .. } => Format::Pcapng,
        })
    }

    /// Whether it is compressed.
    pub(super) const fn is_compressed(&self) -> bool {
        self.unzip.is_some()
    }

    /// Packets so far, those of other link types included.
    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Takes the next bytes of the file and hands out the packets in them.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(Record<'_>),
    ) -> Result<(), FileError> {
        if !self.is_begun {
            self.buffer.extend_from_slice(bytes);
            if self.buffer.len() < 2 {
                return Ok(());
            }
            self.is_begun = true;
            let begin = std::mem::take(&mut self.buffer);
            if begin.starts_with(&[0x1f, 0x8b]) {
                self.unzip = Some(MultiGzDecoder::new(Vec::new()));
            }
            return self.feed_begun(&begin, take);
        }
        self.feed_begun(bytes, take)
    }

    fn feed_begun(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(Record<'_>),
    ) -> Result<(), FileError> {
        let Some(mut unzip) = self.unzip.take() else {
            self.buffer.extend_from_slice(bytes);
            return self.read(take);
        };
        // In small pieces: what one of them grows to has to be bounded.
        let mut done = Ok(());
        for piece in bytes.chunks(16 * 1024) {
            let unzipped = unzip.write_all(piece);
            self.buffer.append(unzip.get_mut());
            done = self.read(take).and(match unzipped {
                Ok(()) => Ok(()),
                Err(_) => Err(FileError::Compression(self.packets)),
            });
            if done.is_err() {
                break;
            }
        }
        self.unzip = Some(unzip);
        done
    }

    /// Ends the file.
    pub(super) fn finish(&mut self, take: &mut impl FnMut(Record<'_>)) -> Result<(), FileError> {
        let mut is_whole = true;
        if let Some(unzip) = &mut self.unzip {
            is_whole = unzip.try_finish().is_ok();
            self.buffer.append(unzip.get_mut());
        }
        self.read(take)?;
        if !is_whole {
            return Err(FileError::Compression(self.packets));
        }
        match (&self.kind, self.buffer.is_empty()) {
            (None, true) => Err(FileError::Empty),
            (None, false) => Err(FileError::NotACapture),
            (Some(_), false) => Err(FileError::Cut(self.packets)),
            (Some(_), true) => match self.unread {
                Some(link) => Err(FileError::LinkType(link)),
                None => Ok(()),
            },
        }
    }

    /// Hands out what is whole in the buffer.
    fn read(&mut self, take: &mut impl FnMut(Record<'_>)) -> Result<(), FileError> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        let done = self.read_from(&mut rest, take);
        let used = buffer.len() - rest.len();
        self.buffer = buffer;
        self.buffer.drain(..used);
        done
    }

    fn read_from(
        &mut self,
        rest: &mut &[u8],
        take: &mut impl FnMut(Record<'_>),
    ) -> Result<(), FileError> {
        if self.kind.is_none() {
            self.kind = begin(rest)?;
        }
        let Some(kind) = &mut self.kind else {
            return Ok(());
        };
        let damaged = |packets| FileError::Damaged(packets);
        loop {
            let before = rest.len();
            let next = kind.next(rest).map_err(|()| damaged(self.packets))?;
            match next {
                None if before > LONGEST_BLOCK => return Err(damaged(self.packets)),
                None => return Ok(()),
                Some((after, packet)) => {
                    *rest = after;
                    self.packets += u64::from(packet.is_some());
                    match packet {
                        Some(Ok(record)) => take(record),
                        Some(Err(link)) => {
                            self.unread.get_or_insert(link);
                        }
                        None => {}
                    }
                }
            }
        }
    }
}

/// A packet, or its link type that is not read; `None` where there is none.
type Packet<'a> = Option<Result<Record<'a>, i32>>;

impl Kind {
    /// The next record or block, and what follows it; `None` where it is not whole.
    fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(&'a [u8], Packet<'a>)>, ()> {
        match self {
            Self::Pcap(header) => Ok(whole(frame(header, bytes))?.map(|(after, frame)| {
                let link = Link::of(header.network.0);
                (after, Some(link.map(|link| record(header, link, &frame))))
            })),
            Self::Pcapng {
                big_endian,
                interfaces,
            } => {
                let Some((is_needed, length)) = block_head(bytes, *big_endian)? else {
                    return Ok(None);
                };
                let Some((block, after)) = bytes.split_at_checked(length) else {
                    return Ok(None);
                };
                if !is_needed {
                    return Ok(Some((after, None)));
                }
                let (_, block) = whole(match big_endian {
                    true => parse_block_be(block),
                    false => parse_block_le(block),
                })?
                .ok_or(())?;
                Ok(Some((after, of_block(block, big_endian, interfaces)?)))
            }
        }
    }
}

/// Whether a block of pcapng is of a kind that is needed, and its length. The library does not expect
/// lengths that no block has.
fn block_head(bytes: &[u8], big_endian: bool) -> Result<Option<(bool, usize)>, ()> {
    const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
    let Some(head) = bytes.first_chunk::<12>() else {
        return Ok(None);
    };
    let is_section = head.starts_with(&SECTION);
    let big_endian = match (is_section, &head[8..]) {
        (false, _) => big_endian,
        (true, [0x1a, 0x2b, 0x3c, 0x4d]) => true,
        (true, [0x4d, 0x3c, 0x2b, 0x1a]) => false,
        (true, _) => return Err(()),
    };
    let number = |at: usize| {
        let bytes = [0, 1, 2, 3].map(|byte| head[at + byte]);
        match big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    };
    // Interfaces, packets in a simple block, packets.
    let is_needed = is_section || matches!(number(0), 1 | 3 | 6);
    match number(4) as usize {
        length @ 12..=LONGEST_BLOCK => Ok(Some((is_needed, length))),
        _ => Err(()),
    }
}

/// Reads the header of a file; `None` where there is not enough of it.
fn begin(rest: &mut &[u8]) -> Result<Option<Kind>, FileError> {
    /// What a pcapng file begins with, whatever its byte order.
    const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
    let bytes = *rest;
    let not_one = |()| FileError::NotACapture;
    if bytes.len() < SECTION.len() {
        return Ok(None);
    }
    if !bytes.starts_with(&SECTION) {
        let header = whole(parse_pcap_header(bytes)).map_err(not_one)?;
        return Ok(header.map(|(after, header)| {
            *rest = after;
            Kind::Pcap(header)
        }));
    }
    match whole(parse_sectionheaderblock(bytes)).map_err(not_one)? {
        // The block is read again like any other.
        Some((_, section)) => Ok(Some(Kind::Pcapng {
            big_endian: section.big_endian(),
            interfaces: Vec::new(),
        })),
        None if bytes.len() > LONGEST_BLOCK => Err(FileError::NotACapture),
        None => Ok(None),
    }
}

fn frame<'a>(
    header: &PcapHeader,
    bytes: &'a [u8],
) -> IResult<&'a [u8], LegacyPcapBlock<'a>, PcapError<&'a [u8]>> {
    match (header.is_modified_format(), header.is_bigendian()) {
        (true, _) => parse_pcap_frame_modified(bytes),
        (false, true) => parse_pcap_frame_be(bytes),
        (false, false) => parse_pcap_frame(bytes),
    }
}

/// What a parser found; `None` where it needs more.
fn whole<'a, T>(
    parsed: IResult<&'a [u8], T, PcapError<&'a [u8]>>,
) -> Result<Option<(&'a [u8], T)>, ()> {
    match parsed {
        Ok(found) => Ok(Some(found)),
        Err(Stop::Incomplete(_)) => Ok(None),
        Err(_) => Err(()),
    }
}

fn record<'a>(header: &PcapHeader, link: Link, frame: &LegacyPcapBlock<'a>) -> Record<'a> {
    let unit = match header.is_nanosecond_precision() {
        true => 1,
        false => 1000,
    };
    let part = Duration::from_nanos(u64::from(frame.ts_usec) * unit);
    Record {
        link,
        at: time(Duration::from_secs(u64::from(frame.ts_sec)) + part),
        data: frame.data,
        missing: (frame.origlen as usize).saturating_sub(frame.data.len()),
    }
}

/// The packet in a block.
fn of_block<'a>(
    block: Block<'a>,
    big_endian: &mut bool,
    interfaces: &mut Vec<Interface>,
) -> Result<Packet<'a>, ()> {
    let record = |interface: &Interface, at, data: &'a [u8], length: u32| {
        interface.link.map(|link| Record {
            link,
            at,
            data,
            missing: (length as usize).saturating_sub(data.len()),
        })
    };
    match block {
        Block::SectionHeader(section) => {
            *big_endian = section.big_endian();
            interfaces.clear();
            Ok(None)
        }
        Block::InterfaceDescription(told) => {
            if interfaces.len() == MOST_INTERFACES {
                return Err(());
            }
            interfaces.push(Interface {
                link: Link::of(told.linktype.0),
                snap_length: told.snaplen,
                resolution: told.ts_resolution(),
                offset: told.if_tsoffset,
            });
            Ok(None)
        }
        Block::EnhancedPacket(packet) => {
            let interface = interfaces.get(packet.if_id as usize).ok_or(())?;
            let at = interface.time(packet.ts_high, packet.ts_low);
            // What follows fills the last word.
            let data = &packet.data[..packet.data.len().min(packet.caplen as usize)];
            Ok(Some(record(interface, at, data, packet.origlen)))
        }
        Block::SimplePacket(packet) => {
            let interface = interfaces.first().ok_or(())?;
            let cut = match interface.snap_length {
                0 => usize::MAX,
                cut => cut as usize,
            };
            let length = packet.data.len().min(packet.origlen as usize);
            let data = &packet.data[..length.min(cut)];
            Ok(Some(record(interface, None, data, packet.origlen)))
        }
        _ => Ok(None),
    }
}

impl Interface {
    fn time(&self, high: u32, low: u32) -> Option<SystemTime> {
        let units = u64::from(high) << 32 | u64::from(low);
        let resolution = self.resolution.filter(|units| *units > 0)?;
        let part = u128::from(units % resolution) * 1_000_000_000 / u128::from(resolution);
        let seconds = (units / resolution).checked_add_signed(self.offset)?;
        time(Duration::new(seconds, u32::try_from(part).ok()?))
    }
}

fn time(since: Duration) -> Option<SystemTime> {
    (since.as_secs() <= LAST_SECOND).then(|| UNIX_EPOCH + since)
}
