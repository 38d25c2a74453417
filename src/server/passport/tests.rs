use super::*;
use crate::msnp::passport::{AuthenticationInfo, SignIn, authentication_info, authorization};
use crate::secret::SecretString;
use crate::server::accounts::{AccountList, Accounts};
use crate::server::desk::tests::{NOW, desk, moment};
use crate::server::http::tests_request as request;

const POLICY: &str = "lc=1033,id=507";

fn ask(desk: &Desk, path: &str, authorization: Option<SecretString>) -> (Response, Outcome) {
    let mut request = request(Method::Get, path);
    request.authorization = authorization;
    answer(desk, &request, "login.example:8443", &moment(), 1)
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

fn listed() -> Desk {
    Desk {
        accounts: Accounts::List(AccountList::parse("ann@example.com:right").unwrap()),
        ..desk()
    }
}

#[test]
fn each_nexus_has_its_form() {
    let classic = "DARealm=Passport.Net,DALogin=login.example:8443/login2.srf,ConfigVersion=15";
    let escargot = "DALogin=https://login.example:8443/login";
    for (path, form, want) in [
        ("/rdr/pprdr.asp", NexusForm::Classic, classic),
        ("/rdr/PPRDR.asp", NexusForm::Escargot, escargot),
        ("/nexus-mock", NexusForm::Classic, escargot),
    ] {
        let desk = Desk {
            nexus_form: form,
            ..desk()
        };
        let (response, _) = ask(&desk, path, None);
        assert_eq!(response.status, "200 OK");
        assert_eq!(header(&response, "PassportURLs").as_deref(), Some(want));
    }
}

#[test]
fn the_right_password_gets_a_ticket_at_every_page() {
    let desk = listed();
    for page in ["/login2.srf", "/login", "/login.srf"] {
        let (response, outcome) = ask(&desk, page, ann("right"));
        assert_eq!((response.status, outcome), ("200 OK", Outcome::Ticket));
        let info = header(&response, "Authentication-Info").unwrap();
        let AuthenticationInfo::Ticket(ticket) = authentication_info(&info) else {
            panic!("no ticket in the answer of {page}");
        };
        let holder = desk.tickets.account(&ticket, NOW);
        assert_eq!(holder.as_deref(), Some("ann@example.com"));
    }
}

#[test]
fn a_wrong_password_is_refused_with_a_word() {
    let (response, outcome) = ask(&listed(), "/login", ann("wrong"));
    assert_eq!(response.status, "401 Unauthorized");
    assert_eq!(outcome, Outcome::Refused("ann@example.com".to_owned()));
    let why = header(&response, "WWW-Authenticate").unwrap();
    assert!(why.starts_with("Passport1.4 da-status=failed,"), "{why}");
    let refusal = crate::msnp::passport::refusal(&why);
    assert_eq!(
        refusal.text.as_deref(),
        Some("The e-mail address or the password is wrong")
    );
}

#[test]
fn an_open_server_still_wants_an_address() {
    let nobody = authorization("ann", &"x".into(), POLICY, SignIn::Encoded);
    assert!(matches!(
        ask(&desk(), "/login", Some(nobody)).1,
        Outcome::Refused(_)
    ));
    let basic = Some(SecretString::from("Basic YTpi"));
    assert!(matches!(
        ask(&desk(), "/login", basic).1,
        Outcome::Refused(_)
    ));
    let (response, outcome) = ask(&desk(), "/login", None);
    assert_eq!(
        (response.status, outcome),
        ("401 Unauthorized", Outcome::Other)
    );
    assert_eq!(ask(&desk(), "/login", ann("any")).1, Outcome::Ticket);
}

#[test]
fn a_redirect_leads_to_the_page_that_answers() {
    let desk = Desk {
        login_redirect: true,
        ..listed()
    };
    let (response, outcome) = ask(&desk, "/login", ann("right"));
    assert_eq!((response.status, outcome), ("302 Found", Outcome::Other));
    let location = header(&response, "Location").unwrap();
    assert_eq!(location, "https://login.example:8443/login2.srf?id=2");
    let mut second = request(Method::Get, "/login2.srf");
    second.query = "id=2".into();
    second.authorization = ann("right");
    let (_, outcome) = answer(&desk, &second, "login.example", &moment(), 1);
    assert_eq!(outcome, Outcome::Ticket);
}

#[test]
fn a_guesser_is_not_listened_to() {
    let mut guess = request(Method::Get, "/login");
    guess.authorization = ann("right");
    let mut wrong = request(Method::Get, "/login");
    wrong.authorization = ann("wrong");
    let (desk, moment) = (listed(), moment());
    let (response, _) = answer(&desk, &wrong, "login.example", &moment, 1);
    assert_eq!(response.status, "401 Unauthorized");
    let (response, outcome) = answer(&desk, &guess, "login.example", &moment, 1);
    assert_eq!(response.status, "503 Service Unavailable");
    assert!(matches!(outcome, Outcome::Throttled(_)), "{outcome:?}");
}

#[test]
fn other_pages_and_methods_are_named_as_such() {
    assert_eq!(ask(&desk(), "/", None).0.status, "404 Not Found");
    let put = request(Method::Other, "/login");
    let (response, _) = answer(&desk(), &put, "x", &moment(), 1);
    assert_eq!(response.status, "405 Method Not Allowed");
}

#[test]
fn the_site_is_the_one_the_client_can_reach() {
    let local = "192.0.2.1:8443".parse().unwrap();
    let chosen = Address::parse("login.example", 443).unwrap();
    let cases: [(Option<&Address>, Option<&str>, &str); 7] = [
        (Some(&chosen), Some("other"), "login.example"),
        (None, Some("other"), "other"),
        (None, Some("other:443"), "other"),
        (None, Some("other:8443"), "other:8443"),
        (None, Some("bad\r\nhost"), "192.0.2.1:8443"),
        (None, Some("a,DALogin=evil"), "192.0.2.1:8443"),
        (None, None, "192.0.2.1:8443"),
    ];
    for (chosen, host, want) in cases {
        assert_eq!(site(chosen, host, local, 443), want);
    }
    let v6 = "[::1]:443".parse().unwrap();
    assert_eq!(site(None, None, v6, 443), "[::1]");
}
