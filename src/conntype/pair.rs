//! Whether two people can connect directly, and which of them listens.

use super::label::spelled;
use super::{Label, UdpLabel};

/// A connection type as a client may publish it: those of TCP and of UDP together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerLabel {
    /// Nothing is rewritten.
    DirectConnect,
    /// The address is rewritten, and not the port.
    IpRestrictNat,
    /// The port is rewritten, and not the address.
    PortRestrictNat,
    /// Both are rewritten.
    SymmetricNat,
    /// The address is rewritten, and the port is not known.
    UnknownNat,
    /// UDP gets no answer.
    Firewall,
    /// UDP is left alone, and TCP is not.
    IsaLike,
    /// Not known.
    UnknownConnect,
}

impl PeerLabel {
    /// Every label.
    pub const ALL: [Self; 8] = [
        Self::DirectConnect,
        Self::IpRestrictNat,
        Self::PortRestrictNat,
        Self::SymmetricNat,
        Self::UnknownNat,
        Self::Firewall,
        Self::IsaLike,
        Self::UnknownConnect,
    ];

    /// The spelling of the official client.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DirectConnect => Label::DirectConnect.as_str(),
            Self::IpRestrictNat => Label::IpRestrictNat.as_str(),
            Self::PortRestrictNat => Label::PortRestrictNat.as_str(),
            Self::SymmetricNat => Label::SymmetricNat.as_str(),
            Self::UnknownNat => Label::UnknownNat.as_str(),
            Self::Firewall => UdpLabel::Firewall.as_str(),
            Self::IsaLike => UdpLabel::IsaLike.as_str(),
            Self::UnknownConnect => Label::UnknownConnect.as_str(),
        }
    }
}

spelled!(PeerLabel);

impl From<UdpLabel> for PeerLabel {
    fn from(label: UdpLabel) -> Self {
        match label {
            UdpLabel::DirectConnect => Self::DirectConnect,
            UdpLabel::IpRestrictNat => Self::IpRestrictNat,
            UdpLabel::PortRestrictNat => Self::PortRestrictNat,
            UdpLabel::SymmetricNat => Self::SymmetricNat,
            UdpLabel::Firewall => Self::Firewall,
            UdpLabel::IsaLike => Self::IsaLike,
            UdpLabel::UnknownConnect => Self::UnknownConnect,
        }
    }
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Side {
    /// The connection type.
    pub label: PeerLabel,
    /// Whether the router opens ports on request.
    pub upnp: bool,
    /// Whether a call over TCP arrived. `None` where none was tested.
    pub called: Option<bool>,
}

/// Who listens, so that the other one connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Listener {
    /// The first.
    First,
    /// The second.
    Second,
    /// Either can.
    Either,
    /// Neither can.
    Neither,
}

/// A client with rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PeerClient {
    /// Kopete (`sessionclient.cpp`).
    Kopete,
    /// Miranda IM and NG, later versions (`msn_p2p.cpp`).
    Miranda,
    /// MSNPSharp (`P2PSession.DC.cs`).
    MsnpSharp,
}

impl PeerClient {
    /// Every client.
    pub const ALL: [Self; 3] = [Self::Kopete, Self::Miranda, Self::MsnpSharp];

    /// Who listens where both sides run this client, and no firewall of theirs is on.
    #[must_use]
    pub fn listener(self, first: Side, second: Side) -> Listener {
        match self {
            // The side with the smaller NetID gives way where both can.
            Self::Kopete => Listener::of(first.kopete_listens(), second.kopete_listens()),
            // Who has at least the weight of the other listens.
            Self::Miranda => {
                let (one, two) = (first.miranda_weight(), second.miranda_weight());
                Listener::of(one >= two, two >= one)
            }
            Self::MsnpSharp => Listener::of(first.keeps_address(), second.keeps_address()),
        }
    }
}

impl Listener {
    const fn of(first: bool, second: bool) -> Self {
        match (first, second) {
            (true, true) => Self::Either,
            (true, false) => Self::First,
            (false, true) => Self::Second,
            (false, false) => Self::Neither,
        }
    }
}

impl Side {
    /// Whether others can call this side over TCP; `None` where that does not show.
    #[must_use]
    pub const fn is_callable(self) -> Option<bool> {
        use PeerLabel::{DirectConnect, Firewall, IpRestrictNat, SymmetricNat, UnknownNat};
        match (self.called, self.label) {
            (Some(true), _) => Some(true),
            (_, IpRestrictNat | SymmetricNat | UnknownNat) => Some(self.upnp),
            (Some(false), _) => Some(false),
            (None, DirectConnect) => Some(true),
            (None, Firewall) => Some(false),
            (None, _) => None,
        }
    }

    const fn kopete_listens(self) -> bool {
        use PeerLabel::{DirectConnect, IpRestrictNat, SymmetricNat, UnknownNat};
        match self.label {
            DirectConnect => true,
            IpRestrictNat | SymmetricNat | UnknownNat => self.upnp,
            _ => false,
        }
    }

