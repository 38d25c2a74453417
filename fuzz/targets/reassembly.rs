//! One direction of a connection, in segments of any order and overlap: every byte that comes out is the
//! one that was sent at its place, and what is kept is bounded.
#![no_main]

use std::cell::Cell;

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::capture::reassembly::{Lost, Piece, Reassembly};

/// The byte at a place of the stream.
fn byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fuzz_target!(|data: &[u8]| {
    let Some((first, steps)) = data.split_first_chunk::<4>() else {
        return;
    };
    let first = u32::from_le_bytes(*first);
    let mut stream = Reassembly::default();
    stream.begin(first);
    let at = Cell::new(0_u64);
    let mut check = |piece: Piece<'_>| match piece {
        Piece::Data(data) => {
            for found in data {
                assert_eq!(*found, byte(at.get()), "at {}", at.get());
                at.set(at.get() + 1);
            }
        }
        Piece::Lost(Lost::Gap(gap)) => at.set(at.get() + u64::from(gap)),
        Piece::Lost(Lost::Cut(cut)) => at.set(at.get() + cut as u64),
        Piece::Lost(Lost::Conflict) => panic!("a conflict at {}", at.get()),
    };
    for step in steps.chunks_exact(6) {
        // How far from the next byte, how long, how much of it is missing.
        let offset = i64::from(i16::from_le_bytes([step[0], step[1]])) << (step[5] >> 4);
        let place = at.get().saturating_add_signed(offset);
        let length = u64::from(u16::from_le_bytes([step[2], step[3]]) % 300);
        let bytes: Vec<u8> = (place..place + length).map(byte).collect();
        let sequence = first.wrapping_add(place as u32);
        let missing = if step[4] > 200 { usize::from(step[4]) } else { 0 };
        stream.take(sequence, &bytes, missing, step[5] & 15 != 0, &mut check);
        assert!(stream.held_bytes() <= 140_000);
    }
    stream.flush(&mut check);
    assert_eq!(stream.held_bytes(), 0);
    let end = stream.next().map(|next| next.wrapping_sub(first));
    assert_eq!(end, Some(at.get() as u32));
});
