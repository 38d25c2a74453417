//! Faults, changed bytes and the seeds for fuzzing: whatever servers send, the tool ends in time,
//! with one document and the right exit code.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod faults;
mod fuzz_seeds;
mod mutations;
