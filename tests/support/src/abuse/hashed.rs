//! Accounts with hashed passwords: honest logins that need a computation, while others guess.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Scale;
use super::passport::{PASSWORD, Passport};
use super::report::Report;
use crate::client::ticket_in;
use crate::tool::{Run, file, text};
use crate::{Outcome, Serve};

/// Addresses that guess, on two connections each.
const GUESSERS: u8 = 32;

/// A file with this many accounts, all with the same hash, and one with a plain password.
fn accounts(dir: &tempfile::TempDir, count: usize) -> Outcome<std::path::PathBuf> {
    let path = dir.path().join("accounts");
    let words = [
        "account",
        "add",
        "--accounts",
        text(&path),
        "one@example.com",
    ];
    let run = Run::with_stdin(&words, PASSWORD);
    if run.code != 0 {
        return Err(run.stderr.into());
    }
    let line = std::fs::read_to_string(&path)?;
    let (_, hash) = line.trim_end().split_once(':').ok_or("no hash")?;
    let mut list = String::from("plain@example.com:plain\n");
    for n in 0..count {
        let _ = writeln!(list, "user{n}@example.com:{hash}");
    }
    Ok(file(dir, "accounts", list))
}

pub(super) async fn all(scale: Scale, report: &mut Report) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let path = accounts(&dir, 2 * scale.logins)?;
    let server = Serve::start(&["--accounts", text(&path)]);
    let pages = Passport::of(&server)?;
    kinds(scale, &pages, report).await;

    let before = honest(&pages, 0..scale.logins, report).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut guessers = JoinSet::new();
    for n in 0..2 * GUESSERS {
        guessers.spawn(guess(pages.clone(), n, Arc::clone(&stop)));
    }
    let during = honest(&pages, scale.logins..2 * scale.logins, report).await;
    stop.store(true, Ordering::Relaxed);
    let guesses: usize = guessers.join_all().await.into_iter().sum();
    report.limit(format!(
        "hashed passwords, first logins: p50 {:.1} ms, p99 {:.1} ms; while {GUESSERS} addresses guess ({guesses} \
         answers): p50 {:.1} ms, p99 {:.1} ms",
        percentile(&before, 50),
        percentile(&before, 99),
        percentile(&during, 50),
        percentile(&during, 99),
    ));
    drop(server);
    Ok(())
}

/// The times of wrong passwords, for each kind of account.
async fn kinds(scale: Scale, pages: &Passport, report: &mut Report) {
    let mut line = String::from("a wrong password takes");
    for (kind, account) in [
        ("a hashed account", "user0@example.com"),
        ("a plain one", "plain@example.com"),
        ("an unknown one", "nobody@example.com"),
    ] {
        let mut took = Vec::new();
        for n in 0..scale.logins {
            let from = Ipv4Addr::new(127, 62, 0, u8::try_from(n % 250).unwrap_or(0) + 1);
            let mut browser = pages.browse(from).await;
            let began = Instant::now();
            let head = browser.log_in(account, "wrong").await;
            took.push(began.elapsed());
            report.check(head.starts_with("HTTP/1.1 401 "), || {
                format!("a wrong password of {account}: {head:?}")
            });
        }
        let (median, most) = (percentile(&took, 50), percentile(&took, 99));
        let _ = write!(line, " {kind} {median:.1} ms (p99 {most:.1}),");
    }
    report.limit(line.trim_end_matches(',').to_owned());
}

/// First logins of these accounts, each from an address of its own; all must succeed.
async fn honest(
    pages: &Passport,
    accounts: std::ops::Range<usize>,
    report: &mut Report,
) -> Vec<Duration> {
    let mut all = Vec::new();
    for n in accounts {
        let [.., high, low] = n.to_be_bytes();
        let mut browser = pages.browse(Ipv4Addr::new(127, 63, high, low)).await;
        let began = Instant::now();
        let head = browser
            .log_in(&format!("user{n}@example.com"), PASSWORD)
            .await;
        all.push(began.elapsed());
        report.check(ticket_in(&head).is_some(), || {
            format!("an honest login beside guessers: {head:?}")
        });
    }
    all
}

/// Guesses at an account after the other; how many answers there were.
async fn guess(pages: Passport, number: u8, stop: Arc<AtomicBool>) -> usize {
    let mut browser = pages
        .browse(Ipv4Addr::new(127, 64, 0, number % GUESSERS + 1))
        .await;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let account = format!("guess{number}-{count}@example.com");
        browser.log_in(&account, "wrong").await;
        count += 1;
    }
    count
}

fn percentile(took: &[Duration], percent: usize) -> f64 {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted
        .get(at)
        .map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}
