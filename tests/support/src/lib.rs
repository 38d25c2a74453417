//! What the integration tests and the benches share: how to start the built binary and `serve`,
//! a client of `serve`, servers with a script, and a network laboratory.
//!
//! # Layout
//!
//! - `tool`: the built binary as a command, how a run of it ended, and its JSON document.
//! - `document`: what a JSON document has to be.
//! - `watch`: a run whose time and memory are limited and measured.
//! - `parallel`: cases side by side.
//! - `process`, `serve`: background processes that end with their guard; the built `serve`.
//! - `client`: a client of `serve` in this process: lines, login pages, whole logins.
//! - `scripted`: a server with a script for each connection; its panics fail the test.
//! - `answer`, `fake_servers`, `intermediary`: every server that a login meets, with every answer
//!   as a value that a test can replace.
//! - `authority`: certificates.
//! - `capture`: captures of packets, made by hand.
//! - `scenarios`: the scenarios of the classification.
//! - `vitals`: what the system says of a process.
//! - `abuse`: what `serve` must withstand, for a test and a bench.
//! - `lab`: hosts, links, NATs, firewalls and proxies in network namespaces.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed, and a test may print"
)]

#[cfg(target_os = "linux")]
pub mod abuse;
pub mod answer;
pub mod authority;
pub mod capture;
pub mod client;
pub mod document;
mod error;
pub mod fake_servers;
pub mod intermediary;
#[cfg(target_os = "linux")]
pub mod lab;
mod parallel;
mod process;
pub mod pseudo_random;
pub mod scenarios;
pub mod scripted;
mod serve;
pub mod stun_server;
mod tool;
#[cfg(target_os = "linux")]
pub mod vitals;
pub mod watch;

pub use document::Document;
pub use error::Error;
pub use parallel::side_by_side;
pub use process::Process;
pub use scripted::{Scripted, honest, profile_message, trid, wait_for_close};
pub use serve::Serve;
pub use tool::{
    Run, TOOL, closed_port, codes, copy, file, has_ipv6, observations, print_past_the_harness,
    skipped, text, tool, tool_by,
};

/// What a fallible part of the harness returns.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
