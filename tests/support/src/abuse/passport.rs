//! Honest clients, and who may sign in.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::client::{Browser, Client, connect_from, field, tls};
use crate::{Outcome, Serve};

/// How many accounts log in honestly, by turns.
pub(super) const HONEST: usize = 256;

/// Everybody's password.
pub(super) const PASSWORD: &str = "right";

/// The list of accounts, with as many idle ones as are wanted.
pub(super) fn accounts(idle: usize) -> String {
    let mut text = String::new();
    for n in 0..HONEST {
        let _ = writeln!(text, "honest{n}@example.com:{PASSWORD}");
    }
    for n in 0..idle.max(64) {
        let _ = writeln!(text, "{}:{PASSWORD}", idler(n));
    }
    text
}

/// The account of an abuser who signs in.
pub(super) fn idler(n: usize) -> String {
    format!("idle{n}@example.com")
}

/// The way to the login page.
#[derive(Clone)]
pub(super) struct Passport {
    notification: SocketAddr,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Passport {
    pub(super) fn of(server: &Serve) -> Outcome<Self> {
        Ok(Self {
            notification: server.at("notification"),
            address: server.at("passport"),
            tls: tls(&std::fs::read(server.ca_file())?, rustls::ALL_VERSIONS),
        })
    }

    pub(super) async fn browse(&self, from: Ipv4Addr) -> Browser {
        let stream = connect_from(from, self.address).await;
        Browser::browse(stream, &TlsConnector::from(Arc::clone(&self.tls))).await
    }

    /// The first bytes of a TLS client.
    pub(super) fn hello(&self) -> Outcome<Vec<u8>> {
        let name = ServerName::IpAddress(self.address.ip().into());
        let mut hello = Vec::new();
        rustls::ClientConnection::new(Arc::clone(&self.tls), name)?.write_tls(&mut hello)?;
        Ok(hello)
    }

    /// A whole login, checked and left.
    pub(super) async fn login(&self, from: Ipv4Addr, account: &str) {
        let mut client = Client::connect_from(from, self.notification).await;
        client.introduce("MSNP9", account).await;
        let mut browser = self.browse(from).await;
        let ticket = browser.ticket(account, PASSWORD).await;
        drop(browser);
        client.say(&format!("USR 4 TWN S {ticket}")).await;
        client.expect("USR 4 OK ").await;
        let profile = client.message().await;
        assert_eq!(field(&profile, "ClientIP"), Some(&*from.to_string()));
        client.say("OUT").await;
        client.expect_close().await;
    }
}
