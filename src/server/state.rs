//! State that all connections of one server share, and the context of one request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::config::Config;
use super::limits::{ConnectionLimiter, LimitReached, MAX_ARRIVING, MAX_CLOSING_REFUSED, Permit};
use super::registry::Registry;
use super::stats::Stats;
use super::throttle::LoginThrottle;
use super::ticket::TicketKeys;

/// State that all connections of one server share.
#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) config: Config,
    pub(super) tickets: TicketKeys,
    pub(super) throttle: LoginThrottle,
    pub(super) attempts: Arc<Attempts>,
    pub(super) connections: Arc<ConnectionLimiter>,
    pub(super) registry: Arc<Registry>,
    pub(super) stats: Arc<Stats>,
    /// Permits to close a refused connection gracefully.
    pub(super) closing_refused: Arc<Semaphore>,
    /// Permits of connections from balancers whose header has not arrived.
    pub(super) arriving: Arc<Semaphore>,
    /// Where the notification server listens.
    pub(super) notification: Vec<SocketAddr>,
    /// When the server started.
    pub(super) started: SystemTime,
    /// Whether the server is shutting down.
    draining: AtomicBool,
}

/// Why new clients should go to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotReady {
    /// It takes no new clients any more.
    #[error("the server is shutting down")]
    Draining,
    /// It has as many connections as it admits.
    #[error("the server is full")]
    Full,
}

/// An accepted connection: its two ends, the server it belongs to, and its permit.
#[derive(Debug)]
pub(super) struct ConnectionInfo {
    /// The client's end; a balancer's if the client is not known.
    pub(super) peer: SocketAddr,
    /// What the client connected to: this server's end, or a balancer's.
    pub(super) local: SocketAddr,
    /// Whether `peer` is the client's end.
    pub(super) knows_client: bool,
    pub(super) state: Arc<ServerState>,
    pub(super) _permit: Option<Permit>,
}

impl ConnectionInfo {
    /// The context of a request that arrives at `now`.
    pub(super) fn context(&self, now: Instant) -> RequestContext<'_> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        RequestContext {
            state: &self.state,
            peer: self.peer,
            local: self.local,
            knows_client: self.knows_client,
            unix_time: since_1970.map_or(0, |since| since.as_secs()),
            instant: now,
        }
    }
}

/// The context in which a request is answered: the server, the client and the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestContext<'a> {
    pub(super) state: &'a ServerState,
    /// The client's end of the connection; a balancer's if the client is not known.
    pub(super) peer: SocketAddr,
    /// What the client connected to.
    pub(super) local: SocketAddr,
    /// Whether `peer` is the client's end.
    pub(super) knows_client: bool,
    /// Unix time, seconds.
    pub(super) unix_time: u64,
    /// The same time on the monotonic clock.
    pub(super) instant: Instant,
}

impl ServerState {
    pub(super) fn new(config: Config, tickets: TicketKeys, notification: Vec<SocketAddr>) -> Self {
        let stats = Arc::<Stats>::default();
        Self {
            tickets,
            attempts: Attempts::new(Arc::clone(&stats)),
            throttle: LoginThrottle::new(config.limits.max_failures),
            connections: ConnectionLimiter::new(&config.limits),
            registry: Arc::default(),
            stats,
            closing_refused: Arc::new(Semaphore::new(MAX_CLOSING_REFUSED)),
            arriving: Arc::new(Semaphore::new(MAX_ARRIVING)),
            notification,
            started: SystemTime::now(),
            draining: AtomicBool::new(false),
            config,
        }
    }

