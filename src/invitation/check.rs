//! Whether an invitation agrees with what was observed of its sender.

use std::net::{IpAddr, SocketAddr};

use super::field::{Field, Name, Value};
use super::{Invitation, net_id_of};
use crate::conntype::{Label, PeerLabel, Sameness, UdpLabel, Verdict};

/// The `NetID` that papyon and a later aMSN send to everybody (74.59.59.173).
const CONSTANT_NET_ID: i64 = -1_388_627_126;

/// What was observed of the sender.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its own end of the connection to the notification server.
    pub local: Option<SocketAddr>,
    /// `ClientIP`.
    pub client_ip: Option<IpAddr>,
    /// The labels that the TCP flow allows; empty where it is not known.
    pub tcp: Vec<Label>,
    /// The label of UDP, where it was tested.
    pub udp: Option<UdpLabel>,
}

/// How a field compares with what was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It says what was observed.
    Agrees,
    /// It says something else.
    Disagrees,
    /// It cannot be compared.
    CannotTell,
}

/// Why a field agrees or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Because {
    /// It is what was observed.
    Same,
    /// It is the right number without its sign, as aMSN prints it.
    Unsigned,
    /// It is 0, as for this connection type no address is needed.
    NoAddressNeeded,
    /// It is another connection type.
    OtherLabel,
    /// It is another address or port.
    OtherAddress,
    /// It is the sender's own address in place of the outside one, as of MSNPSharp.
    OwnAddress,
    /// It is an address with its bytes in the other order, as of Digsby.
    OtherByteOrder,
    /// It is a number that papyon and aMSN send to everybody.
    KnownConstant,
    /// It is 0 although the connection type needs the address.
    AddressMissing,
    /// It says that a router opens ports, and no address is translated.
    NotTranslated,
    /// It says whether the own address is the outside one, and it is not so.
    OtherConnectivity,
    /// What it is compared with was not observed.
    NotObserved,
    /// It is about UDP, which was not tested.
    UdpNotTested,
    /// A connection to the server does not show it.
    DoesNotShow,
    /// The text cannot be read.
    Unreadable,
}

impl Because {
    /// Whether it agrees.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Same | Self::Unsigned | Self::NoAddressNeeded => Outcome::Agrees,
            Self::OtherLabel
            | Self::OtherAddress
            | Self::OwnAddress
            | Self::OtherByteOrder
            | Self::KnownConstant
            | Self::AddressMissing
            | Self::NotTranslated
            | Self::OtherConnectivity => Outcome::Disagrees,
            Self::NotObserved | Self::UdpNotTested | Self::DoesNotShow | Self::Unreadable => {
                Outcome::CannotTell
            }
        }
    }
}

/// A field, and how it compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The field.
    pub field: Field,
    /// How it compares, and why.
    pub because: Because,
}

/// Compares every field of an invitation with what was observed of its sender. Ports are those that it
/// listens at, which a connection to a server does not show.
#[must_use]
pub fn check(invitation: &Invitation, seen: &Seen) -> Vec<Claim> {
    let claims = invitation.fields.iter().map(|field| Claim {
        field: field.clone(),
        because: because(field, invitation, seen),
    });
    claims.collect()
}

impl Seen {
    /// What one login shows.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        let found = &verdict.comparison;
        let is_valid = found.ip != Sameness::Unknown;
        Self {
            local: Some(found.local),
            client_ip: found.client_ip.filter(|_| is_valid),
            tcp: [&[verdict.label], verdict.alternatives.as_slice()].concat(),
            udp: None,
        }
    }
}

