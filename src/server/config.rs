//! What a server is to do, and why it cannot.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::accounts::Accounts;
use super::ticket::TicketKey;
use crate::address::Address;
use crate::msnp::passport::NexusForm;

/// All there is to choose. The default is a whole server on loopback, on ports the system picks,
/// open to every account.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the notification server listens. A v6 address takes v6 connections only.
    pub listen: Vec<SocketAddr>,
    /// Where the dispatch server listens, which refers everybody to the notification server.
    pub dispatch_listen: Vec<SocketAddr>,
    /// Where Passport (nexus and login page) listens, over TLS.
    pub passport_listen: Vec<SocketAddr>,
    /// Where the HTTP gateway listens, without TLS as it always was.
    pub gateway_listen: Vec<SocketAddr>,
    /// What the dispatch server names as the notification server; by default the listening
    /// address that fits how the client came.
    pub advertise: Option<Address>,
    /// What the nexus names as the login server; by default what the client's `Host` says, or
    /// the address it came to.
    pub passport_host: Option<Address>,
    /// What the gateway names in `GW-IP`; by default what the client's `Host` says, or the
    /// address it came to.
    pub gateway_host: Option<Address>,
    /// The form of `PassportURLs` at `/rdr/pprdr.asp`; `/nexus-mock` always has Escargot's.
    pub nexus_form: NexusForm,
    /// Answers each login first with a redirect to another page of this server, as Microsoft's
    /// did now and then.
    pub login_redirect: bool,
    /// Who may sign in.
    pub accounts: Accounts,
    /// The key that signs tickets; by default a new one for each server. Servers behind one
    /// name need the same one.
    pub ticket_key: Option<TicketKey>,
    /// How long a ticket may be used, whole seconds; none can be used at zero.
    pub ticket_lifetime: Duration,
    /// The certificate Passport shows.
    pub certificate: CertificateSource,
    /// When the profile is sent.
    pub profile: ProfilePolicy,
    /// How the profile gives the client's port.
    pub client_port: PortField,
    /// What the profile gives as the port of a client that comes through the gateway.
    pub gateway_port: GatewayPort,
    /// Whether a gateway session keeps its id, as with Escargot, or gets a new one with each
    /// answer, as with Microsoft.
    pub gateway_keeps_id: bool,
    /// Whether clients up to MSNP10 are challenged after their first `CHG`.
    pub challenge: bool,
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
            advertise: None,
            passport_host: None,
            gateway_host: None,
            nexus_form: NexusForm::default(),
            login_redirect: false,
            accounts: Accounts::Open,
            ticket_key: None,
            ticket_lifetime: Duration::from_secs(60),
            certificate: CertificateSource::default(),
            profile: ProfilePolicy::default(),
            client_port: PortField::default(),
            gateway_port: GatewayPort::default(),
            gateway_keeps_id: false,
            challenge: true,
            limits: Limits::default(),
        }
    }
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// A certificate authority made at start, and a certificate by it for `localhost`, the
    /// loopback addresses, every address listened on, and these names.
    Generated {
        /// More host names or IP addresses.
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

/// When the profile is sent. Microsoft's servers sent it with the `USR … OK`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProfilePolicy {
    /// Right after `USR … OK`.
    #[default]
    AfterOk,
    /// After the answer to the first `SYN`.
    AfterSyn,
    /// Never, as Escargot did to MSNP8 to 12 until December 2018.
    Never,
}

/// How the profile gives the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortField {
    /// With its two bytes exchanged, as Microsoft's servers printed it.
    #[default]
    Swapped,
    /// As it is, as revival servers print it.
    Plain,
    /// Not at all: the field is left out.
    Absent,
}

/// The port in the profile of a client that comes through the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GatewayPort {
    /// 0, as Microsoft's servers said.
    #[default]
    Zero,
    /// The port of the HTTP connection that carried the ticket, as Escargot says.
    Peer,
}

/// Resource limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections and gateway sessions in all, at least 1.
    pub max_connections: usize,
    /// Connections and gateway sessions of one address (one /64 network of IPv6), at least 1.
    pub max_per_address: usize,
    /// Refused logins of one account from one address in a minute; more are not even looked at. Ten
    /// times as many are the limit for one address, and for one account.
    pub max_failures: u32,
    /// How long a client that has signed in may be silent.
    pub idle_timeout: Duration,
    /// How long a client may take to sign in.
    pub login_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_per_address: 256,
            // A person does not mistype more often; a guesser gets nowhere.
            max_failures: 10,
            // Clients of the time ping every 40 to 60 seconds.
            idle_timeout: Duration::from_secs(120),
            // Three round trips and a login page, over the slowest line.
            login_timeout: Duration::from_secs(30),
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The settings contradict each other.
    #[error("{0}")]
    Settings(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({what}): {why}")]
    Listen {
        /// What was to listen there.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        why: io::Error,
        /// What may help.
        remedy: &'static str,
    },
    /// The certificate or its key cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl ServerError {
    /// Whether the settings are to blame, not the system.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Settings(_) | Self::Certificate(_))
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Settings(_) => "usage",
            Self::Listen { .. } => "cannot-listen",
            Self::Certificate(_) => "certificate",
            Self::NoRandomness => "no-randomness",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Listen { remedy, .. } => remedy,
            _ => "see the message",
        }
    }

    pub(super) fn listen(what: &'static str, address: SocketAddr, why: io::Error) -> Self {
        let remedy = match why.kind() {
            io::ErrorKind::AddrInUse => {
                "stop the program that has this port, or choose another (port 0 picks a free one)"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a privilege, choose a higher one"
            }
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
            _ => "check the address and the port",
        };
        Self::Listen {
            what,
            address,
            why,
            remedy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_stays_on_loopback() {
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
    fn an_address_in_use_is_named_with_its_remedy() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1863));
        let error = ServerError::listen("notification", address, io::ErrorKind::AddrInUse.into());
        let text = error.to_string();
        assert!(text.contains("127.0.0.1:1863 (notification)"), "{text}");
        assert!(error.remedy().contains("choose another"));
        assert!(!error.is_usage());
    }
}
