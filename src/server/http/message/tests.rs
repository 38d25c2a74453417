use super::*;
use crate::secret::ExposeSecret;

fn request(text: &str) -> Request {
    parse(text.as_bytes()).unwrap().request
}

fn status(text: &str) -> &'static str {
    parse(text.as_bytes()).unwrap_err()
}

#[test]
fn a_typical_request_is_parsed() {
    let request = request(
        "GET /login2.srf?id=2 HTTP/1.1\r\nhost: login.example:8443\r\n\
         AUTHORIZATION: Passport1.4 sign-in=a\r\n\r\n",
    );
    assert_eq!(request.method, Method::Get);
    assert_eq!((&*request.path, &*request.query), ("/login2.srf", "id=2"));
    assert_eq!(request.host.as_deref(), Some("login.example:8443"));
    assert!(
        request
            .authorization
            .is_some_and(|value| { value.expose_secret() == "Passport1.4 sign-in=a" })
    );
    assert!(request.keeps_alive && !request.is_http_1_0);
}

#[test]
fn a_request_without_version_and_host_is_parsed() {
    for text in [
        "GET /rdr/pprdr.asp\r\n\r\n",
        "GET /rdr/pprdr.asp \n\n",
        "GET /rdr/pprdr.asp\r\nHost: x\r\n\r\n",
    ] {
        let request = request(text);
        assert_eq!(request.path, "/rdr/pprdr.asp", "{text:?}");
        assert!(!request.keeps_alive);
    }
}

#[test]
fn an_http_1_0_request_closes_unless_it_says_otherwise() {
    let bare = request("GET / HTTP/1.0\r\n\r\n");
    assert!(!bare.keeps_alive && bare.is_http_1_0 && bare.host.is_none());
    assert!(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keeps_alive);
    assert!(!request("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n").keeps_alive);
}

#[test]
fn a_target_may_be_absolute() {
    let request = request(
        "POST http://gateway.example:8080/gateway/gateway.dll?Action=open HTTP/1.1\r\nHost: proxy\r\n\r\n",
    );
    assert_eq!(request.host.as_deref(), Some("gateway.example:8080"));
    assert_eq!(request.path, "/gateway/gateway.dll");
    assert_eq!(request.query, "Action=open");
    assert_eq!(split_target("/a?b=http://c/"), (None, "/a?b=http://c/"));
    assert_eq!(split_target("http://h?q"), (Some("h"), "?q"));
}

#[test]
fn invalid_requests_are_rejected() {
    for (text, code) in [
        ("nonsense\r\n\r\n", "400"),
        ("\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400",
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "413"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            "413",
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "501",
        ),
    ] {
        assert!(status(text).starts_with(code), "{text:?}");
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
    assert!(status(&many).starts_with("431"));
}

proptest::proptest! {
    #[test]
    fn any_input_is_handled(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = parse(&bytes);
        let _ = head_end(&bytes, 0);
        let _ = parse(&[b"GET ", &bytes[..], b"\r\n\r\n"].concat());
    }

    #[test]
    fn the_end_is_found_wherever_the_search_begins(text in "[ab\r\n]{0,40}", from in 0_usize..40) {
        let whole = head_end(text.as_bytes(), 0);
        if let Some(end) = whole && from + 3 <= end {
            proptest::prop_assert_eq!(head_end(text.as_bytes(), from), whole);
        }
    }
}
