//! One direction of a TCP connection: segments in, bytes in their order out.

use std::collections::VecDeque;

/// How much of one direction is kept while an earlier segment is missing, in bytes.
const MOST_HELD: usize = 128 * 1024;

/// How many segments of one direction are kept.
const MOST_SEGMENTS: usize = 256;

/// How far a segment may be ahead of what is expected, in bytes. What is further away belongs to
/// another connection.
const FURTHEST: u32 = 16 * 1024 * 1024;

/// How much of what was passed on is kept, to compare it with what is sent again, in bytes.
const REMEMBERED: usize = 4 * 1024;

/// What comes next in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Data(&'a [u8]),
    /// Bytes that are not in the capture.
    Lost(Lost),
}

/// Why bytes are not in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No packet in the capture has these bytes.
    Gap(u32),
    /// The packet is there, and was captured in part.
    Cut(usize),
    /// The same bytes were sent twice, and differ.
    Conflict,
}

/// Puts the segments of one direction into their order. Of bytes that were sent twice, the first
/// ones count.
#[derive(Debug, Default)]
pub struct Reassembly {
    /// The sequence number of the next byte; `None` before the first segment.
    next: Option<u32>,
    /// Segments that wait for an earlier one, in order, not overlapping.
    held: VecDeque<Held>,
    held_bytes: usize,
    /// The last bytes that were passed on.
    recent: Vec<u8>,
}

#[derive(Debug)]
struct Held {
    sequence: u32,
    data: Vec<u8>,
    missing: usize,
}

impl Held {
    fn length(&self) -> u32 {
        length_of(&self.data, self.missing)
    }
}

/// The numbers that a segment takes.
fn length_of(data: &[u8], missing: usize) -> u32 {
    u32::try_from(data.len().saturating_add(missing)).unwrap_or(u32::MAX / 2)
}

/// How far `to` is after `from`; negative where it is before. Sequence numbers wrap around.
const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

impl Reassembly {
    /// Sets the number of the first byte, unless it is known.
    pub fn begin(&mut self, sequence: u32) {
        self.next.get_or_insert(sequence);
    }

    /// The number of the next byte.
    #[must_use]
    pub const fn next(&self) -> Option<u32> {
        self.next
    }

