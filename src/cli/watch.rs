//! `--every`: check after check, until the count is reached or a signal comes.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::check;
use super::error::CommandError;
use super::output::Output;
use super::runtime::Runtime;
use super::settings::Settings;
use crate::exit::Exit;
use crate::probe::login::Tickets;
use crate::report::watch::{self, State};
use crate::report::{Format, Report, print};

/// The longest pause between two checks that fail, in intervals.
const MOST_INTERVALS: u32 = 8;

/// How far an interval is stretched or cut at random, so that many watches do not check at once.
const JITTER: f64 = 0.1;

/// What to repeat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// From the start of a check to the start of the next.
    pub(super) every: Duration,
    /// The number of checks; `None` has no end.
    pub(super) count: Option<u64>,
}

impl Watch {
    /// Whether the results of check after check can go where they are to go.
    ///
    /// # Errors
    /// A format of several lines on stdout.
    pub(super) fn check(output: &Output) -> Result<(), CommandError> {
        if output.format.is_a_line() || output.has_file() {
            return Ok(());
        }
        Err(CommandError::usage(format!(
            "--every prints result after result: give --format ndjson, or --output FILE for the \
             latest one as '{}'",
            output.format.words().0
        )))
    }

    /// Checks until the end. The exit code is that of the last check that came to one.
    pub(super) fn run(
        self,
        settings: &Settings,
        output: &Output,
        runtime: &mut Runtime,
    ) -> Result<Exit, CommandError> {
        let exit = self.check_again_and_again(settings, output, runtime);
        print::erase_status();
        exit
    }

    fn check_again_and_again(
        self,
        settings: &Settings,
        output: &Output,
        runtime: &mut Runtime,
    ) -> Result<Exit, CommandError> {
        let is_live =
            output.format == Format::Label && !output.has_file() && std::io::stdout().is_terminal();
        let mut last: Option<(State, Exit)> = None;
        let mut failures = 0;
        let mut tickets = Tickets::default();
        let mut checks = 0;
        loop {
            checks += 1;
            let began = Instant::now();
            output.started_at.set(SystemTime::now());
            let report = check::once(settings, &mut tickets, output, runtime).to_share();
            let exit = report.exit_code;
            if let (true, Some((_, last))) = (exit.is_a_signal(), &last) {
                return Ok(*last);
            }
            let state = State::of(&report);
            let before = last.as_ref().map(|(state, _)| state);
            if !is_live {
                output.result_alone(&report)?;
            } else if before != Some(&state) {
                let width = print::width_of(&std::io::stdout());
                output.write(&watch::change(&report, before, width))?;
            }
            let is_last = self.count.is_some_and(|count| checks >= count);
            if is_last || exit.is_a_signal() || print::reader_is_gone() {
                return Ok(exit);
            }
            failures = match (report.determined, exit) {
                (true, _) => 0,
                // More of them may lock the account.
                (_, Exit::Credentials) => u32::MAX,
                _ => failures.saturating_add(1),
            };
            let pause = pause(self.every, failures, fastrand::f64());
            // A server that answers slowly has a rest, too.
            let until = match failures {
                0 => (began + pause).max(Instant::now() + pause / 2),
                _ => Instant::now() + pause,
            };
            let wait = async {
                wait(&report, checks, until, output.shows_status()).await;
                None
            };
            if runtime.run(wait, async {}, Some).is_some() {
                return Ok(exit);
            }
            last = Some((state, exit));
        }
    }
}

/// The time until the next check, after this many failures in a row; `random` is from 0 to 1.
fn pause(every: Duration, failures: u32, random: f64) -> Duration {
    let intervals = 1_u32.checked_shl(failures).unwrap_or(MOST_INTERVALS);
    let jitter = 1.0 + JITTER * (2.0 * random - 1.0);
    every
        .saturating_mul(intervals.min(MOST_INTERVALS))
        .mul_f64(jitter)
}

/// Waits for the next check, and shows how long that takes.
async fn wait(report: &Report, checks: u64, until: Instant, is_shown: bool) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if is_shown {
            print::status(&watch::waiting(report, checks, left));
        }
        let second = Duration::from_secs(1);
        sleep(if is_shown { left.min(second) } else { left }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_doubles_the_pause_up_to_eight_intervals() {
        let pauses = [0, 1, 2, 3, 4, 31, 32, u32::MAX];
        let every = Duration::from_secs(10);
        let pauses = pauses.map(|failures| pause(every, failures, 0.5).as_secs());
        assert_eq!(pauses, [10, 20, 40, 80, 80, 80, 80, 80]);
        assert_eq!(pause(every, 0, 0.0), Duration::from_secs(9));
        assert_eq!(pause(every, 0, 1.0), Duration::from_secs(11));
    }
}
