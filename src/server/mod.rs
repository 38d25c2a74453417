//! The other end of the wire: a notification server to log in to.
//!
//! ```text
//!   listener ──► stream ──► conversation ──► session ──► contacts
//!      │                        ▲ (bytes)     (commands; pure)
//!      └──────► web ──► gateway ┘
//!                └────► passport (pure)        desk: what they decide by
//! ```
//! `session`, `contacts` and `passport` know no socket and no clock. `limits` and `registry`
//! count and remember; `tls` and `ticket` hold the keys. Everything is bounded: connections,
//! buffers, time, and what is remembered of those who failed.
//!
//! ```no_run
//! # async fn example() -> Result<(), msnp9_conntype::server::ServerError> {
//! use msnp9_conntype::server::{Config, Server};
//!
//! let server = Server::bind(Config::default())?;
//! println!("log in at {}", server.addresses().notification[0]);
//! server.run(async { /* the moment to stop */ }).await;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod config;
mod contacts;
mod conversation;
mod desk;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod http;
mod limits;
mod listener;
mod passport;
mod registry;
mod session;
mod shared;
mod stream;
mod ticket;
mod tls;
mod web;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use accounts::{AccountList, Accounts, BadAccountList};
pub use config::{
    CertificateSource, Config, GatewayPort, Limits, PortField, ProfilePolicy, ServerError,
};
pub use limits::{Counts, Stats};
pub use ticket::{ShortKey, TicketKey};

pub(crate) use listener::MAX_TURNED_AWAY;

use desk::Desk;
use gateway::Gateway;
use limits::{Failures, Gate};
use listener::Service;
use shared::Shared;

/// A server that has its sockets and does not serve yet; [`run`](Self::run) does.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<(TcpListener, Service)>,
    addresses: Addresses,
    authority_pem: Option<String>,
    acceptor: Option<tls::Acceptor>,
}

/// What shows another certificate while the server runs.
#[derive(Clone)]
pub struct Renewal(Option<tls::Acceptor>);

impl Renewal {
    /// Shows the certificate of these files from now on.
    ///
    /// # Errors
    /// [`ServerError`] where they cannot be used; the old one stays then.
    pub fn renew(&self, chain: &Path, key: &Path) -> Result<(), ServerError> {
        self.0
            .as_ref()
            .map_or(Ok(()), |acceptor| acceptor.replace(chain, key))
    }
}

/// Where a server can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Addresses {
    /// The notification server.
    pub notification: Vec<SocketAddr>,
    /// The dispatch server.
    pub dispatch: Vec<SocketAddr>,
    /// Passport, over TLS.
    pub passport: Vec<SocketAddr>,
    /// The HTTP gateway.
    pub gateway: Vec<SocketAddr>,
    /// The nexus, with Passport's first address or the name chosen for it.
    pub nexus_url: Option<String>,
    /// The login page, likewise.
    pub login_url: Option<String>,
    /// The gateway's one page.
    pub gateway_url: Option<String>,
}

impl Server {
    /// Opens every socket and makes or reads the certificate, if one is needed. Takes place
    /// within a tokio runtime.
    ///
    /// # Errors
    /// [`ServerError`]; nothing stays open then.
    pub fn bind(config: Config) -> Result<Self, ServerError> {
        let tickets = match config.ticket_key {
            Some(key) => key,
            None => TicketKey::generate().ok_or(ServerError::NoRandomness)?,
        };
        let is_lost = config.listen.is_empty() && config.advertise.is_none();
        if is_lost && !config.dispatch_listen.is_empty() {
            return Err(ServerError::Settings(
                "a dispatch server without a notification server needs an address to advertise"
                    .to_owned(),
            ));
        }
        let mut listeners = Vec::new();
        let mut open = |addresses: &[SocketAddr], service: &Service| {
            let mut bound = Vec::with_capacity(addresses.len());
            for &address in addresses {
                let fail = |source| ServerError::listen(service.name(), address, source);
                let listener = listener::open(address).map_err(fail)?;
                bound.push(listener.local_addr().map_err(fail)?);
                listeners.push((listener, service.clone()));
            }
            Ok(bound)
        };
        let notification = open(&config.listen, &Service::Notification)?;
        let dispatch = open(&config.dispatch_listen, &Service::Dispatch)?;
        let gateway = open(
            &config.gateway_listen,
            &Service::Gateway(Arc::new(Gateway::default())),
        )?;
        let mut acceptor = None;
        let (passport, authority_pem) = if config.passport_listen.is_empty() {
            (Vec::new(), None)
        } else {
            let ips: Vec<IpAddr> = config.passport_listen.iter().map(SocketAddr::ip).collect();
            let tls = tls::prepare(&config.certificate, &ips, config.passport_host.as_ref())?;
            acceptor = Some(tls.acceptor.clone());
            let bound = open(&config.passport_listen, &Service::Passport(tls.acceptor))?;
            (bound, tls.authority_pem)
        };

        let site = |chosen, bound: &[SocketAddr], port| {
            let first = bound.first()?;
            Some(passport::site(chosen, None, reachable(*first), port))
        };
        let passport_site = site(config.passport_host.as_ref(), &passport, 443);
        let page = |path: &str| {
            passport_site
                .as_ref()
                .map(|at| format!("https://{at}{path}"))
        };
        let addresses = Addresses {
            nexus_url: page(passport::NEXUS),
            login_url: page(passport::LOGIN),
            gateway_url: site(config.gateway_host.as_ref(), &gateway, 80)
                .map(|at| format!("http://{at}{}", gateway::PAGE)),
            notification: notification.clone(),
            dispatch,
            passport,
            gateway,
        };
        let shared = Arc::new(Shared {
            desk: Desk {
                accounts: config.accounts,
                tickets,
                ticket_lifetime: config.ticket_lifetime,
                nexus_form: config.nexus_form,
                login_redirect: config.login_redirect,
                profile: config.profile,
                client_port: config.client_port,
                gateway_port: config.gateway_port,
                challenge: config.challenge,
                failures: Failures::new(&config.limits),
            },
            gate: Gate::new(&config.limits),
            limits: config.limits,
            registry: Arc::default(),
            stats: Arc::default(),
            advertise: config.advertise,
            passport_host: config.passport_host,
            gateway_host: config.gateway_host,
            gateway_keeps_id: config.gateway_keeps_id,
            turned_away: 0.into(),
            notification,
        });
        Ok(Self {
            shared,
            listeners,
            addresses,
            authority_pem,
            acceptor,
        })
    }

    /// Where it can be reached.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The certificate of the authority made at start, PEM; `None` where the certificate came
    /// from files or there is no Passport.
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority_pem.as_deref()
    }

    /// What shows another certificate while it runs.
    #[must_use]
    pub fn renewal(&self) -> Renewal {
        Renewal(self.acceptor.clone())
    }

    /// What is counted, while it runs and after.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.shared.stats)
    }

    /// Serves until `shutdown` completes; then tells everybody who is signed in (`OUT SSD`) and
    /// ends within about a second, with all of its tasks. So do the tasks when the future is
    /// dropped, but nobody is told then.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Counts {
        let (close, closing) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (listener, service) in self.listeners {
            let shared = Arc::clone(&self.shared);
            tasks.spawn(listener::run(listener, service, shared, closing.clone()));
        }
        shutdown.await;
        // Nobody may be listening any more, and that is fine.
        let _ = close.send(true);
        while tasks.join_next().await.is_some() {}
        self.shared.stats.counts()
    }
}

/// An address that a client on this machine can connect to, for one that listens everywhere.
const fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = match address {
            SocketAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        };
        address.set_ip(loopback);
    }
    address
}
