//! The embedded notification server, with its dispatch server, Passport pages and HTTP gateway.
//!
//! ```text
//!   listener ──► arrival ──► tcp ─────────────► session (sans-IO)
//!                   │                              ▲
//!                   ├──────► http ── gateway ──────┘
//!                   │         ├───── passport
//!                   │         └───── metrics ──────► process
//!                   ├──────► call_back              calls the client, with sockets of its own
//!                   └──────► proxy_header (pure)    what a balancer says about its client
//!   udp_echo                                        datagrams, with sockets of its own
//! ```
//! Each of these uses `state`: what all connections of a server share, which is `config`,
//! `accounts`, `attempts`, `ticket`, `registry`, `limits`, `throttle` and `stats` (with `histogram`).
//! `tls` holds the certificate. `open_session` tells `stats` of sessions. `tcp` and `http` read into
//! `input`, which a thread has once.
//! `session` and the pages use no socket, and receive the time in a `RequestContext`. Everything is
//! bounded: connections, buffers, waits, and the tables of clients. No two modules use each other.
//!
//! Public are the types to configure and run a server; `fuzz` is public for the fuzz targets only.
//!
//! ```no_run
//! # async fn example() -> Result<(), msnp9_conntype::server::ServerError> {
//! use msnp9_conntype::server::{Config, Server};
//!
//! let server = Server::bind(Config::default())?;
//! println!("listening on {}", server.addresses().notification[0]);
//! server.run(async { /* until it is time to stop */ }).await;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod arrival;
mod attempts;
mod call_back;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod histogram;
mod http;
mod input;
mod limits;
mod linger;
mod listener;
mod metrics;
mod open_session;
mod process;
mod proxy_header;
mod registry;
pub(crate) mod secret_file;
mod session;
mod state;
mod stats;
mod sync;
mod tcp;
mod throttle;
mod ticket;
mod tls;
mod udp_echo;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::spawn;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use accounts::{AccountList, Accounts, BadAccountList, BadHash};
pub use config::{CertificateSource, Config, GatewayPort, Limits, PortField};
pub use error::ServerError;
pub use stats::{Counts, Stats};
pub use ticket::{ShortKey, TicketKey, TicketKeys};
pub use tls::Acceptor;

pub(crate) use accounts::{Check, PasswordHash, Stored, folded, read_line};
pub(crate) use call_back::MAX_CALLS;
pub(crate) use limits::{MAX_ARRIVING, MAX_CLOSING_REFUSED};
pub(crate) use metrics::MAX_READERS;
pub(crate) use process::max_open_files;
pub(crate) use stats::SUMMARY_TARGET;

use arrival::Service;
use http::passport::{LOGIN, NEXUS};
use http::site::own_authority;
use session::Role;
use state::ServerState;
use udp_echo::UdpEcho;

/// How long connections may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// A server with open sockets; [`run`](Self::run) serves them.
pub struct Server {
    state: Arc<ServerState>,
    listeners: Vec<(TcpListener, Service)>,
    udp_echo: Option<UdpEcho>,
    addresses: Addresses,
    authority_pem: Option<String>,
}

/// The addresses of a server. The line on stdout that tells that it listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Addresses {
    /// Where the notification server listens. Empty where it is disabled.
    #[cfg_attr(test, schemars(with = "Vec<crate::address::Address>"))]
    pub notification: Vec<SocketAddr>,
    /// Where the dispatch server listens. Empty where it is disabled.
    #[cfg_attr(test, schemars(with = "Vec<crate::address::Address>"))]
    pub dispatch: Vec<SocketAddr>,
    /// Where Passport listens, over TLS. Empty where it is disabled.
    #[cfg_attr(test, schemars(with = "Vec<crate::address::Address>"))]
    pub passport: Vec<SocketAddr>,
    /// Where the HTTP gateway listens. Empty where it is disabled.
    #[cfg_attr(test, schemars(with = "Vec<crate::address::Address>"))]
    pub gateway: Vec<SocketAddr>,
    /// The two addresses of UDP echo. Empty where it is disabled.
    #[cfg_attr(test, schemars(with = "Vec<crate::address::Address>"))]
    pub udp_echo: Vec<SocketAddr>,
    /// Where it takes requests to call back. Empty where it is disabled.
    #[cfg_attr(test, schemars(with = "Vec<crate::address::Address>"))]
    pub call_back: Vec<SocketAddr>,
    /// Where the metrics are read. Empty where that is disabled.
    #[cfg_attr(test, schemars(with = "Vec<crate::address::Address>"))]
    pub metrics: Vec<SocketAddr>,
    /// URL of the nexus, at the configured name or Passport's first address. Null without Passport.
    pub nexus_url: Option<String>,
    /// URL of the login page, likewise. Null without Passport.
    pub login_url: Option<String>,
    /// URL of the gateway, at its first address. Null without a gateway.
    pub gateway_url: Option<String>,
}