fn because(field: &Field, invitation: &Invitation, seen: &Seen) -> Because {
    use Name as N;
    let outside = seen.client_ip;
    let own = seen.local.map(|local| local.ip().to_canonical());
    match (field.name, &field.value) {
        (_, Value::Unreadable) => Because::Unreadable,
        (N::TcpConnType, Value::Label(label)) => tcp(*label, seen),
        (N::ConnType, Value::Label(label)) => match seen.udp {
            Some(udp) if udp.determined() => same_label(label.as_str() == udp.as_str()),
            // Later clients put the result of their test of UDP here.
            _ if invitation.get(N::TcpConnType).is_some() => Because::UdpNotTested,
            _ => tcp(*label, seen),
        },
        (N::NetId, Value::Number(number)) => net_id(*number, invitation, seen),
        (N::ExternalAddresses | N::PublicIp | N::IpAddress, Value::Addresses(told)) => {
            among(told, outside, own)
        }
        (N::InternalAddresses | N::PrivateIp, Value::Addresses(told)) => among(told, own, None),
        (N::ExternalEnds, Value::Ends(told)) => {
            let told: Vec<_> = told.iter().map(SocketAddr::ip).collect();
            among(&told, outside, own)
        }
        (N::InternalEnds, Value::Ends(told)) => {
            let told: Vec<_> = told.iter().map(SocketAddr::ip).collect();
            among(&told, own, None)
        }
        (N::Ipv6Global | N::Ipv6Addresses, Value::Addresses(told)) => {
            // Of a connection over IPv4 nothing is known of IPv6.
            among(told, own.filter(IpAddr::is_ipv6), None)
        }
        (N::UpnpNat | N::Upnp, Value::Flag(true)) => match (own, outside) {
            (Some(own), Some(outside)) if own == outside => Because::NotTranslated,
            _ => Because::DoesNotShow,
        },
        (N::Connectivity, Value::Flag(is_own)) => match (own, outside) {
            (Some(own), Some(outside)) if (own == outside) == *is_own => Because::Same,
            (Some(_), Some(_)) => Because::OtherConnectivity,
            _ => Because::NotObserved,
        },
        _ => Because::DoesNotShow,
    }
}

fn tcp(label: PeerLabel, seen: &Seen) -> Because {
    match seen.tcp.as_slice() {
        [] | [Label::UnknownConnect] => Because::NotObserved,
        allowed => same_label(allowed.iter().any(|one| one.as_str() == label.as_str())),
    }
}

const fn same_label(is_same: bool) -> Because {
    match is_same {
        true => Because::Same,
        false => Because::OtherLabel,
    }
}

/// Whether the address is among those told. `mistaken` is one that is told in its place.
fn among(told: &[IpAddr], address: Option<IpAddr>, mistaken: Option<IpAddr>) -> Because {
    let has = |ip: IpAddr| told.iter().any(|one| one.to_canonical() == ip);
    match address {
        None => Because::NotObserved,
        Some(ip) if has(ip) => Because::Same,
        Some(_) if mistaken.is_some_and(has) => Because::OwnAddress,
        Some(_) => Because::OtherAddress,
    }
}

fn net_id(number: i64, invitation: &Invitation, seen: &Seen) -> Because {
    let label = match invitation.get(Name::ConnType) {
        Some(Value::Label(label)) => Some(*label),
        _ => None,
    };
    let needs_none = matches!(
        label,
        Some(PeerLabel::DirectConnect | PeerLabel::Firewall | PeerLabel::UnknownConnect)
    );
    let v4 = |ip: Option<IpAddr>| match ip {
        Some(IpAddr::V4(ip)) => Some(ip),
        _ => None,
    };
    let Some(outside) = v4(seen.client_ip) else {
        return match number {
            0 if needs_none => Because::NoAddressNeeded,
            _ => Because::NotObserved,
        };
    };
    let right = net_id_of(outside);
    let own = v4(seen.local.map(|local| local.ip().to_canonical()));
    let is = |id: i32| number == i64::from(id) || number == i64::from(id.cast_unsigned());
    let swapped = |ip: std::net::Ipv4Addr| net_id_of(ip).swap_bytes();
    match number {
        0 if needs_none => Because::NoAddressNeeded,
        0 => Because::AddressMissing,
        _ if number == i64::from(right) => Because::Same,
        _ if number == i64::from(right.cast_unsigned()) => Because::Unsigned,
        CONSTANT_NET_ID => Because::KnownConstant,
        _ if own.is_some_and(|own| is(net_id_of(own))) => Because::OwnAddress,
        _ if is(swapped(outside)) || own.is_some_and(|own| is(swapped(own))) => {
            Because::OtherByteOrder
        }
        _ => Because::OtherAddress,
    }
}
