//! The abuses: each lasts until enough honest clients have logged in, and counts what it did.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::passport::{PASSWORD, idler};
use super::server::Tally;
use super::{Stage, invalid_input};
use crate::Outcome;
use crate::client::{Client, connect_from};

/// How many connections are being opened at one time.
const WORKERS: usize = 32;

/// Connections from one address; the server's own limit is 256.
const PER_ADDRESS: usize = 100;

/// Addresses that guess, and how often one may be wrong in a minute.
const GUESSERS: usize = 20;
const MAX_FAILURES: u64 = 10;

/// How long a slow sender waits after each byte.
const BYTE_TIME: Duration = Duration::from_millis(25);

/// What an abuse did.
#[derive(Default)]
pub(super) struct Done {
    /// How many commands, connections or guesses.
    pub(super) count: usize,
    /// How many connections were open at one time, at least.
    pub(super) inside: usize,
    /// What the server must count for it.
    pub(super) tally: Tally,
    /// How many of its connections their clients left at once.
    pub(super) left_at_once: u64,
    /// The connections that are still open; they close when this is dropped.
    pub(super) held: Option<Box<dyn Any>>,
}

type Running = Pin<Box<dyn Future<Output = Outcome<Done>>>>;
type Attack = fn(Arc<Stage>) -> Running;

/// All of them, in the order of the report, and whether each is the first of its kind.
pub(super) const ALL: [(&str, bool, Attack); 13] = [
    ("idle, signed in", true, |stage| Box::pin(idle(stage))),
    ("silent", true, |stage| Box::pin(mute(stage))),
    ("byte by byte", true, |stage| Box::pin(slow(stage))),
    ("endless lines, heads, bodies", true, |stage| {
        Box::pin(invalid_input::endless(stage))
    }),
    ("garbage commands", true, |stage| {
        Box::pin(invalid_input::garbage(stage))
    }),
    ("connect and leave", true, |stage| {
        Box::pin(invalid_input::churn(stage))
    }),
    ("half-closed", true, |stage| {
        Box::pin(invalid_input::half(stage))
    }),
    ("TLS on plain ports", true, |stage| {
        Box::pin(invalid_input::tls_on_plain(stage))
    }),
    ("plain text on the TLS port", true, |stage| {
        Box::pin(invalid_input::plain_on_tls(stage))
    }),
    ("wrong tickets", true, |stage| {
        Box::pin(wrong_tickets(stage))
    }),
    ("wrong passwords", true, |stage| {
        Box::pin(wrong_passwords(stage))
    }),
    ("idle, a second time", false, |stage| Box::pin(idle(stage))),
    ("silent, a second time", false, |stage| {
        Box::pin(mute(stage))
    }),
];

