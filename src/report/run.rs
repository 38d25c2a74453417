//! What a run's log says, in the terms of the report.

use std::time::Duration;

use tokio::time::Instant;

use super::{Context, Server, Timing};
use crate::address::Address;
use crate::conntype::Warning;
use crate::run_log::{Event, RunLog};

/// What the report needs to know of a run besides the verdict. `requested` is the server that was
/// asked for.
#[must_use]
pub fn context(log: &RunLog, requested: &Address) -> Context {
    let mut context = Context::default();
    let (mut server, mut referrals) = (None, Vec::new());
    for entry in log.entries() {
        match entry.event {
            Event::Began { .. } | Event::Ended(_) => {}
            Event::Connected {
                local,
                peer,
                path,
                proxy,
            } => {
                // The far end of the connection is the server's only where nothing is between.
                server = path.is_end_to_end().then_some(peer);
                context.local = Some(local);
                context.path = path;
                context.proxy = proxy;
            }
            Event::Gateway(name) => context.gateway = Some(name),
            Event::Referred(to) => referrals.push(to.to_string()),
            Event::Agreed(dialect) => context.dialect = Some(dialect.to_string()),
            Event::PortNotSent(server) => {
                add(
                    &mut context.warnings,
                    Warning::PortNotSent(server.to_string()),
                );
            }
            Event::CredentialsSent { to, named } => {
                let to = to.to_string();
                if !named {
                    add(
                        &mut context.warnings,
                        Warning::CredentialsElsewhere(to.clone()),
                    );
                }
                add(&mut context.credentials_to, to);
            }
            Event::SignedIn => add(&mut context.warnings, Warning::SignedOutElsewhere),
        }
    }
    context.timings = timings(log);
    context.server = Some(Server {
        requested: requested.to_string(),
        address: server,
        referrals,
    });
    context
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// How long each step took; a step that has not ended lasts until now.
fn timings(log: &RunLog) -> Vec<Timing> {
    let entries = log.entries();
    let now = Instant::now();
    let milliseconds = |time: Duration| (time.as_secs_f64() * 1e5).round() / 1e2;
    let end_of = |step: usize| {
        let ended = |event: &Event| matches!(event, Event::Ended(began) if *began == step);
        let end = entries.iter().find(|entry| ended(&entry.event));
        end.map_or(now, |entry| entry.at)
    };
    let steps = entries.iter().enumerate();
    steps
        .filter_map(|(index, entry)| match &entry.event {
            Event::Began { purpose, step, .. } => Some(Timing {
                connection: *purpose,
                stage: *step,
                start: milliseconds(entry.at.saturating_duration_since(log.started())),
                took: milliseconds(end_of(index).saturating_duration_since(entry.at)),
            }),
            _ => None,
        })
        .collect()
}
