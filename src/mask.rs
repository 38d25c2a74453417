//! Values in place of addresses, ports, host names and accounts, so that a report can be shown to
//! strangers.
//!
//! The same value has the same mask everywhere, and two values have two. What a verdict and its
//! explanation depend on is kept: the range of an address, and which ports are one another with
//! their bytes exchanged. Masks are handed out in order, so they say nothing of the value.

mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::address::Address;
use crate::conntype::swap_port;

/// Ports that tell nothing of anybody, since protocols and proxies have them everywhere: HTTP,
/// HTTPS, SOCKS, MSNP, Squid, the network detection of old clients, HTTP proxies. They stay, and so do
/// these ports with their bytes exchanged.
pub const KEPT_PORTS: [u16; 7] = [80, 443, 1080, 1863, 3128, 7001, 8080];

/// The ranges of IPv4 whose addresses get a mask of the same range, with their prefix lengths.
const RANGES: [([u8; 4], u32); 11] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// What internet addresses become: the ranges for documentation (RFC 5737).
const DOCUMENTATION: [[u8; 4]; 3] = [[203, 0, 113, 0], [198, 51, 100, 0], [192, 0, 2, 0]];

/// The same ranges of IPv6: the first segment as mask and value, and what the masks begin with
/// (RFC 3849 for internet addresses, which are the last).
const RANGES_V6: [(u16, u16, [u16; 2]); 4] = [
    (0xfe00, 0xfc00, [0xfd00, 0]),
    (0xffc0, 0xfe80, [0xfe80, 0]),
    (0xff00, 0xff00, [0xff0e, 0]),
    (0, 0, [0x2001, 0xdb8]),
];

/// Where an IPv6 address that holds an IPv4 address begins: mapped ones, and those of a
/// translator (RFC 6052).
const HOLD_V4: [[u16; 6]; 2] = [[0, 0, 0, 0, 0, 0xffff], [0x64, 0xff9b, 0, 0, 0, 0]];

/// Above the ports that Linux gives out, so that a mask does not look like one of those.
const FIRST_PORT: u16 = 61001;

/// Shorter names of hosts, and parts of an account before its `@`, are words like any other.
const SHORT: usize = 3;

/// More of them would slow a watch of a server that names another host each time; they are then
/// known by their looks alone.
const MOST_FORMS: usize = 200;

/// Hands out masks and remembers them.
#[derive(Debug, Default)]
pub struct Mask {
    v4: BTreeMap<Ipv4Addr, Ipv4Addr>,
    v6: BTreeMap<Ipv6Addr, Ipv6Addr>,
    /// How many masks each range has given; IPv4's, the internet, then IPv6's.
    given: [u32; RANGES.len() + 1 + RANGES_V6.len()],
    ports: BTreeMap<u16, u16>,
    taken_ports: BTreeSet<u16>,
    /// By their names in lower case.
    names: BTreeMap<String, usize>,
    accounts: BTreeMap<String, usize>,
    /// What is replaced wherever it stands, in lower case, with its mask: accounts as they are
    /// sent, and hosts. The longest is first, since it may contain others.
    forms: Vec<(String, String)>,
}

