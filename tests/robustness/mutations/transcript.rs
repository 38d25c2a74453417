//! The answers of a login that succeeded, and the ways to change one.

use std::fmt;
use std::ops::Range;

use support::answer::{Answer, Reply, Step, Then};

/// What the servers said, in order.
pub(super) type Recorded = Vec<(Step, Answer)>;

/// One change of one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) step: Step,
    /// Counted from the answer's start.
    pub(super) at: usize,
    pub(super) to: To,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    /// The answer ends here, and so does what the server says.
    End(Then),
    /// This byte instead.
    Byte(u8),
}

impl Change {
    /// What becomes of an answer. Its length may differ by a digit from the one recorded.
    pub(super) fn apply(self, step: Step, answer: Answer) -> Reply {
        let mut bytes = answer.bytes;
        if step != self.step {
            return Reply::new(bytes);
        }
        match self.to {
            To::End(then) => {
                bytes.truncate(self.at);
                Reply::then(bytes, then)
            }
            To::Byte(byte) => {
                if let Some(old) = bytes.get_mut(self.at) {
                    *old = byte;
                }
                Reply::new(bytes)
            }
        }
    }

    /// Whether the changed server may truthfully be understood to say something else of us: where
    /// the profile has the address and the port, and where it says how long it is.
    pub(super) fn is_testimony(self, recorded: &Recorded) -> bool {
        if self.step != Step::Profile {
            return false;
        }
        let answer = answer_of(recorded, self.step);
        let fields = find(&answer.bytes, b"\r\nClientIP:").map_or(0, |at| at.start);
        let length = answer.length.clone().unwrap_or(0..0);
        self.at >= fields || length.contains(&self.at)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, at) = (self.step.name(), self.at);
        match self.to {
            To::End(then) => write!(f, "{step}, ends at {at} ({then:?})"),
            To::Byte(byte) => write!(f, "{step}, byte {at} is {byte:#04x}"),
        }
    }
}

pub(super) fn answer_of(recorded: &Recorded, step: Step) -> &Answer {
    let found = recorded.iter().find(|(known, _)| *known == step);
    &found.expect("every step was recorded").1
}

/// Where an answer names the place to go to next. A change there would send the client to
/// a host that is not part of the test, even over the network; the parsers get those without a
/// socket.
pub(super) fn elsewhere(step: Step, answer: &Answer) -> Range<usize> {
    let url = find(&answer.bytes, b"DALogin=").map_or(0, |at| at.end);
    match (step, &answer.word) {
        (Step::Nexus, Some(word)) => url..word.end + 1,
        _ => 0..0,
    }
}

pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<Range<usize>> {
    let at = bytes.windows(what.len()).position(|w| w == what)?;
    Some(at..at + what.len())
}
