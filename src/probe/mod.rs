//! What is asked of the network. Each probe has a plan, notes events in a
//! [`RunLog`](crate::run_log::RunLog), and returns evidence for
//! [`conntype`](crate::conntype) to judge.

mod exchange;
pub mod listen;
pub mod login;
pub mod port_mapping;
pub mod reach;
pub mod stun;
pub mod udp_echo;
