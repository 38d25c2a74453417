//! Passport 1.4, the server's end: nexus and login pages.
//!
//! Pure: a request and a moment in, a response out. Sources: [MS-PASS] 2.2; hypothetic.org,
//! notification/authentication.

use super::accounts::well_formed;
use super::desk::{Desk, Moment};
use super::http::{Method, Request, Response};
use crate::address::Address;
use crate::msnp::passport::{NexusForm, credentials, failure_header, success_header};
use crate::secret::ExposeSecret;

/// The nexus of Microsoft.
pub(super) const NEXUS: &str = "/rdr/pprdr.asp";

/// The nexus of Escargot.
const NEXUS_MOCK: &str = "/nexus-mock";

/// The login page of Microsoft; three clients go there without asking any nexus.
pub(super) const LOGIN: &str = "/login2.srf";

/// What marks a login page that does not redirect again.
const SECOND: &str = "id=2";

/// What came of a request, for those who count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Other,
    Ticket,
    /// The account was refused; empty where it cannot be one.
    Refused(String),
    /// Too many were refused before; this one was not looked at.
    Throttled(String),
}

/// Answers a request. `site` is how the client reaches this server (`host` or `host:port`);
/// `nonce` is random.
pub(super) fn answer(
    desk: &Desk,
    request: &Request,
    site: &str,
    moment: &Moment,
    nonce: u64,
) -> (Response, Outcome) {
    let path = request.path.to_ascii_lowercase();
    let response = match &*path {
        _ if request.method == Method::Other => {
            let mut response = Response::empty("405 Method Not Allowed");
            response.headers.push_str("Allow: GET, HEAD, POST\r\n");
            response
        }
        NEXUS => nexus(desk.nexus_form, site),
        NEXUS_MOCK => nexus(NexusForm::Escargot, site),
        LOGIN | "/login" | "/login.srf" => return login(desk, request, site, moment, nonce),
        _ => Response::empty("404 Not Found"),
    };
    (response, Outcome::Other)
}

fn nexus(form: NexusForm, site: &str) -> Response {
    let path = match form {
        NexusForm::Classic => LOGIN,
        NexusForm::Escargot => "/login",
    };
    let mut response = Response::empty("200 OK");
    // In this very case: official clients and aMSN compare it so.
    response.headers = format!("PassportURLs: {}\r\n", form.passport_urls(site, path));
    response
}

fn login(
    desk: &Desk,
    request: &Request,
    site: &str,
    moment: &Moment,
    nonce: u64,
) -> (Response, Outcome) {
    let Some(authorization) = &request.authorization else {
        return (
            refusal("Sign in with an account and a password"),
            Outcome::Other,
        );
    };
    let given = credentials(authorization.expose_secret());
    let given = given.and_then(|given| Some((well_formed(&given.account)?, given.password)));
    let name = given.as_ref().map_or("", |(account, _)| account.as_str());
    let peer = moment.peer.ip();
    if desk.failures.is_throttled(peer, name, moment.clock) {
        let mut response = Response::empty("503 Service Unavailable");
        response.headers.push_str("Retry-After: 60\r\n");
        return (response, Outcome::Throttled(name.to_owned()));
    }
    if desk.login_redirect && !request.query.split('&').any(|pair| pair == SECOND) {
        let mut response = Response::empty("302 Found");
        response.headers = format!(
            "Authentication-Info: Passport1.4 da-status=redir,tname=,tname=\r\n\
             Location: https://{site}{LOGIN}?{SECOND}\r\n"
        );
        return (response, Outcome::Other);
    }
    let admitted = given
        .as_ref()
        .filter(|(account, password)| desk.accounts.admits(account.as_str(), password));
    let Some((account, _)) = admitted else {
        desk.failures.count(peer, name, moment.clock);
        let response = refusal("The e-mail address or the password is wrong");
        return (response, Outcome::Refused(name.to_owned()));
    };
    let expires = moment.now.saturating_add(desk.ticket_lifetime.as_secs());
    let ticket = desk.tickets.issue(account.as_str(), expires, nonce);
    let mut response = Response::empty("200 OK");
    response.headers = format!(
        "Authentication-Info: {}\r\nCache-Control: no-store\r\n",
        success_header(&ticket).expose_secret()
    );
    (response, Outcome::Ticket)
}

fn refusal(text: &str) -> Response {
    let mut response = Response::empty("401 Unauthorized");
    response.headers = format!("WWW-Authenticate: {}\r\n", failure_header(text));
    response
}

/// How the client reaches this server: the name it was given, else the one the client used, else
/// the address it came to; without the port that its scheme has anyway.
pub(super) fn site(
    chosen: Option<&Address>,
    host: Option<&str>,
    local: std::net::SocketAddr,
    scheme_port: u16,
) -> String {
    let address = chosen
        .cloned()
        // Checked, since it is said back in a header.
        .or_else(|| Address::parse(host?, scheme_port).ok())
        .unwrap_or_else(|| Address {
            host: crate::conntype::normalise(local.ip()).to_string(),
            port: local.port(),
        });
    let shown = address.to_string();
    match shown.strip_suffix(&format!(":{scheme_port}")) {
        Some(bare) if address.port == scheme_port => bare.to_owned(),
        _ => shown,
    }
}

#[cfg(test)]
mod tests;
