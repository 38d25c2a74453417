//! Every prefix and changed byte of a login that succeeds, fed to the client: without a socket
//! (`sans_io.rs`), over sockets against the library (`online.rs`), and a sample of those against
//! the built binary (`binary.rs`). Whatever comes: an end in time, a document, no panic, and no
//! wrong label.

mod binary;
mod online;
mod sans_io;
mod transcript;

use std::time::Instant;

use support::{print_past_the_harness, side_by_side};

/// What is wrong with a case, if anything is.
type Checked = Result<(), String>;

/// Runs the cases on so many threads, prints how many there were, and fails with what is wrong.
fn run<C: Sync>(what: &str, threads: usize, cases: &[C], check: impl Fn(&C) -> Checked + Sync) {
    let started = Instant::now();
    let results = side_by_side(threads, cases, check);
    let (count, mut failures): (_, Vec<_>) = (
        results.len(),
        results.into_iter().filter_map(Result::err).collect(),
    );
    print_past_the_harness(&format!(
        "{count:7} changed logins {what}, {} failures, {:.1?}\n",
        failures.len(),
        started.elapsed()
    ));
    assert!(count > 0, "there are no cases");
    failures.truncate(20);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
