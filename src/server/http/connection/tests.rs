use super::*;
use crate::server::http::message::parse;
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

fn request(text: &str) -> Request {
    parse(text.as_bytes()).unwrap().request
}

fn pair() -> (DuplexStream, Connection<DuplexStream>) {
    let (client, server) = duplex(1 << 20);
    (client, Connection::new(server))
}

#[tokio::test]
async fn requests_may_arrive_in_pieces_and_back_to_back() {
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
            let request = server.receive().await.unwrap();
            assert_eq!(request.path, path);
            assert_eq!(*request.body, body.as_bytes());
        }
    };
    tokio::join!(writer, reader);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_rejected_with_and_without_its_end() {
    let whole = |length| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(length));
    let heads = (MAX_HEAD..2 * MAX_HEAD).step_by(500).map(whole);
    for head in heads.chain(["a".repeat(MAX_HEAD)]) {
        let (mut client, mut server) = pair();
        client.write_all(head.as_bytes()).await.unwrap();
        assert!(
            matches!(server.receive().await, Err(NoRequest::Rejected(status)) if status.starts_with("431"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_request_times_out() {
    let (mut client, mut server) = pair();
    client.write_all(b"GET / HT").await.unwrap();
    assert!(matches!(server.receive().await, Err(NoRequest::TimedOut)));
    let (_client, mut server) = pair();
    assert!(matches!(server.receive().await, Err(NoRequest::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_times_out() {
    let (_client, server) = duplex(16);
    let mut server = Connection::new(server);
    let error = server.respond(&Response::new("200 OK"), None).await;
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn expect_100_continue_is_answered() {
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
    assert!(received.is_ok_and(|request| *request.body == b"x"));
}

#[tokio::test]
async fn a_response_says_whether_the_connection_stays_open() {
    let mut response = Response::new("200 OK").with_header("PassportURLs", "x");
    response.body.extend(b"body");
    for (line, tail, keeps_alive) in [
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
            keeps_alive
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
