//! No secret gets out: not by a stream, not by a file, not by a process's argument list; not to
//! a server that has no certificate we trust, and not over plain HTTP.
//!
//! Every command runs at `-vvv` with markers for secrets, and everything it leaves behind is
//! searched for them, in plain and in every encoding that one is sent in.

mod commands;
mod login;
mod marker;
mod proxies;
mod refusals;
mod sandbox;
mod served;
