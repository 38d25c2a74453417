//! Every prefix and every changed byte of a login that succeeds, fed to the client.
//!
//! All of them without a socket (`sans_io.rs`); each prefix and some of the changes over sockets,
//! against `net::observe` (`online.rs`); and a sample of those against the built binary
//! (`binary.rs`). Whatever comes: an end in time, a document, no panic, and no wrong label.

#![allow(unreachable_pub, reason = "a test is no library")]
#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "mutations/binary.rs"]
mod binary;
#[path = "mutations/online.rs"]
mod online;
#[path = "mutations/sans_io.rs"]
mod sans_io;
mod support;
#[path = "mutations/transcript.rs"]
mod transcript;

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Panics anywhere in this process, those of tasks that nobody waits for included.
static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn no_change_of_a_login_does_harm() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(info);
    }));
    let recorded = online::record();
    let mut failures = Vec::new();
    let mut all = 0;
    for (name, run) in [
        ("without a socket", sans_io::run as fn(&_) -> _),
        ("over sockets", online::run),
        ("by the binary", binary::run),
    ] {
        let started = Instant::now();
        let (cases, mut wrong): (usize, Vec<String>) = run(&recorded);
        tell(&format!(
            "{cases:7} cases {name}, {} failures, {:.1?}\n",
            wrong.len(),
            started.elapsed()
        ));
        all += cases;
        failures.append(&mut wrong);
    }
    tell(&format!("{all} cases, {} failures\n", failures.len()));
    failures.truncate(20);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "something panicked");
}

/// Straight to stdout, so that a run that succeeds shows it too.
fn tell(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Runs the cases on so many threads, each with a state of its own; what went wrong comes back.
fn side_by_side<C: Sync, S>(
    threads: usize,
    cases: &[C],
    state: impl Fn() -> S + Sync,
    run: impl Fn(&mut S, &C) -> Result<(), String> + Sync,
) -> (usize, Vec<String>) {
    let next = Mutex::new(cases.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut state = state();
                loop {
                    let Some(case) = next.lock().expect("no panic").next() else {
                        return;
                    };
                    if let Err(wrong) = run(&mut state, case) {
                        failures.lock().expect("no panic").push(wrong);
                    }
                }
            });
        }
    });
    (cases.len(), failures.into_inner().expect("no panic"))
}
