//! The server's side of Passport 1.4: nexus and login pages. Pure.
//!
//! Sources: [MS-PASS] 2.2; hypothetic.org, notification/authentication.

use super::message::{Method, Request, Response};
use crate::msnp::passport::{NexusForm, credentials, failure_header, success_header};
use crate::secret::ExposeSecret;
use crate::server::accounts::well_formed;
use crate::server::state::RequestContext;
use crate::server::ticket::TICKET_LIFETIME;

/// Microsoft's nexus.
pub(crate) const NEXUS: &str = "/rdr/pprdr.asp";

/// Escargot's nexus.
const ESCARGOT_NEXUS: &str = "/nexus-mock";

/// Microsoft's login page; three clients request it without asking a nexus.
pub(crate) const LOGIN: &str = "/login2.srf";

/// What a request was, for the counters and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LoginEvent {
    /// Not a login.
    None,
    /// A ticket was issued.
    TicketIssued,
    /// The login of this account failed; empty if it is not a valid account.
    Failed(String),
    /// The throttle rejected the login of this account.
    Throttled(String),
}

/// Answers a request. `site` is how the client reaches this server (`host` or `host:port`);
/// `nonce` is random.
pub(super) fn answer(
    request: &Request,
    site: &str,
    context: &RequestContext<'_>,
    nonce: u64,
) -> (Response, LoginEvent) {
    let response = match &*request.path.to_ascii_lowercase() {
        _ if request.method == Method::Other => {
            Response::new("405 Method Not Allowed").with_header("Allow", "GET, HEAD, POST")
        }
        NEXUS => nexus(context.state.config.nexus_form, site),
        ESCARGOT_NEXUS => nexus(NexusForm::Escargot, site),
        LOGIN | "/login" | "/login.srf" => return login(request, context, nonce),
        _ => Response::new("404 Not Found"),
    };
    (response, LoginEvent::None)
}

fn nexus(form: NexusForm, site: &str) -> Response {
    let path = match form {
        NexusForm::Classic => LOGIN,
        NexusForm::Escargot => "/login",
    };
    // Official clients and aMSN compare the header's name in exact case.
    Response::new("200 OK").with_header("PassportURLs", &form.passport_urls(site, path))
}

fn login(request: &Request, context: &RequestContext<'_>, nonce: u64) -> (Response, LoginEvent) {
    let Some(authorization) = &request.authorization else {
        let response = refusal("Sign in with an account and a password");
        return (response, LoginEvent::None);
    };
    let state = context.state;
    let given = credentials(authorization.expose_secret());
    let given = given.and_then(|given| Some((well_formed(&given.account)?, given.password)));
    let name = given.as_ref().map_or("", |(account, _)| account.as_str());
    let ip = context.peer.ip();
    if state.throttle.is_throttled(ip, name, context.instant) {
        let response = Response::new("503 Service Unavailable").with_header("Retry-After", "60");
        return (response, LoginEvent::Throttled(name.to_owned()));
    }
    let admitted = given
        .as_ref()
        .is_some_and(|(_, password)| state.config.accounts.verify(name, password));
    if !admitted {
        state.throttle.record_failure(ip, name, context.instant);
        let response = refusal("The e-mail address or the password is wrong");
        return (response, LoginEvent::Failed(name.to_owned()));
    }
    let expires = context.unix_time.saturating_add(TICKET_LIFETIME.as_secs());
    let ticket = state.tickets.issue(name, expires, nonce);
    let response = Response::new("200 OK")
        .with_header("Cache-Control", "no-store")
        .with_header(
            "Authentication-Info",
            success_header(&ticket).expose_secret(),
        );
    (response, LoginEvent::TicketIssued)
}

fn refusal(text: &str) -> Response {
    Response::new("401 Unauthorized").with_header("WWW-Authenticate", &failure_header(text))
}

#[cfg(test)]
mod tests;
