//! Honest clients that keep logging in, on a thread of their own.

use std::net::Ipv4Addr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::passport::{HONEST, Passport};
use super::server::Tally;
use crate::Outcome;

/// How long a login may take before it has failed.
const LOGIN_TIME: Duration = Duration::from_secs(10);

/// Over all threads: no two logins come from one address.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The results.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) took: Vec<Duration>,
    pub(super) failed: Vec<String>,
}

impl Figures {
    /// What the server counts for them: a connection to each of its two services, and a login.
    pub(super) fn tally(&self) -> Tally {
        let count = self.took.len() as u64;
        Tally {
            connections: 2 * count,
            logins: count,
            ..Tally::default()
        }
    }

    pub(super) fn total(&self) -> usize {
        self.took.len() + self.failed.len()
    }

    pub(super) fn median_ms(&self) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        let middle = sorted.get(sorted.len() / 2);
        middle.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }

    pub(super) fn max_ms(&self) -> f64 {
        let most = self.took.iter().max();
        most.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }
}

/// Honest logins at a steady rate.
pub(super) struct Steady {
    thread: JoinHandle<Outcome<Figures>>,
    stop: watch::Sender<bool>,
}

impl Steady {
    /// Starts them, `rate` a second; with a count of those that have ended.
    pub(super) fn start(pages: Passport, rate: u32) -> Outcome<(Self, watch::Receiver<usize>)> {
        let (stop, stopping) = watch::channel(false);
        let (count, done) = watch::channel(0);
        let thread = std::thread::Builder::new().spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(log_in(pages, rate, stopping, count))
        })?;
        Ok((Self { thread, stop }, done))
    }

    /// Starts no more and waits for those that have begun.
    pub(super) fn stop(self) -> Outcome<Figures> {
        let _ = self.stop.send(true);
        let figures = self.thread.join();
        figures.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

async fn log_in(
    pages: Passport,
    rate: u32,
    mut stopping: watch::Receiver<bool>,
    done: watch::Sender<usize>,
) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let mut logins = JoinSet::new();
    let mut tick = interval(Duration::from_secs(1) / rate.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let keep = |figures: &mut Figures, one: Result<Duration, String>| {
        match one {
            Ok(took) => figures.took.push(took),
            Err(why) => figures.failed.push(why),
        }
        done.send_modify(|count| *count += 1);
    };
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            Some(one) = logins.join_next() => keep(&mut figures, one?),
            _ = tick.tick() => drop(logins.spawn(one(pages.clone()))),
        }
    }
    while let Some(one) = logins.join_next().await {
        keep(&mut figures, one?);
    }
    Ok(figures)
}

async fn one(pages: Passport) -> Result<Duration, String> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = number.to_be_bytes();
    let account = format!("honest{}@example.com", number as usize % HONEST);
    let began = Instant::now();
    let from = Ipv4Addr::new(127, 200, high, low);
    // A task, because a client panics where the server is not as it has to be.
    let login = tokio::spawn(async move { pages.login(from, &account).await });
    match timeout(LOGIN_TIME, login).await {
        Ok(Ok(())) => Ok(began.elapsed()),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(format!("no login within {LOGIN_TIME:?}")),
    }
}
