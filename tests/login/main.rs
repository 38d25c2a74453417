//! The main command on the built binary: logins to our own `serve` as a process of its own, and to
//! scripted servers.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod hostile_servers;
mod listen;
mod observations;
mod outcomes;
mod passport;
mod paths;
mod redact;
mod secrets;
mod stun;
mod tickets;
mod tls;
mod udp_echo;