    /// The weight that Miranda gives a side.
    #[must_use]
    pub const fn miranda_weight(self) -> u8 {
        use PeerLabel::{
            DirectConnect, Firewall, IpRestrictNat, IsaLike, PortRestrictNat, SymmetricNat,
            UnknownConnect, UnknownNat,
        };
        match (self.label, self.upnp) {
            (DirectConnect, _) => 6,
            (IpRestrictNat | PortRestrictNat | SymmetricNat, true) => 5,
            (UnknownNat, true) => 4,
            (IsaLike, _) => 3,
            (IpRestrictNat | PortRestrictNat | SymmetricNat, false) | (Firewall, _) => 2,
            (UnknownNat, false) | (UnknownConnect, _) => 1,
        }
    }

    /// Whether the server sees the local address.
    const fn keeps_address(self) -> bool {
        matches!(
            self.label,
            PeerLabel::DirectConnect | PeerLabel::PortRestrictNat
        )
    }
}

/// Whether two sides can connect directly, and who listens then; `None` where that does not show.
#[must_use]
pub const fn meet(first: Side, second: Side) -> Option<Listener> {
    match (first.is_callable(), second.is_callable()) {
        (Some(one), Some(two)) => Some(Listener::of(one, two)),
        (Some(true), None) => Some(Listener::First),
        (None, Some(true)) => Some(Listener::Second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(text: &str) -> Side {
        let (label, upnp) = match text.strip_suffix("+upnp") {
            Some(label) => (label, true),
            None => (text, false),
        };
        let label = PeerLabel::ALL
            .into_iter()
            .find(|known| known.as_str() == label);
        Side {
            label: label.unwrap(),
            upnp,
            called: None,
        }
    }

    #[test]
    fn who_can_be_called_listens() {
        use Listener::{Either, First, Neither, Second};
        for (first, second, want, clients) in [
            (
                "Direct-Connect",
                "Direct-Connect",
                Some(Either),
                [Either, Either, Either],
            ),
            (
                "Direct-Connect",
                "Symmetric-NAT",
                Some(First),
                [First, First, First],
            ),
            (
                "IP-Restrict-NAT",
                "Symmetric-NAT",
                Some(Neither),
                [Neither, Either, Neither],
            ),
            (
                "IP-Restrict-NAT",
                "Symmetric-NAT+upnp",
                Some(Second),
                [Second, Second, Neither],
            ),
            // Kopete never accepts it, MSNPSharp does, and no label tells.
            (
                "Port-Restrict-NAT",
                "IP-Restrict-NAT",
                None,
                [Neither, Either, First],
            ),
            (
                "Port-Restrict-NAT+upnp",
                "Direct-Connect",
                Some(Second),
                [Second, Second, Either],
            ),
            (
                "Unknown-NAT+upnp",
                "ISALike",
                Some(First),
                [First, First, Neither],
            ),
            (
                "Unknown-NAT",
                "Unknown-Connect",
                None,
                [Neither, Either, Neither],
            ),
            (
                "Firewall",
                "Unknown-NAT",
                Some(Neither),
                [Neither, First, Neither],
            ),
        ] {
            let (one, two) = (side(first), side(second));
            assert_eq!(meet(one, two), want, "{first} {second}");
            let found = PeerClient::ALL.map(|client| client.listener(one, two));
            assert_eq!(found, clients, "{first} {second}");
        }
    }

    #[test]
    fn the_order_of_the_two_does_not_matter() {
        let turned = |listener| match listener {
            Listener::First => Listener::Second,
            Listener::Second => Listener::First,
            other => other,
        };
        let sides = PeerLabel::ALL.into_iter().flat_map(|label| {
            [false, true].map(|upnp| Side {
                label,
                upnp,
                called: None,
            })
        });
        let sides: Vec<_> = sides.collect();
        for &one in &sides {
            for &two in &sides {
                assert_eq!(
                    meet(one, two).map(turned),
                    meet(two, one),
                    "{one:?} {two:?}"
                );
                for client in PeerClient::ALL {
                    let there = turned(client.listener(one, two));
                    assert_eq!(
                        there,
                        client.listener(two, one),
                        "{client:?} {one:?} {two:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_call_that_was_tested_counts_more_than_the_label() {
        let called = |text, called| Side {
            called: Some(called),
            ..side(text)
        };
        for (side, want) in [
            (called("Symmetric-NAT", true), Some(true)),
            (called("Direct-Connect", false), Some(false)),
            (called("Port-Restrict-NAT", false), Some(false)),
            // A port that the router opens was not called.
            (called("IP-Restrict-NAT+upnp", false), Some(true)),
            (called("IP-Restrict-NAT", false), Some(false)),
        ] {
            assert_eq!(side.is_callable(), want, "{side:?}");
        }
    }
}
