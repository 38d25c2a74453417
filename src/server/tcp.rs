//! A session over TCP. An idle one takes little memory, and every wait has a limit.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::linger::linger;
use super::open_session::OpenSession;
use super::session::{EndReason, LOGIN_TIME, Processed, Role, SessionDriver};
use super::state::ConnectionInfo;
use super::stats::Stats;
use super::sync::stopped;
use super::ticket::random;

/// How much is read at once, in bytes, into a buffer on the stack.
const CHUNK: usize = 4096;

/// How long a client may take to read the replies.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// How many keepalive probes a dead connection gets.
const KEEPALIVE_PROBES: u32 = 4;

/// Serves one client until the client or the server ends the session.
pub(super) async fn serve(
    mut stream: TcpStream,
    role: Role,
    info: Arc<ConnectionInfo>,
    mut closing: watch::Receiver<bool>,
) {
    let (peer, state) = (info.peer, &*info.state);
    let Some(nonce) = random().map(u128::from_be_bytes) else {
        return;
    };
    let idle_timeout = state.config.limits.idle_timeout;
    let mut driver = SessionDriver::new(role, nonce);
    let open = OpenSession::new(role, &state.stats);
    let mut deadline = pin!(sleep_until(Instant::now() + LOGIN_TIME));
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut closing) => {
                if driver.is_signed_in() && write(&mut stream, b"OUT SSD\r\n").await.is_ok() {
                    // Unread input would turn the close into a reset, which discards the OUT.
                    let mut discarded = [0; CHUNK];
                    while matches!(stream.try_read(&mut discarded), Ok(1..)) {}
                }
                return;
            }
            () = driver.evicted() => {
                debug!(%peer, "signed in elsewhere");
                if write(&mut stream, b"OUT OTH\r\n").await.is_ok() {
                    linger(&mut stream).await;
                }
                return;
            }
            () = &mut deadline => {
                let mut out = Vec::new();
                let nonce = random().map(u128::from_be_bytes);
                if driver.may_be_alive(nonce, &mut out) && write(&mut stream, &out).await.is_ok() {
                    deadline.as_mut().reset(Instant::now() + idle_timeout);
                    continue;
                }
                debug!(%peer, signed_in = driver.is_signed_in(), "timed out");
                Stats::count(&state.stats.timeouts);
                // Without `OUT`: before MSNP10 it needs a reason, and none fits.
                linger(&mut stream).await;
                return;
            }
            ready = stream.readable() => if let Err(error) = ready {
                debug!(%peer, %error, "connection lost");
                return;
            }
        }
        let (processed, out) = match read(&stream, &mut driver, &info) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            Err(error) => {
                debug!(%peer, %error, "connection closed");
                return;
            }
        };
        if processed.has_signed_in {
            open.record_login();
        }
        if processed.commands > 0 && driver.is_signed_in() {
            deadline.as_mut().reset(Instant::now() + idle_timeout);
        }
        let written = write(&mut stream, &out).await;
        if let Some(reason) = processed.end {
            if written.is_ok() && reason != EndReason::LoggedOut {
                linger(&mut stream).await;
            }
            return;
        }
        if let Err(error) = written {
            debug!(%peer, %error, "cannot write");
            if error.kind() == io::ErrorKind::TimedOut {
                Stats::count(&state.stats.timeouts);
            }
            return;
        }
        // A client that sends without pause must not starve the others.
        consume_budget().await;
    }
}

/// Enables TCP keepalive: probes start after `silence`, and end after as long again.
pub(super) fn enable_keepalive(socket: &SockRef<'_>, silence: Duration) {
    let least = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new()
        .with_time(silence.max(least))
        .with_interval((silence / KEEPALIVE_PROBES).max(least));
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    let _ = socket.set_tcp_keepalive(&keepalive);
}

/// Reads what has arrived and processes it; `None` if there is nothing to read.
fn read(
    stream: &TcpStream,
    driver: &mut SessionDriver,
    info: &ConnectionInfo,
) -> io::Result<Option<(Processed, Vec<u8>)>> {
    let mut chunk = [0; CHUNK];
    let length = match stream.try_read(&mut chunk) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut out = Vec::new();
    let processed = driver.receive(&chunk[..length], &info.context(), &mut out);
    Ok(Some((processed, out)))
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    // Nearly always there is room, and no timer is needed.
    let rest = match stream.try_write(bytes) {
        Ok(length) if length == bytes.len() => return Ok(()),
        Ok(length) => &bytes[length..],
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => bytes,
        Err(error) => return Err(error),
    };
    timeout(WRITE_TIME, stream.write_all(rest))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
