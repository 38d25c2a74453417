//! The login: connects, signs in, and observes what the server sees of the connection.
//!
//! ```text
//!   Plan ─► observe ─┬─► session ─► (gateway) ─► transport ─► msnp::Login ─► Observation
//!                    └─► tweener ─► transport ─► msnp::passport ─► ticket
//! ```

mod error;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod plan;
mod session;
mod tickets;
mod tweener;

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

pub use plan::{Passport, Plan};
pub use session::Observed;
pub use tickets::Tickets;

use session::Session;
use tweener::Tweener;

use crate::failure::Failure;
use crate::run_log::{Event, RunLog};
use crate::transport::Url;

/// How long a failure of the Passport servers waits for one of the notification server, which
/// says more: on the same network both occur together.
const NOTIFICATION_GRACE: Duration = Duration::from_millis(50);

/// When progress is first reported; most runs have ended by then.
const FIRST_PROGRESS: Duration = Duration::from_millis(300);

/// How often it is reported after that.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Logs in, observes what the server sees of the connection, and signs out.
///
/// A ticket that is in `tickets` from an earlier login is used again while it is good: with it a
/// login takes no Passport page, and two round trips where the server has carried a session before.
///
/// # Errors
/// [`Failure`] for whatever prevents a profile, the plan's time being up among them.
pub async fn observe<'a>(
    plan: &'a Plan,
    log: &'a RunLog,
    until: Instant,
    tickets: &mut Tickets,
) -> Result<Observed<'a>, Failure> {
    log.note(Event::LoginBegan(plan.server.clone()));
    // Kept beyond its deadline: what it waits for is known only while it waits.
    let mut attempt = pin!(attempt(plan, log, until, tickets));
    let mut progress = Instant::now() + FIRST_PROGRESS;
    loop {
        tokio::select! {
            biased;
            done = attempt.as_mut() => return done,
            () = sleep_until(until) => return Err(log.timed_out()),
            () = sleep_until(progress), if log.has_progress() => {
                log.report_progress();
                progress += PROGRESS_INTERVAL;
            }
        }
    }
}

async fn attempt<'a>(
    plan: &'a Plan,
    log: &'a RunLog,
    until: Instant,
    tickets: &mut Tickets,
) -> Result<Observed<'a>, Failure> {
    let mut session = Session::new(plan, log, until);
    if let Some(kept) = tickets.kept(plan) {
        if let Some(profile) = session.reuse(kept).await? {
            tickets.taken(plan, session.manner(), session.carrier());
            return session.observation(profile).await;
        }
        tickets.refused(plan, session.manner());
    }
    let mut tweener = Tweener::new(plan, log);
    let (mut policy, login) = prepare(&mut session, &mut tweener).await?;
    loop {
        let asked = Instant::now();
        let ticket = tokio::select! {
            ticket = tweener.ticket(&login, &policy) => ticket?,
            // Nothing is expected here; a server that hangs up is noticed.
            another = session.policy() => { policy = another?; continue }
        };
        match session.sign_in(&ticket).await? {
            Some(profile) => {
                tickets.keep(plan, ticket, asked, session.carrier());
                return session.observation(profile).await;
            }
            None => policy = session.policy().await?,
        }
    }
}

/// Gets the policy, and the login page with a connection to it. Neither needs the other yet, so both
/// are prepared at the same time.
async fn prepare(
    session: &mut Session<'_>,
    tweener: &mut Tweener<'_>,
) -> Result<(String, Url), Failure> {
    let mut ready = pin!(tweener.prepare());
    let policy = {
        let mut policy = pin!(session.policy());
        tokio::select! {
            // In this order: a local port that was asked for is taken before the system gives it
            // to a Passport connection.
            biased;
            policy = &mut policy => policy?,
            done = &mut ready => return match done {
                Ok(login) => policy.await.map(|policy| (policy, login)),
                // Where both servers fail, the notification server is the one to name.
                Err(failure) => match timeout(NOTIFICATION_GRACE, policy).await {
                    Ok(Err(first)) => Err(first),
                    _ => Err(failure),
                },
            },
        }
    };
    tokio::select! {
        biased;
        done = &mut ready => done.map(|login| (policy, login)),
        // Nothing is expected here; a server that hangs up is noticed.
        another = session.policy() => {
            let another = another?;
            ready.await.map(|login| (another, login))
        }
    }
}
