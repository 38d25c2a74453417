//! Proxies and other services inside a host: real ones, and stand-ins that misbehave.
//!
//! | function | what it is | Debian package |
//! |---|---|---|
//! | [`microsocks`] | SOCKS5, with or without a password | `microsocks` |
//! | [`dante`] | SOCKS4 and SOCKS5, no password | `dante-server` |
//! | [`tinyproxy`] | HTTP CONNECT to any port, with or without a password | `tinyproxy` |
//! | [`haproxy`] | a balancer before several servers | `haproxy` |
//! | [`coturn`] | a STUN server at two addresses (RFC 5780) | `coturn` |
//! | [`miniupnpd`] | UPnP IGD, NAT-PMP and PCP of a router | `miniupnpd-nftables` |
//! | [`relay`] | a TCP relay, fixed or transparent | |
//! | [`socks4a`] | SOCKS4a, which none of these knows | |
//! | [`answers`], [`hangs`], [`hangs_up`], [`refuses`], [`speaks`] | stand-ins that misbehave | |

use super::{Error, Host, Process, Service, needs_program, wait_for_port};

mod real;
mod stand_in;

#[allow(unused_imports, reason = "each test binary names only some of these")]
pub use self::{
    real::{Login, Proxy, coturn, dante, haproxy, microsocks, miniupnpd, tinyproxy},
    stand_in::{StandIn, answers, hangs, hangs_up, refuses, relay, socks4a, speaks},
};

/// Says in one line which proxy program is missing, or that all are there.
///
/// # Errors
///
/// One line with the program and the Debian package that has it.
pub fn requirements() -> Result<(), String> {
    needs_program("microsocks", "microsocks")?;
    needs_program("danted", "dante-server")?;
    needs_program("tinyproxy", "tinyproxy")
}
