//! Generates the cases, runs them side by side, and prints what came of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::rules::{Rule, UNREACHABLE, rule};
use crate::support::answer::{Move, Step};
use crate::support::authority::Authority;
use crate::support::detour::Detour;
use crate::support::tool;
use crate::support::watch::{Watched, bounded, watch};
use crate::support::world::{Route, World};

/// How many cases run at the same time: nearly all of them wait, for each other or for a deadline.
const AT_ONCE: usize = 12;

/// `--timeout` where the case waits for its end. Long enough that all before the fault is done
/// by then, on a machine with little time.
const LATE: Duration = Duration::from_secs(5);

/// `--timeout` of the others, which have to end long before.
const SOON: Duration = Duration::from_secs(30);

/// Beyond the deadline: to start, to sign out, to print; and all of that on a busy machine.
const GRACE: Duration = Duration::from_secs(3);

/// The most memory that any case may use, in KiB: several times what a login needs, and much
/// less than what would come of keeping all that a server sends.
const MEMORY: u64 = 64 * 1024;

/// The address space a case gets, in KiB: the program, its libraries and a few stacks.
const SPACE: u64 = 128 * 1024;

/// What the profile says of whoever comes by a detour.
const SEEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 0);

#[derive(Clone, Copy)]
struct Case {
    step: Option<Step>,
    fault: Option<Fault>,
    referral: bool,
    redirect: bool,
    detour: Option<Detour>,
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
            detour: None,
            rule: Rule::Succeeds("nothing is wrong"),
        });
    }
    for step in Step::ALL.into_iter().chain(Step::DETOURS) {
        for lockstep in [false, true] {
            if lockstep && (step.is_http() || step.is_tls() || step.is_socks()) {
                continue;
            }
            cases.extend(Fault::all().map(|fault| Case {
                step: Some(step),
                fault: Some(fault),
                referral: step.needs_referral(),
                redirect: step.needs_redirect(),
                detour: step.detour(),
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
pub fn run() -> Vec<String> {
    let started = Instant::now();
    let authority = Authority::new();
    let (left_out, cases): (Vec<_>, Vec<_>) = cases()
        .into_iter()
        .partition(|case| matches!(case.rule, Rule::LeftOut(_)));
    let next = Mutex::new(cases.iter());
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = next.lock().expect("no panic").next() else {
                        return;
                    };
                    let watched = case.run(&authority);
                    let wrong = case.check(&watched);
                    tally.lock().expect("no panic").add(case, &watched, wrong);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no panic");
    tally.print(&left_out, started.elapsed());
    tally.failures
}

impl Case {
    const fn timeout(&self) -> Duration {
        match self.rule {
            Rule::FailsLate(_) => LATE,
            _ => SOON,
        }
    }

    fn run(&self, authority: &Authority) -> Watched {
        let refused = self.step.filter(|_| self.fault == Some(Fault::Refused));
        let route = Route {
            referral: self.referral,
            redirect: self.redirect,
            refused,
            detour: self.detour,
            // Behind a proxy only another address than the proxy's tells anything.
            seen: self.detour.map(|_| SEEN),
            ..Route::over(Some(authority.server()))
        };
        let (at, fault) = (self.step, self.fault);
        let world = World::start(route, move |step, answer| match fault {
            Some(fault) if at == Some(step) => fault.apply(step, answer),
            _ => Move::say(answer.bytes),
        });
        let mut command = tool();
        command
            .args(["--server", &world.server.to_string()])
            .args(["--nexus-url", &world.nexus, "--user", "user@example.com"])
            .args(["--timeout", &self.timeout().as_secs().to_string(), "--json"])
            .arg("--ca-file")
            .arg(authority.file())
            .args(world.detour.iter().flatten())
            .args(self.lockstep.then_some("--lockstep"))
            .env("MSNP9_PASSWORD", "secret");
        watch(
            &mut bounded(&command, SPACE),
            self.timeout() + GRACE,
            |_| {},
        )
    }

    /// What is wrong with how a run ended, if anything is.
    fn check(&self, watched: &Watched) -> Option<String> {
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
        let document = serde_json::from_str(&run.stdout).unwrap_or(serde_json::Value::Null);
        must(document.is_object(), "stdout is not one JSON document");
        must(document["exit_code"] == run.code, "exit_code is another");
        match self.rule {
            Rule::Succeeds(_) => {
                must(run.code == 0, "exit code 0 is right");
                let right = match self.detour {
                    Some(_) => "Unknown-NAT",
                    None => "Direct-Connect",
                };
                must(document["label"] == right, "the wrong label");
                must(document["error"].is_null(), "an error is told");
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
        if !matches!(self.rule, Rule::FailsLate(_)) {
            must(watched.took < SOON / 2, "it waited for nothing");
        } else if self.rule == Rule::FailsLate(UNREACHABLE) {
            must(document["error"]["code"] == "timeout", "no timeout is told");
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

    /// The stages that a failure at the step may be told at.
    const fn stages(&self) -> &'static [&'static str] {
        match self.step {
            Some(Step::Connect | Step::Again) => &["connect", "negotiate"],
            Some(Step::Ver | Step::Cvr | Step::Xfr) => &["negotiate"],
            // What comes with the policy is read while the ticket is fetched.
            Some(Step::UsrI) => &["negotiate", "login"],
            Some(Step::NexusTls | Step::Nexus) => &["nexus"],
            Some(Step::LoginTls | Step::Login | Step::Redirect | Step::Redirected) => &["login"],
            // The connection is idle while the ticket is fetched, and used right after.
            Some(Step::Meanwhile) => &["login", "negotiate", "sign-in"],
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
    fn add(&mut self, case: &Case, watched: &Watched, wrong: Option<String>) {
        let fault = case.fault.map_or("honest", Fault::name);
        let field = self.fields.entry((case.step, fault)).or_default();
        field.run += 1;
        field.failed += usize::from(wrong.is_some());
        self.succeeded += usize::from(matches!(case.rule, Rule::Succeeds(_)));
        if watched.peak > self.peak.0 {
            self.peak = (watched.peak, case.name());
        }
        self.failures.extend(wrong);
    }

    /// Straight to stdout, so that a run that succeeds shows it too.
    fn print(&self, left_out: &[Case], took: Duration) {
        let mut columns: Vec<_> = Fault::all().map(Fault::name).collect();
        columns.dedup();
        let mut text = format!("\n{:14}", "");
        for column in &columns {
            text.push_str(&format!("{column:>8}"));
        }
        for step in Step::ALL.into_iter().chain(Step::DETOURS) {
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
            "{} of the cases rightly succeed; peak {} KiB ({}); {took:.0?}\n\
             {run} cases, {failed} failures\n",
            self.succeeded, self.peak.0, self.peak.1
        ));
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
