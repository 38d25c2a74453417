//! Outcome to exit code; the only table of codes.

use std::fmt;

use crate::conntype::Label;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// A connection type was determined, and it was among those expected, if any were named.
    Done = 0,
    /// A connection type was determined, but not one of those expected; or `serve` cannot start; or
    /// the answer of `account` is no.
    Unexpected = 1,
    /// The command line or a file it names is wrong.
    Usage = 2,
    /// Not determined: something could not be reached in time.
    Unreachable = 3,
    /// Not determined: the credentials were refused.
    Credentials = 4,
    /// Not determined: the server answered, but not with a usable profile.
    NoProfile = 5,
    /// A bug in this program.
    Bug = 70,
    /// The result cannot be written: a full disk, an I/O error (`EX_IOERR` of sysexits.h).
    Output = 74,
    /// SIGINT ended the run: 128 and the signal's number, as shells have it.
    Interrupted = 130,
    /// SIGTERM ended the run, or SIGHUP as the terminal vanished.
    Terminated = 143,
}

/// The table as `--help` shows it.
pub const HELP: &str = "Exit codes:
  0   a connection type was determined, and met --expect if given
  1   determined, but not among --expect (of 'serve': it cannot start)
  2   the command line, or a file it names, is wrong
  3   Unknown-Connect: the server could not be reached in time (DNS, TCP, TLS, proxy, timeout)
  4   Unknown-Connect: the credentials were refused
  5   Unknown-Connect: the server answered, but not with a usable profile
  70  a bug in this program
  74  the result cannot be written (a full disk, an I/O error, a closed stdout)
  130 Unknown-Connect: interrupted by SIGINT (Ctrl-C)
  143 Unknown-Connect: interrupted by SIGTERM, or by SIGHUP as the terminal vanished
With --format nagios: 0 OK, 2 CRITICAL in place of 1, 3 UNKNOWN in place of every other";

impl Exit {
    /// The exit code of a verdict. `failed` is the exit code of the failure that prevented one, if
    /// there was one; `expected` is empty where nothing was expected.
    #[must_use]
    pub fn of(label: Label, failed: Option<Self>, expected: &[Label]) -> Self {
        let met = (!expected.is_empty()).then(|| expected.contains(&label));
        Self::settle(label.determined(), failed, met)
    }

    /// The same, of a label of any kind. `met` is whether it was expected; `None` where nothing was.
    #[must_use]
    pub const fn settle(determined: bool, failed: Option<Self>, met: Option<bool>) -> Self {
        match (failed, determined) {
            (Some(exit @ (Self::Interrupted | Self::Terminated | Self::Bug)), _) => exit,
            _ if matches!(met, Some(true)) => Self::Done,
            (Some(exit), false) => exit,
            (None, false) => Self::NoProfile,
            _ if met.is_none() => Self::Done,
            _ => Self::Unexpected,
        }
    }

    /// Whether a signal ended the run.
    #[must_use]
    pub const fn is_a_signal(self) -> bool {
        matches!(self, Self::Interrupted | Self::Terminated)
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The state that a monitoring system shows.
    #[must_use]
    pub const fn state(self) -> State {
        match self {
            Self::Done => State::Ok,
            Self::Unexpected => State::Critical,
            Self::Usage
            | Self::Unreachable
            | Self::Credentials
            | Self::NoProfile
            | Self::Bug
            | Self::Output
            | Self::Interrupted
            | Self::Terminated => State::Unknown,
        }
    }
}

/// What is known of the connection type, with the exit codes of monitoring plugins. Nothing is a
/// WARNING (1): a label is expected or it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It is among those expected, if any were named.
    Ok = 0,
    /// It is not.
    Critical = 2,
    /// It is not known.
    Unknown = 3,
}

impl State {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_of_verdicts() {
        use Label::{DirectConnect, SymmetricNat, UnknownConnect};
        let code = |label, failed, expected: &[Label]| Exit::of(label, failed, expected).code();
        assert_eq!(code(DirectConnect, None, &[]), 0);
        assert_eq!(code(DirectConnect, None, &[SymmetricNat, DirectConnect]), 0);
        assert_eq!(code(DirectConnect, None, &[SymmetricNat]), 1);
        for exit in [Exit::Unreachable, Exit::Credentials, Exit::NoProfile] {
            assert_eq!(code(UnknownConnect, Some(exit), &[]), exit.code());
            let met = code(UnknownConnect, Some(exit), &[UnknownConnect]);
            assert_eq!(met, 0);
            let unmet = code(UnknownConnect, Some(exit), &[DirectConnect]);
            assert_eq!(unmet, exit.code());
        }
        assert_eq!(code(UnknownConnect, None, &[]), 5);
        for (exit, number) in [(Exit::Interrupted, 130), (Exit::Terminated, 143)] {
            assert_eq!(code(UnknownConnect, Some(exit), &[UnknownConnect]), number);
        }
    }

    #[test]
    fn what_is_not_known_is_no_alarm() {
        let state = |exit: Exit| exit.state().code();
        assert_eq!(state(Exit::Done), 0);
        assert_eq!(state(Exit::Unexpected), 2);
        for exit in [
            Exit::Usage,
            Exit::Unreachable,
            Exit::Credentials,
            Exit::NoProfile,
            Exit::Bug,
            Exit::Output,
            Exit::Interrupted,
            Exit::Terminated,
        ] {
            assert_eq!(state(exit), 3, "{exit:?}");
        }
    }
}
