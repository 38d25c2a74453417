//! Serves HTTP connections: one loop for Passport and the gateway.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tracing::{debug, info};

use super::connection::{Connection, NoRequest};
use super::gateway::{Gateway, halves};
use super::message::{Request, Response};
use super::passport::{self, LoginEvent};
use super::site::site;
use crate::server::state::ConnectionInfo;
use crate::server::stats::Stats;

/// What a connection is for.
pub(crate) enum Site {
    Passport,
    Gateway(Arc<Gateway>),
}

/// Answers requests until the client or the server ends the connection.
pub(crate) async fn serve<S>(
    stream: S,
    site: Site,
    info: Arc<ConnectionInfo>,
    mut closing: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection::new(stream);
    let stats = &info.state.stats;
    loop {
        let received = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => None,
            received = connection.receive() => Some(received),
        };
        let Some(received) = received else {
            return connection.close().await;
        };
        let (response, request) = match received {
            Ok(request) => {
                let response = match &site {
                    Site::Passport => answer_passport(&request, &info),
                    Site::Gateway(gateway) => gateway.answer(&request, &info, &mut closing).await,
                };
                (response, Some(request))
            }
            Err(NoRequest::Rejected(status)) => {
                debug!(peer = %info.peer, status, "invalid request");
                Stats::count(&stats.protocol_errors);
                (Response::new(status), None)
            }
            Err(NoRequest::TimedOut) => {
                Stats::count(&stats.timeouts);
                (Response::new("408 Request Timeout"), None)
            }
            Err(NoRequest::Closed) => return connection.finish().await,
        };
        Stats::count(&stats.http_requests);
        match connection.respond(&response, request.as_ref()).await {
            Ok(true) => {}
            Ok(false) => return connection.finish().await,
            Err(error) => {
                debug!(peer = %info.peer, %error, "cannot respond");
                return;
            }
        }
    }
}

fn answer_passport(request: &Request, info: &ConnectionInfo) -> Response {
    let ConnectionInfo {
        peer, local, state, ..
    } = info;
    let host = request.host.as_deref();
    let site = site(state.config.passport_host.as_ref(), host, *local, 443);
    let Some((nonce, _)) = state.nonce().map(halves) else {
        return Response::new("503 Service Unavailable");
    };
    let (response, event) = passport::answer(request, &site, &state.context(*peer), nonce);
    debug!(%peer, path = ?request.path, status = response.status, "passport");
    match event {
        LoginEvent::None => {}
        LoginEvent::TicketIssued => Stats::count(&state.stats.tickets),
        LoginEvent::Throttled(account) => {
            info!(%peer, account, "login rejected: too many failures");
            Stats::count(&state.stats.refused_logins);
        }
        LoginEvent::Failed(account) => {
            info!(%peer, account, "password refused");
            Stats::count(&state.stats.failed_logins);
        }
    }
    response
}
