//! Changed logins over sockets, in this process: the driver, its deadlines, HTTP and the report.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::run;
use super::transcript::{Change, Recorded, To, elsewhere};
use msnp9_conntype::conntype::{Label, PortOrder, classify};
use msnp9_conntype::probe::login::{Passport, Plan, Tickets, observe};
use msnp9_conntype::report::{Report, context, human, json};
use msnp9_conntype::run_log::RunLog;
use msnp9_conntype::secret::SecretString;
use support::answer::{Reply, Then};
use support::client::block_on;
use support::fake_servers::{FakeServers, Route};
use support::pseudo_random::PseudoRandom;
use support::{Document, document};

thread_local! {
    /// Panics of this thread: a task whose result nobody reads has no other way to fail a case.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// The time a login gets. A change that makes the client wait costs as much.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Beyond it, on a busy machine.
const GRACE: Duration = Duration::from_secs(2);

/// How many logins go on at the same time.
const AT_ONCE: usize = 16;

/// How many other bytes are tried at each place.
const BYTES: usize = 3;

/// Of how many prefixes one is followed by silence instead of an end.
const SILENT: usize = 29;

/// Bytes that mean something to one parser or the other.
pub(super) const MARKS: &[u8] = b"\0\t\n\r \"%',/0129:;=AZ\\\x7f\x80\xc3\xff";

/// What the servers say in a login that succeeds.
pub(super) fn record() -> Recorded {
    let record = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&record);
    let servers = FakeServers::start(Route::over(None), move |step, answer| {
        keep.lock().expect("no panic").push((step, answer.clone()));
        Reply::new(answer.bytes)
    });
    let report = login(&servers, Duration::from_secs(20));
    assert_eq!(report.label, Label::DirectConnect, "{report:#?}");
    drop(servers);
    let recorded = record.lock().expect("no panic");
    recorded.clone()
}

/// Each prefix, and some other bytes at each place.
pub(super) fn changes(recorded: &Recorded) -> Vec<Change> {
    let mut noise = PseudoRandom::new(1863);
    let mut changes = Vec::new();
    for (step, answer) in recorded {
        let elsewhere = elsewhere(*step, answer);
        for (at, honest) in answer.bytes.iter().enumerate() {
            let mut add = |to| {
                changes.push(Change {
                    step: *step,
                    at,
                    to,
                })
            };
            add(To::End(Then::Close));
            if at % SILENT == 0 {
                add(To::End(Then::Silence));
            }
            if elsewhere.contains(&at) {
                continue;
            }
            let number = noise.number().to_le_bytes();
            let flipped = honest ^ (1 << (number[0] % 8));
            let mark = MARKS[usize::from(number[1]) % MARKS.len()];
            for byte in [flipped, mark, number[2]].into_iter().take(BYTES) {
                if byte != *honest {
                    add(To::Byte(byte));
                }
            }
        }
    }
    changes
}

#[test]
fn the_library_withstands_changed_logins() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.set(PANICS.get() + 1);
        usual(info);
    }));
    let recorded = record();
    run("over sockets", AT_ONCE, &changes(&recorded), |change| {
        let change = *change;
        let before = PANICS.get();
        let servers = FakeServers::start(Route::over(None), move |step, answer| {
            change.apply(step, answer)
        });
        let started = Instant::now();
        let report = login(&servers, TIMEOUT);
        let took = started.elapsed();
        check(&report, change, &recorded)
            .and_then(|()| match took < TIMEOUT + GRACE {
                true => Ok(()),
                false => Err(format!("{took:?} is too long")),
            })
            .and_then(|()| match PANICS.get() == before {
                true => Ok(()),
                false => Err("something panicked".to_owned()),
            })
            .map_err(|why| format!("{change}: {why}"))
    });
}

fn check(report: &Report, change: Change, recorded: &Recorded) -> Result<(), String> {
    let label = report.label;
    let document = document::read(Document::Report, &json::render(report))?;
    let code = u64::from(report.exit_code.code());
    let codes: &[u64] = if label.determined() { &[0] } else { &[3, 4, 5] };
    if document["exit_code"] != code || !codes.contains(&code) {
        return Err(format!("{label} with exit code {code}"));
    }
    let text = human::render(report, human::Style::default());
    if text.contains(|c: char| c.is_control() && c != '\n') {
        return Err(format!("the report has control characters: {text:?}"));
    }
    let right = label == Label::DirectConnect || !label.determined();
    if !right && !change.is_testimony(recorded) {
        return Err(format!("{label} is wrong"));
    }
    Ok(())
}

/// One login, and its report.
fn login(servers: &FakeServers, time: Duration) -> Report {
    let server = servers.server.to_string();
    let plan = Plan {
        server: msnp9_conntype::address::Address::parse(&server, 1863).expect("an address"),
        account: "user@example.com".parse().expect("an account"),
        password: SecretString::from("secret"),
        passport: Passport::Nexus(servers.nexus.parse().expect("an address")),
        decodes_sign_in: false,
        credential_hosts: Vec::new(),
        dialects: Vec::new(),
        lockstep: false,
        order: PortOrder::Auto,
        route: msnp9_conntype::transport::Route::default(),
        gateway: None,
        insecure_http: true,
        timeout: time,
    };
    block_on(async {
        let log = RunLog::new(None);
        let until = tokio::time::Instant::now() + time;
        match observe(&plan, &log, until, &mut Tickets::default()).await {
            Ok(seen) => {
                let seen = &seen.observation;
                Report::of_verdict(&classify(seen), seen, context(&log))
            }
            Err(failure) => Report::of_failure(&failure, context(&log)),
        }
    })
}
