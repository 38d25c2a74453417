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

use std::time::Duration;

use support::answer::{Move, Step, Then};
use support::detour::Detour;
use support::world::{Route, World};
use support::{Run, tool};

#[test]
fn every_fault_at_every_step_comes_to_what_is_documented() {
    let failures = matrix::run();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_profile_at_hand_is_not_lost_to_a_server_that_lets_nobody_go() {
    let route = Route {
        detour: Some(Detour::Gateway),
        seen: Some(([203, 0, 113, 7], 0).into()),
        ..Route::over(None)
    };
    let world = World::start(route, |step, answer| match step {
        Step::GatewayProfile => {
            std::thread::sleep(Duration::from_secs(2));
            Move::say(answer.bytes)
        }
        Step::GatewayPoll => Move::last(Vec::new(), Then::Hush),
        _ => Move::say(answer.bytes),
    });
    let run = Run::of(
        tool()
            .args(["--server", &world.server.to_string(), "--timeout", "2.9"])
            .args(["--insecure-http", "--login-url", &world.login])
            .args(world.detour.iter().flatten())
            .args(["--user", "user@example.com"])
            .env("MSNP9_PASSWORD", "secret"),
    );
    assert_eq!(run.stdout, "Unknown-NAT\n", "{}", run.stderr);
}