impl Server {
    /// Opens all sockets, and reads or generates the certificate if one is needed. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// [`ServerError`]; all sockets are closed then.
    pub fn bind(config: Config) -> Result<Self, ServerError> {
        let has_target = !config.listen.is_empty() || config.advertise.is_some();
        if !has_target && !config.dispatch_listen.is_empty() {
            return Err(ServerError::NoReferralTarget);
        }
        let tickets = match config.ticket_keys.clone() {
            Some(keys) => keys,
            None => TicketKeys::generate().ok_or(ServerError::NoRandomness)?,
        };
        let mut listeners = Vec::new();
        let mut open = |addresses: &[SocketAddr], service: Service| {
            let mut bound = Vec::with_capacity(addresses.len());
            for &address in addresses {
                let fail = |reason| ServerError::Listen {
                    service: service.name(),
                    address,
                    reason,
                };
                let listener = listener::open(address, config.limits.idle_timeout).map_err(fail)?;
                bound.push(listener.local_addr().map_err(fail)?);
                listeners.push((listener, service.clone()));
            }
            Ok(bound)
        };
        let notification = open(&config.listen, Service::Session(Role::Notification))?;
        let dispatch = open(&config.dispatch_listen, Service::Session(Role::Dispatch))?;
        let gateway = open(&config.gateway_listen, Service::Gateway(Arc::default()))?;
        let call_back = open(&config.call_back, Service::CallBack(Arc::default()))?;
        let metrics = open(&config.metrics_listen, Service::Metrics(metrics::readers()))?;
        let (mut passport, mut authority_pem) = (Vec::new(), None);
        let passport_host = config.passport_host.as_ref();
        if !config.passport_listen.is_empty() {
            let acceptor;
            (acceptor, authority_pem) =
                tls::prepare(&config.certificate, &config.passport_listen, passport_host)?;
            passport = open(&config.passport_listen, Service::Passport(acceptor))?;
        }
        let udp_echo = config.udp_echo.map(UdpEcho::open).transpose();
        let udp_echo = udp_echo.map_err(|(address, reason)| ServerError::Listen {
            service: "udp-echo",
            address,
            reason,
        })?;
        let page = |path: &str| {
            let local = reachable(*passport.first()?);
            let site = own_authority(passport_host, None, local, 443);
            Some(format!("https://{site}{path}"))
        };
        let gateway_url = gateway.first().map(|first| {
            let site = own_authority(None, None, reachable(*first), 80);
            format!("http://{site}{}", http::GATEWAY_PAGE)
        });
        let addresses = Addresses {
            nexus_url: page(NEXUS),
            login_url: page(LOGIN),
            gateway_url,
            notification: notification.clone(),
            dispatch,
            passport,
            gateway,
            udp_echo: udp_echo.as_ref().map_or_else(Vec::new, UdpEcho::addresses),
            call_back,
            metrics,
        };
        Ok(Self {
            state: Arc::new(ServerState::new(config, tickets, notification)),
            listeners,
            udp_echo,
            addresses,
            authority_pem,
        })
    }

    /// The addresses it listens on.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The certificate of the generated authority, in PEM; `None` if the certificate is from files
    /// or Passport is not served.
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority_pem.as_deref()
    }

    /// The acceptor of Passport's connections, to replace the certificate while the server runs.
    #[must_use]
    pub fn acceptor(&self) -> Option<Acceptor> {
        self.listeners
            .iter()
            .find_map(|(_, service)| match service {
                Service::Passport(acceptor) => Some(acceptor.clone()),
                _ => None,
            })
    }

    /// The counters, during the run and after it.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.state.stats)
    }

    /// Serves until `shutdown` completes, and as long after it as the configuration says; then sends
    /// `OUT SSD` to every signed-in client and ends within about a second. A connection that does not
    /// end by then, as of a client that does not read, is left to its own limits, which are seconds.
    /// If the future is dropped, the connections end in the same way.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Counts {
        let (close, closing) = watch::channel(false);
        // The metrics tell of the shutdown until the last client is gone.
        let (close_metrics, metrics_closing) = watch::channel(false);
        let gateway = self
            .listeners
            .iter()
            .find_map(|(_, service)| match service {
                Service::Gateway(gateway) => Some(Arc::clone(gateway)),
                _ => None,
            });
        // Even without a gateway: to start a timer that is due before all others takes tokio a system
        // call, and this one is nearly always due earlier.
        spawn(
            gateway
                .unwrap_or_default()
                .keep_swept(Arc::clone(&self.state), closing.clone()),
        );
        for (listener, service) in self.listeners {
            let closing = match service {
                Service::Metrics(_) => metrics_closing.clone(),
                _ => closing.clone(),
            };
            let state = Arc::clone(&self.state);
            spawn(listener::run(listener, service, state, closing));
        }
        if let Some(udp_echo) = self.udp_echo {
            spawn(udp_echo.run(Arc::clone(&self.state.stats), closing.clone()));
        }
        // All others belong to what is spawned.
        drop((closing, metrics_closing));
        shutdown.await;
        self.state.drain();
        sleep(self.state.config.drain_time).await;
        for close in [close, close_metrics] {
            // Fails if nothing is left.
            let _ = close.send(true);
            let _ = timeout(GRACE, close.closed()).await;
        }
        self.state.stats.counts()
    }
}

/// An address that a client on this machine can connect to: loopback for a wildcard.
const fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}
