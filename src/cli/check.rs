//! The main job: one login, one verdict, and more looks where they were asked for.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::args::CheckArgs;
use super::output::Output;
use super::settings::{self, Settings};
use super::{CommandError, networks, signals};
use crate::address::Address;
use crate::conntype::{Destination, Verdict, Warning, classify, settle};
use crate::exit::Exit;
use crate::probe::login::{Observed, Passport, Plan, observe};
use crate::report::{Context, Look, Report, context, print};
use crate::run_log::RunLog;
use crate::transport::{Bind, Route};

pub(super) fn run(args: CheckArgs, output: &Output) -> Result<Exit, CommandError> {
    if args
        .network
        .as_deref()
        .is_some_and(|name| name.eq_ignore_ascii_case("list"))
    {
        let text = if output.json {
            networks::json()
        } else {
            networks::list()
        };
        print::result(&text).map_err(CommandError::Output)?;
        return Ok(Exit::Done);
    }
    let runtime = runtime()?;
    let exit = log_in(args, output, &runtime);
    // A name look-up or a password may still be waited for; nobody else waits for it.
    runtime.shutdown_background();
    exit
}

fn log_in(args: CheckArgs, output: &Output, runtime: &Runtime) -> Result<Exit, CommandError> {
    let settings = settings::settings(args, runtime)?;
    let log = RunLog::new(output.progress());
    let work = report(&settings, &log, output);
    // What is waited for is known only while the work is there to wait for it.
    let interrupted = |class| {
        let context = Context {
            expected: output.expected.clone(),
            ..context(&log, &settings.plan.server)
        };
        Report::of_failure(&log.interrupted(class), context)
    };
    let report = signals::until_signal_or(runtime, work, interrupted);
    Ok(output.finish(&report))
}

/// One thread is all that one login needs, and it starts in no time.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")
        .map_err(CommandError::Other)
}

/// Carries the settings out and says what came of it.
pub(super) async fn report(settings: &Settings, log: &RunLog, output: &Output) -> Report {
    let plan = &settings.plan;
    let until = Instant::now() + plan.timeout;
    let seen = observe(plan, log, until).await;
    let known = || Context {
        expected: output.expected.clone(),
        ..context(log, &plan.server)
    };
    let first = match seen {
        Ok(seen) => seen,
        Err(failure) => return Report::of_failure(&failure, known()),
    };
    let seen = &first.observation;
    let mut looks = Looks {
        verdict: classify(seen),
        seen: Vec::new(),
        credentials: Credentials::default(),
        until,
    };
    looks.note(&plan.server, looks.verdict.clone());
    if let Some((server, passport)) = &settings.second {
        looks
            .look_elsewhere(plan, &first, server, passport, output)
            .await;
    }
    for _ in 1..settings.repeat {
        if Instant::now() >= until {
            looks.missed("the time is up; --timeout allows more time".to_owned());
            break;
        }
        looks.look_again(plan, &first, output).await;
    }
    let mut context = known();
    looks.credentials.merge_into(&mut context);
    if looks.seen.len() > 1 {
        context.looks = looks.seen;
    }
    Report::of_verdict(&looks.verdict, seen, context)
}

/// What several looks came to so far.
struct Looks {
    verdict: Verdict,
    seen: Vec<Look>,
    credentials: Credentials,
    until: Instant,
}

/// Where the credentials of further logins went.
#[derive(Default)]
struct Credentials {
    sent_to: Vec<String>,
    warnings: Vec<Warning>,
}

impl Credentials {
    fn note(&mut self, log: &RunLog, server: &Address) {
        let context = context(log, server);
        self.sent_to.extend(context.credentials_to);
        let elsewhere = |warning: &Warning| matches!(warning, Warning::CredentialsElsewhere(_));
        self.warnings
            .extend(context.warnings.into_iter().filter(elsewhere));
    }

    fn merge_into(&mut self, context: &mut Context) {
        fn merge<T: PartialEq>(more: &mut Vec<T>, into: &mut Vec<T>) {
            for one in more.drain(..) {
                if !into.contains(&one) {
                    into.push(one);
                }
            }
        }
        merge(&mut self.sent_to, &mut context.credentials_to);
        merge(&mut self.warnings, &mut context.warnings);
    }
}

impl Looks {
    /// A second server, toward which the very same local port is used.
    async fn look_elsewhere(
        &mut self,
        plan: &Plan,
        first: &Observed<'_>,
        server: &Address,
        passport: &Passport,
        output: &Output,
    ) {
        let local = first.observation.local;
        let named = vec![server.host.clone(), passport.url().address.host.clone()];
        let plan = Plan {
            credential_hosts: [plan.credential_hosts.clone(), named].concat(),
            server: server.clone(),
            passport: passport.clone(),
            route: Route {
                bind: Bind {
                    ip: Some(local.ip()),
                    port: local.port(),
                    share: true,
                },
                ..plan.route.clone()
            },
            ..plan.clone()
        };
        let log = RunLog::new(output.progress());
        let seen = observe(&plan, &log, self.until).await;
        self.credentials.note(&log, server);
        let second = match seen {
            Ok(seen) => seen.observation,
            Err(failure) => return self.missed(failure.to_string()),
        };
        let verdict = classify(&second);
        self.note(server, verdict.clone());
        match destination(first.observation.peer, second.peer) {
            Destination::Same => self.missed(format!(
                "{server} is the same server, seen from the same port"
            )),
            destination => self.settle(&verdict, destination),
        }
    }

    /// The same server, from a port of the system's choice. A dispatch server may refer to another
    /// notification server each time.
    async fn look_again(&mut self, plan: &Plan, first: &Observed<'_>, output: &Output) {
        let log = RunLog::new(output.progress());
        let seen = observe(plan, &log, self.until).await;
        self.credentials.note(&log, &plan.server);
        match seen {
            Ok(seen) => {
                let verdict = classify(&seen.observation);
                self.note(&plan.server, verdict.clone());
                let destination = destination(first.observation.peer, seen.observation.peer);
                self.settle(&verdict, destination);
            }
            Err(failure) => self.missed(failure.to_string()),
        }
    }

    fn settle(&mut self, second: &Verdict, destination: Destination) {
        self.verdict = settle(self.verdict.clone(), second, destination);
    }

    fn missed(&mut self, why: String) {
        self.verdict.warnings.push(Warning::LookFailed(why));
    }

    fn note(&mut self, server: &Address, verdict: Verdict) {
        self.seen.push(Look::of(server, &verdict));
    }
}

/// Where a further login went, compared with the first.
fn destination(first: Option<SocketAddr>, second: Option<SocketAddr>) -> Destination {
    match (first, second) {
        (Some(a), Some(b)) if a == b => Destination::Same,
        (Some(a), Some(b)) if a.ip() == b.ip() => Destination::OtherPort,
        _ => Destination::OtherAddress,
    }
}
