//! The fields that an official client would send.

use std::net::IpAddr;

use super::field::Name;
use super::net_id_of;
use crate::conntype::{Label, PeerLabel, UdpLabel};

/// The transports that official clients offer.
const BRIDGES: &str = "TRUDPv1 TCPv1";

/// The connection fields that an official client would put into an invitation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ToSend {
    /// `Bridges`, the transports that it offers.
    pub bridges: &'static str,
    /// `NetID`: the outside address as a number, or 0 for a connection type that needs none. Null where
    /// `ClientIP` is not an IPv4 address.
    pub net_id: Option<i32>,
    /// `Conn-Type`: that of UDP where it was tested, else that of TCP, as earlier clients had it.
    #[cfg_attr(test, schemars(with = "String"))]
    pub conn_type: PeerLabel,
    /// `TCP-Conn-Type`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub tcp_conn_type: PeerLabel,
    /// `UPnPNat`: whether a router opened ports by UPnP. Null where that was not tried.
    pub upnp_nat: Option<bool>,
    /// `ICF`: whether the firewall of Windows stands in the way. Null: only the host itself knows.
    pub icf: Option<bool>,
}

/// The fields that follow from a login, and from what was tested beside it.
#[must_use]
pub fn to_send(
    tcp: Label,
    udp: Option<UdpLabel>,
    client_ip: Option<IpAddr>,
    upnp_nat: Option<bool>,
) -> ToSend {
    let named = |name: &str| {
        let mut labels = PeerLabel::ALL.into_iter();
        let label = labels.find(|label| label.as_str() == name);
        label.unwrap_or(PeerLabel::UnknownConnect)
    };
    let tcp = named(tcp.as_str());
    let conn_type = match udp {
        Some(udp) if udp.determined() => named(udp.as_str()),
        _ => tcp,
    };
    ToSend {
        bridges: BRIDGES,
        conn_type,
        tcp_conn_type: tcp,
        net_id: match (conn_type, client_ip) {
            (PeerLabel::DirectConnect | PeerLabel::Firewall | PeerLabel::UnknownConnect, _) => {
                Some(0)
            }
            (_, Some(IpAddr::V4(ip))) => Some(net_id_of(ip)),
            _ => None,
        },
        upnp_nat,
        icf: None,
    }
}

impl ToSend {
    /// The fields with their values, in the order of an invitation; `None` for a value that is not known.
    #[must_use]
    pub fn fields(&self) -> [(Name, Option<String>); 6] {
        let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
        [
            (Name::Bridges, Some(self.bridges.to_owned())),
            (Name::NetId, self.net_id.map(|id| id.to_string())),
            (Name::ConnType, Some(self.conn_type.to_string())),
            (Name::TcpConnType, Some(self.tcp_conn_type.to_string())),
            (Name::UpnpNat, flag(self.upnp_nat)),
            (Name::Icf, flag(self.icf)),
        ]
    }
}
