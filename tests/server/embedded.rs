//! The embedded server on a test's own runtime.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use msnp9_conntype::server::{Addresses, Config, Counts, Server, Stats};
use rustls::{ClientConfig, SupportedProtocolVersion};
use support::client::{Browser, Client, ticket_in, tls};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const USER: &str = "user@example.com";

/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must become true soon.
pub(crate) async fn eventually<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

pub(crate) struct Running {
    pub(crate) at: Addresses,
    pub(crate) authority: Option<String>,
    pub(crate) stats: Arc<Stats>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Counts>,
}

/// Starts a server on this test's own runtime.
pub(crate) fn start(config: Config) -> Running {
    let server = Server::bind(config).expect("a server on loopback");
    let (stop, stopped) = oneshot::channel::<()>();
    Running {
        at: server.addresses().clone(),
        authority: server.authority_pem().map(str::to_owned),
        stats: server.stats(),
        stop,
        task: tokio::spawn(server.run(async {
            let _ = stopped.await;
        })),
    }
}

impl Running {
    pub(crate) fn ns(&self) -> SocketAddr {
        self.at.notification[0]
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.ns()).await
    }

    /// A client that is signed in, its profile read.
    pub(crate) async fn signed_in(&self, account: &str) -> Client<TcpStream> {
        let mut client = self.connect().await;
        client.introduce("MSNP9", account).await;
        let ticket = self.ticket(account, "x").await.expect("a ticket");
        client.say(&format!("USR 4 TWN S {ticket}")).await;
        let ok = client.line().await;
        assert_eq!(ok, format!("USR 4 OK {account} {account} 1 0"));
        client.message().await;
        client
    }

    /// Logs in at the login page; the ticket, or the answer that has none.
    pub(crate) async fn ticket(&self, account: &str, password: &str) -> Result<String, String> {
        let head = self.browse().await.log_in(account, password).await;
        ticket_in(&head).ok_or(head)
    }

    /// A TLS connection to Passport that trusts the server's own authority and nothing else.
    pub(crate) async fn browse(&self) -> Browser {
        self.browse_with(rustls::ALL_VERSIONS).await
    }

    pub(crate) async fn browse_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Browser {
        let stream = TcpStream::connect(self.at.passport[0]).await.unwrap();
        Browser::browse(stream, &self.tls(versions).into()).await
    }

    /// What a browser that trusts it needs.
    pub(crate) fn tls(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let pem = self.authority.as_ref().expect("an authority");
        tls(pem.as_bytes(), versions)
    }

    /// Returns once the server has had its turn: what was written before has been read.
    pub(crate) async fn settle(&self) {
        for _ in 0..2 {
            let mut client = self.connect().await;
            client.say("VER 1 MSNP9").await;
            client.line().await;
        }
    }

    /// Stops the server and waits until it has stopped.
    pub(crate) async fn stop(self) -> Counts {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.task)
            .await
            .expect("the server stops")
            .unwrap()
    }
}
