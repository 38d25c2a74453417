//! How fast captures are read, and in how much memory, against tcpdump.
//!
//! `cargo bench --bench capture [-- RUNS [MIB]]`. Writes captures of MIB mebibytes (1024) to a temporary
//! directory, and reads each in turn with `classify --pcap` and with `tcpdump -r FILE -w /dev/null`. What
//! counts is the ratio of the medians: downloads with sessions among them have to be read at least half as
//! fast as by tcpdump, and no capture in memory that grows with the file.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on has failed, and it prints"
)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::TOOL;
use support::capture::{CLIENT, ETHERNET, SERVER, Talk, ethernet, pcap, segment};
use support::watch::watch;

/// A capture: its name, its file, and how many sessions it holds.
struct Capture {
    name: &'static str,
    write: fn(&mut Writer),
    /// How many of the mebibytes asked for it gets.
    share: u64,
}

const CAPTURES: [Capture; 4] = [
    Capture {
        name: "downloads and sessions",
        write: downloads,
        share: 1,
    },
    Capture {
        name: "small packets",
        write: small,
        share: 4,
    },
    Capture {
        name: "sessions alone",
        write: sessions,
        share: 4,
    },
    Capture {
        name: "one session without end",
        write: endless,
        share: 1,
    },
];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let mut number = |default: u64| {
        arguments
            .next()
            .map_or(default, |word| word.parse().expect("a number"))
    };
    let (runs, mebibytes) = (number(5), number(1024));
    let dir = tempfile::tempdir().expect("a directory");
    println!("median of {runs} runs; ours / tcpdump's time, of which 2.0 is the limit");
    println!(
        "{:26} {:>9} {:>9} {:>9} {:>7} {:>10} {:>10}",
        "", "MiB", "ours", "tcpdump", "ratio", "ours KiB", "sessions"
    );
    for capture in CAPTURES {
        let path = dir.path().join("capture");
        let size = mebibytes / capture.share;
        Writer::fill(&path, size << 20, capture.write);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (mut peak, mut sessions) = (0, 0);
        for _ in 0..runs {
            let mut command = Command::new(&*TOOL);
            command
                .args(["classify", "--json", "-q", "--pcap"])
                .arg(&path);
            let run = watch(&mut command, Duration::from_secs(600), |_| {});
            ours.push(run.took);
            peak = peak.max(run.peak);
            let document: serde_json::Value =
                serde_json::from_str(&run.run.stdout).expect("a document");
            sessions = document["sessions_found"].as_u64().expect("a number");
            let began = Instant::now();
            let status = Command::new("tcpdump")
                .args(["-w", "/dev/null", "-r"])
                .arg(&path)
                .stderr(Stdio::null())
                .status()
                .expect("tcpdump is there: apt-get install tcpdump");
            assert!(status.success());
            theirs.push(began.elapsed());
        }
        let [ours, theirs] = [ours, theirs].map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64()
        });
        println!(
            "{:26} {size:>9} {ours:>8.2}s {theirs:>8.2}s {:>7.2} {peak:>10} {sessions:>10}",
            capture.name,
            ours / theirs,
        );
    }
}

/// Writes a capture up to a size.
struct Writer {
    to: BufWriter<File>,
    left: u64,
}

impl Writer {
    fn fill(path: &Path, size: u64, write: fn(&mut Self)) {
        let to = File::create(path).expect("a file");
        let mut writer = Self {
            to: BufWriter::new(to),
            left: size,
        };
        writer.put(&pcap(ETHERNET, &[], usize::MAX));
        write(&mut writer);
        writer.to.flush().expect("room on the disk");
    }

    fn put(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).expect("room on the disk");
        self.left = self.left.saturating_sub(bytes.len() as u64);
    }

    /// Adds packets of IP.
    fn packets(&mut self, packets: &[Vec<u8>]) {
        let frames: Vec<_> = packets.iter().map(|packet| ethernet(packet, &[])).collect();
        let file = pcap(ETHERNET, &frames, usize::MAX);
        self.put(&file[24..]);
    }
}

/// 200 connections of something else, their packets large and small; now and then a session.
fn downloads(to: &mut Writer) {
    let mut next = [1_u32; 200];
    let sizes = [1460, 1460, 0, 1460, 536, 1460, 0, 1460];
    let data = [7; 1460];
    for at in 0.. {
        if to.left == 0 {
            return;
        }
        let flow = at * 7 % next.len();
        let ends = (
            format!("198.51.100.{}:443", flow % 50 + 1)
                .parse()
                .expect("an address"),
            format!("192.168.1.{}:5{flow:03}", flow % 7 + 2)
                .parse()
                .expect("an address"),
        );
        let data = &data[..sizes[at % sizes.len()]];
        let packet = segment(ends, (next[flow], 1), 16, 55, data);
        next[flow] = next[flow].wrapping_add(u32::try_from(data.len()).unwrap_or_default());
        to.packets(&[packet]);
        if at % 20_000 == 0 {
            session(to, at);
        }
    }
}

/// Packets without data, of connections that began before.
fn small(to: &mut Writer) {
    for at in 0_u32.. {
        if to.left == 0 {
            return;
        }
        let flow = at % 5000;
        let ends = (
            format!("198.51.100.{}:443", flow % 250 + 1)
                .parse()
                .expect("an address"),
            format!("192.168.1.{}:{}", flow % 7 + 2, 20_000 + flow)
                .parse()
                .expect("an address"),
        );
        to.packets(&[segment(ends, (at, at), 16, 55, b"x")]);
    }
}

/// Logins, one after the other.
fn sessions(to: &mut Writer) {
    for at in 0.. {
        if to.left == 0 {
            return;
        }
        session(to, at);
    }
}

fn session(to: &mut Writer, at: usize) {
    let client = format!(
        "10.{}.{}.{}:{}",
        at >> 16 & 0xff,
        at >> 8 & 0xff,
        at & 0xff,
        1024 + at % 60_000
    );
    let talk = Talk::session(&client, "203.0.113.9:1863", "198.51.100.1", "1033");
    to.packets(&talk.packets);
}

/// A session whose profile never comes.
fn endless(to: &mut Writer) {
    let mut talk = Talk::new("192.168.1.5:1033", "203.0.113.9:1863")
        .open()
        .say(CLIENT, "VER 1 MSNP9 CVR0\r\n")
        .say(SERVER, "VER 1 MSNP9\r\nUSR 4 OK a@b.example A 1 0\r\n");
    let line = "NLN NLN a@b.example A%20name%20that%20is%20long 0\r\n".repeat(25);
    while to.left > 0 {
        talk = talk.say(SERVER, &line);
        to.packets(&std::mem::take(&mut talk.packets));
    }
}
