//! What sessions and login pages decide by, and what they decide about.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::accounts::Accounts;
use super::config::{GatewayPort, PortField, ProfilePolicy};
use super::limits::Failures;
use super::ticket::TicketKey;
use crate::conntype::{normalise, swap_port};
use crate::msnp::passport::NexusForm;

/// The settings that decide what is answered; no socket, no clock.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) accounts: Accounts,
    pub(super) tickets: TicketKey,
    pub(super) ticket_lifetime: Duration,
    pub(super) nexus_form: NexusForm,
    pub(super) login_redirect: bool,
    pub(super) profile: ProfilePolicy,
    pub(super) client_port: PortField,
    pub(super) gateway_port: GatewayPort,
    pub(super) challenge: bool,
    pub(super) failures: Failures,
}

/// When something is asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Unix time, seconds.
    pub(super) now: u64,
    /// The client's end of the connection that brought it.
    pub(super) peer: SocketAddr,
    /// The same time by a clock that never goes back.
    pub(super) clock: Instant,
}

impl Moment {
    /// The client's address: IPv4 as IPv4, whatever socket it came by; without a zone id.
    pub(super) const fn ip(&self) -> IpAddr {
        normalise(self.peer.ip())
    }
}

impl Desk {
    /// What the profile prints as the port; `None` leaves the field out.
    pub(super) const fn port_field(&self, peer: SocketAddr, by_gateway: bool) -> Option<u16> {
        let port = match (by_gateway, self.gateway_port) {
            (true, GatewayPort::Zero) => 0,
            _ => peer.port(),
        };
        match self.client_port {
            PortField::Swapped => Some(swap_port(port)),
            PortField::Plain => Some(port),
            PortField::Absent => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::server::config::Limits;

    /// Unix time at which tests take place.
    pub(in crate::server) const NOW: u64 = 1_700_000_000;

    pub(in crate::server) fn desk() -> Desk {
        Desk {
            accounts: Accounts::Open,
            tickets: TicketKey::new(&[7; 32]).unwrap(),
            ticket_lifetime: Duration::from_secs(60),
            nexus_form: NexusForm::Classic,
            login_redirect: false,
            profile: ProfilePolicy::AfterOk,
            client_port: PortField::Swapped,
            gateway_port: GatewayPort::Zero,
            challenge: true,
            failures: Failures::new(&Limits {
                max_failures: 1,
                ..Limits::default()
            }),
        }
    }

    pub(in crate::server) fn moment() -> Moment {
        Moment {
            now: NOW,
            peer: "203.0.113.7:1033".parse().unwrap(),
            clock: Instant::now(),
        }
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let mapped = Moment {
            peer: "[::ffff:203.0.113.7]:1".parse().unwrap(),
            ..moment()
        };
        assert_eq!(mapped.ip().to_string(), "203.0.113.7");
    }

    #[test]
    fn the_port_is_printed_as_chosen() {
        let peer = moment().peer;
        let field = |client_port, gateway_port, by_gateway| {
            Desk {
                client_port,
                gateway_port,
                ..desk()
            }
            .port_field(peer, by_gateway)
        };
        use GatewayPort::{Peer, Zero};
        use PortField::{Absent, Plain, Swapped};
        assert_eq!(field(Swapped, Zero, false), Some(2308));
        assert_eq!(field(Plain, Zero, false), Some(1033));
        assert_eq!(field(Absent, Zero, false), None);
        assert_eq!(field(Swapped, Zero, true), Some(0));
        assert_eq!(field(Swapped, Peer, true), Some(2308));
        assert_eq!(field(Plain, Peer, true), Some(1033));
    }
}
