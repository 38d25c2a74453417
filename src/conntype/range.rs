//! Where an address can be reached, by its range.

use std::net::IpAddr;

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
            _ if ip.is_loopback() => Self::Loopback,
            _ if ip.is_multicast() => Self::Special,
            IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() => Self::Private,
            IpAddr::V4(v4) => match v4.octets() {
                [100, 64..128, ..] => Self::Shared,
                // "This network", IETF protocol assignments, benchmarking (RFC 2544), and what is
                // reserved above multicast.
                [0 | 240.., ..] | [192, 0, 0, _] | [198, 18..=19, ..] => Self::Special,
                _ => Self::Global,
            },
            IpAddr::V6(v6) if v6.is_unique_local() || v6.is_unicast_link_local() => Self::Private,
            IpAddr::V6(v6) if v6.is_unspecified() => Self::Special,
            IpAddr::V6(_) => Self::Global,
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
