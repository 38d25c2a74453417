//! A whole HTTP connection to the server: the gateway's end, or the Passport pages.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use msnp9_conntype::server::Config;
use msnp9_conntype::server::fuzz::Harness;
use tokio::runtime::Runtime;

thread_local! {
    static SERVER: RefCell<(Runtime, Harness)> = RefCell::new(start());
}

fn start() -> (Runtime, Harness) {
    // Nobody waits: time passes as soon as there is nothing else to do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut config = Config::default();
    config.limits.max_failures = u32::MAX;
    (runtime, Harness::new(config).expect("a server"))
}

fuzz_target!(|data: &[u8]| {
    let [how, input @ ..] = data else { return };
    SERVER.with_borrow_mut(|(runtime, harness)| {
        let answers = runtime.block_on(harness.http(how & 1 != 0, input));
        let starts = b"HTTP/1.1 ";
        assert!(
            answers.is_empty() || answers.starts_with(starts),
            "{answers:?}"
        );
    });
});