    /// The bytes that are kept while others are missing.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes a segment and passes on what is next. `missing` is how many of its bytes were not captured,
    /// `may_hold` whether it may be kept if it is early.
    pub fn take(
        &mut self,
        sequence: u32,
        data: &[u8],
        missing: usize,
        may_hold: bool,
        pass: &mut impl FnMut(Piece<'_>),
    ) {
        let next = *self.next.get_or_insert(sequence);
        let early = distance(next, sequence);
        if early > FURTHEST.cast_signed() || (data.is_empty() && missing == 0) {
            return;
        }
        if early > 0 {
            self.hold(sequence, data, missing, pass);
            if !may_hold || self.held_bytes > MOST_HELD || self.held.len() > MOST_SEGMENTS {
                self.skip(pass);
            }
            return;
        }
        self.pass(sequence, data, missing, pass);
        self.follow(pass);
    }

    /// Passes on everything that is kept, with what is missing between.
    pub fn flush(&mut self, pass: &mut impl FnMut(Piece<'_>)) {
        while !self.held.is_empty() {
            self.skip(pass);
        }
    }

    /// Passes on a segment that begins at the next byte or before it.
    fn pass(
        &mut self,
        sequence: u32,
        data: &[u8],
        missing: usize,
        pass: &mut impl FnMut(Piece<'_>),
    ) {
        let next = self.next.unwrap_or(sequence);
        let known = distance(sequence, next).unsigned_abs() as usize;
        let (again, new) = data.split_at(known.min(data.len()));
        // One byte before the next is how a connection is kept alive; its value is arbitrary.
        if data.len() > 1 && self.differs(again, known) {
            pass(Piece::Lost(Lost::Conflict));
        }
        let missing = missing.saturating_sub(known - again.len());
        if !new.is_empty() {
            self.remember(new);
            pass(Piece::Data(new));
        }
        if missing > 0 {
            self.recent.clear();
            pass(Piece::Lost(Lost::Cut(missing)));
        }
        self.next = Some(next.wrapping_add(length_of(new, missing)));
    }

    /// Whether bytes that were sent again, beginning `before` bytes before the next one, are others than
    /// those that are remembered.
    fn differs(&self, again: &[u8], before: usize) -> bool {
        let (skip, from) = match self.recent.len().checked_sub(before) {
            Some(from) => (0, from),
            None => (before - self.recent.len(), 0),
        };
        differ(again.get(skip..).unwrap_or_default(), &self.recent[from..])
    }

    fn remember(&mut self, data: &[u8]) {
        let last = &data[data.len().saturating_sub(REMEMBERED)..];
        let old = (self.recent.len() + last.len()).saturating_sub(REMEMBERED);
        self.recent.drain(..old.min(self.recent.len()));
        self.recent.extend_from_slice(last);
    }

    /// Passes on what is kept and no longer early.
    fn follow(&mut self, pass: &mut impl FnMut(Piece<'_>)) {
        while let (Some(next), Some(first)) = (self.next, self.held.front())
            && distance(next, first.sequence) <= 0
            && let Some(first) = self.held.pop_front()
        {
            self.held_bytes -= first.data.len();
            self.pass(first.sequence, &first.data, first.missing, pass);
        }
    }

    /// Gives up what is missing before the first segment that is kept.
    fn skip(&mut self, pass: &mut impl FnMut(Piece<'_>)) {
        if let (Some(next), Some(first)) = (self.next, self.held.front()) {
            let gap = distance(next, first.sequence).unsigned_abs();
            self.next = Some(first.sequence);
            self.recent.clear();
            pass(Piece::Lost(Lost::Gap(gap)));
            self.follow(pass);
        }
    }

    /// Keeps what of a segment is new, in the gaps between those that are kept already.
    fn hold(
        &mut self,
        mut sequence: u32,
        mut data: &[u8],
        mut missing: usize,
        pass: &mut impl FnMut(Piece<'_>),
    ) {
        let mut at = self
            .held
            .partition_point(|held| distance(held.sequence, sequence) >= 0);
        while !data.is_empty() || missing > 0 {
            if let Some(before) = at.checked_sub(1).and_then(|at| self.held.get(at)) {
                let ahead = distance(before.sequence, sequence).unsigned_abs() as usize;
                if differ(data, before.data.get(ahead..).unwrap_or_default()) {
                    pass(Piece::Lost(Lost::Conflict));
                }
                let known = (before.length() as usize).saturating_sub(ahead);
                missing = missing.saturating_sub(known.saturating_sub(data.len()));
                data = data.get(known..).unwrap_or_default();
                sequence = sequence.wrapping_add(length_of(&[], known));
            }
            let room = match self.held.get(at) {
                Some(after) => distance(sequence, after.sequence).unsigned_abs() as usize,
                None => usize::MAX,
            };
            let (new, over) = data.split_at(room.min(data.len()));
            let cut = missing.min(room - new.len());
            if !new.is_empty() || cut > 0 {
                let held = Held {
                    sequence,
                    data: new.to_vec(),
                    missing: cut,
                };
                sequence = sequence.wrapping_add(held.length());
                self.held_bytes += new.len();
                self.held.insert(at, held);
                at += 1;
            }
            (data, missing) = (over, missing - cut);
            at += 1;
        }
    }
}

/// Whether two readings of the same bytes differ where they have both.
fn differ(one: &[u8], other: &[u8]) -> bool {
    let both = one.len().min(other.len());
    one[..both] != other[..both]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is passed on: bytes, and `#` for each that is lost, `!` for a conflict.
    fn run(first: u32, segments: &[(i64, &str, usize)]) -> String {
        let mut stream = Reassembly::default();
        stream.begin(first);
        let mut out = String::new();
        let mut pass = |piece: Piece<'_>| match piece {
            Piece::Data(data) => out += std::str::from_utf8(data).unwrap(),
            Piece::Lost(Lost::Gap(gap)) => out += &"#".repeat(gap as usize),
            Piece::Lost(Lost::Cut(cut)) => out += &"~".repeat(cut),
            Piece::Lost(Lost::Conflict) => out += "!",
        };
        for (at, data, missing) in segments {
            let sequence = first.wrapping_add(*at as u32);
            stream.take(sequence, data.as_bytes(), *missing, true, &mut pass);
        }
        stream.flush(&mut pass);
        out
    }

    #[test]
    fn segments_come_out_in_order() {
        for first in [0, 7, u32::MAX - 3, u32::MAX, 1 << 31] {
            for (segments, expected) in [
                (&[(0, "abc", 0), (3, "def", 0)][..], "abcdef"),
                (&[(3, "def", 0), (0, "abc", 0)], "abcdef"),
                (&[(6, "ghi", 0), (3, "def", 0), (0, "abc", 0)], "abcdefghi"),
                // Sent again, whole, in part, and with more.
                (&[(0, "abc", 0), (0, "abc", 0), (3, "def", 0)], "abcdef"),
                (&[(0, "abc", 0), (1, "bcd", 0), (0, "abcdef", 0)], "abcdef"),
                (&[(2, "cd", 0), (2, "cdef", 0), (0, "ab", 0)], "abcdef"),
                (&[(3, "de", 0), (2, "cdef", 0), (0, "ab", 0)], "abcdef"),
                (&[(2, "cdefg", 0), (4, "ef", 0), (0, "ab", 0)], "abcdefg"),
                (
                    &[(2, "cd", 0), (6, "gh", 0), (1, "bcdefgh", 0), (0, "a", 0)],
                    "abcdefgh",
                ),
                // To keep the connection alive.
                (&[(0, "abc", 0), (2, "x", 0), (3, "def", 0)], "abcdef"),
                (&[(0, "abc", 0), (3, "", 0)], "abc"),
                // Before the first byte.
                (&[(-2, "xxabc", 0), (3, "d", 0)], "abcd"),
                (&[(-9, "xx", 0), (0, "abc", 0)], "abc"),
                // Missing.
                (&[(0, "abc", 0), (5, "f", 0)], "abc##f"),
                (&[(0, "ab", 2), (4, "ef", 0)], "ab~~ef"),
                (&[(4, "ef", 0), (0, "ab", 2)], "ab~~ef"),
                (&[(0, "ab", 2), (0, "abcd", 0)], "ab~~"),
                (&[(2, "c", 1), (4, "e", 0), (0, "ab", 0)], "abc~e"),
                // Different bytes for the same number.
                (&[(0, "abc", 0), (0, "abx", 0), (3, "d", 0)], "abc!d"),
                (&[(2, "cd", 0), (2, "xd", 0), (0, "ab", 0)], "!abcd"),
                (&[(4, "ef", 0), (2, "cdxf", 0), (0, "ab", 0)], "!abcdef"),
                // Of another connection.
                (&[(0, "abc", 0), (1 << 25, "zzz", 0), (3, "d", 0)], "abcd"),
            ] {
                assert_eq!(run(first, segments), expected, "{first} {segments:?}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut stream = Reassembly::default();
        stream.begin(0);
        let mut lost = 0;
        for at in 1..10_000_u32 {
            stream.take(at * 1000, &[1; 900], 0, true, &mut |piece| {
                lost += usize::from(matches!(piece, Piece::Lost(_)));
            });
            assert!(stream.held_bytes() <= MOST_HELD && stream.held.len() <= MOST_SEGMENTS);
        }
        assert!(lost > 9_000, "{lost}");
        let mut passed = Vec::new();
        let mut stream = Reassembly::default();
        stream.begin(0);
        stream.take(1, b"b", 0, false, &mut |piece| {
            passed.push(format!("{piece:?}"));
        });
        assert_eq!(passed, ["Lost(Gap(1))", "Data([98])"]);
    }

    proptest! {
        /// Whatever the order and the overlap, what comes out is what was sent.
        #[test]
        fn any_order_gives_the_stream(
            first: u32,
            cuts in proptest::collection::vec((0_usize..600, 1_usize..80), 1..40),
            seed: u64,
        ) {
            let sent: Vec<u8> = (0..680_u32).map(|at| (at * 7 % 251) as u8).collect();
            let mut pieces: Vec<_> = cuts.iter().map(|&(at, len)| (at, &sent[at..at + len])).collect();
            pieces.extend(sent.chunks(17).enumerate().map(|(at, piece)| (at * 17, piece)));
            let mut random = fastrand::Rng::with_seed(seed);
            random.shuffle(&mut pieces);
            let mut stream = Reassembly::default();
            stream.begin(first);
            let mut out = Vec::new();
            let mut is_lost = false;
            for (at, data) in pieces {
                stream.take(first.wrapping_add(at as u32), data, 0, true, &mut |piece| match piece {
                    Piece::Data(data) => out.extend_from_slice(data),
                    Piece::Lost(_) => is_lost = true,
                });
            }
            prop_assert!(!is_lost && stream.held_bytes() == 0);
            prop_assert_eq!(out, sent);
        }
    }
}
