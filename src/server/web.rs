//! HTTP connections: one loop for Passport and the gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tracing::{debug, info};

use super::gateway::Gateway;
use super::http::{Connection, Received, Request, Response};
use super::limits::Stats;
use super::passport::{self, Outcome};
use super::shared::Shared;

/// What is to be found on a connection.
pub(super) enum Site {
    Passport,
    Gateway(Arc<Gateway>),
}

/// A connection's place in the world.
pub(super) struct Web {
    pub(super) site: Site,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) shared: Arc<Shared>,
}

/// Answers requests until client or server has enough.
pub(super) async fn serve<S>(stream: S, web: Web, mut closing: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection::new(stream);
    loop {
        let received = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => None,
            received = connection.receive() => Some(received),
        };
        let Some(received) = received else {
            return connection.close().await;
        };
        let stats = &web.shared.stats;
        let (response, request) = match received {
            Received::Request(request) => (web.answer(&request, &closing).await, Some(request)),
            Received::Unfit(status) => {
                debug!(peer = %web.peer, status, "no request");
                Stats::count(&stats.protocol_errors);
                (Response::empty(status), None)
            }
            Received::TimedOut => {
                Stats::count(&stats.timeouts);
                (Response::empty("408 Request Timeout"), None)
            }
            Received::Closed => return connection.finish().await,
        };
        Stats::count(&stats.http_requests);
        match connection.respond(&response, request.as_ref()).await {
            Ok(true) => {}
            Ok(false) => return connection.finish().await,
            Err(error) => {
                debug!(peer = %web.peer, %error, "cannot answer");
                return;
            }
        }
    }
}

impl Web {
    async fn answer(&self, request: &Request, closing: &watch::Receiver<bool>) -> Response {
        match &self.site {
            Site::Passport => self.passport(request),
            Site::Gateway(gateway) => gateway.answer(request, self, closing.clone()).await,
        }
    }

    fn passport(&self, request: &Request) -> Response {
        let Self { peer, shared, .. } = self;
        let host = request.host.as_deref();
        let site = passport::site(shared.passport_host.as_ref(), host, self.local, 443);
        let moment = shared.moment(*peer);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "any half of a random number is random"
        )]
        let nonce = match shared.nonce() {
            Some(nonce) => nonce as u64,
            None => return Response::empty("503 Service Unavailable"),
        };
        let (response, outcome) = passport::answer(&shared.desk, request, &site, &moment, nonce);
        debug!(%peer, path = ?request.path, status = response.status, "passport");
        match outcome {
            Outcome::Other => {}
            Outcome::Ticket => Stats::count(&shared.stats.tickets),
            Outcome::Throttled(account) => {
                info!(%peer, account, "login not looked at: too many were refused");
                Stats::count(&shared.stats.refused_logins);
            }
            Outcome::Refused(account) => {
                info!(%peer, account, "password refused");
                Stats::count(&shared.stats.failed_logins);
            }
        }
        response
    }
}
