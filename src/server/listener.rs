//! Listening sockets: accept connections, and refuse those beyond the limits.

use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};

use super::call_back::{self, Calls};
use super::http::{self, Gateway, HttpService, SWEEP_INTERVAL};
use super::limits::LimitReached;
use super::linger::linger;
use super::session::Role;
use super::state::{ConnectionInfo, ServerState};
use super::stats::Stats;
use super::sync::stopped;
use super::{tcp, tls};

/// The length of the queue of connections that are not accepted yet.
const BACKLOG: i32 = 1024;

/// The first and the longest pause after a failure to accept.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long connections may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// How long a refused HTTP client may take to send its request.
const REQUEST_TIME: Duration = Duration::from_millis(500);

/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// What a listening socket serves.
#[derive(Clone)]
pub(super) enum Service {
    Session(Role),
    Passport(tls::Acceptor),
    Gateway(Arc<Gateway>),
    CallBack(Arc<Calls>),
}

impl Service {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Session(role) => role.name(),
            Self::Passport(_) => "passport",
            Self::Gateway(_) => "gateway",
            Self::CallBack(_) => "call-back",
        }
    }

    /// The refusal of a connection, in the protocol of the service.
    const fn refusal(&self, limit: LimitReached) -> &'static [u8] {
        match (self, limit) {
            // Too many sessions; too busy.
            (Self::Session(_), LimitReached::PerAddress) => b"714 0\r\n",
            (Self::Session(_), LimitReached::Total) => b"910 0\r\n",
            // A fatal alert, internal_error, which TLS permits before the handshake.
            (Self::Passport(_), _) => &[0x15, 3, 3, 0, 2, 2, 80],
            (Self::Gateway(_), _) => {
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n"
            }
            (Self::CallBack(_), _) => b"REFUSED busy\r\n",
        }
    }
}

/// Opens a listening socket. An IPv6 socket accepts IPv6 only, so that `0.0.0.0` and `[::]` can be
/// used together.
pub(super) fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On other systems this option lets programs take over ports in use.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the server stops; completes when all of them have ended.
pub(super) async fn run(
    listener: TcpListener,
    service: Service,
    state: Arc<ServerState>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut pause = PAUSES.0;
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut closing) => break,
            Some(_) = connections.join_next() => continue,
            _ = sweep.tick(), if matches!(service, Service::Gateway(_)) => {
                if let Service::Gateway(gateway) = &service {
                    gateway.sweep(&state);
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if concerns_one_connection(&error) => continue,
            Err(error) => {
                warn!(%error, ?pause, "cannot accept connections");
                Stats::count(&state.stats.accept_errors);
                // The listener stays readable: without a pause this loop would spin.
                tokio::select! {
                    () = stopped(&mut closing) => break,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
                continue;
            }
        };
        pause = PAUSES.0;
        // Replies are single writes, which Nagle's algorithm could only delay.
        let _ = stream.set_nodelay(true);
        let permit = match state.admit(peer) {
            Ok(permit) => permit,
            Err(limit) => {
                info!(%peer, service = service.name(), reason = %limit, "connection refused");
                let slot = Arc::clone(&state.closing_refused).try_acquire_owned().ok();
                // An HTTP client ignores a response that precedes its request.
                let is_http = matches!(service, Service::Gateway(_));
                let refusal = service.refusal(limit);
                if slot.is_none() || !is_http {
                    send_now(&stream, refusal);
                }
                match slot {
                    Some(slot) => drop(connections.spawn(refuse(stream, is_http, refusal, slot))),
                    None => close_now(&stream),
                }
                continue;
            }
        };
        Stats::count(&state.stats.accepted);
        let Ok(local) = stream.local_addr() else {
            continue;
        };
        // Shared rather than moved, so that each of the nested futures stays small.
        let info = Arc::new(ConnectionInfo {
            peer,
            local,
            state: Arc::clone(&state),
            _permit: Some(permit),
        });
        connections.spawn(serve(stream, service.clone(), info, closing.clone()));
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}

/// Whether accepting failed because a connection was closed before it was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Closes a refused connection gracefully; an HTTP client is answered after its request.
async fn refuse(mut stream: TcpStream, is_http: bool, refusal: &[u8], _slot: OwnedSemaphorePermit) {
    if is_http {
        let _ = timeout(REQUEST_TIME, stream.peek(&mut [0])).await;
        send_now(&stream, refusal);
    }
    linger(&mut stream).await;
}

/// Writes without the runtime, which does not know yet that the socket is writable: a new
/// connection has room.
fn send_now(stream: &TcpStream, bytes: &[u8]) {
    // The client may have closed already.
    let _ = SockRef::from(stream).send(bytes);
}

/// Closes without waiting. Input is read first, because a close with unread input is a reset.
fn close_now(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.shutdown(Shutdown::Write);
    let _ = (&*socket).read(&mut [0; 4096]);
}

async fn serve(
    stream: TcpStream,
    service: Service,
    info: Arc<ConnectionInfo>,
    mut closing: watch::Receiver<bool>,
) {
    debug!(peer = %info.peer, service = service.name(), "connected");
    // HTTP and calls are served on the heap, so that the task of an idle session stays small.
    match service {
        Service::Session(role) => tcp::serve(stream, role, info, closing).await,
        Service::Gateway(gateway) => {
            Box::pin(http::serve(
                stream,
                HttpService::Gateway(gateway),
                info,
                closing,
            ))
            .await;
        }
        Service::CallBack(calls) => {
            Box::pin(call_back::serve(stream, calls, info, closing)).await;
        }
        Service::Passport(acceptor) => {
            Box::pin(async move {
                let handshake = timeout(HANDSHAKE_TIME, acceptor.accept(stream, info.peer));
                let accepted = tokio::select! {
                    biased;
                    () = stopped(&mut closing) => return,
                    accepted = handshake => accepted,
                };
                match accepted {
                    Ok(Some(stream)) => {
                        http::serve(stream, HttpService::Passport, info, closing).await
                    }
                    Ok(None) => Stats::count(&info.state.stats.protocol_errors),
                    Err(_) => Stats::count(&info.state.stats.timeouts),
                }
            })
            .await;
        }
    }
}
