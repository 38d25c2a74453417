//! Tells the connection type between this host and an MSN notification server.
//!
//! The program is `msnp9-conntype`; this library is its rooms, so that tests, benches and fuzz
//! targets can enter each by itself.
//!
//! # Layout
//! ```text
//!  words and environment                                      stdout: the result   stderr: the story
//!         │                                                             ▲             ▲
//!         ▼                                                             │             │
//!    cli ──► net::Plan ──► net ◄── bytes ──► msnp ──► Observation ──► conntype ──► report
//!                           (sockets)      (sans-IO)                  (pure)       (one model)
//!    server = the other end of the same wire: it uses msnp's and conntype's types, never net's
//!             or cli's
//! ```
//! Data goes one way. [`conntype`] and [`msnp`] know no socket, clock, terminal or randomness.
//!
//! - [`conntype`]: the verdict. Observation in, label and evidence out.
//! - [`msnp`]: commands, profile, Passport headers, and the login as a state machine.
//! - [`net`]: the client's sockets, all of them: names, proxies, the gateway, TLS, Passport over
//!   HTTPS. It keeps what happened in report's terms, so that a run that fails can still tell.
//! - [`server`]: the embedded notification server with its Passport pages.
//! - [`report`]: one model, one file a format, and the one place that prints.
//! - [`cli`]: one file a command. [`exit`]: outcome to exit code, the only table of codes.
//! - [`failure`]: what went wrong, where, and what to do. [`address`]: `host:port`.
//!   [`secret`]: values that cannot be printed.

pub mod address;
pub mod cli;
pub mod conntype;
pub mod exit;
pub mod failure;
pub mod msnp;
pub mod net;
pub mod report;
pub mod secret;
pub mod server;
