//! A session over TCP. An idle one takes little memory, and every wait has a limit.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::input;
use super::linger::linger;
use super::open_session::OpenSession;
use super::session::{EndReason, LOGIN_TIME, Processed, Role, SessionDriver};
use super::state::ConnectionInfo;
use super::stats::Stats;
use super::sync::stopped;
use super::ticket::random;

/// How much room for replies is kept, in bytes; few are longer.
const MAX_REPLIES: usize = 16 * 1024;

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
    // One for the whole session: what it takes to wait is not taken anew for each piece of input.
    let mut stopped = pin!(stopped(&mut closing));
    loop {
        let length = tokio::select! {
            biased;
            () = &mut stopped => {
                if driver.is_signed_in() && write(&mut stream, b"OUT SSD\r\n").await.is_ok() {
                    // Unread input would turn the close into a reset, which discards the OUT.
                    let mut discarded = [0; 4096];
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
            // It yields where a client sends without pause, which must not starve the others.
            read = poll_fn(|cx| input::poll_read(&mut stream, cx)) => match read {
                Ok(0) => {
                    debug!(%peer, "connection closed");
                    return;
                }
                Ok(length) => length,
                Err(error) => {
                    debug!(%peer, %error, "connection lost");
                    return;
                }
            }
        };
        let Exchange { processed, unsent } = exchange(length, &stream, &mut driver, &info);
        if processed.has_signed_in {
            open.record_login();
        }
        if processed.commands > 0 && driver.is_signed_in() {
            deadline.as_mut().reset(Instant::now() + idle_timeout);
        }
        let written = match unsent {
            Ok(unsent) => write_rest(&mut stream, &unsent).await,
            Err(error) => Err(error),
        };
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

thread_local! {
    /// Of the one session that replies: no session has a buffer of its own.
    static REPLIES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What was read and answered.
struct Exchange {
    processed: Processed,
    /// The part of the replies for which the client has no room yet.
    unsent: io::Result<Vec<u8>>,
}

/// Processes the input of this length that was just read, and replies.
fn exchange(
    length: usize,
    stream: &TcpStream,
    driver: &mut SessionDriver,
    info: &ConnectionInfo,
) -> Exchange {
    let context = info.context();
    REPLIES.with_borrow_mut(|replies| {
        replies.clear();
        let processed = input::with(length, |input| driver.receive(input, &context, replies));
        let unsent = write_now(stream, replies).map(<[u8]>::to_vec);
        replies.shrink_to(MAX_REPLIES);
        Exchange { processed, unsent }
    })
}

/// Writes what there is room for, which is nearly always everything, and returns the rest.
fn write_now<'a>(stream: &TcpStream, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
    if bytes.is_empty() {
        return Ok(bytes);
    }
    match stream.try_write(bytes) {
        Ok(length) => Ok(&bytes[length..]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(bytes),
        Err(error) => Err(error),
    }
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let rest = write_now(stream, bytes)?;
    write_rest(stream, rest).await
}

async fn write_rest(stream: &mut TcpStream, rest: &[u8]) -> io::Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    timeout(WRITE_TIME, stream.write_all(rest))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
