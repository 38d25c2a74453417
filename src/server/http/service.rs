//! Serves HTTP connections: one loop for Passport, the gateway and the metrics.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use super::connection::{Connection, NoRequest};
use super::gateway::Gateway;
use super::message::Response;
use super::{metrics, passport};
use crate::server::state::ConnectionInfo;
use crate::server::stats::Stats;
use crate::server::sync::stopped;

/// What a connection is for.
pub(crate) enum HttpService {
    Passport,
    Gateway(Arc<Gateway>),
    Metrics,
}

/// Answers requests until the client or the server ends the connection.
pub(crate) async fn serve<S>(
    stream: S,
    service: HttpService,
    info: Arc<ConnectionInfo>,
    mut closing: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection::new(stream);
    // One for the whole connection: what it takes to wait is not taken anew for each request.
    let mut stop = closing.clone();
    let mut stopped = pin!(stopped(&mut stop));
    let stats = &info.state.stats;
    loop {
        let received = tokio::select! {
            biased;
            () = &mut stopped => return connection.close().await,
            received = connection.receive() => received,
        };
        let response = match &received {
            Ok(request) => match &service {
                // A password may have to wait for its turn.
                HttpService::Passport => tokio::select! {
                    biased;
                    () = &mut stopped => return connection.close().await,
                    response = passport::answer(request, info.context(Instant::now())) => response,
                },
                HttpService::Metrics => metrics::answer(request, &info.context(Instant::now())),
                HttpService::Gateway(gateway) => gateway.answer(request, &info, &mut closing).await,
            },
            Err(NoRequest::Rejected(status)) => {
                debug!(peer = %info.peer, status, "invalid request");
                Stats::count(&stats.protocol_errors);
                Response::new(status)
            }
            Err(NoRequest::TimedOut) => {
                Stats::count(&stats.timeouts);
                Response::new("408 Request Timeout")
            }
            Err(NoRequest::Closed) => return connection.finish().await,
            Err(NoRequest::Lost) => return,
        };
        // Those of clients: reading the metrics does not change them.
        if !matches!(service, HttpService::Metrics) {
            Stats::count(&stats.http_requests);
        }
        match connection.respond(&response, received.as_ref().ok()).await {
            Ok(true) => {}
            Ok(false) => return connection.finish().await,
            Err(error) => {
                debug!(peer = %info.peer, %error, "cannot respond");
                if error.kind() == io::ErrorKind::TimedOut {
                    Stats::count(&stats.timeouts);
                }
                return;
            }
        }
    }
}
