//! How connections leave this host.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;

use super::Proxies;

/// What every connection of a run has in common.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// The local end of the connection that carries the login.
    pub bind: Bind,
    /// The family of addresses to use.
    pub family: Family,
    /// The proxies that connections go through.
    pub proxies: Proxies,
    /// Certificates trusted besides the public roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// The local end of the connection that carries the login.
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
