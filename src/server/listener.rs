//! Listening sockets: take connections, turn away what is too much, never spin.

use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};

use super::gateway::{Gateway, SWEEP_INTERVAL};
use super::limits::{Full, Permit, Stats};
use super::session::{Referral, Role};
use super::shared::Shared;
use super::web::{Site, Web};
use super::{stream, tls, web};

/// How many connections may wait to be taken.
const BACKLOG: i32 = 1024;

/// The first and the longest pause after an accept that failed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long connections have to end when the server does.
const GRACE: Duration = Duration::from_secs(1);

/// How long somebody who is turned away may take to say what he wants.
const REQUEST_TIME: Duration = Duration::from_millis(500);

/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// How many connections that are turned away are waited for at one time, at all listeners
/// together, so that what they still send does not take back what they were told.
pub(crate) const MAX_TURNED_AWAY: usize = 64;

/// What a listening socket serves.
#[derive(Clone)]
pub(super) enum Service {
    Notification,
    Dispatch,
    Passport(tls::Acceptor),
    Gateway(Arc<Gateway>),
}

impl Service {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Dispatch => "dispatch",
            Self::Passport(_) => "passport",
            Self::Gateway(_) => "gateway",
        }
    }

    fn sweep(&self, shared: &Shared) {
        if let Self::Gateway(gateway) = self {
            gateway.sweep(shared);
        }
    }

    /// What somebody is told who is not let in, in the protocol he expects.
    const fn refusal(&self, full: Full) -> &'static [u8] {
        match (self, full) {
            // Too many sessions; too busy.
            (Self::Notification | Self::Dispatch, Full::Address) => b"714 0\r\n",
            (Self::Notification | Self::Dispatch, Full::Total) => b"910 0\r\n",
            // A fatal alert, internal_error: the one thing that can be said before a handshake.
            (Self::Passport(_), _) => &[0x15, 3, 3, 0, 2, 2, 80],
            (Self::Gateway(_), _) => {
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n"
            }
        }
    }
}

/// Opens a listening socket. A v6 socket takes v6 only, so that `0.0.0.0` and `[::]` can both be
/// listened on and a client's address is what it looks like.
pub(super) fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Elsewhere than on Unix this option means that ports can be stolen.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes connections until the server closes, and ends when the last of them has.
pub(super) async fn run(
    listener: TcpListener,
    service: Service,
    shared: Arc<Shared>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut pause = PAUSES.0;
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => break,
            Some(_) = connections.join_next() => continue,
            _ = sweep.tick(), if matches!(service, Service::Gateway(_)) => {
                service.sweep(&shared);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                warn!(%error, pause = ?pause, "cannot take connections");
                Stats::count(&shared.stats.accept_errors);
                // The listener stays readable: without a pause this would spin.
                tokio::select! {
                    _ = closing.wait_for(|closing| *closing) => break,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
                continue;
            }
        };
        pause = PAUSES.0;
        // An answer is one write; Nagle's algorithm could only delay it.
        let _ = stream.set_nodelay(true);
        match shared.admit(peer) {
            Ok(permit) => {
                Stats::count(&shared.stats.accepted);
                let work = serve(
                    stream,
                    peer,
                    service.clone(),
                    Arc::clone(&shared),
                    closing.clone(),
                    permit,
                );
                connections.spawn(work);
            }
            Err(full) => {
                info!(%peer, service = service.name(), reason = full.reason(), "turned away");
                let refusal = service.refusal(full);
                if shared.turned_away.fetch_add(1, Ordering::Relaxed) < MAX_TURNED_AWAY {
                    let leaving = Leaving(Arc::clone(&shared));
                    // An answer before the request is none to an HTTP client.
                    let waits = matches!(service, Service::Gateway(_));
                    if !waits {
                        tell(&stream, refusal);
                    }
                    connections.spawn(async move {
                        let _leaving = leaving;
                        let mut stream = stream;
                        if waits {
                            let _ = timeout(REQUEST_TIME, stream.peek(&mut [0])).await;
                            tell(&stream, refusal);
                        }
                        stream::linger(&mut stream).await;
                    });
                } else {
                    // Everybody is told at once: there is room for it in a new connection.
                    tell(&stream, refusal);
                    drop(Leaving(Arc::clone(&shared)));
                    leave(&stream);
                }
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}

/// Whether the failure is a connection's that went away before it was taken.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// One of those who are turned away and waited for, until this goes.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.turned_away.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes past the runtime, which has not asked yet whether the connection can be written to.
fn tell(stream: &TcpStream, words: &[u8]) {
    // Who is gone already need not be told.
    let _ = SockRef::from(stream).send(words);
}

/// Ends without waiting. What has come is read, because a close with unread bytes is a reset.
fn leave(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.shutdown(Shutdown::Write);
    let _ = (&*socket).read(&mut [0; 4096]);
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    service: Service,
    shared: Arc<Shared>,
    mut closing: watch::Receiver<bool>,
    permit: Permit,
) {
    let _permit = permit;
    let Ok(local) = stream.local_addr() else {
        return;
    };
    debug!(%peer, service = service.name(), "connected");
    let web = |site| Web {
        site,
        peer,
        local,
        shared: Arc::clone(&shared),
    };
    match service {
        Service::Notification => {
            stream::serve(stream, peer, Role::Notification, shared, closing).await;
        }
        Service::Dispatch => {
            let referral = Referral {
                to: shared.notification_for(local),
                here: local.to_string(),
            };
            let role = Role::Dispatch(Box::new(referral));
            stream::serve(stream, peer, role, shared, closing).await;
        }
        Service::Gateway(gateway) => {
            let web = web(Site::Gateway(gateway));
            // On the heap: a session that waits for commands is to stay small.
            Box::pin(web::serve(stream, web, closing)).await;
        }
        Service::Passport(acceptor) => {
            let web = web(Site::Passport);
            Box::pin(async move {
                // Asked for now: a handshake that fails has read it, and nobody can tell any more.
                let hello = async {
                    let offered = tls::offered_version(&stream).await;
                    (offered, acceptor.now().accept(stream).await)
                };
                let handshake = timeout(HANDSHAKE_TIME, hello);
                let done = tokio::select! {
                    biased;
                    _ = closing.wait_for(|closing| *closing) => return,
                    done = handshake => done,
                };
                match done {
                    Ok((_, Ok(stream))) => web::serve(stream, web, closing).await,
                    Ok((offered, Err(error))) => {
                        match offered {
                            Some(old) => info!(%peer, "TLS too old: the client offers {old}"),
                            None => debug!(%peer, %error, "no TLS"),
                        }
                        Stats::count(&web.shared.stats.protocol_errors);
                    }
                    Err(_) => Stats::count(&web.shared.stats.timeouts),
                }
            })
            .await;
        }
    }
}
