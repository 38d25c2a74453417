//! A connection from the moment it is accepted: the balancer's header, admission or refusal, and the
//! service.

use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either};
use socket2::SockRef;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::call_back::{self, Calls};
use super::http::{self, Gateway, HttpService};
use super::limits::{ConnectionLimiter, LimitReached, Permit};
use super::linger::linger;
use super::proxy_header::{self, BadHeader, Source};
use super::session::Role;
use super::state::{ConnectionInfo, ServerState};
use super::stats::Stats;
use super::sync::stopped;
use super::{tcp, tls};

/// How long a balancer may take to send its header; it sends it before anything else.
const HEADER_TIME: Duration = Duration::from_secs(5);

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
    /// With a limit of its own, so that a full server can still be watched.
    Metrics(Arc<ConnectionLimiter>),
}

impl Service {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Session(role) => role.name(),
            Self::Passport(_) => "passport",
            Self::Gateway(_) => "gateway",
            Self::CallBack(_) => "call-back",
            Self::Metrics(_) => "metrics",
        }
    }

    const fn is_plain_http(&self) -> bool {
        matches!(self, Self::Gateway(_) | Self::Metrics(_))
    }

    /// The counter of its connections; whoever reads the metrics is no client.
    const fn accepted<'a>(&self, stats: &'a Stats) -> Option<&'a AtomicU64> {
        match self {
            Self::Session(Role::Dispatch) => Some(&stats.accepted_dispatch),
            Self::Session(_) => Some(&stats.accepted_notification),
            Self::Passport(_) => Some(&stats.accepted_passport),
            Self::Gateway(_) => Some(&stats.accepted_gateway),
            Self::CallBack(_) => Some(&stats.accepted_call_back),
            Self::Metrics(_) => None,
        }
    }

    fn admit(&self, state: &ServerState, peer: SocketAddr) -> Result<Permit, LimitReached> {
        match self {
            Self::Metrics(connections) => connections.admit(peer.ip()),
            _ => state.admit(peer),
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
            (Self::Gateway(_) | Self::Metrics(_), _) => {
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n"
            }
            (Self::CallBack(_), _) => b"REFUSED busy\r\n",
        }
    }
}

/// A connection that was accepted.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) service: Service,
    /// The two ends: the client's or the balancer's, and this server's.
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) state: Arc<ServerState>,
    pub(super) closing: watch::Receiver<bool>,
}

/// A connection that may be served.
pub(super) struct Admitted {
    stream: TcpStream,
    service: Service,
    /// Shared rather than moved, so that each of the nested futures stays small.
    info: Arc<ConnectionInfo>,
    closing: watch::Receiver<bool>,
}

/// What becomes of a connection.
pub(super) enum Admission {
    Admitted(Admitted),
    Refused(Refused),
    /// It is closed already.
    Closed,
}

/// A connection beyond the limits, with the time to close it gracefully.
pub(super) struct Refused {
    stream: TcpStream,
    /// An HTTP client ignores a response that precedes its request.
    is_http: bool,
    refusal: &'static [u8],
    _slot: OwnedSemaphorePermit,
    /// The server waits for it to end.
    _closing: watch::Receiver<bool>,
}

impl Arrival {
    /// Admits a connection whose client is known, or refuses it: at once, where too many others are
    /// being refused.
    pub(super) fn admit(self) -> Admission {
        let (from, to) = (self.peer, self.local);
        self.admit_as(Source::Client { from, to })
    }

    fn admit_as(self, source: Source) -> Admission {
        let (peer, local) = match source {
            Source::Client { from, to } => (from, to),
            Source::Balancer | Source::Unknown => (self.peer, self.local),
        };
        let limit = match self.service.admit(&self.state, peer) {
            Ok(permit) => {
                if let Some(accepted) = self.service.accepted(&self.state.stats) {
                    Stats::count(accepted);
                }
                let info = Arc::new(ConnectionInfo {
                    peer,
                    local,
                    knows_client: source != Source::Unknown,
                    state: self.state,
                    _permit: Some(permit),
                });
                return Admission::Admitted(Admitted {
                    stream: self.stream,
                    service: self.service,
                    info,
                    closing: self.closing,
                });
            }
            Err(limit) => limit,
        };
        info!(%peer, service = self.service.name(), reason = %limit, "connection refused");
        let slot = Arc::clone(&self.state.closing_refused).try_acquire_owned();
        let is_http = self.service.is_plain_http();
        let refusal = self.service.refusal(limit);
        if slot.is_err() || !is_http {
            send_now(&self.stream, refusal);
        }
        let Ok(slot) = slot else {
            close_now(&self.stream);
            return Admission::Closed;
        };
        Admission::Refused(Refused {
            stream: self.stream,
            is_http,
            refusal,
            _slot: slot,
            _closing: self.closing,
        })
    }

    /// Serves a connection on a server behind balancers: with a header if it comes from one, else
    /// without.
    pub(super) async fn serve(self) {
        // On the heap, so that the task of an idle session stays small.
        match Box::pin(self.pass_header()).await {
            Admission::Admitted(admitted) => admitted.serve().await,
            Admission::Refused(refused) => refused.close().await,
            Admission::Closed => {}
        }
    }

