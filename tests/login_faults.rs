//! Every step of the login times everything that can go wrong at it, against the built binary.
//!
//! The steps are values (`support/answer.rs`), a fault is a transformation of a step's answer
//! (`fault.rs`), and what a combination has to come to is a rule (`rules.rs`): the matrix is
//! generated from these three.

#![allow(unreachable_pub, reason = "a test is no library")]
#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "login_faults/fault.rs"]
mod fault;
#[path = "login_faults/matrix.rs"]
mod matrix;
#[path = "login_faults/rules.rs"]
mod rules;
mod support;

#[test]
fn every_fault_at_every_step_comes_to_what_is_documented() {
    let failures = matrix::run();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
