//! What is to be done: checked settings, ready to be carried out.

use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::{Proxies, Url};
use crate::address::Address;
use crate::conntype::PortOrder;
use crate::msnp::{Account, Dialect};
use crate::secret::SecretString;

/// One login, as it is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The notification or dispatch server.
    pub server: Address,
    /// Who logs in.
    pub account: Account,
    /// The password.
    pub password: SecretString,
    /// Where the ticket comes from.
    pub passport: Passport,
    /// Whether the login server is known to decode the account: a refusal is about the password.
    pub decodes_sign_in: bool,
    /// The hosts that may get the credentials: the server, and what options or a preset name.
    pub credential_hosts: Vec<String>,
    /// What to offer, best first; empty leaves it to the login.
    pub dialects: Vec<Dialect>,
    /// One command at a time.
    pub lockstep: bool,
    /// The byte order of `ClientPort` that is believed.
    pub order: PortOrder,
    /// The local end to use.
    pub bind: Bind,
    /// The family of addresses to use.
    pub family: Family,
    /// The proxies that connections go through.
    pub proxies: Proxies,
    /// The HTTP gateway to go through, where the server is not reached by TCP.
    pub gateway: Option<Url>,
    /// Certificates trusted besides the public roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Whether the password may travel in the clear.
    pub insecure_http: bool,
    /// The whole run's time.
    pub timeout: Duration,
}

/// Where the ticket comes from.
#[derive(Clone, Debug)]
pub enum Passport {
    /// From the login server that this nexus names.
    Nexus(Url),
    /// From this login page.
    Login(Url),
}

/// The local end of the notification connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// The address; `None` leaves it to the system. Passport requests leave from it too.
    pub ip: Option<IpAddr>,
    /// The port; 0 leaves it to the system.
    pub port: u16,
    /// Whether another socket is to use the same port later, toward another server.
    pub share: bool,
}

/// The family of addresses to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Whichever answers first (RFC 8305).
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// Whether an address is of this family.
    #[must_use]
    pub const fn has(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    /// SOCKS5, names looked up here.
    Socks5,
    /// SOCKS5, names looked up by the proxy.
    Socks5h,
    /// SOCKS4, names looked up here.
    Socks4,
    /// SOCKS4a, names looked up by the proxy.
    Socks4a,
    /// HTTP CONNECT.
    Http,
}

/// The proxy to go through.
#[derive(Clone, Debug)]
pub struct ProxyPlan {
    /// How to speak to it.
    pub scheme: ProxyScheme,
    /// Where it is.
    pub address: Address,
    /// User and password, where it wants them.
    pub credentials: Option<(String, SecretString)>,
}
