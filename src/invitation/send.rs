//! The fields that an official client would send.

use std::net::IpAddr;

use super::field::Name;
use super::net_id_of;
use crate::conntype::{Label, PeerLabel, UdpLabel};

/// The transports that official clients offer.
const BRIDGES: &str = "TRUDPv1 TCPv1";

/// What an official client would put into an invitation; `None` where the evidence does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSend {
    /// `Conn-Type`: that of UDP where it was tested, else that of TCP, as earlier clients had it.
    pub conn_type: PeerLabel,
    /// `TCP-Conn-Type`.
    pub tcp_conn_type: PeerLabel,
    /// `NetID`; 0 for a connection type that needs no address. `None` where `ClientIP` is not IPv4.
    pub net_id: Option<i32>,
    /// `UPnPNat`: whether a port was opened by UPnP. `None` where that was not tried.
    pub upnp_nat: Option<bool>,
    /// `ICF`: whether the firewall of Windows stands in the way, which only the host itself knows.
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
            (Name::Bridges, Some(BRIDGES.to_owned())),
            (Name::NetId, self.net_id.map(|id| id.to_string())),
            (Name::ConnType, Some(self.conn_type.to_string())),
            (Name::TcpConnType, Some(self.tcp_conn_type.to_string())),
            (Name::UpnpNat, flag(self.upnp_nat)),
            (Name::Icf, flag(self.icf)),
        ]
    }
}
