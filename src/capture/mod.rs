//! Captures of packets: from the bytes of a file to its sessions with notification servers.
//!
//! Sans-IO like [`msnp`](crate::msnp): pieces of the file in, sessions out. `file` finds the packets in
//! it, `packet` the segments of TCP in them, `reassembly` puts those of one direction into their order,
//! `flows` knows which `connection` each belongs to, `opening`, `session` and
//! `conversation` what is said on it, and `verdict` what follows from that.
//!
//! A file is read once, in memory that does not grow with it, however hostile it is.

mod connection;
mod conversation;
mod file;
mod flows;
mod opening;
mod packet;
pub mod reassembly;
mod session;
mod verdict;

use std::time::SystemTime;

pub use conversation::Conversation;
pub use file::{FileError, Format};
pub use session::Ended;
pub use verdict::{Found, Hops, Judged, NoVerdict, Place, Session, judge};

use file::{File, Record};
use flows::Flows;
use packet::Packet;

/// Reads a capture, piece by piece.
pub struct Capture {
    file: File,
    flows: Flows,
    counts: Counts,
}

/// What was counted in a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Packets with a segment of TCP.
    pub segments: u64,
    /// Fragments of IP packets with TCP, which are not put together.
    pub fragments: u64,
    /// Packets that were cut within the header of TCP or before it.
    pub cut: u64,
}

impl Default for Capture {
    fn default() -> Self {
        Self::new()
    }
}

impl Capture {
    /// A capture of which nothing has been read.
    #[must_use]
    pub fn new() -> Self {
        Self {
            file: File::new(),
            flows: Flows::default(),
            counts: Counts::default(),
        }
    }

    /// Takes the next bytes of the file; calls `report` with what ends in them.
    ///
    /// # Errors
    /// [`FileError`] where the file cannot be read on. What it held until then counts.
    pub fn feed(&mut self, bytes: &[u8], report: &mut impl FnMut(Found)) -> Result<(), FileError> {
        let Self {
            file,
            flows,
            counts,
        } = self;
        file.feed(bytes, &mut |record| take(&record, flows, counts, report))
    }

    /// Ends the file; calls `report` with what has not ended before.
    ///
    /// # Errors
    /// [`FileError`] where the file is incomplete, or held nothing that is read.
    pub fn finish(&mut self, report: &mut impl FnMut(Found)) -> Result<(), FileError> {
        let Self {
            file,
            flows,
            counts,
        } = self;
        let ended = file.finish(&mut |record| take(&record, flows, counts, report));
        self.abandon(report);
        ended
    }

    /// Ends the reading before the end of the file: what has been read counts.
    pub fn abandon(&mut self, report: &mut impl FnMut(Found)) {
        self.flows.finish(report);
    }

    /// The kind of file; `None` before its header.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.file.format()
    }

    /// Whether the file is compressed.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        self.file.is_compressed()
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        let packets = self.file.packets();
        Counts {
            packets,
            ..self.counts
        }
    }
}

fn take(
    record: &Record<'_>,
    flows: &mut Flows,
    counts: &mut Counts,
    report: &mut impl FnMut(Found),
) {
    let at: Option<SystemTime> = record.at;
    match packet::read(record.link, record.data, record.missing) {
        Packet::Segment(segment) => {
            counts.segments += 1;
            flows.take(&segment, at, report);
        }
        Packet::Fragment(ends) => {
            counts.fragments += 1;
            if let Some((from, to)) = ends {
                flows.fragment(from, to);
            }
        }
        Packet::Cut => counts.cut += 1,
        Packet::Other => {}
    }
}

#[cfg(test)]
mod tests;
