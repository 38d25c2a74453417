//! The nexus and the login page, over TLS.

use std::sync::Arc;

use msnp9_conntype::msnp::passport::NexusForm;
use msnp9_conntype::server::Config;
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, HandshakeKind};
use support::client::{Browser, Client, field};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::embedded::start;

#[tokio::test]
async fn the_nexus_answers_every_form_of_request() {
    let server = start(Config::default());
    let here = server.at.passport[0];
    for (request, host) in [
        ("GET /rdr/pprdr.asp\r\n\r\n", here.to_string()),
        ("GET /rdr/pprdr.asp HTTP/1.0\r\n\r\n", here.to_string()),
        ("GET /rdr/pprdr.asp HTTP/1.1\r\n\r\n", here.to_string()),
        (
            "GET /rdr/pprdr.asp HTTP/1.1\r\nHost: nexus.example\r\n\r\n",
            "nexus.example".to_owned(),
        ),
    ] {
        let mut browser = server.browse().await;
        browser.write(request).await;
        let answer = browser.head().await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(
            field(&answer, "PassportURLs"),
            Some(&*format!(
                "DARealm=Passport.Net,DALogin={host}/login2.srf,ConfigVersion=15"
            ))
        );
        assert_eq!(field(&answer, "Content-Length"), Some("0"));
        if !request.contains("1.1") {
            browser.expect_close().await;
        }
    }
    let mut browser = server.browse().await;
    browser.write("GET /nexus-mock HTTP/1.1\r\n\r\n").await;
    let want = format!("DALogin=https://{here}/login");
    assert_eq!(field(&browser.head().await, "PassportURLs"), Some(&*want));
    assert_eq!(
        server.at.nexus_url,
        Some(format!("https://{here}/rdr/pprdr.asp"))
    );
    assert_eq!(
        server.at.login_url,
        Some(format!("https://{here}/login2.srf"))
    );
}

#[tokio::test]
async fn one_connection_carries_the_nexus_and_the_login() {
    let server = start(Config {
        nexus_form: NexusForm::Escargot,
        ..Config::default()
    });
    let mut browser = server.browse().await;
    browser
        .write(
            "GET /rdr/pprdr.asp HTTP/1.1\r\nHost: h\r\n\r\n\
             POST /login HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
             GET /login HTTP/1.1\r\nAuthorization: Passport1.4 sign-in=a@b.c,pwd=x\r\n\r\n",
        )
        .await;
    assert_eq!(
        field(&browser.head().await, "PassportURLs"),
        Some("DALogin=https://h/login")
    );
    assert!(browser.head().await.starts_with("HTTP/1.1 401 "));
    let answer = browser.head().await;
    let info = field(&answer, "Authentication-Info").unwrap();
    assert!(
        info.starts_with("Passport1.4 da-status=success,tname=MSPAuth,"),
        "{info}"
    );
    browser
        .write("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(browser.head().await.starts_with("HTTP/1.1 404 "));
    browser.expect_close().await;
    assert_eq!(server.stop().await.http_requests, 4);
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_with_the_hash_that_is_computed_fastest() {
    let server = start(Config::default());
    for (version, want) in [
        (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (&TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
    ] {
        let mut browser = server.browse_with(&[version]).await;
        browser.write("GET /rdr/pprdr.asp HTTP/1.1\r\n\r\n").await;
        assert!(browser.head().await.starts_with("HTTP/1.1 200 "));
        let suite = browser.stream.get_ref().1.negotiated_cipher_suite();
        assert_eq!(suite.unwrap().suite(), want);
    }
}

#[tokio::test]
async fn a_resumed_tls_session_can_be_resumed_again() {
    let server = start(Config::default());
    for version in [&TLS12, &TLS13] {
        let mut config = (*server.tls(&[version])).clone();
        config.resumption = Resumption::in_memory_sessions(4);
        let tls = TlsConnector::from(Arc::new(config));
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let stream = TcpStream::connect(server.at.passport[0]).await.unwrap();
            let mut browser = Browser::browse(stream, &tls).await;
            browser.write("GET /rdr/pprdr.asp HTTP/1.1\r\n\r\n").await;
            browser.head().await;
            kinds.push(browser.stream.get_ref().1.handshake_kind().unwrap());
        }
        let [full, resumed] = [HandshakeKind::Full, HandshakeKind::Resumed];
        assert_eq!(kinds, [full, resumed, resumed]);
    }
}

#[tokio::test]
async fn invalid_requests_are_refused_with_a_status() {
    let server = start(Config::default());
    let huge = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(17_000));
    for (request, status) in [
        ("nonsense\r\n\r\n", "400"),
        (
            "POST /login HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n",
            "413",
        ),
        ("PUT /login HTTP/1.1\r\n\r\n", "405"),
        (&*huge, "431"),
    ] {
        let mut browser = server.browse().await;
        browser.write(request).await;
        let answer = browser.head().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    // Plain HTTP to the TLS port.
    let mut plain = Client::connect(server.at.passport[0]).await;
    plain.write("GET / HTTP/1.1\r\n\r\n").await;
    let alert = plain.bytes(7).await;
    assert_eq!(&alert.as_bytes()[..3], [0x15, 3, 3]);
}
