use super::*;
use crate::msnp::passport::{AuthenticationInfo, SignIn, authentication_info, authorization};
use crate::secret::SecretString;
use crate::server::accounts::{AccountList, Accounts};
use crate::server::config::Config;
use crate::server::http::message::test_request as request;
use crate::server::state::ServerState;
use crate::server::state::tests::{NOW, context, state};

const POLICY: &str = "lc=1033,id=507";

fn ask(
    state: &ServerState,
    path: &str,
    authorization: Option<SecretString>,
) -> (Response, LoginEvent) {
    let mut request = request(Method::Get, path);
    request.authorization = authorization;
    answer(&request, "login.example:8443", &context(state), 1)
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

#[test]
fn each_nexus_page_has_its_form() {
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
        let (response, _) = ask(&state, path, None);
        assert_eq!(response.status, "200 OK");
        assert_eq!(header(&response, "PassportURLs").as_deref(), Some(want));
    }
}

#[test]
fn every_login_page_issues_a_ticket_for_the_right_password() {
    let state = listed();
    for page in ["/login2.srf", "/login", "/login.srf"] {
        let (response, outcome) = ask(&state, page, ann("right"));
        assert_eq!(
            (response.status, outcome),
            ("200 OK", LoginEvent::TicketIssued)
        );
        let info = header(&response, "Authentication-Info").unwrap();
        let AuthenticationInfo::Ticket(ticket) = authentication_info(&info) else {
            panic!("no ticket in the answer of {page}");
        };
        let holder = state.tickets.account(&ticket, NOW);
        assert_eq!(holder.as_deref(), Some("ann@example.com"));
    }
}

#[test]
fn a_wrong_password_is_refused_with_a_reason() {
    let (response, outcome) = ask(&listed(), "/login", ann("wrong"));
    assert_eq!(response.status, "401 Unauthorized");
    assert_eq!(outcome, LoginEvent::Failed("ann@example.com".to_owned()));
    let why = header(&response, "WWW-Authenticate").unwrap();
    assert!(why.starts_with("Passport1.4 da-status=failed,"), "{why}");
    let refusal = crate::msnp::passport::refusal(&why);
    assert_eq!(
        refusal.text.as_deref(),
        Some("The e-mail address or the password is wrong")
    );
}

#[test]
fn an_open_server_requires_a_valid_account() {
    let invalid = authorization("ann", &"x".into(), POLICY, SignIn::Encoded);
    assert!(matches!(
        ask(&open(), "/login", Some(invalid)).1,
        LoginEvent::Failed(_)
    ));
    let basic = Some(SecretString::from("Basic YTpi"));
    assert!(matches!(
        ask(&open(), "/login", basic).1,
        LoginEvent::Failed(_)
    ));
    let (response, outcome) = ask(&open(), "/login", None);
    assert_eq!(
        (response.status, outcome),
        ("401 Unauthorized", LoginEvent::None)
    );
    assert_eq!(
        ask(&open(), "/login", ann("any")).1,
        LoginEvent::TicketIssued
    );
}

#[test]
fn logins_are_throttled_after_failures() {
    let mut guess = request(Method::Get, "/login");
    guess.authorization = ann("right");
    let mut wrong = request(Method::Get, "/login");
    wrong.authorization = ann("wrong");
    let state = listed();
    let (response, _) = answer(&wrong, "login.example", &context(&state), 1);
    assert_eq!(response.status, "401 Unauthorized");
    let (response, outcome) = answer(&guess, "login.example", &context(&state), 1);
    assert_eq!(response.status, "503 Service Unavailable");
    assert!(matches!(outcome, LoginEvent::Throttled(_)), "{outcome:?}");
}

#[test]
fn unknown_pages_and_methods_are_rejected() {
    assert_eq!(ask(&open(), "/", None).0.status, "404 Not Found");
    let put = request(Method::Other, "/login");
    let (response, _) = answer(&put, "x", &context(&open()), 1);
    assert_eq!(response.status, "405 Method Not Allowed");
}