impl Mask {
    /// The mask of an address.
    pub fn ip(&mut self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => self.v4(ip).into(),
            IpAddr::V6(ip) => self.v6(ip).into(),
        }
    }

    fn v4(&mut self, ip: Ipv4Addr) -> Ipv4Addr {
        if is_kept(ip) {
            return ip;
        }
        if let Some(mask) = self.v4.get(&ip) {
            return *mask;
        }
        let range = RANGES.iter().position(|(base, length)| {
            let bits = u32::MAX << (32 - length);
            u32::from(ip) & bits == u32::from_be_bytes(*base)
        });
        let mask = loop {
            let number = self.next(range.unwrap_or(RANGES.len()));
            let mask = match range.map(|range| RANGES[range]) {
                // All of them are enough for all of them.
                Some((base, length)) => u32::from_be_bytes(base) | (number & (u32::MAX >> length)),
                None => documentation(number),
            };
            if !is_kept(mask.into()) {
                break mask.into();
            }
        };
        self.v4.insert(ip, mask);
        mask
    }

    fn v6(&mut self, ip: Ipv6Addr) -> Ipv6Addr {
        if ip.is_unspecified() || ip.is_loopback() {
            return ip;
        }
        let [a, b, c, d, e, f, g, h] = ip.segments();
        if HOLD_V4.contains(&[a, b, c, d, e, f]) {
            let [g, h] = [g, h].map(u32::from);
            let held = u32::from(self.v4((g << 16 | h).into()));
            return (u128::from(ip) >> 32 << 32 | u128::from(held)).into();
        }
        if let Some(mask) = self.v6.get(&ip) {
            return *mask;
        }
        let of = |(bits, value, _): &(u16, u16, [u16; 2])| a & bits == *value;
        let range = RANGES_V6.iter().position(of).unwrap_or_default();
        let number = self.next(RANGES.len() + 1 + range);
        let [a, b] = RANGES_V6[range].2;
        let [g, h] = [number >> 16, number & 0xffff].map(|part| part as u16);
        let mask = Ipv6Addr::new(a, b, 0, 0, 0, 0, g, h);
        self.v6.insert(ip, mask);
        mask
    }

    /// The next number of a range, from 1.
    fn next(&mut self, range: usize) -> u32 {
        self.given[range] = self.given[range].saturating_add(1);
        self.given[range]
    }

    /// The mask of a port: that of a port with its bytes exchanged is the mask with its bytes
    /// exchanged, and a port whose bytes are equal gets one of that kind. 0, which is no port,
    /// stays.
    pub fn port(&mut self, port: u16) -> u16 {
        let is_kept = |port| KEPT_PORTS.contains(&port) || KEPT_PORTS.contains(&swap_port(port));
        if port == 0 || is_kept(port) {
            return port;
        }
        if let Some(mask) = self.ports.get(&port) {
            return *mask;
        }
        let is_even = |port| port == swap_port(port);
        let mut all = (FIRST_PORT..=u16::MAX).chain(1..FIRST_PORT);
        let free = all.find(|mask| {
            is_even(*mask) == is_even(port) && !is_kept(*mask) && !self.taken_ports.contains(mask)
        });
        // There are as many masks as ports.
        let mask = free.unwrap_or(port);
        for (port, mask) in [(port, mask), (swap_port(port), swap_port(mask))] {
            self.ports.insert(port, mask);
            self.taken_ports.insert(mask);
        }
        mask
    }

    /// The masks of an address and a port.
    pub fn socket(&mut self, end: SocketAddr) -> SocketAddr {
        (self.ip(end.ip()), self.port(end.port())).into()
    }

    /// The mask of a host, by name or by address, and a port.
    pub fn address(&mut self, at: &Address) -> Address {
        Address {
            host: self.host(&at.host),
            port: self.port(at.port),
        }
    }

    /// The mask of a host name, an address, or an address with a zone, which may identify the
    /// interface. From now on [`Self::text`] replaces the name wherever it stands.
    pub fn host(&mut self, host: &str) -> String {
        let (ip, zone) = match host.split_once('%') {
            Some((ip, _)) => (ip, "%zone"),
            None => (host, ""),
        };
        match ip.parse() {
            Ok(ip) => format!("{}{zone}", self.ip(ip)),
            Err(_) => {
                let mask = self.name(host);
                if key(host) != "localhost" && host.len() >= SHORT {
                    self.add_form(key(host), mask.clone());
                }
                mask
            }
        }
    }

    /// The mask of a host name. `localhost` stays.
    fn name(&mut self, name: &str) -> String {
        let key = key(name);
        if key == "localhost" {
            return key;
        }
        let next = self.names.len() + 1;
        let number = self.names.entry(key).or_insert(next);
        format!("host{number}.example")
    }

    /// The mask of an account. From now on [`Self::text`] replaces it in the forms in which it is
    /// sent, and what is before its `@`.
    pub fn account(&mut self, account: &str) -> String {
        let next = self.accounts.len() + 1;
        let number = *self.accounts.entry(account.to_lowercase()).or_insert(next);
        let user = format!("user{number}");
        let (local, mask) = match account.rsplit_once('@') {
            Some((local, host)) => (local, format!("{user}@{}", self.host(host))),
            None => (account, user.clone()),
        };
        let encoded = utf8_percent_encode(account, NON_ALPHANUMERIC).to_string();
        for form in [account, &encoded, &account.replace('@', "%40")] {
            self.add_form(form.to_lowercase(), mask.clone());
        }
        if local.len() >= SHORT {
            self.add_form(local.to_lowercase(), user);
        }
        mask
    }

    fn add_form(&mut self, form: String, mask: String) {
        if self.forms.len() < MOST_FORMS && !self.forms.iter().any(|(known, _)| *known == form) {
            self.forms.push((form, mask));
            let length = |(form, _): &(String, String)| std::cmp::Reverse(form.len());
            self.forms.sort_by_key(length);
        }
    }
}

/// Addresses that are the same for everybody.
fn is_kept(ip: Ipv4Addr) -> bool {
    ip.is_unspecified() || ip.is_broadcast() || ip == Ipv4Addr::LOCALHOST
}

/// The mask of an internet address by its number. After the 762nd they are all the same.
fn documentation(number: u32) -> u32 {
    let (range, host) = ((number - 1) / 254, (number - 1) % 254 + 1);
    match DOCUMENTATION.get(range as usize) {
        Some(base) => u32::from_be_bytes(*base) | host,
        None => u32::from_be_bytes(DOCUMENTATION[2]) | 255,
    }
}

/// A host name as it is compared.
fn key(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// The mask of this process, where it has one.
static INSTALLED: Mutex<Option<Mask>> = Mutex::new(None);

/// From now on, [`with`] and [`text`] mask.
pub fn install() {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    installed.get_or_insert_default();
}

/// Uses the mask of this process; `None` where none is installed.
pub fn with<T>(work: impl FnOnce(&mut Mask) -> T) -> Option<T> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    installed.as_mut().map(work)
}

/// A text with the mask of this process; as it is where none is installed.
#[must_use]
pub fn text(text: &str) -> std::borrow::Cow<'_, str> {
    with(|mask| mask.text(text)).map_or_else(|| text.into(), Into::into)
}

#[cfg(test)]
mod tests;
