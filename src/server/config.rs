//! The configuration of a server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;

use super::accounts::Accounts;
use super::ticket::TicketKeys;
use crate::address::Address;
use crate::conntype::{normalise, swap_port};
use crate::msnp::passport::NexusForm;

/// The configuration of a server. By default the services for logins listen on loopback, on ports
/// that the system picks, and accept every account.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of the notification server. An IPv6 address accepts IPv6 connections only.
    pub listen: Vec<SocketAddr>,
    /// Addresses of the dispatch server, which refers all clients to the notification server.
    pub dispatch_listen: Vec<SocketAddr>,
    /// Addresses of Passport (nexus and login page), over TLS.
    pub passport_listen: Vec<SocketAddr>,
    /// Addresses of the HTTP gateway, without TLS as on Microsoft's servers.
    pub gateway_listen: Vec<SocketAddr>,
    /// Two addresses of this machine that answer UDP echo.
    pub udp_echo: Option<[SocketAddrV4; 2]>,
    /// Addresses of the service that calls clients back, without accounts.
    pub call_back: Vec<SocketAddr>,
    /// Addresses of the metrics, over HTTP. Whoever reaches them can read how much the server is used.
    pub metrics_listen: Vec<SocketAddr>,
    /// The notification server that the dispatch server refers to; by default the listening
    /// address that the client can reach the same way.
    pub advertise: Option<Address>,
    /// The login server that the nexus names; by default the client's `Host`, or the address it
    /// connected to.
    pub passport_host: Option<Address>,
    /// The form of `PassportURLs` at `/rdr/pprdr.asp`; `/nexus-mock` always has Escargot's.
    pub nexus_form: NexusForm,
    /// The accounts that may sign in.
    pub accounts: Accounts,
    /// The keys of tickets; by default a random one. Servers behind one name share them.
    pub ticket_keys: Option<TicketKeys>,
    /// The balancers: connections from these networks begin with a header of the PROXY protocol,
    /// which names the client; connections from others must not.
    pub proxy_protocol_from: Vec<IpNet>,
    /// The certificate of Passport.
    pub certificate: CertificateSource,
    /// The form of `ClientPort` in the profile.
    pub client_port: PortField,
    /// The port that the profile reports for a client of the gateway.
    pub gateway_port: GatewayPort,
    /// How long the server goes on serving after it was asked to stop, so that a balancer sends its
    /// clients elsewhere and logins are finished.
    pub drain_time: Duration,
    /// Resource limits.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        Self {
            listen: loopback.clone(),
            dispatch_listen: loopback.clone(),
            passport_listen: loopback.clone(),
            gateway_listen: loopback,
            udp_echo: None,
            call_back: Vec::new(),
            metrics_listen: Vec::new(),
            advertise: None,
            passport_host: None,
            nexus_form: NexusForm::default(),
            accounts: Accounts::Open,
            ticket_keys: None,
            proxy_protocol_from: Vec::new(),
            certificate: CertificateSource::default(),
            client_port: PortField::default(),
            gateway_port: GatewayPort::default(),
            drain_time: Duration::ZERO,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Whether connections from this address are a balancer's.
    pub(super) fn is_balancer(&self, ip: IpAddr) -> bool {
        let ip = normalise(ip);
        self.proxy_protocol_from.iter().any(|net| net.contains(&ip))
    }

    /// The `ClientPort` of a client whose connection comes from `port`; `None` omits the field.
    pub(super) const fn port_field(&self, port: u16, via_gateway: bool) -> Option<u16> {
        let port = match self.gateway_port {
            GatewayPort::Zero if via_gateway => 0,
            _ => port,
        };
        match self.client_port {
            PortField::Swapped => Some(swap_port(port)),
            PortField::Plain => Some(port),
            PortField::Absent => None,
        }
    }
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// Generated at start, signed by a new certificate authority: for `localhost`, the loopback
    /// addresses, every listening address, and these names.
    Generated {
        /// Additional host names or IP addresses.
        names: Vec<String>,
    },
    /// PEM files.
    Files {
        /// The certificate and its chain.
        chain: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

impl Default for CertificateSource {
    fn default() -> Self {
        Self::Generated { names: Vec::new() }
    }
}

/// The form of `ClientPort` in the profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PortField {
    /// With its two bytes exchanged, as on Microsoft's servers
    #[default]
    Swapped,
    /// The port itself, as on revival servers
    Plain,
    /// No such field.
    #[value(skip)]
    Absent,
}

/// The port that the profile reports for a client of the HTTP gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GatewayPort {
    /// 0, as on Microsoft's servers
    #[default]
    Zero,
    /// The port of the HTTP connection that carried the ticket, as on Escargot
    Peer,
}

/// Resource limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections and gateway sessions in total, at least 1.
    pub max_connections: usize,
    /// Connections and gateway sessions per address (per /64 network of IPv6), at least 1.
    pub max_per_address: usize,
    /// Failed logins per minute of one account from one address, before logins are rejected without
    /// checking the password. The limit per address and per account is ten times as high.
    pub max_failures: u32,
    /// How long a client that is signed in may be silent before the server checks it.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_per_address: 256,
            // Enough for typing errors, too few for guessing.
            max_failures: 10,
            // Clients of the time ping every 40 to 60 seconds.
            idle_timeout: Duration::from_secs(120),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_listens_on_loopback_only() {
        let config = Config::default();
        for list in [
            config.listen,
            config.dispatch_listen,
            config.passport_listen,
            config.gateway_listen,
        ] {
            assert!(list.iter().all(|address| address.ip().is_loopback()));
        }
    }

    #[test]
    fn the_port_field_has_the_configured_form() {
        let field = |client_port, gateway_port, via_gateway| {
            let config = Config {
                client_port,
                gateway_port,
                ..Config::default()
            };
            config.port_field(1033, via_gateway)
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
