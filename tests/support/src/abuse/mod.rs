//! The built server under abuse, and what must hold meanwhile and afterwards.
mod attacks;
mod hashed;
mod honest;
mod invalid_input;
mod limits;
mod passport;
mod report;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use attacks::Done;
use honest::{Figures, Steady};
use passport::Passport;
pub use report::Report;
use report::Row;
use server::Tally;

use crate::tool::{file, text};
use crate::vitals::{self, Vitals};
use crate::{Outcome, Serve};

/// The numbers of clients, connections and commands.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Clients that sign in and then send nothing.
    pub idle: usize,
    /// Connections that send nothing.
    pub mute: usize,
    /// Clients that send byte by byte.
    pub slow: usize,
    /// Lines, heads and bodies without an end, a round.
    pub endless: usize,
    /// Commands that mean nothing, by clients that are signed in.
    pub garbage: usize,
    /// Connections that are closed at once, a round.
    pub churn: usize,
    /// Half-closed connections, a round.
    pub half: usize,
    /// Connections that speak another protocol than their port, a round.
    pub junk: usize,
    /// Wrong tickets, and wrong passwords, a round.
    pub wrong: usize,
    /// Connections beyond a limit, all at once.
    pub beyond: usize,
    /// Honest logins a second.
    pub rate: u32,
    /// Honest logins that each abuse has to last for.
    pub logins: usize,
}

/// How long one abuse may last; only a failure takes that long.
const PHASE_TIME: Duration = Duration::from_secs(30);

/// How long memory and descriptors may take to return.
const RETURN_TIME: Duration = Duration::from_secs(10);

/// How much more memory than before an abuse may stay with the server.
const MARGIN_KIB: u64 = 4 * 1024;

/// How much more the allocator may keep for later, for each connection that was open: it
/// returns nothing to the system that lies below memory still in use. A second abuse of the same
/// kind has to make do with that.
const KEPT_KIB: u64 = 5;

/// What an abuse needs.
struct Stage {
    scale: Scale,
    notification: SocketAddr,
    dispatch: SocketAddr,
    passport: SocketAddr,
    gateway: SocketAddr,
    pages: Passport,
    honest: watch::Receiver<usize>,
}

impl Stage {
    /// An address of this machine that was not used before: the limits that one abuse meets must
    /// not apply to the next.
    fn address(&self) -> Ipv4Addr {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let [_, net, high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Ipv4Addr::new(127, 100 + net, high, low)
    }

    /// Whether there were as many honest logins as this abuse has to last for.
    fn is_enough(&self) -> bool {
        *self.honest.borrow() >= self.scale.logins
    }

    /// Waits until there were.
    async fn hold(&self) {
        let mut honest = self.honest.clone();
        // An error means that the honest logins have ended, which is enough as well.
        let _ = honest.wait_for(|count| *count >= self.scale.logins).await;
    }
}

/// Everything: the abuses one after the other against one server, then each limit with a server
/// of its own, and hashed passwords.
pub async fn run(scale: Scale) -> Outcome<Report> {
    let mut report = Report::default();
    abuse(scale, &mut report).await?;
    limits::all(scale, &mut report).await?;
    hashed::all(scale, &mut report).await?;
    Ok(report)
}

async fn abuse(scale: Scale, report: &mut Report) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let accounts = file(&dir, "accounts", passport::accounts(scale.idle));
    let server = Serve::start(&["--accounts", text(&accounts)]);
    let mut tally = Tally::default();
    let mut left_at_once = 0;

    // Twice: the buffers and caches that the first ones fill are not a leak.
    let warm_up = calm(&server, scale)?;
    let before = calm(&server, scale)?;
    for figures in [&warm_up, &before] {
        tally += figures.tally();
        report.check(figures.failed.is_empty(), || {
            format!("without abuse: {}", figures.failed.join("; "))
        });
    }
    let baseline = Vitals::of(server.pid())?;
    report.baseline(&before, &baseline);

    // The most memory so far: what the allocator has returned since, a second abuse of the same
    // kind may take again.
    let mut peak = 0;
    for (name, is_first, attack) in attacks::ALL {
        let (honest, done) = Steady::start(Passport::of(&server)?, scale.rate)?;
        let stage = Arc::new(Stage {
            scale,
            notification: server.at("notification"),
            dispatch: server.at("dispatch"),
            passport: server.at("passport"),
            gateway: server.at("gateway"),
            pages: Passport::of(&server)?,
            honest: done,
        });
        let quiet = Vitals::of(server.pid())?;
        let cpu = vitals::cpu(server.pid())?;
        let watch = server::Watch::start(server.pid())?;
        let began = Instant::now();
        let outcome = timeout(PHASE_TIME, caught(attack(Arc::clone(&stage)))).await;
        let took = began.elapsed();
        let done = outcome
            .unwrap_or_else(|_| Err(format!("not over after {PHASE_TIME:?}").into()))
            .unwrap_or_else(|error| {
                report.check(false, || format!("{name}: {error}"));
                Done::default()
            });
        let during = watch.stop();
        drop(done.held);
        let figures = honest.stop()?;
        let allowed = if is_first {
            quiet.memory_kib + done.inside as u64 * KEPT_KIB
        } else {
            quiet.memory_kib.max(peak)
        };
        peak = peak.max(during.memory_kib);
        let most = Vitals {
            memory_kib: allowed + MARGIN_KIB,
            files: baseline.files,
        };
        let after = returned(&server, &most).await?;
        tally += done.tally;
        left_at_once += done.left_at_once;
        tally += figures.tally();
        report.row(Row {
            name,
            count: done.count,
            logins: figures,
            took,
            during,
            after,
            cpu: vitals::cpu(server.pid())?.saturating_sub(cpu),
        });
        report.returned(name, &most, &after);
        report.check(during.files >= baseline.files + done.inside, || {
            format!(
                "{name}: {} were to be inside, and there were {} descriptors",
                done.inside, during.files
            )
        });
    }
    let ended = server::stop(server)?;
    // A client that leaves while the accept queue is full may never be accepted, and is then not
    // counted.
    report.summary("all abuses", &tally, left_at_once / 50, &ended);
    Ok(())
}

/// Makes an error of a panic: a client panics where the server is not as it has to be.
async fn caught<T: 'static>(work: impl Future<Output = Outcome<T>> + 'static) -> Outcome<T> {
    let tasks = LocalSet::new();
    let task = tasks.spawn_local(work);
    tasks.run_until(task).await?
}

/// Honest logins with nothing else going on.
fn calm(server: &Serve, scale: Scale) -> Outcome<Figures> {
    let (honest, done) = Steady::start(Passport::of(server)?, scale.rate)?;
    // An error means that they have ended; stopping them returns why.
    while *done.borrow() < scale.logins && done.has_changed().is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    honest.stop()
}

/// Waits until the server has no more than this, or for as long as it may take.
async fn returned(server: &Serve, most: &Vitals) -> Outcome<Vitals> {
    let until = Instant::now() + RETURN_TIME;
    loop {
        let now = Vitals::of(server.pid())?;
        if now.is_within(most) || Instant::now() > until {
            return Ok(now);
        }
        sleep(Duration::from_millis(20)).await;
    }
}
