//! Generates the cases, runs them side by side, and prints what came of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::rules::{Rule, UNREACHABLE, rule};
use support::answer::{Reply, Step};
use support::authority::Authority;
use support::fake_servers::{FakeServers, Route};
use support::intermediary::Intermediary;
use support::watch::{Watched, bounded, watch};
use support::{Document, document, print_past_the_harness, side_by_side, tool};

/// How many cases run at the same time: nearly all of them wait, for each other or for a deadline.
const AT_ONCE: usize = 16;

/// `--timeout` where the case waits for its end. On a busy machine the login may take longer to
/// get to the fault: the case is then repeated with twice the time.
const LATE: Duration = Duration::from_millis(1500);
const REPEATS: u32 = 4;

/// `--timeout` of the others, which have to end long before.
const SOON: Duration = Duration::from_secs(30);

/// Beyond the deadline: to start, to sign out, to print; and all of that on a busy machine.
const GRACE: Duration = Duration::from_secs(3);

/// The most memory that any case may use, in KiB: twice what a login needs, and much
/// less than what would come of keeping all that a server sends.
const MEMORY: u64 = 32 * 1024;

/// The address space a case gets, in KiB: the program, its libraries and a few stacks.
const SPACE: u64 = 128 * 1024;

/// The address in the profile of a client behind an intermediary.
const SEEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 0);

#[derive(Clone, Copy)]
struct Case {
    step: Option<Step>,
    fault: Option<Fault>,
    referral: bool,
    redirect: bool,
    intermediary: Option<Intermediary>,
    /// One command at a time, instead of three at once and a second try.
    lockstep: bool,
    rule: Rule,
}

/// All cases: every step times every fault, both ways of sending commands where there are any,
/// and each way through without a fault.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in 0..8 {
        cases.push(Case {
            step: None,
            fault: None,
            referral: way & 1 != 0,
            redirect: way & 2 != 0,
            lockstep: way & 4 != 0,
            intermediary: None,
            rule: Rule::Succeeds("nothing is wrong"),
        });
    }
    for step in Step::ALL.into_iter().chain(Step::INTERMEDIARIES) {
        for lockstep in [false, true] {
            if lockstep && (step.is_http() || step.is_tls() || step.is_socks()) {
                continue;
            }
            // One code for the server's fault and one for the credentials are enough here.
            let is_wanted = |fault: &Fault| match fault {
                Fault::Code(code) => !lockstep || [600, 911].contains(code),
                _ => true,
            };
            cases.extend(Fault::all().filter(is_wanted).map(|fault| Case {
                step: Some(step),
                fault: Some(fault),
                referral: step.needs_referral(),
                redirect: step.needs_redirect(),
                intermediary: step.intermediary(),
                lockstep,
                rule: rule(step, fault),
            }));
        }
    }
    // Those that wait go first, so that they do so while others work.
    cases.sort_by_key(|case| !matches!(case.rule, Rule::FailsLate(_)));
    cases
}

/// Runs all cases, prints the table and the count, and returns what went wrong.
pub(super) fn run() -> Vec<String> {
    let started = Instant::now();
    let authority = Authority::generate();
    let (left_out, cases): (Vec<_>, Vec<_>) = cases()
        .into_iter()
        .partition(|case| matches!(case.rule, Rule::LeftOut(_)));
    let results = side_by_side(AT_ONCE, &cases, |case| (case, case.run(&authority)));
    let mut tally = Tally::default();
    for (case, ended) in results {
        tally.add(case, &ended);
    }
    tally.print(&left_out, started.elapsed());
    tally.failures
}

/// How a case ended.
struct Ended {
    watched: Watched,
    /// What is wrong with that, if anything is.
    wrong: Option<String>,
}

impl Case {
    fn run(&self, authority: &Authority) -> Ended {
        let is_late = matches!(self.rule, Rule::FailsLate(_));
        let mut timeout = if is_late { LATE } else { SOON };
        for _ in 0..REPEATS {
            let (watched, is_reached) = self.run_once(authority, timeout);
            if is_reached || !is_late {
                let wrong = self.check(&watched, timeout);
                return Ended { watched, wrong };
            }
            timeout *= 2;
        }
        let (watched, is_reached) = self.run_once(authority, timeout);
        let wrong = if is_reached {
            self.check(&watched, timeout)
        } else {
            Some(format!("{}: the login never gets there", self.name()))
        };
        Ended { watched, wrong }
    }

