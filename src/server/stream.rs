//! A session over TCP: small, and never waiting for one client without a limit.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info};

use super::conversation::{Conversation, Taken};
use super::limits::Stats;
use super::registry::Place;
use super::session::{Role, Why};
use super::shared::Shared;

/// How much is read at once, in bytes. It lies on the stack, and only while it is used.
const CHUNK: usize = 4096;

/// How long a client may take to read what it asked for.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// How often the system asks a client that does not answer.
const KEEPALIVE_TRIES: u32 = 4;

/// How long a client may take to close after us, and how much of what it still sends is read.
const LINGER_TIME: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 64 * 1024;

/// What a session waits for.
enum Event {
    Closing,
    Evicted,
    TimedOut,
    Readable(io::Result<()>),
}

/// Serves one client until one of the two has enough.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    role: Role,
    shared: Arc<Shared>,
    mut closing: watch::Receiver<bool>,
) {
    let Some(nonce) = shared.nonce() else {
        return;
    };
    let mut talk = Conversation::new(role, nonce);
    keep_alive(&stream, shared.limits.idle_timeout);
    let mut place: Option<Place> = None;
    let mut deadline = pin!(sleep_until(Instant::now() + shared.limits.login_timeout));
    loop {
        let event = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Event::Closing,
            () = Place::lost(&mut place) => Event::Evicted,
            () = &mut deadline => Event::TimedOut,
            ready = stream.readable() => Event::Readable(ready),
        };
        match event {
            Event::Readable(Ok(())) => {}
            Event::Readable(Err(error)) => {
                debug!(%peer, %error, "connection lost");
                return;
            }
            Event::TimedOut => {
                // Most clients of the time never ping, so silence is no sign of death: the system
                // asks by keepalive, and who has answered a challenge is asked by another one.
                let mut out = Vec::new();
                let alive = match (&place, shared.nonce()) {
                    _ if talk.is_midway() => false,
                    (Some(_), Some(nonce)) => talk.challenge_again(nonce, &mut out) != Some(false),
                    (place, _) => place.is_some(),
                };
                if alive && write(&mut stream, &out).await.is_ok() {
                    let next = Instant::now() + shared.limits.idle_timeout;
                    deadline.as_mut().reset(next);
                    continue;
                }
                debug!(%peer, signed_in = place.is_some(), "silent for too long");
                Stats::count(&shared.stats.timeouts);
                // Without a word: before MSNP10 an OUT has a reason, and there is none for this.
                linger(&mut stream).await;
                return;
            }
            Event::Evicted => {
                debug!(%peer, "signed in elsewhere");
                if write(&mut stream, b"OUT OTH\r\n").await.is_ok() {
                    linger(&mut stream).await;
                }
                return;
            }
            Event::Closing => {
                if place.is_some() && write(&mut stream, b"OUT SSD\r\n").await.is_ok() {
                    // Unread bytes would turn the close into a reset, which takes back the OUT.
                    let mut rest = [0; CHUNK];
                    while matches!(stream.try_read(&mut rest), Ok(1..)) {}
                }
                return;
            }
        }
        let (taken, out) = match read(&stream, &mut talk, peer, &shared) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            Err(error) => {
                debug!(%peer, %error, "connection closed");
                return;
            }
        };
        if taken.signed_in
            && let Some(account) = talk.signed_in()
        {
            info!(%peer, account, "signed in");
            place = Some(shared.sign_in(account));
        }
        if taken.commands > 0 && place.is_some() {
            deadline
                .as_mut()
                .reset(Instant::now() + shared.limits.idle_timeout);
        }
        if taken.referred {
            Stats::count(&shared.stats.referrals);
        }
        let written = write(&mut stream, &out).await;
        if let Some(why) = taken.end {
            shared.count_end(why, peer, talk.account());
            if written.is_ok() && why != Why::Left {
                linger(&mut stream).await;
            }
            return;
        }
        if let Err(error) = written {
            debug!(%peer, %error, "cannot write");
            if error.kind() == io::ErrorKind::TimedOut {
                Stats::count(&shared.stats.timeouts);
            }
            return;
        }
        // A client that never stops talking gives way to the others now and then.
        consume_budget().await;
    }
}

/// Lets the system find out clients that are gone: after `silence` it asks, and a client that does
/// not answer for as long again is none.
fn keep_alive(stream: &TcpStream, silence: Duration) {
    let pause = (silence / KEEPALIVE_TRIES).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new()
        .with_time(silence.max(Duration::from_secs(1)))
        .with_interval(pause);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(KEEPALIVE_TRIES);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// Reads what there is and answers it; `None` where there was nothing after all.
fn read(
    stream: &TcpStream,
    talk: &mut Conversation,
    peer: SocketAddr,
    shared: &Shared,
) -> io::Result<Option<(Taken, Vec<u8>)>> {
    let mut chunk = [0; CHUNK];
    let length = match stream.try_read(&mut chunk) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    let moment = shared.moment(peer);
    let mut out = Vec::new();
    let taken = talk.take(&chunk[..length], &shared.desk, &moment, &mut out);
    Ok(Some((taken, out)))
}

async fn write(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    // There nearly always is room, and then no timer is needed.
    match stream.try_write(bytes) {
        Ok(length) => bytes = &bytes[length..],
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    if bytes.is_empty() {
        return Ok(());
    }
    timeout(WRITE_TIME, stream.write_all(bytes))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Closes so that what was written arrives: a close with unread bytes is a reset, and a reset
/// takes back what the client has not read yet.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = Vec::with_capacity(CHUNK);
        let mut read = 0;
        while read < LINGER_BYTES {
            rest.clear();
            match stream.read_buf(&mut rest).await {
                Ok(0) | Err(_) => return,
                Ok(length) => read += length,
            }
        }
    };
    let _ = timeout(LINGER_TIME, drain).await;
}
