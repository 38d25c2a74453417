use super::*;
use crate::secret::ExposeSecret;
use tokio::io::{DuplexStream, duplex};

fn request(text: &str) -> Request {
    parse(text.as_bytes()).unwrap().request
}

fn status(text: &str) -> &'static str {
    parse(text.as_bytes()).unwrap_err().0
}

#[test]
fn a_usual_request_is_read() {
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
    assert!(request.keeps && !request.is_old);
}

#[test]
fn a_request_without_version_and_host_is_read() {
    for text in [
        "GET /rdr/pprdr.asp\r\n\r\n",
        "GET /rdr/pprdr.asp \n\n",
        "GET /rdr/pprdr.asp\r\nHost: x\r\n\r\n",
    ] {
        let request = request(text);
        assert_eq!(request.path, "/rdr/pprdr.asp", "{text:?}");
        assert!(!request.keeps);
    }
}

#[test]
fn an_old_request_closes_unless_it_says_otherwise() {
    let bare = request("GET / HTTP/1.0\r\n\r\n");
    assert!(!bare.keeps && bare.is_old && bare.host.is_none());
    assert!(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keeps);
    assert!(!request("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n").keeps);
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
fn what_cannot_be_served_is_refused() {
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

fn pair() -> (DuplexStream, Connection<DuplexStream>) {
    let (client, server) = duplex(1 << 20);
    (client, Connection::new(server))
}

#[tokio::test]
async fn requests_come_in_pieces_and_back_to_back() {
    let (mut client, mut server) = pair();
    let text = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\nGET /b HTTP/1.1\r\n\r\n";
    let writer = async {
        for byte in text.as_bytes() {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let reader = async {
        for (path, body) in [("/a", "abc"), ("/b", "")] {
            let Received::Request(request) = server.receive().await else {
                panic!("no request for {path}");
            };
            assert_eq!(request.path, path);
            assert_eq!(request.body, body.as_bytes());
        }
    };
    tokio::join!(writer, reader);
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (mut client, mut server) = pair();
    client.write_all(&[b'a'; MAX_HEAD]).await.unwrap();
    assert!(matches!(server.receive().await, Received::Unfit(status) if status.starts_with("431")));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_given_up() {
    let (mut client, mut server) = pair();
    client.write_all(b"GET / HT").await.unwrap();
    assert!(matches!(server.receive().await, Received::TimedOut));
    let (_client, mut server) = pair();
    assert!(matches!(server.receive().await, Received::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    let (_client, server) = duplex(16);
    let mut server = Connection::new(server);
    let error = server.respond(&Response::empty("200 OK"), None).await;
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_client_that_waits_for_a_word_gets_it() {
    let (mut client, mut server) = pair();
    client
        .write_all(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    let client_side = async {
        let mut word = [0; 25];
        client.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"x").await.unwrap();
    };
    let (received, ()) = tokio::join!(server.receive(), client_side);
    assert!(matches!(received, Received::Request(request) if request.body == b"x"));
}

#[tokio::test]
async fn an_answer_says_what_becomes_of_the_connection() {
    let mut response = Response::empty("200 OK");
    response.headers.push_str("PassportURLs: x\r\n");
    response.body.extend(b"body");
    for (line, tail, keeps) in [
        ("GET / HTTP/1.1", "\r\n\r\nbody", true),
        ("HEAD / HTTP/1.1", "Content-Length: 4\r\n\r\n", true),
        ("GET / HTTP/1.0", "Connection: close\r\n\r\nbody", false),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive",
            "Connection: keep-alive\r\n\r\nbody",
            true,
        ),
    ] {
        let (mut client, mut server) = pair();
        let request = request(&format!("{line}\r\n\r\n"));
        assert_eq!(
            server.respond(&response, Some(&request)).await.unwrap(),
            keeps
        );
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\nPassportURLs: x\r\nContent-Length: 4\r\n"),
            "{text}"
        );
        assert!(text.ends_with(tail), "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = parse(&bytes);
        let _ = head_end(&bytes, 0);
        let _ = parse(&[b"GET ", &bytes[..], b"\r\n\r\n"].concat());
    }

    #[test]
    fn an_end_is_found_wherever_the_search_begins(text in "[ab\r\n]{0,40}", from in 0_usize..40) {
        let whole = head_end(text.as_bytes(), 0);
        if let Some(end) = whole && from + 3 <= end {
            proptest::prop_assert_eq!(head_end(text.as_bytes(), from), whole);
        }
    }
}
