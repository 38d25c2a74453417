//! What can go wrong with an answer, as transformations of it.

use std::time::Duration;

use support::answer::{Answer, Reply, Step, Then};
use support::pseudo_random::PseudoRandom;

/// Error codes that a server may answer a login with, and whether the credentials are to blame.
pub(super) const CODES: [(u16, bool); 45] = [
    (200, false),
    (201, false),
    (205, true),
    (206, true),
    (207, true),
    (208, true),
    (280, false),
    (281, false),
    (302, false),
    (500, false),
    (501, false),
    (502, false),
    (510, false),
    (520, false),
    (540, false),
    (600, false),
    (601, false),
    (602, false),
    (603, false),
    (604, false),
    (707, false),
    (711, false),
    (712, false),
    (713, false),
    (714, false),
    (715, false),
    (800, false),
    (910, false),
    (911, true),
    (913, false),
    (917, true),
    (918, false),
    (919, false),
    (920, false),
    (921, false),
    (922, false),
    (923, true),
    (924, true),
    (926, true),
    (927, true),
    (928, true),
    (930, true),
    (931, false),
    // Two that no table has: unknown codes are errors like any other.
    (100, false),
    (999, false),
];

/// A line without end is this long.
const LONG: usize = 1 << 20;

/// So many commands are more than any contact list has.
const FLOOD: usize = 60_000;

/// By how much a payload differs from the announced length.
const OFF_BY: usize = 20;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Refused,
    Close,
    Reset,
    Silence,
    Slow,
    Garbage,
    LongLine,
    /// A long series of commands that were not asked for.
    Flood,
    Longer,
    Shorter,
    OtherTrid,
    TextAfter,
    HalfUtf8,
    Nul,
    Out,
    Code(u16),
}

impl Fault {
    /// All of them, in the order of the table.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [
            Self::Refused,
            Self::Close,
            Self::Reset,
            Self::Silence,
            Self::Slow,
            Self::Garbage,
            Self::LongLine,
            Self::Flood,
            Self::Longer,
            Self::Shorter,
            Self::OtherTrid,
            Self::TextAfter,
            Self::HalfUtf8,
            Self::Nul,
            Self::Out,
        ]
        .into_iter()
        .chain(CODES.iter().map(|(code, _)| Self::Code(*code)))
    }

    /// The column of the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Close => "close",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Slow => "slow",
            Self::Garbage => "garbage",
            Self::LongLine => "1 MiB",
            Self::Flood => "flood",
            Self::Longer => "longer",
            Self::Shorter => "shorter",
            Self::OtherTrid => "trid",
            Self::TextAfter => "text",
            Self::HalfUtf8 => "utf-8",
            Self::Nul => "nul",
            Self::Out => "OUT",
            Self::Code(_) => "codes",
        }
    }

    /// What it makes of the answer at a step.
    pub(super) fn apply(self, step: Step, answer: Answer) -> Reply {
        match self {
            // Nothing listens there, so nothing gets here.
            Self::Refused => Reply::new(answer.bytes),
            Self::Close => Reply::then(Vec::new(), Then::Close),
            Self::Reset => Reply::then(Vec::new(), Then::Reset),
            Self::Silence => Reply::then(Vec::new(), Then::Silence),
            Self::Slow => Reply {
                pause: Some(Duration::from_secs(1)),
                ..Reply::new(answer.bytes)
            },
            Self::Garbage => Reply::new(PseudoRandom::new(step as u64).bytes(256)),
            Self::LongLine => {
                let first = answer.bytes.split(|byte| *byte == b'\r').next();
                let mut line = match step.is_tls() {
                    true => Vec::new(),
                    false => first.unwrap_or_default().to_vec(),
                };
                line.resize(line.len() + LONG, b'x');
                Reply::new(line)
            }
            Self::Flood => Reply::new(b"NLN NLN a@b.c Name 0\r\n".repeat(FLOOD)),
            Self::Longer => Reply::new(with_length(step, answer, |length| length - OFF_BY)),
            Self::Shorter => Reply::new(with_length(step, answer, |length| length + OFF_BY)),
            Self::OtherTrid => {
                let at = answer.trid.clone().unwrap_or(0..0);
                Reply::new(replaced(answer.bytes, at, b"7777"))
            }
            Self::TextAfter => {
                let text = b"and another thing that nobody asked for\r\n";
                Reply::new([answer.bytes.as_slice(), text].concat())
            }
            // The first half of an e with a grave accent.
            Self::HalfUtf8 => Reply::new(with_byte(step, answer, 0xc3)),
            Self::Nul => Reply::new(with_byte(step, answer, 0)),
            Self::Out => Reply::new(b"OUT SSD\r\n".to_vec()),
            Self::Code(code) if step.is_http() => Reply::new(Answer::status(code).bytes),
            Self::Code(code) => Reply::new(match answer.number {
                Some(trid) => format!("{code} {trid}\r\n").into_bytes(),
                None => format!("{code}\r\n").into_bytes(),
            }),
        }
    }
}

/// The last byte of the word that counts becomes this one; where nothing is to be said, the byte
/// is a line of its own. A TLS flight ends in a random byte, which may be this one already: it
/// becomes another one.
fn with_byte(step: Step, mut answer: Answer, byte: u8) -> Vec<u8> {
    match answer.word {
        Some(word) if step.is_tls() => answer.bytes[word.end - 1] ^= byte | 1,
        Some(word) => answer.bytes[word.end - 1] = byte,
        None => answer.bytes.extend([byte, b'\r', b'\n']),
    }
    answer.bytes
}

fn with_length(step: Step, answer: Answer, change: impl Fn(usize) -> usize) -> Vec<u8> {
    let at = answer.length.expect("a payload, or the rules leave it out");
    let said = &answer.bytes[at.clone()];
    let length = match (step.is_tls(), said) {
        (true, &[high, low]) => {
            let said = usize::from(u16::from_be_bytes([high, low]));
            u16::try_from(change(said))
                .expect("a record")
                .to_be_bytes()
                .to_vec()
        }
        _ => {
            let digits = String::from_utf8_lossy(said);
            change(digits.parse().expect("digits"))
                .to_string()
                .into_bytes()
        }
    };
    replaced(answer.bytes, at, &length)
}

fn replaced(mut bytes: Vec<u8>, at: std::ops::Range<usize>, by: &[u8]) -> Vec<u8> {
    bytes.splice(at, by.iter().copied());
    bytes
}

#[test]
fn a_byte_of_a_tls_flight_always_changes() {
    for last in 0..=u8::MAX {
        let flight = Answer {
            bytes: vec![22, last],
            word: Some(0..2),
            ..Answer::default()
        };
        for fault in [Fault::Nul, Fault::HalfUtf8] {
            let sent = fault.apply(Step::NexusTls, flight.clone());
            assert_ne!(sent.bytes, flight.bytes, "{fault:?}");
        }
    }
}
