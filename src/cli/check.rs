//! The main job: one login, one verdict, and further observations where they were asked for.

use std::cell::RefCell;
use std::net::SocketAddr;

use tokio::time::Instant;

use super::args::{CheckArgs, NetworkOrList};
use super::error::CommandError;
use super::output::Output;
use super::runtime::{self, Runtime};
use super::settings::{self, Settings};
use super::watch::Watch;
use crate::address::Address;
use crate::conntype::{
    Destination, LoginFacts, Missing, Observation, Verdict, Warning, classify, settle,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::probe::login::{Passport, Plan, Tickets, observe};
use crate::report::{Context, ObservationReport, Report, context, last_login, networks};
use crate::run_log::RunLog;
use crate::transport::{Bind, Route};

pub(super) fn run(args: CheckArgs, output: &Output) -> Result<Exit, CommandError> {
    if matches!(args.network, Some(NetworkOrList::List)) {
        return output.page(networks::json, networks::text);
    }
    output.check_input("--password-file", args.password_file.as_deref())?;
    output.check_input("--ca-file", args.ca_file.as_deref())?;
    let count = args.count;
    if count.is_some() && args.every.is_none() && !args.origins.is_variable("--count") {
        return Err(CommandError::usage("--count needs --every DURATION"));
    }
    let watch = args.every.map(|every| Watch { every, count });
    if watch.is_some() {
        Watch::check(output)?;
    }
    runtime::with(|runtime| {
        let settings = settings::settings(args, runtime)?;
        match watch {
            Some(watch) => watch.run(&settings, output, runtime),
            None => {
                let mut tickets = Tickets::default();
                Ok(output.finish(once(&settings, &mut tickets, output, runtime)))
            }
        }
    })
}

/// One check, to its end or until a signal.
pub(super) fn once(
    settings: &Settings,
    tickets: &mut Tickets,
    output: &Output,
    runtime: &mut Runtime,
) -> Report {
    let log = RunLog::new(output.progress());
    let observations = RefCell::default();
    let work = report(settings, &log, &observations, tickets, output);
    // What is waited for is known only while the work is there to wait for it.
    let interrupted = |signal| {
        let failure = log.interrupted(signal);
        let mut observations = observations.take();
        observations.extend(ObservationReport::failed(&failure, &last_login(&log)));
        let context = Context {
            observations,
            probes: settings.probes.interrupted(signal),
            ..output.context(context(&log))
        };
        Report::of_failure(&failure, context)
    };
    runtime.run(work, settings.probes.clean_up(), interrupted)
}

/// Carries the settings out and reports the result. Each login is added to `observations` as it
/// ends; those after the first use its ticket, or one that is in `tickets` already.
pub(super) async fn report(
    settings: &Settings,
    log: &RunLog,
    observations: &RefCell<Vec<ObservationReport>>,
    tickets: &mut Tickets,
    output: &Output,
) -> Report {
    let until = Instant::now() + settings.plan.timeout;
    let logins = logins(settings, log, until, observations, tickets);
    let seen = |logins: &Result<(Verdict, Observation), Failure>| {
        let (verdict, first) = logins.as_ref().ok()?;
        Some(LoginFacts {
            label: verdict.label,
            client_ip: first.client_ip.value.ok(),
            local: first.local,
            path: first.path,
        })
    };
    let (logins, probes, conclusion) = settings.probes.beside(logins, seen, log, until).await;
    let context = Context {
        observations: observations.take(),
        probes,
        conclusion,
        with_invitation: settings.invitation,
        ..output.context(context(log))
    };
    match logins {
        Ok((verdict, first)) => Report::of_verdict(&verdict, &first, context),
        Err(failure) => Report::of_failure(&failure, context),
    }
}

/// Every login, and the verdict on all of them with the first observation.
async fn logins(
    settings: &Settings,
    log: &RunLog,
    until: Instant,
    observations: &RefCell<Vec<ObservationReport>>,
    tickets: &mut Tickets,
) -> Result<(Verdict, Observation), Failure> {
    let plan = &settings.plan;
    let first = observe(plan, log, until, tickets).await?;
    let mut run = Run {
        log,
        until,
        first: &first.observation,
        verdict: classify(&first.observation),
        observations,
        tickets,
    };
    run.note(&plan.server, run.first, &run.verdict.clone());
    if let Some((server, passport)) = &settings.second {
        let plan = toward(plan, first.observation.local, server, passport);
        if run.observe(&plan).await == Some(Destination::Same) {
            run.missing(Missing::SameServer);
        }
    }
    // A dispatch server may refer to another notification server each time.
    for _ in 1..settings.repeat {
        if Instant::now() >= until {
            run.missing(Missing::OutOfTime);
            break;
        }
        run.observe(plan).await;
    }
    let verdict = run.verdict;
    Ok((verdict, first.observation))
}

/// The plan of a second login, from the same local end toward another server.
fn toward(plan: &Plan, local: SocketAddr, server: &Address, passport: &Passport) -> Plan {
    let named = vec![server.host.clone(), passport.url().address.host.clone()];
    Plan {
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
    }
}

/// A run whose first login gave an observation.
struct Run<'a> {
    log: &'a RunLog,
    until: Instant,
    first: &'a Observation,
    verdict: Verdict,
    observations: &'a RefCell<Vec<ObservationReport>>,
    tickets: &'a mut Tickets,
}

impl Run<'_> {
    /// Logs in once more and settles the verdict with what is observed. Where the login went,
    /// compared with the first; `None` where it failed.
    async fn observe(&mut self, plan: &Plan) -> Option<Destination> {
        let further = match observe(plan, self.log, self.until, self.tickets).await {
            Ok(further) => further.observation,
            Err(failure) => {
                let failed = ObservationReport::failed(&failure, &last_login(self.log));
                self.observations.borrow_mut().extend(failed);
                self.missing(Missing::LoginFailed);
                return None;
            }
        };
        let verdict = classify(&further);
        self.note(&plan.server, &further, &verdict);
        let destination = Destination::of(self.first.peer, further.peer);
        let is_same_flow =
            destination == Destination::Same && self.first.local.port() == further.local.port();
        if !is_same_flow {
            self.verdict = settle(self.verdict.clone(), &verdict, destination);
        }
        Some(destination)
    }

    fn missing(&mut self, why: Missing) {
        self.verdict.warn(Warning::ObservationMissing(why));
    }

    fn note(&self, server: &Address, seen: &Observation, verdict: &Verdict) {
        let observation = ObservationReport::of(server, seen, verdict);
        self.observations.borrow_mut().push(observation);
    }
}
