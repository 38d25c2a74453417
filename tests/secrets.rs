//! No secret gets out: not by a stream, not by a file, not by a process's argument list; not to
//! a server that has no certificate we trust, and not over plain HTTP.
//!
//! Every command runs at `-vvv` with markers for secrets, and everything it leaves behind is
//! searched for them, in plain and in every encoding that one is sent in.

#![allow(unreachable_pub, reason = "a test is no library")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "secrets/commands.rs"]
mod commands;
#[path = "secrets/login.rs"]
mod login;
#[path = "secrets/marker.rs"]
mod marker;
#[path = "secrets/proxies.rs"]
mod proxies;
#[path = "secrets/refusals.rs"]
mod refusals;
#[path = "secrets/room.rs"]
mod room;
#[path = "secrets/served.rs"]
mod served;
mod support;
