//! Cases side by side, and the ends of threads.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread::{JoinHandle, panicking};

/// Waits for a thread, for a `drop`: its panic goes on here, unless this thread panics already,
/// where a second panic would abort the process. `None` after a panic.
pub(crate) fn joined<T>(thread: JoinHandle<T>) -> Option<T> {
    match thread.join() {
        Ok(result) => Some(result),
        Err(_) if panicking() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Runs the cases on so many threads; their results, in no particular order. A case that panics
/// fails the test.
pub fn side_by_side<C: Send, R: Send>(
    threads: usize,
    cases: impl IntoIterator<Item = C, IntoIter: Send>,
    run: impl Fn(C) -> R + Sync,
) -> Vec<R> {
    let next = Mutex::new(cases.into_iter());
    let work = || {
        let mut results = Vec::new();
        loop {
            // Not within the loop's condition, which would hold the lock while the case runs.
            let case = next.lock().expect("no panic while it is held").next();
            let Some(case) = case else {
                return results;
            };
            results.push(run(case));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| worker.join());
        results
            .flat_map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}
