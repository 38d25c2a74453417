//! A NAT that maps and filters UDP in exactly the terms of RFC 4787.
//!
//! Connection tracking is not asked: it allows one flow between two ends, so where the outside port
//! depends on the destination it renumbers what comes from there to another outside port. Here each
//! packet is rewritten by itself, and a set of those that were sent to is the filter. As in the RFC, the
//! filter belongs to the inside end, not to the mapping. TCP goes through connection tracking.

use support::lab::topology::{self, Port};
use support::lab::{Error, Topology};

/// What the outside port depends on (RFC 4787, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maps {
    Alike,
    ByAddress,
    ByAddressAndPort,
}

/// Who may send to the outside end (RFC 4787, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LetsIn {
    Everybody,
    /// Addresses that the inside end has sent to.
    Addresses,
    /// Addresses and ports that it has sent to.
    AddressesAndPorts,
}

/// A NAT, yet to be built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExactNat {
    pub(crate) maps: Maps,
    pub(crate) lets_in: LetsIn,
    /// Whether packets from inside to an outside end go back in, with the outside end of their sender
    /// (RFC 4787, section 6).
    pub(crate) hairpins: bool,
}

/// The destinations, and the bits of the inside port that are exchanged toward them. Each leaves
/// [`topology::INSIDE_PORTS`] in another block of ports, which tells the bits of a port from outside.
type Bits = &'static [(&'static str, &'static str)];

impl ExactNat {
    /// The network with this NAT on its router.
    pub(crate) fn build(self) -> Result<Topology, Error> {
        let tcp = |(to, bits): &(&str, &str)| {
            let to = to.replace("th dport", "tcp dport");
            format!("meta l4proto tcp {to} snat to {OUTSIDE} : tcp sport ^ {bits}\n")
        };
        let rules: String = self.bits().iter().map(tcp).collect();
        let port = match self.maps {
            Maps::Alike => Port::ChangedAlike,
            Maps::ByAddress | Maps::ByAddressAndPort => Port::ChangedPerServer,
        };
        let net = topology::behind_nat("exact", "RFC 4787", rules.trim(), port)?;
        net.routers[0].nft(&self.table(&net.links[1].a.1))?;
        Ok(net)
    }

    const fn bits(self) -> Bits {
        match self.maps {
            Maps::Alike => &[("", "0x4000")],
            Maps::ByAddress => &[
                ("ip daddr 203.0.113.80", "0x4000"),
                ("ip daddr != 203.0.113.80", "0x2000"),
            ],
            Maps::ByAddressAndPort => &[
                ("ip daddr 203.0.113.80 th dport & 1 == 0", "0x4000"),
                ("ip daddr 203.0.113.80 th dport & 1 == 1", "0x2000"),
                ("ip daddr != 203.0.113.80 th dport & 1 == 0", "0x6000"),
                ("ip daddr != 203.0.113.80 th dport & 1 == 1", "0x1000"),
            ],
        }
    }

    /// The table for UDP; `device` is the outside one.
    fn table(self, device: &str) -> String {
        let from = match self.hairpins {
            true => String::new(),
            false => format!("iifname {device}"),
        };
        let inward = BLOCKS.map(|(block, bits)| {
            format!(
                "{from} ip daddr {OUTSIDE} udp dport @mapped udp dport & 0xf000 == {block} \
                 udp dport set udp dport ^ {bits} ip daddr set {INSIDE}"
            )
        });
        // Once the sender is rewritten, no further rule applies to it.
        let outward = self.bits().iter().map(|(to, bits)| {
            let to = to.replace("th dport", "udp dport");
            format!(
                "ip saddr {INSIDE} meta l4proto udp {to} \
                 udp sport set udp sport ^ {bits} ip saddr set {OUTSIDE}\n"
            )
        });
        let filter = match self.lets_in {
            LetsIn::Everybody => "",
            LetsIn::Addresses => "ip saddr . udp dport != @addresses drop",
            LetsIn::AddressesAndPorts => "ip saddr . udp sport . udp dport != @ends drop",
        };
        let (inward, outward) = (inward.join("\n"), outward.collect::<String>());
        format!(
            "table ip exact {{
                set mapped {{ type inet_service; flags dynamic; size 256; }}
                set addresses {{ type ipv4_addr . inet_service; flags dynamic; size 256; }}
                set ends {{ type ipv4_addr . inet_service . inet_service; flags dynamic; size 256; }}
                chain untracked {{
                    type filter hook prerouting priority raw;
                    meta l4proto udp notrack
                    ip saddr {INSIDE} meta l4proto udp add @addresses {{ ip daddr . udp sport }}
                    ip saddr {INSIDE} meta l4proto udp add @ends {{ ip daddr . udp dport . udp sport }}
                }}
                chain in {{
                    type filter hook prerouting priority dstnat;
                    {inward}
                }}
                chain out {{
                    type filter hook postrouting priority srcnat;
                    {outward}
                    ip saddr {OUTSIDE} meta l4proto udp add @mapped {{ udp sport }}
                }}
                chain filter {{
                    type filter hook postrouting priority srcnat + 10;
                    ip daddr {INSIDE} meta l4proto udp {filter}
                }}
            }}"
        )
    }
}

const INSIDE: &str = "192.168.1.5";
const OUTSIDE: &str = "203.0.113.7";

/// The block of outside ports that each choice of bits leads to: inside ports begin with 0xa.
const BLOCKS: [(&str, &str); 4] = [
    ("0xe000", "0x4000"),
    ("0x8000", "0x2000"),
    ("0xc000", "0x6000"),
    ("0xb000", "0x1000"),
];