    /// Reads the header, if there must be one, and admits the client. A connection is closed for its
    /// header.
    async fn pass_header(mut self) -> Admission {
        let state = Arc::clone(&self.state);
        let (peer, service) = (self.peer, self.service.name());
        if !state.config.is_balancer(peer.ip()) {
            let mut start = [0; 12];
            let peek = timeout(HEADER_TIME, self.stream.peek(&mut start));
            // The client of a protocol in which it is silent at first is served as ever.
            let is_forged = match peek.await {
                Ok(Ok(length)) => proxy_header::is_whole_prefix(&start[..length]),
                _ => false,
            };
            if is_forged {
                info!(%peer, service, "connection refused: a PROXY header, but not from a balancer");
                Stats::count(&state.stats.refused_headers);
                close_now(&self.stream);
                return Admission::Closed;
            }
            return self.admit();
        }
        let Ok(permit) = Arc::clone(&state.arriving).try_acquire_owned() else {
            info!(%peer, service, "connection refused: too many without a PROXY header");
            Stats::count(&state.stats.refused_total);
            close_now(&self.stream);
            return Admission::Closed;
        };
        let mut closing = self.closing.clone();
        let read = tokio::select! {
            biased;
            () = stopped(&mut closing) => return Admission::Closed,
            read = timeout(HEADER_TIME, read_header(&mut self.stream)) => read,
        };
        drop(permit);
        let refused = match read {
            Ok(Ok(source)) => return self.admit_as(source),
            // Such as a check of the balancer that only connects.
            Ok(Err(NoHeader::Closed)) => {
                debug!(%peer, service, "closed without a PROXY header");
                return Admission::Closed;
            }
            Ok(Err(NoHeader::Lost(error))) => {
                debug!(%peer, service, %error, "connection lost");
                return Admission::Closed;
            }
            Ok(Err(NoHeader::Bad(bad))) => bad.to_string(),
            Ok(Err(NoHeader::Cut)) => "the PROXY header is cut".to_owned(),
            Err(_) => {
                Stats::count(&state.stats.timeouts);
                "no PROXY header in time".to_owned()
            }
        };
        info!(%peer, service, reason = refused, "connection refused");
        Stats::count(&state.stats.refused_headers);
        close_now(&self.stream);
        Admission::Closed
    }
}

/// Why there is no header.
#[derive(Debug)]
enum NoHeader {
    /// The connection was closed before its first byte.
    Closed,
    /// It was closed within the header.
    Cut,
    Lost(io::Error),
    Bad(BadHeader),
}

/// Reads the header and nothing beyond it: what follows is for the service.
async fn read_header(stream: &mut TcpStream) -> Result<Source, NoHeader> {
    let mut header = Vec::with_capacity(128);
    let mut chunk = [0; 512];
    loop {
        let arrived = stream.peek(&mut chunk).await.map_err(NoHeader::Lost)?;
        if arrived == 0 {
            return Err(match header.is_empty() {
                true => NoHeader::Closed,
                false => NoHeader::Cut,
            });
        }
        let before = header.len();
        header.extend_from_slice(&chunk[..arrived]);
        let length = proxy_header::length(&header).map_err(NoHeader::Bad)?;
        if let Some(length) = length {
            header.truncate(length);
        }
        let used = header.len() - before;
        let read = stream.read_exact(&mut chunk[..used]).await;
        read.map_err(NoHeader::Lost)?;
        if length == Some(header.len()) {
            return proxy_header::parse(&header).map_err(NoHeader::Bad);
        }
    }
}

impl Admitted {
    /// Serves it until it ends.
    pub(super) fn serve(self) -> impl Future<Output = ()> {
        let Self {
            stream,
            service,
            info,
            closing,
        } = self;
        debug!(peer = %info.peer, service = service.name(), "connected");
        // All but sessions on the heap, so that the task of an idle session stays small.
        let other: BoxFuture<'static, ()> = match service {
            Service::Session(role) => {
                return Either::Left(tcp::serve(stream, role, info, closing));
            }
            Service::Gateway(gateway) => {
                let service = HttpService::Gateway(gateway);
                Box::pin(http::serve(stream, service, info, closing))
            }
            Service::Metrics(_) => {
                Box::pin(http::serve(stream, HttpService::Metrics, info, closing))
            }
            Service::CallBack(calls) => Box::pin(call_back::serve(stream, calls, info, closing)),
            Service::Passport(acceptor) => {
                Box::pin(serve_passport(stream, acceptor, info, closing))
            }
        };
        Either::Right(other)
    }
}

async fn serve_passport(
    stream: TcpStream,
    acceptor: tls::Acceptor,
    info: Arc<ConnectionInfo>,
    mut closing: watch::Receiver<bool>,
) {
    let began = Instant::now();
    let handshake = timeout(HANDSHAKE_TIME, acceptor.accept(stream, info.peer));
    let accepted = tokio::select! {
        biased;
        accepted = handshake => accepted,
        () = stopped(&mut closing) => return,
    };
    match accepted {
        Ok(Some(stream)) => {
            let durations = &info.state.stats.durations;
            durations.tls_handshake.record(began.elapsed());
            http::serve(stream, HttpService::Passport, info, closing).await;
        }
        Ok(None) => Stats::count(&info.state.stats.protocol_errors),
        Err(_) => Stats::count(&info.state.stats.timeouts),
    }
}

impl Refused {
    /// Closes gracefully; an HTTP client is answered after its request.
    pub(super) async fn close(mut self) {
        if self.is_http {
            let _ = timeout(REQUEST_TIME, self.stream.peek(&mut [0])).await;
            send_now(&self.stream, self.refusal);
        }
        linger(&mut self.stream).await;
    }
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
