//! Where an address can be reached, by its range.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of network that an address belongs to (RFC 6890 and the IANA special-purpose
/// registries).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// This host only.
    Loopback,
    /// A private network (RFC 1918, RFC 4193) or a single link.
    Private,
    /// A provider's shared address (RFC 6598, carrier-grade NAT).
    Shared,
    /// Not a unicast address, or reserved for tests.
    Special,
    /// The internet, documentation ranges included: examples then read like real addresses.
    Global,
}

impl Range {
    /// The range of a normalised address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        match ip.octets() {
            _ if ip.is_loopback() => Self::Loopback,
            _ if ip.is_private() || ip.is_link_local() => Self::Private,
            [100, 64..128, ..] => Self::Shared,
            // "This network", IETF protocol assignments, benchmarking (RFC 2544), multicast and
            // what is reserved above it.
            [0 | 224.., ..] | [192, 0, 0, _] | [198, 18..=19, ..] => Self::Special,
            _ => Self::Global,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        if ip.is_loopback() {
            Self::Loopback
        } else if ip.is_unique_local() || ip.is_unicast_link_local() {
            Self::Private
        } else if ip.is_unspecified() || ip.is_multicast() {
            Self::Special
        } else {
            Self::Global
        }
    }
}

/// Whether an address's range is routed on the public internet.
pub(super) fn is_global(ip: IpAddr) -> bool {
    Range::of(ip) == Range::Global
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_the_registries_say() {
        for (ip, range) in [
            ("127.0.0.1", Range::Loopback),
            ("127.255.255.254", Range::Loopback),
            ("::1", Range::Loopback),
            ("100.63.255.255", Range::Global),
            ("100.64.0.0", Range::Shared),
            ("100.127.255.255", Range::Shared),
            ("100.128.0.0", Range::Global),
            ("172.31.0.1", Range::Private),
            ("172.32.0.1", Range::Global),
            ("169.254.1.1", Range::Private),
            ("198.17.255.255", Range::Global),
            ("198.18.0.0", Range::Special),
            ("198.20.0.0", Range::Global),
            ("192.0.0.1", Range::Special),
            ("192.0.2.1", Range::Global),
            ("0.1.2.3", Range::Special),
            ("224.0.0.1", Range::Special),
            ("255.255.255.255", Range::Special),
            ("fd00::1", Range::Private),
            ("fe80::1", Range::Private),
            ("ff02::1", Range::Special),
            ("::", Range::Special),
            ("2001:db8::1", Range::Global),
        ] {
            assert_eq!(Range::of(ip.parse().unwrap()), range, "{ip}");
        }
    }
}
