use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::msnp::passport::{AuthenticationInfo, SignIn, authentication_info, authorization};
use crate::secret::SecretString;
use crate::server::accounts::tests::cheap;
use crate::server::accounts::{AccountList, Accounts};
use crate::server::config::Config;
use crate::server::http::message::test_request as request;
use crate::server::state::ServerState;
use crate::server::state::tests::{NOW, context, state};

const POLICY: &str = "lc=1033,id=507";

async fn ask(state: &ServerState, path: &str, authorization: Option<SecretString>) -> Response {
    let mut request = request(Method::Get, path);
    request.host = Some("login.example:8443".to_owned());
    request.authorization = authorization;
    answer(&request, context(state)).await
}

/// Tickets issued, logins failed, and logins refused.
fn logins(state: &ServerState) -> (u64, u64, u64) {
    let counts = state.stats.counts();
    (counts.tickets, counts.failed_logins, counts.refused_logins)
}

fn open() -> ServerState {
    state(Config::default())
}

fn header(response: &Response, name: &str) -> Option<String> {
    response
        .headers
        .split("\r\n")
        .find_map(|line| line.strip_prefix(&format!("{name}: ")))
        .map(str::to_owned)
}

fn ann(password: &str) -> Option<SecretString> {
    Some(authorization(
        "ann@example.com",
        &password.into(),
        POLICY,
        SignIn::Encoded,
    ))
}

fn listed() -> ServerState {
    state(Config {
        accounts: Accounts::List(AccountList::parse("ann@example.com:right").unwrap()),
        ..Config::default()
    })
}

#[tokio::test]
async fn each_nexus_page_has_its_form() {
    let classic = "DARealm=Passport.Net,DALogin=login.example:8443/login2.srf,ConfigVersion=15";
    let escargot = "DALogin=https://login.example:8443/login";
    for (path, form, want) in [
        ("/rdr/pprdr.asp", NexusForm::Classic, classic),
        ("/rdr/PPRDR.asp", NexusForm::Escargot, escargot),
        ("/nexus-mock", NexusForm::Classic, escargot),
    ] {
        let state = state(Config {
            nexus_form: form,
            ..Config::default()
        });
        let response = ask(&state, path, None).await;
        assert_eq!(response.status, "200 OK");
        assert_eq!(header(&response, "PassportURLs").as_deref(), Some(want));
    }
}

#[tokio::test]
async fn every_login_page_issues_a_ticket_for_the_right_password() {
    let state = listed();
    for page in ["/login2.srf", "/login", "/login.srf"] {
        let response = ask(&state, page, ann("right")).await;
        assert_eq!(response.status, "200 OK");
        let info = header(&response, "Authentication-Info").unwrap();
        let AuthenticationInfo::Ticket(ticket) = authentication_info(&info) else {
            panic!("no ticket in the answer of {page}");
        };
        let ticket = ticket.expose_secret();
        let holder = state.tickets.account(ticket, NOW, str::to_owned);
        assert_eq!(holder.as_deref(), Some("ann@example.com"));
    }
    assert_eq!(logins(&state), (3, 0, 0));
}

#[tokio::test]
async fn a_wrong_password_is_refused_with_a_reason() {
    let state = listed();
    let response = ask(&state, "/login", ann("wrong")).await;
    assert_eq!(response.status, "401 Unauthorized");
    assert_eq!(logins(&state), (0, 1, 0));
    let why = header(&response, "WWW-Authenticate").unwrap();
    assert!(why.starts_with("Passport1.4 da-status=failed,"), "{why}");
    let refusal = crate::msnp::passport::refusal(&why);
    assert_eq!(
        refusal.text.as_deref(),
        Some("The e-mail address or the password is wrong")
    );
}

#[tokio::test]
async fn an_open_server_requires_a_valid_account() {
    let invalid = authorization("ann", &"x".into(), POLICY, SignIn::Encoded);
    let basic = SecretString::from("Basic YTpi");
    for (authorization, status, counts) in [
        (Some(invalid), "401 Unauthorized", (0, 1, 0)),
        (Some(basic), "401 Unauthorized", (0, 1, 0)),
        (None, "401 Unauthorized", (0, 0, 0)),
        (ann("any"), "200 OK", (1, 0, 0)),
    ] {
        let state = open();
        assert_eq!(ask(&state, "/login", authorization).await.status, status);
        assert_eq!(logins(&state), counts);
    }
}

#[tokio::test]
async fn logins_are_throttled_after_failures() {
    let mut guess = request(Method::Get, "/login");
    guess.authorization = ann("right");
    let mut wrong = request(Method::Get, "/login");
    wrong.authorization = ann("wrong");
    let state = listed();
    assert_eq!(
        answer(&wrong, context(&state)).await.status,
        "401 Unauthorized"
    );
    let response = answer(&guess, context(&state)).await;
    assert_eq!(response.status, "503 Service Unavailable");
    assert_eq!(header(&response, "Retry-After").as_deref(), Some("60"));
    assert_eq!(logins(&state), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn too_many_logins_at_once_are_turned_away_and_not_held_against_anybody() {
    let accounts = format!("ann@example.com:{}", cheap("right"));
    let state = state(Config {
        accounts: Accounts::List(AccountList::parse(&accounts).unwrap()),
        ..Config::default()
    });
    let from = ClientNetwork::of(context(&state).peer.ip());
    let [one, two] = [(); 2].map(|()| state.attempts.enter(from).unwrap());
    let ask_now = || timeout(Duration::from_secs(1), ask(&state, "/login", ann("right")));
    let response = ask_now().await.expect("no wait");
    assert_eq!(response.status, "503 Service Unavailable");
    assert_eq!(header(&response, "Retry-After").as_deref(), Some("5"));
    assert_eq!(logins(&state), (0, 0, 1));
    drop((one, two));
    // A single failure would have reached the limit.
    let response = ask(&state, "/login", ann("right")).await;
    assert_eq!(response.status, "200 OK");
    assert_eq!(logins(&state), (1, 0, 1));
}

#[tokio::test]
async fn wrong_passwords_at_the_same_time_cannot_pass_the_limit() {
    let accounts = format!("ann@example.com:{}", cheap("right"));
    let state = state(Config {
        accounts: Accounts::List(AccountList::parse(&accounts).unwrap()),
        ..Config::default()
    });
    let guess = || ask(&state, "/login", ann("wrong"));
    let (one, two) = tokio::join!(guess(), guess());
    assert_eq!(one.status, "401 Unauthorized");
    assert_eq!(two.status, "503 Service Unavailable");
    assert_eq!(state.stats.counts().password_hashes, 1);
    assert_eq!(logins(&state), (0, 1, 1));
}

#[tokio::test]
async fn unknown_pages_and_methods_are_rejected() {
    assert_eq!(ask(&open(), "/", None).await.status, "404 Not Found");
    let put = request(Method::Other, "/login");
    let response = answer(&put, context(&open())).await;
    assert_eq!(response.status, "405 Method Not Allowed");
}