/// Does `work` for each number below `count`, a few at a time; the results.
pub(super) async fn many<T, F>(
    count: usize,
    work: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Outcome<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Outcome<T>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS.min(count) {
        let (next, work) = (Arc::clone(&next), work.clone());
        workers.spawn(async move {
            let mut results = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(results);
                }
                results.push(work(number).await?);
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(results) = workers.join_next().await {
        all.extend(results??);
    }
    Ok(all)
}

/// Signs in and sends nothing more.
async fn idle(stage: Arc<Stage>) -> Outcome<Done> {
    let count = stage.scale.idle;
    // A connection to the login page gives any number of tickets.
    let pages = count.div_ceil(PER_ADDRESS);
    let shared = Arc::clone(&stage);
    let clients = many(pages, move |page| {
        let stage = Arc::clone(&shared);
        async move {
            let from = stage.address();
            let mut browser = stage.pages.browse(from).await;
            let mut clients = Vec::new();
            for n in page * PER_ADDRESS..count.min((page + 1) * PER_ADDRESS) {
                let account = idler(n);
                let ticket = browser.ticket(&account, PASSWORD).await;
                let mut client = Client::connect_from(from, stage.notification).await;
                client.sign_in(&account, &ticket).await;
                clients.push(client);
            }
            Ok(clients)
        }
    })
    .await?;
    stage.hold().await;
    let inside = clients.iter().map(Vec::len).sum();
    Ok(Done {
        left_at_once: 0,
        count: inside,
        inside,
        tally: Tally {
            logins: inside as u64,
            ..Tally::connections(inside + pages)
        },
        held: Some(Box::new(clients)),
    })
}

/// Connects to every service and sends nothing.
async fn mute(stage: Arc<Stage>) -> Outcome<Done> {
    let count = stage.scale.mute;
    let shared = Arc::clone(&stage);
    let held = many(count.div_ceil(PER_ADDRESS), move |group| {
        let stage = Arc::clone(&shared);
        async move {
            let from = stage.address();
            let mut held = Vec::new();
            for n in group * PER_ADDRESS..count.min((group + 1) * PER_ADDRESS) {
                held.push(connect_from(from, service(&stage, n)).await);
            }
            Ok(held)
        }
    })
    .await?;
    stage.hold().await;
    let held: Vec<TcpStream> = held.into_iter().flatten().collect();
    Ok(Done {
        left_at_once: 0,
        count: held.len(),
        inside: held.len(),
        tally: Tally {
            // A TLS handshake that never came.
            protocol_errors: (0..count).filter(|n| n % 4 == 2).count() as u64,
            ..Tally::connections(held.len())
        },
        held: Some(Box::new(held)),
    })
}

fn service(stage: &Stage, n: usize) -> std::net::SocketAddr {
    match n % 4 {
        0 => stage.notification,
        1 => stage.dispatch,
        2 => stage.passport,
        _ => stage.gateway,
    }
}

/// Sends what may become a command, a handshake or a request, one byte after the other.
async fn slow(stage: Arc<Stage>) -> Outcome<Done> {
    let count = stage.scale.slow;
    let mut senders = JoinSet::new();
    for n in 0..count {
        let stream = connect_from(stage.address(), service(&stage, n)).await;
        let words: &'static [u8] = match n % 4 {
            0 | 1 => b"VER 1 MSNP9 MSNP9 ",
            // A handshake record of 16 384 bytes with a hello of 16 380 in it.
            2 => b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03",
            _ => b"POST /gateway/gateway.dll?Action=open HTTP/1.1\r\nX: ",
        };
        senders.spawn(dribble(stream, words));
    }
    stage.hold().await;
    // A sender that has ended by now was disconnected.
    let lost = std::iter::from_fn(|| senders.try_join_next()).count();
    if lost > 0 {
        return Err(format!("{lost} of {count} slow senders were disconnected").into());
    }
    Ok(Done {
        left_at_once: 0,
        count,
        inside: count,
        tally: Tally {
            protocol_errors: (0..count).filter(|n| n % 4 == 2).count() as u64,
            ..Tally::connections(count)
        },
        held: Some(Box::new(senders)),
    })
}

async fn dribble(mut stream: TcpStream, words: &[u8]) {
    for byte in words.iter().chain(std::iter::repeat(&b'1')) {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        sleep(BYTE_TIME).await;
    }
}

/// Tries forged tickets, from a few addresses, on a new connection each.
async fn wrong_tickets(stage: Arc<Stage>) -> Outcome<Done> {
    let addresses: Vec<_> = (0..GUESSERS).map(|_| stage.address()).collect();
    let forged = Arc::new(format!("t={}&p={}A", "01".repeat(40), "ab".repeat(21)));
    let (mut refused, mut turned_away) = (0_u64, 0_u64);
    while turned_away == 0 || !stage.is_enough() {
        let (addresses, forged) = (addresses.clone(), Arc::clone(&forged));
        let notification = stage.notification;
        let answers = many(stage.scale.wrong, move |n| {
            let (from, forged) = (addresses[n % GUESSERS], Arc::clone(&forged));
            async move {
                let mut client = Client::connect_from(from, notification).await;
                client
                    .write(&format!(
                        "VER 1 MSNP9 CVR0\r\nUSR 2 TWN I {}\r\nUSR 3 TWN S {forged}\r\n",
                        idler(n % GUESSERS)
                    ))
                    .await;
                client.expect("VER 1 MSNP9 CVR0").await;
                client.expect("USR 2 TWN S ").await;
                let answer = client.line().await;
                client.expect_close().await;
                Ok(answer)
            }
        })
        .await?;
        refused += answers.iter().filter(|line| *line == "911 3").count() as u64;
        turned_away += answers.iter().filter(|line| *line == "910 3").count() as u64;
    }
    guessed(refused, turned_away, refused + turned_away)
}

/// Tries passwords at the login page, on one connection for each address.
async fn wrong_passwords(stage: Arc<Stage>) -> Outcome<Done> {
    let (mut refused, mut turned_away) = (0_u64, 0_u64);
    let mut browsers = Vec::new();
    for guesser in 0..GUESSERS {
        browsers.push((guesser, stage.pages.browse(stage.address()).await));
    }
    while turned_away == 0 || !stage.is_enough() {
        let mut guessers = JoinSet::new();
        for (guesser, mut browser) in browsers.drain(..) {
            let tries = stage.scale.wrong.div_ceil(GUESSERS);
            guessers.spawn(async move {
                let (mut refused, mut turned_away) = (0, 0);
                for n in 0..tries {
                    let head = browser.log_in(&idler(guesser), &format!("guess{n}")).await;
                    match head.get(..12) {
                        Some("HTTP/1.1 401") => refused += 1,
                        Some("HTTP/1.1 503") => turned_away += 1,
                        _ => return Err(format!("{head:?} to a wrong password").into()),
                    }
                }
                Outcome::Ok((guesser, browser, refused, turned_away))
            });
        }
        while let Some(done) = guessers.join_next().await {
            let (guesser, browser, more_refused, more_away) = done??;
            browsers.push((guesser, browser));
            refused += more_refused;
            turned_away += more_away;
        }
    }
    guessed(refused, turned_away, GUESSERS as u64)
}

/// Each address had exactly its number of tries.
fn guessed(refused: u64, turned_away: u64, connections: u64) -> Outcome<Done> {
    let tries = GUESSERS as u64 * MAX_FAILURES;
    if refused != tries {
        return Err(format!("{refused} guesses were looked at, not {tries}").into());
    }
    Ok(Done {
        left_at_once: 0,
        count: usize::try_from(refused + turned_away)?,
        inside: 0,
        tally: Tally {
            connections,
            logins_refused: refused,
            turned_away,
            ..Tally::default()
        },
        held: None,
    })
}
