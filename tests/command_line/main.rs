//! The built binary without a login: commands, options, the environment, pipes, the terminal.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[cfg(unix)]
mod account;
#[cfg(target_os = "linux")]
mod capture;
mod environment;
#[cfg(unix)]
mod formats;
mod generate;
mod invitation;
mod output;
mod pair;
mod scenarios;
mod terminal;
#[cfg(target_os = "linux")]
mod terminal_signals;
mod usage;
mod watch;
