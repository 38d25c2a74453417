//! The embedded server, over real sockets on loopback.

#[path = "server/client.rs"]
mod client;
#[path = "server/login.rs"]
mod login;
