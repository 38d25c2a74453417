//! Limits on the number of connections.

use std::collections::hash_map::{Entry, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use super::config::Limits;
use super::sync::lock;
use crate::conntype::normalise;

/// How many refused connections are closed gracefully at one time, over all listeners, so that
/// unread input does not reset them before the refusal is read.
pub(crate) const MAX_CLOSING_REFUSED: usize = 64;

/// How many connections from balancers may be without a header at one time, over all listeners:
/// their clients are not known yet, so no other limit applies to them.
pub(crate) const MAX_ARRIVING: usize = 1024;

/// Admits connections and counts those that are open.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    max: usize,
    max_per_address: usize,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    total: usize,
    /// Networks with open connections only, so never more entries than connections.
    by_network: HashMap<ClientNetwork, usize>,
}

/// The limit that a connection would have exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LimitReached {
    /// Connections in total.
    #[error("the server is full")]
    Total,
    /// Connections per address.
    #[error("too many connections from this address")]
    PerAddress,
}

/// One admitted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limiter: Arc<ConnectionLimiter>,
    network: ClientNetwork,
}

impl ConnectionLimiter {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            max: limits.max_connections.max(1),
            max_per_address: limits.max_per_address.max(1),
            open: Mutex::default(),
        })
    }

    /// Whether there are as many connections as it admits.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.open).total >= self.max
    }

    /// Admits one more connection from `ip`.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, LimitReached> {
        let network = ClientNetwork::of(ip);
        let mut open = lock(&self.open);
        if open.total >= self.max {
            return Err(LimitReached::Total);
        }
        let count = open.by_network.entry(network).or_default();
        if *count >= self.max_per_address {
            return Err(LimitReached::PerAddress);
        }
        *count += 1;
        open.total += 1;
        Ok(Permit {
            limiter: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = lock(&self.limiter.open);
        open.total -= 1;
        if let Entry::Occupied(mut count) = open.by_network.entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What counts as one client address: an IPv4 address, or the /64 network of an IPv6 customer. The bits
/// of an IPv6 address; IPv4 is mapped, so that the two never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientNetwork(u128);

impl ClientNetwork {
    pub(super) fn of(ip: IpAddr) -> Self {
        Self(match normalise(ip) {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) if ip.is_loopback() => ip.to_bits(),
            IpAddr::V6(ip) => ip.to_bits() & !u128::from(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limiter(max_connections: usize, max_per_address: usize) -> Arc<ConnectionLimiter> {
        ConnectionLimiter::new(&Limits {
            max_connections,
            max_per_address,
            ..Limits::default()
        })
    }

    #[test]
    fn connections_are_limited_per_address_and_in_total() {
        let limiter = limiter(3, 2);
        let one = limiter.admit(ip("192.0.2.1")).unwrap();
        let _two = limiter.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(
            limiter.admit(ip("192.0.2.1")).err(),
            Some(LimitReached::PerAddress)
        );
        let three = limiter.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(
            limiter.admit(ip("192.0.2.3")).err(),
            Some(LimitReached::Total)
        );
        drop(one);
        assert!(limiter.admit(ip("192.0.2.1")).is_ok());
        drop(three);
        assert_eq!(lock(&limiter.open).by_network.len(), 1);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let limiter = limiter(9, 1);
        let _one = limiter.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(
            limiter.admit(ip("2001:db8::2")).err(),
            Some(LimitReached::PerAddress)
        );
        assert!(limiter.admit(ip("2001:db8:0:1::1")).is_ok());
        assert!(limiter.admit(ip("::1")).is_ok());
    }

    #[test]
    fn a_limit_of_zero_admits_one_connection() {
        assert!(limiter(0, 0).admit(ip("192.0.2.1")).is_ok());
    }
}
