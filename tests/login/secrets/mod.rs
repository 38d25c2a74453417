//! No secret is shown or sent in the clear: not in a stream, a file or an argument list; not to
//! a server without a trusted certificate, and not over plain HTTP.
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
