//! Every step of the login times everything that can go wrong at it, against the built binary.
//!
//! The steps are values (`support::answer`), a fault is a transformation of a step's answer
//! (`fault.rs`), and the required result of a combination is a rule (`rules.rs`): the matrix is
//! generated from these three.

mod fault;
mod matrix;
mod rules;

use std::time::{Duration, Instant};

use support::answer::{Reply, Step, Then};
use support::fake_servers::{FakeServers, Route};
use support::intermediary::Intermediary;
use support::{Run, tool};

#[test]
fn every_fault_at_every_step_has_its_exit_code() {
    let failures = matrix::run();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_profile_is_not_lost_when_the_gateway_does_not_end_the_session() {
    let route = Route {
        intermediary: Some(Intermediary::Gateway),
        seen: Some(([203, 0, 113, 7], 0).into()),
        ..Route::over(None)
    };
    let servers = FakeServers::start(route, |step, answer| match step {
        Step::GatewayPoll => Reply::then(Vec::new(), Then::Silence),
        _ => Reply::new(answer.bytes),
    });
    // The sign-out may take a second, or what is left of the time, if that is less. It is less in
    // the first case, however fast the login is, so a longer time would not test it.
    for timeout in ["1", "20"] {
        let started = Instant::now();
        let run = Run::of(
            tool()
                .args(["--server", &servers.server.to_string()])
                .args(["--timeout", timeout, "--insecure-http"])
                .args(["--login-url", &servers.login])
                .args(servers.intermediary.iter().flatten())
                .args(["--user", "user@example.com"])
                .env("MSNP9_PASSWORD", "secret"),
        );
        assert_eq!(run.stdout, "Unknown-NAT\n", "{timeout}: {}", run.stderr);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(15), "{timeout}: {took:?}");
    }
}
