//! What the log of a run holds, in the terms of the report.

use tokio::time::Instant;

use super::model::milliseconds;
use super::{Context, ServerReport, Timing};
use crate::conntype::Warning;
use crate::run_log::{Ends, Entry, Event, RunLog};

/// What the report needs to know of a run besides the verdict: server, path and dialect of its
/// first login, the timings of all of them, and every host that got the credentials.
#[must_use]
pub fn context(log: &RunLog) -> Context {
    let entries = log.entries();
    let mut logins = logins(&entries);
    let mut context = logins.next().map(login).unwrap_or_default();
    for further in logins.map(login) {
        for to in further.credentials_to {
            add(&mut context.credentials_to, to);
        }
        let elsewhere = |warning: &Warning| matches!(warning, Warning::CredentialsElsewhere(_));
        for warning in further.warnings.into_iter().filter(elsewhere) {
            add(&mut context.warnings, warning);
        }
    }
    context.timings = timings(&entries, log.started());
    context
}

/// The same for the last login of a run alone, without its timings.
#[must_use]
pub fn last_login(log: &RunLog) -> Context {
    let entries = log.entries();
    logins(&entries).last().map(login).unwrap_or_default()
}

/// The entries of each login, the one that names its server first.
fn logins(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    let begins = |entry: &Entry| matches!(entry.event, Event::LoginBegan(_));
    let first = entries.iter().position(begins).unwrap_or(entries.len());
    entries[first..].chunk_by(move |_, next| !begins(next))
}

fn login(entries: &[Entry]) -> Context {
    let mut context = Context::default();
    for entry in entries {
        match &entry.event {
            Event::Began { .. } | Event::Ended(_) => {}
            Event::LoginBegan(server) => {
                context.server = Some(ServerReport {
                    requested: server.clone(),
                    address: None,
                    referrals: Vec::new(),
                });
            }
            Event::Connected(Ends {
                local,
                peer,
                path,
                proxy,
            }) => {
                if let Some(server) = &mut context.server {
                    // The remote end is the server's only where nothing is in between.
                    server.address = path.is_end_to_end().then_some(*peer);
                }
                context.local = Some(*local);
                context.path = *path;
                context.proxy.clone_from(proxy);
            }
            Event::Gateway(name) => context.gateway = Some(name.clone()),
            Event::Referred(to) => {
                if let Some(server) = &mut context.server {
                    server.referrals.push(to.clone());
                }
            }
            Event::Agreed(dialect) => context.dialect = Some(*dialect),
            Event::PortNotSent(server) => {
                add(&mut context.warnings, Warning::PortNotSent(server.clone()));
            }
            Event::CredentialsSent { to, named } => {
                if !named {
                    let warning = Warning::CredentialsElsewhere(to.clone());
                    add(&mut context.warnings, warning);
                }
                add(&mut context.credentials_to, to.clone());
            }
            Event::SignedIn => add(&mut context.warnings, Warning::SignedOutElsewhere),
        }
    }
    context
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// How long each step took; a step that has not ended lasts until now.
fn timings(entries: &[Entry], started: Instant) -> Vec<Timing> {
    let now = Instant::now();
    let end_of = |step: usize| {
        let ended = |event: &Event| matches!(event, Event::Ended(began) if *began == step);
        let end = entries.iter().find(|entry| ended(&entry.event));
        end.map_or(now, |entry| entry.at)
    };
    let mut logins = 0_usize;
    let mut timings = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match &entry.event {
            Event::LoginBegan(_) => logins += 1,
            Event::Began { purpose, step, .. } => timings.push(Timing {
                observation: logins.saturating_sub(1),
                connection: *purpose,
                stage: *step,
                start: milliseconds(entry.at.saturating_duration_since(started)),
                took: milliseconds(end_of(index).saturating_duration_since(entry.at)),
            }),
            _ => {}
        }
    }
    timings
}
