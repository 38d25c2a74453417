//! The embedded server, over real sockets on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "server/client.rs"]
mod client;
#[path = "server/command.rs"]
mod command;
#[path = "server/gateway.rs"]
mod gateway;
#[path = "server/limits.rs"]
mod limits;
#[path = "server/login.rs"]
mod login;
#[path = "server/passport.rs"]
mod passport;
