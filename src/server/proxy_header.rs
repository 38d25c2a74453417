//! The header of the PROXY protocol, by which a balancer tells whose connection it passes on.
//!
//! Pure: bytes in, source out. Source: haproxy.org, "The PROXY protocol", versions 1 and 2.

use std::net::SocketAddr;

use crc::{CRC_32_ISCSI, Crc};
use ppp::{v1, v2};

use crate::conntype::normalise;

/// The longest header of version 1, in bytes.
const MAX_V1: usize = 107;

/// The longest header of version 2, in bytes: addresses, and what a balancer adds about the
/// connection.
const MAX_V2: usize = 2048;

/// Length of the part of version 2 that is always there, in bytes.
const FIXED_V2: usize = 16;

/// How a header of version 1 begins.
const PREFIX_V1: &[u8] = b"PROXY ";

/// A connection whose client the balancer does not know.
const UNKNOWN_V1: &[u8] = b"PROXY UNKNOWN";

/// The TLV with the checksum: CRC32c of the header, with zeros in the place of the checksum.
const CHECKSUM: u8 = 3;

/// Whose connection it is, by the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A client's.
    Client {
        /// The client's end.
        from: SocketAddr,
        /// The balancer's end: what the client connected to.
        to: SocketAddr,
    },
    /// The balancer's own, such as a health check.
    Balancer,
    /// That of a client whose address the balancer does not know.
    Unknown,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHeader {
    #[error("no PROXY header")]
    Absent,
    #[error("the PROXY header is malformed")]
    Malformed,
    #[error("the PROXY header is too long")]
    TooLong,
    #[error("the checksum of the PROXY header is wrong")]
    Checksum,
    #[error("the PROXY header is not about TCP")]
    NotTcp,
    #[error("the PROXY header names an address that no client has")]
    NotAClient,
}

/// Whether the input begins as a header of either version does, as far as it goes.
fn begins(input: &[u8]) -> bool {
    let begins_with = |prefix: &[u8]| input.iter().zip(prefix).all(|(one, other)| one == other);
    !input.is_empty() && (begins_with(v2::PROTOCOL_PREFIX) || begins_with(PREFIX_V1))
}

/// Whether the input begins with enough of a header that nothing else can be meant.
pub(super) fn is_whole_prefix(input: &[u8]) -> bool {
    input.starts_with(v2::PROTOCOL_PREFIX) || input.starts_with(PREFIX_V1)
}

/// The length of the header that the input begins with; `None` as long as it does not show.
pub(super) fn length(input: &[u8]) -> Result<Option<usize>, BadHeader> {
    if !begins(input) {
        return match input.is_empty() {
            true => Ok(None),
            false => Err(BadHeader::Absent),
        };
    }
    if input.first() == PREFIX_V1.first() {
        let end = input.iter().take(MAX_V1).position(|byte| *byte == b'\n');
        return match end {
            None if input.len() >= MAX_V1 => Err(BadHeader::TooLong),
            end => Ok(end.map(|at| at + 1)),
        };
    }
    match input.get(FIXED_V2 - 2..FIXED_V2) {
        Some(&[high, low]) => match FIXED_V2 + usize::from(u16::from_be_bytes([high, low])) {
            length if length > MAX_V2 => Err(BadHeader::TooLong),
            length => Ok(Some(length)),
        },
        _ => Ok(None),
    }
}

/// Reads a whole header.
pub(super) fn parse(header: &[u8]) -> Result<Source, BadHeader> {
    let source = match header.starts_with(PREFIX_V1) {
        true => parse_v1(header)?,
        false => parse_v2(header)?,
    };
    match source {
        Source::Client { from, .. } if !is_possible(from) => Err(BadHeader::NotAClient),
        source => Ok(source),
    }
}

fn parse_v1(header: &[u8]) -> Result<Source, BadHeader> {
    if let Some(rest) = header.strip_prefix(UNKNOWN_V1)
        && rest.ends_with(b"\r\n")
    {
        // What follows the word is to be ignored.
        return match rest.first() {
            Some(b' ' | b'\r') => Ok(Source::Unknown),
            _ => Err(BadHeader::Malformed),
        };
    }
    let header = v1::Header::try_from(header).map_err(|_| BadHeader::Malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(ends) => client_v4(ends),
        v1::Addresses::Tcp6(ends) => client_v6(ends),
        v1::Addresses::Unknown => Source::Unknown,
    })
}

fn parse_v2(header: &[u8]) -> Result<Source, BadHeader> {
    let header = v2::Header::try_from(header).map_err(|_| BadHeader::Malformed)?;
    check(&header)?;
    Ok(match (header.command, header.protocol, header.addresses) {
        (v2::Command::Local, ..) => Source::Balancer,
        (_, v2::Protocol::Datagram, _) => return Err(BadHeader::NotTcp),
        (_, v2::Protocol::Stream, v2::Addresses::IPv4(ends)) => client_v4(ends),
        (_, v2::Protocol::Stream, v2::Addresses::IPv6(ends)) => client_v6(ends),
        _ => Source::Unknown,
    })
}

fn client_v4(ends: v2::IPv4) -> Source {
    Source::Client {
        from: (ends.source_address, ends.source_port).into(),
        to: (ends.destination_address, ends.destination_port).into(),
    }
}

fn client_v6(ends: v2::IPv6) -> Source {
    Source::Client {
        from: (ends.source_address, ends.source_port).into(),
        to: (ends.destination_address, ends.destination_port).into(),
    }
}

/// Whether a connection can come from this address.
fn is_possible(client: SocketAddr) -> bool {
    let ip = normalise(client.ip());
    client.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
}

/// Checks the form of what follows the addresses, and the checksum if there is one.
fn check(header: &v2::Header<'_>) -> Result<(), BadHeader> {
    let bytes = header.as_bytes();
    let family = header.address_family();
    let mut at = FIXED_V2 + family.byte_length().unwrap_or(0);
    for tlv in v2::TypeLengthValues::from(bytes.get(at..).unwrap_or_default()) {
        let Ok(tlv) = tlv else {
            // Without addresses, what follows is to be ignored.
            return match family {
                v2::AddressFamily::Unspecified => Ok(()),
                _ => Err(BadHeader::Malformed),
            };
        };
        let value = at + 3;
        at = value + tlv.value.len();
        if tlv.kind != CHECKSUM {
            continue;
        }
        let Ok(given) = <[u8; 4]>::try_from(&*tlv.value) else {
            return Err(BadHeader::Malformed);
        };
        let crc = Crc::<u32>::new(&CRC_32_ISCSI);
        let mut digest = crc.digest();
        digest.update(&bytes[..value]);
        digest.update(&[0; 4]);
        digest.update(&bytes[at..]);
        if digest.finalize() != u32::from_be_bytes(given) {
            return Err(BadHeader::Checksum);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
