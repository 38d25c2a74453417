//! Changed logins over sockets, in this process: the driver, its deadlines, HTTP and the report.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use msnp9_conntype::conntype::{Label, PortOrder, classify};
use msnp9_conntype::probe::login::{Passport, Plan, observe};
use msnp9_conntype::report::{Report, context, human, json};
use msnp9_conntype::run_log::RunLog;
use msnp9_conntype::secret::SecretString;
use tokio::runtime::{Builder, Runtime};

use crate::side_by_side;
use crate::support::answer::{Move, Then};
use crate::support::noise::Noise;
use crate::support::world::{Route, World};
use crate::transcript::{Change, Recorded, To, elsewhere};

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
pub const MARKS: &[u8] = b"\0\t\n\r \"%',/0129:;=AZ\\\x7f\x80\xc3\xff";

/// What the servers say in a login that succeeds.
pub fn record() -> Recorded {
    let record = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&record);
    let world = World::start(Route::over(None), move |step, answer| {
        keep.lock().expect("no panic").push((step, answer.clone()));
        Move::say(answer.bytes)
    });
    let report = login(&runtime(), &world, Duration::from_secs(20));
    assert_eq!(report.label, Label::DirectConnect, "{report:#?}");
    drop(world);
    let recorded = record.lock().expect("no panic");
    recorded.clone()
}

/// Each prefix, and some other bytes at each place.
pub fn changes(recorded: &Recorded) -> Vec<Change> {
    let mut noise = Noise::new(1863);
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
                add(To::End(Then::Hush));
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

pub fn run(recorded: &Recorded) -> (usize, Vec<String>) {
    side_by_side(AT_ONCE, &changes(recorded), runtime, |runtime, change| {
        let change = *change;
        let world = World::start(Route::over(None), move |step, answer| {
            change.apply(step, answer)
        });
        let started = Instant::now();
        let report = login(runtime, &world, TIMEOUT);
        let took = started.elapsed();
        check(&report, change, recorded)
            .and_then(|()| match took < TIMEOUT + GRACE {
                true => Ok(()),
                false => Err(format!("{took:?} is too long")),
            })
            .map_err(|why| format!("{change}: {why}"))
    })
}

fn check(report: &Report, change: Change, recorded: &Recorded) -> Result<(), String> {
    let label = report.label;
    let document: serde_json::Value = serde_json::from_str(&json::render(report))
        .map_err(|error| format!("no JSON document: {error}"))?;
    let code = u64::from(report.exit_code.code());
    let codes: &[u64] = if label.determined() { &[0] } else { &[3, 4, 5] };
    if document["exit_code"] != code || !codes.contains(&code) {
        return Err(format!("{label} with exit code {code}"));
    }
    let story = human::render(report, human::Style::default());
    if story.contains(|c: char| c.is_control() && c != '\n') {
        return Err(format!("the story controls the terminal: {story:?}"));
    }
    let right = label == Label::DirectConnect || !label.determined();
    if !right && !change.is_testimony(recorded) {
        return Err(format!("{label} is wrong"));
    }
    Ok(())
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// One login, and what is said about it.
fn login(runtime: &Runtime, world: &World, time: Duration) -> Report {
    let server = world.server.to_string();
    let plan = Plan {
        server: msnp9_conntype::address::Address::parse(&server, 1863).expect("an address"),
        account: "user@example.com".parse().expect("an account"),
        password: SecretString::from("secret"),
        passport: Passport::Nexus(world.nexus.parse().expect("an address")),
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
    runtime.block_on(async {
        let log = RunLog::new(None);
        let until = tokio::time::Instant::now() + time;
        match observe(&plan, &log, until).await {
            Ok(seen) => {
                let seen = &seen.observation;
                Report::of_verdict(&classify(seen), seen, context(&log))
            }
            Err(failure) => Report::of_failure(&failure, context(&log)),
        }
    })
}