    /// From now on the server is not ready for new clients.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is ready for new clients.
    pub(super) fn readiness(&self) -> Result<(), NotReady> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        match self.connections.is_full() {
            true => Err(NotReady::Full),
            false => Ok(()),
        }
    }

    /// Admits a connection or gateway session, or counts its refusal.
    pub(super) fn admit(&self, peer: SocketAddr) -> Result<Permit, LimitReached> {
        self.connections.admit(peer.ip()).inspect_err(|limit| {
            Stats::count(match limit {
                LimitReached::Total => &self.stats.refused_total,
                LimitReached::PerAddress => &self.stats.refused_per_address,
            });
        })
    }

    /// The notification server that the dispatch server at `local` refers to: an address that the
    /// client can reach the same way.
    pub(super) fn referral_from(&self, local: SocketAddr) -> String {
        if let Some(advertise) = &self.config.advertise {
            return advertise.to_string();
        }
        let all = &self.notification;
        let same_family = all
            .iter()
            .copied()
            .filter(|ns| ns.is_ipv4() == local.is_ipv4());
        let (wildcard, specific): (Vec<SocketAddr>, Vec<SocketAddr>) =
            same_family.partition(|ns| ns.ip().is_unspecified());
        let same_ip = specific.iter().find(|ns| ns.ip() == local.ip()).copied();
        let port = wildcard.first().map(SocketAddr::port);
        same_ip
            .or_else(|| Some(SocketAddr::new(local.ip(), port?)))
            .or_else(|| specific.first().copied())
            .or_else(|| all.first().copied())
            .unwrap_or(local)
            .to_string()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::address::Address;
    use crate::server::config::Limits;
    use crate::server::ticket::TicketKey;

    /// Unix time at which tests take place.
    pub(in crate::server) const NOW: u64 = 1_700_000_000;

    /// A server with a fixed ticket key that tolerates one failed login.
    pub(in crate::server) fn state(config: Config) -> ServerState {
        let limits = Limits {
            max_failures: 1,
            ..Limits::default()
        };
        let keys = TicketKeys::new(TicketKey::new(&[7; 32]).unwrap(), []);
        ServerState::new(Config { limits, ..config }, keys, Vec::new())
    }

    pub(in crate::server) fn context(state: &ServerState) -> RequestContext<'_> {
        RequestContext {
            state,
            peer: "203.0.113.7:1033".parse().unwrap(),
            local: "192.0.2.1:1863".parse().unwrap(),
            knows_client: true,
            unix_time: NOW,
            instant: Instant::now(),
        }
    }

    #[test]
    fn a_referral_names_an_address_that_the_client_can_reach() {
        let cases: [(&[&str], Option<&str>, &str, &str); 7] = [
            (&["127.0.0.1:9"], None, "127.0.0.1:8", "127.0.0.1:9"),
            (&["0.0.0.0:9"], None, "192.0.2.1:8", "192.0.2.1:9"),
            (
                &["0.0.0.0:9", "[::]:7"],
                None,
                "[2001:db8::1]:8",
                "[2001:db8::1]:7",
            ),
            (
                &["192.0.2.2:9", "192.0.2.1:7"],
                None,
                "192.0.2.1:8",
                "192.0.2.1:7",
            ),
            (
                &["[::1]:9", "192.0.2.2:7"],
                None,
                "192.0.2.1:8",
                "192.0.2.2:7",
            ),
            (&["[::1]:9"], None, "127.0.0.1:8", "[::1]:9"),
            (
                &["0.0.0.0:9"],
                Some("ns.example"),
                "127.0.0.1:8",
                "ns.example:1863",
            ),
        ];
        for (notification, advertise, local, want) in cases {
            let mut state = state(Config {
                advertise: advertise.map(|text| Address::parse(text, 1863).unwrap()),
                ..Config::default()
            });
            state.notification = notification.iter().map(|at| at.parse().unwrap()).collect();
            assert_eq!(state.referral_from(local.parse().unwrap()), want);
        }
    }

    #[test]
    fn a_server_is_not_ready_while_it_is_full_and_when_it_shuts_down() {
        let mut state = state(Config::default());
        state.connections = ConnectionLimiter::new(&Limits {
            max_connections: 1,
            ..Limits::default()
        });
        assert_eq!(state.readiness(), Ok(()));
        let permit = state.admit("192.0.2.1:1".parse().unwrap()).unwrap();
        assert_eq!(state.readiness(), Err(NotReady::Full));
        drop(permit);
        assert_eq!(state.readiness(), Ok(()));
        state.drain();
        assert_eq!(state.readiness(), Err(NotReady::Draining));
    }
}