    /// Runs the tool; and whether the login got to the fault.
    fn run_once(&self, authority: &Authority, timeout: Duration) -> (Watched, bool) {
        let refused = self.step.filter(|_| self.fault == Some(Fault::Refused));
        let route = Route {
            referral: self.referral,
            redirect: self.redirect,
            refused,
            intermediary: self.intermediary,
            // Behind a proxy only another address than the proxy's tells anything.
            seen: self.intermediary.map(|_| SEEN),
            ..Route::over(Some(authority.server()))
        };
        let (at, fault) = (self.step, self.fault);
        let is_reached = Arc::new(AtomicBool::new(false));
        let reached = Arc::clone(&is_reached);
        let servers = FakeServers::start(route, move |step, answer| match fault {
            Some(fault) if at == Some(step) => {
                reached.store(true, Ordering::Relaxed);
                fault.apply(step, answer)
            }
            _ => Reply::new(answer.bytes),
        });
        let mut command = tool();
        command
            .args(["--server", &servers.server.to_string()])
            .args(["--nexus-url", &servers.nexus, "--user", "user@example.com"])
            .args(["--timeout", &timeout.as_secs_f64().to_string(), "--json"])
            .arg("--ca-file")
            .arg(authority.file())
            .args(servers.intermediary.iter().flatten())
            .args(self.lockstep.then_some("--lockstep"))
            .env("MSNP9_PASSWORD", "secret");
        let watched = watch(&mut bounded(&command, SPACE), timeout + GRACE, |_| {});
        (watched, is_reached.load(Ordering::Relaxed))
    }

    /// What is wrong with how a run ended, if anything is.
    fn check(&self, watched: &Watched, timeout: Duration) -> Option<String> {
        let Watched { run, peak, .. } = watched;
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(what.to_owned());
            }
        };
        if let Some(died) = &watched.died {
            must(false, died);
        }
        must(!run.stderr.contains("panicked"), "it panicked");
        must(*peak <= MEMORY, "too much memory");
        let document = document::read(Document::Report, &run.stdout).unwrap_or_else(|why| {
            must(false, &why);
            serde_json::Value::Null
        });
        must(document["exit_code"] == run.code, "exit_code differs");
        match self.rule {
            Rule::Succeeds(_) => {
                must(run.code == 0, "exit code 0 is right");
                let right = match self.intermediary {
                    Some(_) => "Unknown-NAT",
                    None => "Direct-Connect",
                };
                must(document["label"] == right, "the wrong label");
                must(document["error"].is_null(), "there is an error");
            }
            Rule::Fails(_) | Rule::FailsEither(..) | Rule::FailsLate(_) => {
                let codes = self.codes();
                let fits = codes.contains(&run.code);
                must(fits, &format!("the exit code must be {codes:?}"));
                must(document["label"] == "Unknown-Connect", "the wrong label");
                must(document["determined"] == false, "it is determined");
                for part in ["stage", "code", "message", "remedy"] {
                    let text = document["error"][part].as_str().unwrap_or_default();
                    let fits = !text.is_empty() && !text.contains(char::is_control);
                    must(fits, &format!("error.{part} is no line of text"));
                }
                let stage = document["error"]["stage"].as_str().unwrap_or_default();
                let at = self.stages();
                must(at.contains(&stage), &format!("the stage is one of {at:?}"));
            }
            Rule::LeftOut(_) => {}
        }
        if matches!(self.rule, Rule::FailsLate(_)) {
            // A profile that does not come is asked for, and waited for, within the time.
            must(watched.took >= timeout / 2, "it did not wait");
        } else {
            must(watched.took < SOON / 2, "it waited for nothing");
        }
        if self.rule == Rule::FailsLate(UNREACHABLE) {
            must(
                document["error"]["code"] == "timeout",
                "the error is not a timeout",
            );
        }
        (!wrong.is_empty()).then(|| {
            format!(
                "{}: {} (code {}, {:.1?}, {peak} KiB)\n{}\n{}",
                self.name(),
                wrong.join("; "),
                run.code,
                watched.took,
                run.stdout,
                run.stderr
            )
        })
    }

    /// The exit codes that a failure may have.
    fn codes(&self) -> Vec<i32> {
        match self.rule {
            Rule::Fails(code) | Rule::FailsLate(code) => vec![code],
            Rule::FailsEither(codes, _) => codes.to_vec(),
            Rule::Succeeds(_) | Rule::LeftOut(_) => Vec::new(),
        }
    }

    /// The stages that a failure at the step may have.
    const fn stages(&self) -> &'static [&'static str] {
        match self.step {
            Some(Step::Connect | Step::Again) => &["connect", "negotiate"],
            Some(Step::Ver | Step::Cvr | Step::Xfr) => &["negotiate"],
            // What comes with the policy is read while the ticket is fetched.
            Some(Step::UsrI) => &["negotiate", "login"],
            Some(Step::NexusTls | Step::Nexus) => &["nexus"],
            Some(Step::LoginTls | Step::Login | Step::Redirect | Step::Redirected) => &["login"],
            // The connection is idle while the ticket is fetched, and used right after.
            Some(Step::Fetch) => &["login", "negotiate", "sign-in"],
            Some(Step::UsrS | Step::UsrOk) => &["sign-in"],
            Some(Step::Profile) => &["profile", "verdict"],
            // Each connection goes through the proxy, whatever it is for.
            Some(step) if step.is_socks() => &["proxy", "nexus", "login", "negotiate"],
            Some(Step::HttpConnect) => &["proxy", "nexus"],
            Some(_) => &["gateway", "negotiate", "sign-in", "profile"],
            None => &[],
        }
    }

    fn name(&self) -> String {
        let (Some(step), Some(fault)) = (self.step, self.fault) else {
            let (referral, redirect) = (self.referral, self.redirect);
            return format!("honest (referral {referral}, redirect {redirect})");
        };
        let how = if self.lockstep { " (lockstep)" } else { "" };
        match fault {
            Fault::Code(code) => format!("{}, error {code}{how}", step.name()),
            fault => format!("{}, {}{how}", step.name(), fault.name()),
        }
    }
}

