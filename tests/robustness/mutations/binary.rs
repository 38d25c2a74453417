//! A sample of the changed logins against the built binary.

use std::time::Duration;

use super::online::{changes, record};
use super::run;
use super::transcript::{Change, Recorded};
use support::fake_servers::{FakeServers, Route};
use support::watch::{bounded, watch};
use support::{Document, document, tool};

/// Of so many cases one is run; a prime, so that all kinds of change come up.
const ONE_OF: usize = 19;

const TIMEOUT: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 12;

/// The most memory, and the address space, in KiB.
const MEMORY: u64 = 64 * 1024;
const SPACE: u64 = 128 * 1024;

#[test]
fn the_built_binary_withstands_changed_logins() {
    let recorded = record();
    let sample: Vec<_> = changes(&recorded).into_iter().step_by(ONE_OF).collect();
    run("by the binary", AT_ONCE, &sample, |change| {
        check(*change, &recorded).map_err(|why| format!("{change}: {why}"))
    });
}

fn check(change: Change, recorded: &Recorded) -> Result<(), String> {
    let servers = FakeServers::start(Route::over(None), move |step, answer| {
        change.apply(step, answer)
    });
    let mut command = tool();
    command
        .args(["--server", &servers.server.to_string()])
        .args(["--nexus-url", &servers.nexus, "--user", "user@example.com"])
        .args(["--timeout", &TIMEOUT.as_secs().to_string()])
        .args(["--insecure-http", "--json"])
        .env("MSNP9_PASSWORD", "secret");
    let ended = watch(&mut bounded(&command, SPACE), TIMEOUT + GRACE, |_| {});
    let run = &ended.run;
    let shown = || format!("(code {})\n{}\n{}", run.code, run.stdout, run.stderr);
    if let Some(died) = ended.died {
        return Err(format!("{died} {}", shown()));
    }
    if ended.peak > MEMORY {
        return Err(format!("{} KiB", ended.peak));
    }
    let document = document::read(Document::Report, &run.stdout)
        .map_err(|why| format!("{why} {}", shown()))?;
    let label = document["label"].as_str().unwrap_or_default();
    let codes: &[i32] = match label {
        "Unknown-Connect" => &[3, 4, 5],
        "Direct-Connect" => &[0],
        _ if change.is_testimony(recorded) => &[0],
        _ => &[],
    };
    if document["exit_code"] != run.code || !codes.contains(&run.code) {
        return Err(format!("the label or the exit code is wrong {}", shown()));
    }
    if run.stderr.contains("panicked") {
        return Err(format!("it panicked {}", shown()));
    }
    Ok(())
}
