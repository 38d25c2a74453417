//! The abuses that send what is too long, meaningless, cut off, or meant for another port.

use std::sync::Arc;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Duration, timeout};

use super::Stage;
use super::attacks::{Done, many};
use super::passport::{PASSWORD, idler};
use super::server::Tally;
use crate::Outcome;
use crate::client::{Client, connect_from};

/// Clients that send garbage.
const BABBLERS: usize = 50;

/// Commands in one write.
const BATCH: usize = 200;

/// How long all answers to a client may take; only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Rounds of `count` until enough honest clients have logged in; `work` gets a number below
/// `count` and says whether the server is to count a protocol error.
async fn rounds<F>(
    stage: &Arc<Stage>,
    count: usize,
    work: impl Fn(Arc<Stage>, usize) -> F + Clone + Send + 'static,
) -> Outcome<Done>
where
    F: Future<Output = Outcome<bool>> + Send,
{
    let mut done = Done::default();
    while done.count == 0 || !stage.is_enough() {
        let (shared, work) = (Arc::clone(stage), work.clone());
        let errors = many(count, move |n| work(Arc::clone(&shared), n)).await?;
        done.count += count;
        done.tally += Tally {
            protocol_errors: errors.iter().filter(|is_error| **is_error).count() as u64,
            ..Tally::connections(count)
        };
    }
    Ok(done)
}

/// Lines, payloads, heads and bodies beyond every limit.
pub(super) async fn endless(stage: Arc<Stage>) -> Outcome<Done> {
    let long: Arc<Vec<u8>> = Arc::new(vec![b'1'; 40_000]);
    rounds(&stage, stage.scale.endless, move |stage, n| {
        let long = Arc::clone(&long);
        async move {
            let (to, start, answer) = match n % 5 {
                0 => (stage.notification, "VER 1 ", "200 0"),
                1 => (stage.notification, "QRY 1 x 60000\r\n", "200 0"),
                2 => (stage.notification, "QRY 1 x 99999999\r\n", "200 0"),
                3 => (
                    stage.gateway,
                    "POST /gateway/gateway.dll HTTP/1.1\r\nX: ",
                    "HTTP/1.1 431 ",
                ),
                _ => (
                    stage.gateway,
                    "POST /gateway/gateway.dll HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n",
                    "HTTP/1.1 413 ",
                ),
            };
            let mut client = Client::connect_from(stage.address(), to).await;
            client.write(start).await;
            client.send(&long).await;
            client.expect(answer).await;
            client.rest().await;
            Ok(true)
        }
    })
    .await
}

/// Unknown commands, from clients that have signed in and read their answers.
pub(super) async fn garbage(stage: Arc<Stage>) -> Outcome<Done> {
    let each = stage.scale.garbage.div_ceil(BABBLERS * BATCH).max(1) * BATCH;
    let batch: Arc<String> = Arc::new("ZZZ 7 \u{fc}\u{1} %%% -1 99999999999\r\n".repeat(BATCH));
    let mut done = Done::default();
    while done.count == 0 || !stage.is_enough() {
        let from = stage.address();
        let (shared, batch) = (Arc::clone(&stage), Arc::clone(&batch));
        many(BABBLERS, move |n| {
            let (stage, batch) = (Arc::clone(&shared), Arc::clone(&batch));
            async move {
                let account = idler(n);
                let ticket = stage
                    .pages
                    .browse(from)
                    .await
                    .ticket(&account, PASSWORD)
                    .await;
                let mut client = Client::connect_from(from, stage.notification).await;
                client.sign_in(&account, &ticket).await;
                let (mut reader, mut writer) = client.stream.into_split();
                let talk = tokio::spawn(async move {
                    for _ in 0..each / BATCH {
                        writer.write_all(batch.as_bytes()).await?;
                    }
                    writer.write_all(b"OUT\r\n").await
                });
                let mut answers = Vec::new();
                timeout(PATIENCE, reader.read_to_end(&mut answers)).await??;
                talk.await??;
                // Every command is answered, and nothing else is sent.
                if answers != b"502 7\r\n".repeat(each) {
                    return Err(format!("{} bytes of answers", answers.len()).into());
                }
                Ok(())
            }
        })
        .await?;
        done.count += each * BABBLERS;
        done.tally += Tally {
            logins: BABBLERS as u64,
            ..Tally::connections(2 * BABBLERS)
        };
    }
    Ok(done)
}

/// Connects and disconnects: with a close, with a reset, after half a command.
pub(super) async fn churn(stage: Arc<Stage>) -> Outcome<Done> {
    let churned = rounds(&stage, stage.scale.churn, |stage, n| async move {
        let mut stream = connect_from(stage.address(), stage.notification).await;
        if n % 3 == 1 {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        } else if n % 3 == 2 {
            stream.write_all(b"VE").await?;
        }
        Ok(false)
    });
    let done = churned.await?;
    Ok(Done {
        left_at_once: done.tally.connections,
        ..done
    })
}

/// Shuts its sending side down and waits for the server to close.
pub(super) async fn half(stage: Arc<Stage>) -> Outcome<Done> {
    rounds(&stage, stage.scale.half, |stage, n| async move {
        let (to, words, answer) = match n % 4 {
            0 => (stage.notification, "VER 1 MSNP9 CVR0\r\n", "VER 1 MSNP9 "),
            1 => (stage.notification, "VER 1 MS", ""),
            2 => (stage.gateway, "GET /x HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "),
            _ => (stage.passport, "", ""),
        };
        let mut client = Client::connect_from(stage.address(), to).await;
        client.write(words).await;
        client.stream.shutdown().await?;
        if !answer.is_empty() {
            client.expect(answer).await;
        }
        client.rest().await;
        Ok(n % 4 == 3)
    })
    .await
}

/// A TLS hello to the notification server, the dispatch server and the gateway.
pub(super) async fn tls_on_plain(stage: Arc<Stage>) -> Outcome<Done> {
    let hello: Arc<Vec<u8>> = Arc::new(stage.pages.hello()?);
    rounds(&stage, stage.scale.junk, move |stage, n| {
        let hello = Arc::clone(&hello);
        async move {
            let to = match n % 3 {
                0 => stage.notification,
                1 => stage.dispatch,
                _ => stage.gateway,
            };
            let mut client = Client::connect_from(stage.address(), to).await;
            client.send(&hello).await;
            if n % 3 == 2 {
                // A hello has no empty line in it; the gateway waits for one.
                client.write("\r\n\r\n").await;
                client.expect("HTTP/1.1 400 ").await;
                client.rest().await;
            } else {
                client.expect_close().await;
            }
            Ok(true)
        }
    })
    .await
}

/// Commands, requests and noise to Passport; the answer is an alert.
pub(super) async fn plain_on_tls(stage: Arc<Stage>) -> Outcome<Done> {
    rounds(&stage, stage.scale.junk, |stage, n| async move {
        let words: &[u8] = match n % 3 {
            0 => b"VER 1 MSNP9 CVR0\r\n",
            1 => b"GET /rdr/pprdr.asp HTTP/1.1\r\nHost: x\r\n\r\n",
            _ => &[0; 64],
        };
        let mut client = Client::connect_from(stage.address(), stage.passport).await;
        client.send(words).await;
        let answer = client.rest().await;
        // A fatal alert, and nothing more.
        if answer.len() != 7 || answer.first() != Some(&0x15) || answer.get(5) != Some(&2) {
            return Err(format!("{answer:?} where an alert was expected").into());
        }
        Ok(true)
    })
    .await
}