/// One field of the table.
#[derive(Clone, Copy, Default)]
struct Field {
    run: usize,
    failed: usize,
}

#[derive(Default)]
struct Tally {
    fields: BTreeMap<(Option<Step>, &'static str), Field>,
    failures: Vec<String>,
    /// The most memory in use, and the case that used it.
    peak: (u64, String),
    succeeded: usize,
}

impl Tally {
    fn add(&mut self, case: &Case, ended: &Ended) {
        let fault = case.fault.map_or("honest", Fault::name);
        let field = self.fields.entry((case.step, fault)).or_default();
        field.run += 1;
        field.failed += usize::from(ended.wrong.is_some());
        self.succeeded += usize::from(matches!(case.rule, Rule::Succeeds(_)));
        if ended.watched.peak > self.peak.0 {
            self.peak = (ended.watched.peak, case.name());
        }
        self.failures.extend(ended.wrong.clone());
    }

    fn print(&self, left_out: &[Case], took: Duration) {
        let mut columns: Vec<_> = Fault::all().map(Fault::name).collect();
        columns.dedup();
        let mut text = format!("\n{:14}", "");
        for column in &columns {
            text.push_str(&format!("{column:>8}"));
        }
        for step in Step::ALL.into_iter().chain(Step::INTERMEDIARIES) {
            text.push_str(&format!("\n{:14}", step.name()));
            for column in &columns {
                let field = self.fields.get(&(Some(step), *column));
                let shown = match field {
                    None => "-".to_owned(),
                    Some(Field { run, failed: 0 }) => run.to_string(),
                    Some(Field { run, failed }) => format!("{failed}!/{run}"),
                };
                text.push_str(&format!("{shown:>8}"));
            }
        }
        let run: usize = self.fields.values().map(|field| field.run).sum();
        let failed = self.failures.len();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for case in left_out {
            if let Rule::LeftOut(why) = case.rule {
                *reasons.entry(why).or_default() += 1;
            }
        }
        text.push_str("\n\n(a number: cases run; n!/m: n of m failed; -: left out)\n");
        for (why, count) in reasons {
            text.push_str(&format!("left out {count:3}: {why}\n"));
        }
        text.push_str(&format!(
            "{} of the cases succeed, as they must; peak {} KiB ({}); {took:.0?}\n\
             {run} cases, {failed} failures\n",
            self.succeeded, self.peak.0, self.peak.1
        ));
        print_past_the_harness(&text);
    }
}
