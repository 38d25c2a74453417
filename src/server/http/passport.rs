//! The server's side of Passport 1.4: nexus and login pages.
//!
//! Sources: [MS-PASS] 2.2; hypothetic.org, notification/authentication.

use tracing::{debug, info};

use super::message::{Method, Request, Response};
use super::site::own_authority;
use crate::msnp::passport::{NexusForm, credentials, failure_header, success_header};
use crate::secret::ExposeSecret;
use crate::server::accounts::well_formed;
use crate::server::attempts::Busy;
use crate::server::limits::ClientNetwork;
use crate::server::state::RequestContext;
use crate::server::stats::Stats;
use crate::server::ticket::{TICKET_LIFETIME, random};

/// Microsoft's nexus.
pub(crate) const NEXUS: &str = "/rdr/pprdr.asp";

/// Escargot's nexus.
const ESCARGOT_NEXUS: &str = "/nexus-mock";

/// Microsoft's login page; three clients request it without asking a nexus.
pub(crate) const LOGIN: &str = "/login2.srf";

/// How long a client should wait where too many passwords are being checked, in seconds.
const BUSY_TIME: &str = "5";

/// Answers a request, and counts and logs a login, whose password may have to wait to be checked.
pub(super) async fn answer(request: &Request, context: RequestContext<'_>) -> Response {
    let context = &context;
    let response = match &*request.path.to_ascii_lowercase() {
        _ if request.method == Method::Other => {
            Response::new("405 Method Not Allowed").with_header("Allow", "GET, HEAD, POST")
        }
        NEXUS => nexus(context.state.config.nexus_form, request, context),
        ESCARGOT_NEXUS => nexus(NexusForm::Escargot, request, context),
        LOGIN | "/login" | "/login.srf" => login(request, context).await,
        _ => Response::new("404 Not Found"),
    };
    debug!(peer = %context.peer, path = ?request.path, status = response.status, "passport");
    response
}

fn nexus(form: NexusForm, request: &Request, context: &RequestContext<'_>) -> Response {
    let configured = context.state.config.passport_host.as_ref();
    let site = own_authority(configured, request.host.as_deref(), context.local, 443);
    let path = match form {
        NexusForm::Classic => LOGIN,
        NexusForm::Escargot => "/login",
    };
    // Official clients and aMSN compare the header's name in exact case.
    Response::new("200 OK").with_header("PassportURLs", &form.passport_urls(&site, path))
}

async fn login(request: &Request, context: &RequestContext<'_>) -> Response {
    let Some(authorization) = &request.authorization else {
        return refusal("Sign in with an account and a password");
    };
    let RequestContext { state, peer, .. } = context;
    let given = credentials(authorization.expose_secret());
    let given = given.and_then(|given| Some((well_formed(&given.account)?, given.password)));
    // Empty if it is not a valid account.
    let name = given.as_ref().map_or("", |(account, _)| account.as_str());
    let ip = peer.ip();
    let refused = |why: &str, wait| {
        info!(%peer, account = name, "login rejected: {why}");
        Stats::count(&state.stats.refused_logins);
        Response::new("503 Service Unavailable").with_header("Retry-After", wait)
    };
    let login = state.throttle.login(ip, name);
    if state.throttle.is_throttled(&login, context.instant) {
        return refused("too many failures", "60");
    }
    let accounts = &state.config.accounts;
    let known = given
        .as_ref()
        .map_or(Some(false), |(_, password)| accounts.known(name, password));
    let verified = match (known, &given) {
        (None, Some((_, password))) => {
            // Before the computation, so that logins at the same time cannot pass the limit.
            let Ok(charge) = state.throttle.charge(&login, context.instant) else {
                return refused("too many failures", "60");
            };
            let from = ClientNetwork::of(ip);
            let verified = accounts.verify(name, password, from, &state.attempts).await;
            if verified != Ok(false) {
                state.throttle.refund(charge);
            }
            verified
        }
        (known, _) => {
            let is_right = known == Some(true);
            if !is_right {
                state.throttle.record_failure(&login, context.instant);
            }
            Ok(is_right)
        }
    };
    match verified {
        Ok(true) => {}
        Ok(false) => {
            info!(%peer, account = name, "password refused");
            Stats::count(&state.stats.failed_logins);
            return refusal("The e-mail address or the password is wrong");
        }
        Err(Busy) => return refused("too many passwords are being checked", BUSY_TIME),
    }
    let Some(nonce) = random().map(u64::from_be_bytes) else {
        return Response::new("503 Service Unavailable");
    };
    let expires = context.unix_time.saturating_add(TICKET_LIFETIME.as_secs());
    let ticket = state.tickets.issue(name, expires, nonce);
    Stats::count(&state.stats.tickets);
    Response::new("200 OK")
        .with_header("Cache-Control", "no-store")
        .with_header(
            "Authentication-Info",
            success_header(&ticket).expose_secret(),
        )
}

fn refusal(text: &str) -> Response {
    Response::new("401 Unauthorized").with_header("WWW-Authenticate", &failure_header(text))
}

#[cfg(test)]
mod tests;
