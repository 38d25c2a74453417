//! What the decoder reads in a second: `cargo bench --bench throughput`.
//!
//! One stream of mixed commands, fed whole, in pieces of the size that a socket gives, and byte by
//! byte. Clock times differ from machine to machine; the instruction counts of `instructions` do
//! not.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench prints, and may fail"
)]

mod stream;

use std::hint::black_box;
use std::time::{Duration, Instant};

const RUNS: usize = 25;

fn main() {
    let bytes = stream::mixed(1 << 20);
    let size = bytes.len() as f64 / f64::from(1 << 20);
    let commands = stream::decode(&bytes, bytes.len());
    println!("{commands} commands in {size:.2} MiB, best of {RUNS} runs");
    let mut base = None;
    for (name, piece) in [
        ("whole", bytes.len()),
        ("in pieces of 4096", 4096),
        ("byte by byte", 1),
    ] {
        let best = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                black_box(stream::decode(black_box(&bytes), piece));
                start.elapsed()
            })
            .min()
            .unwrap_or(Duration::MAX);
        let speed = size / best.as_secs_f64();
        let base = *base.get_or_insert(speed);
        println!(
            "{name:<20}{speed:>8.0} MiB/s  {:>6.1} times as long",
            base / speed
        );
    }

    // Linear means that a byte costs the same in a long stream as in a short one.
    let short = stream::mixed(1 << 16);
    let per_byte = |bytes: &[u8]| {
        let best = (0..RUNS).map(|_| {
            let start = Instant::now();
            black_box(stream::decode(black_box(bytes), 1));
            start.elapsed().as_secs_f64()
        });
        best.fold(f64::INFINITY, f64::min) / bytes.len() as f64
    };
    let ratio = per_byte(&bytes) / per_byte(&short);
    println!("byte by byte, 1 MiB against 64 KiB: {ratio:.2} times the time for each byte");
    // One payload of 64 KiB is the longest thing that is waited for.
    let long = stream::one_message(msnp9_conntype::msnp::MAX_PAYLOAD);
    let short = stream::one_message(msnp9_conntype::msnp::MAX_PAYLOAD / 16);
    let ratio = per_byte(&long) / per_byte(&short);
    println!("one message byte by byte, 64 KiB against 4 KiB: {ratio:.2} times for each byte");
}
