//! A session over TCP. An idle one takes little memory, and every wait has a limit.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
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
use super::state::{ConnectionInfo, RequestContext};
use super::stats::Stats;
use super::sync::stopped;
use super::ticket::random;

/// How much room for replies is kept, in bytes; few are longer.
const MAX_REPLIES: usize = 16 * 1024;

/// How long a client may take to read the replies.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// How many keepalive probes a dead connection gets.
const KEEPALIVE_PROBES: u32 = 4;

/// What a session waits for.
enum Event {
    /// So many bytes were read; none at the end of the stream.
    Input(io::Result<usize>),
    /// The server stops.
    Stopped,
    /// The account signed in elsewhere.
    Evicted,
    /// The client is silent, or too slow to sign in.
    Deadline,
}

/// Serves one client until the client or the server ends the session.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn holds its arguments twice, for which each idle session would pay"
)]
pub(super) fn serve(
    mut stream: TcpStream,
    role: Role,
    info: Arc<ConnectionInfo>,
    mut closing: watch::Receiver<bool>,
) -> impl Future<Output = ()> {
    async move {
        let Some(nonce) = random().map(u128::from_be_bytes) else {
            return;
        };
        // On the heap, like the rare waits below: memory for a small task is allocated faster.
        let mut driver = Box::new(SessionDriver::new(role, nonce));
        let opened = Instant::now();
        let open = OpenSession::new(role, &info.state.stats, opened);
        let mut deadline = pin!(sleep_until(opened + LOGIN_TIME));
        // Registered once for the whole session, not anew for each piece of input.
        let mut stopped = pin!(stopped(&mut closing));
        let mut had_input = false;
        loop {
            // Input is what nearly always comes, so it is looked for first. But not twice in a row: where
            // a client sends without pause, the others are polled before the next piece.
            let event = poll_fn(|cx| {
                if !had_input && let Poll::Ready(read) = input::poll_read(&mut stream, cx) {
                    return Poll::Ready(Event::Input(read));
                }
                if stopped.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Stopped);
                }
                if driver.poll_evicted(cx).is_ready() {
                    return Poll::Ready(Event::Evicted);
                }
                if deadline.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Deadline);
                }
                if mem::take(&mut had_input) {
                    return input::poll_read(&mut stream, cx).map(Event::Input);
                }
                Poll::Pending
            });
            let length = match event.await {
                Event::Input(Ok(0)) => {
                    debug!(peer = %info.peer, "connection closed");
                    return;
                }
                Event::Input(Ok(length)) => length,
                Event::Input(Err(error)) => {
                    debug!(peer = %info.peer, %error, "connection lost");
                    return;
                }
                Event::Stopped => {
                    if driver.is_signed_in() && write(&mut stream, b"OUT SSD\r\n").await.is_ok() {
                        // Unread input would turn the close into a reset, which discards the OUT.
                        let mut discarded = [0; 4096];
                        while matches!(stream.try_read(&mut discarded), Ok(1..)) {}
                    }
                    return;
                }
                Event::Evicted => {
                    debug!(peer = %info.peer, "signed in elsewhere");
                    if write(&mut stream, b"OUT OTH\r\n").await.is_ok() {
                        linger(&mut stream).await;
                    }
                    return;
                }
                Event::Deadline => {
                    let mut out = Vec::new();
                    let nonce = random().map(u128::from_be_bytes);
                    if driver.may_be_alive(nonce, &mut out)
                        && write(&mut stream, &out).await.is_ok()
                    {
                        deadline
                            .as_mut()
                            .reset(Instant::now() + info.state.config.limits.idle_timeout);
                        continue;
                    }
                    debug!(peer = %info.peer, signed_in = driver.is_signed_in(), "timed out");
                    Stats::count(&info.state.stats.timeouts);
                    // Without `OUT`: before MSNP10 it needs a reason, and none fits.
                    linger(&mut stream).await;
                    return;
                }
            };
            had_input = true;
            let now = Instant::now();
            let Exchange { processed, unsent } =
                exchange(length, &stream, &mut driver, &info.context(now));
            if processed.has_signed_in {
                open.record_login(now);
            }
            if processed.commands > 0 && driver.is_signed_in() {
                deadline
                    .as_mut()
                    .reset(now + info.state.config.limits.idle_timeout);
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
                debug!(peer = %info.peer, %error, "cannot write");
                if error.kind() == io::ErrorKind::TimedOut {
                    Stats::count(&info.state.stats.timeouts);
                }
                return;
            }
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
    context: &RequestContext<'_>,
) -> Exchange {
    REPLIES.with_borrow_mut(|replies| {
        replies.clear();
        let processed = input::with(length, |input| driver.receive(input, context, replies));
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
    Box::pin(timeout(WRITE_TIME, stream.write_all(rest)))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::server::config::Config;
    use crate::server::state::tests::state;

    #[tokio::test]
    async fn a_stop_is_noticed_while_a_client_sends_without_pause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(local), listener.accept());
        let (stream, peer) = accepted.unwrap();
        let mut client = client.unwrap();
        // All of it is there before the session begins.
        let mut input = b"VER 1 MSNP9\r\nUSR 2 TWN I a@b.c\r\n".to_vec();
        input.extend(b"CVR 3 x\r\n".repeat(4096));
        client.write_all(&input).await.unwrap();
        let info = Arc::new(ConnectionInfo {
            peer,
            local,
            knows_client: true,
            state: Arc::new(state(Config::default())),
            _permit: None,
        });
        let (_stop, closing) = watch::channel(true);
        serve(stream, Role::Notification, info, closing).await;
        let mut replies = Vec::new();
        // Unread input makes the close a reset.
        let _ = client.read_to_end(&mut replies).await;
        let answered = String::from_utf8(replies)
            .unwrap()
            .matches("CVR 3 ")
            .count();
        assert!((1..1000).contains(&answered), "{answered} answers");
    }
}
