//! The embedded server over real sockets on loopback, the `serve` command, and both under abuse.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[cfg(target_os = "linux")]
mod abuse;
mod balancer;
mod call_back;
mod command;
mod embedded;
mod gateway;
mod limits;
mod login;
mod metrics;
mod passport;
mod prometheus;
mod ticket_keys;
mod udp_echo;
