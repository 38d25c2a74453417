//! The verdict: from what was observed to the name of the connection type.
//!
//! Pure. It takes an [`Observation`] and returns a [`Verdict`]; it knows no socket, no clock and
//! no terminal, so every rule can be tested as a row of a table. It holds enums, addresses and
//! numbers; the sentences about them are the report's.
//!
//! The names and the table are those of the MSNP9 research page at hypothetic.org
//! ("Connection types"), repeated in its MSNC1 page.

mod classify;
mod clients;
mod conclusion;
mod evidence;
mod label;
mod listen;
mod nat;
mod observation;
mod pair;
mod port_mapping;
mod range;
mod settle;
mod stun;
mod udp;

pub use classify::classify;
pub use clients::{
    AddressComparison, Beside, Client, ClientLabel, ClientRule, ClientSays, Fault, LabelUnknown,
    LocalAddress, LocalPort, Method, PortReading,
};
pub use conclusion::{
    Because, Change, Conclusion, Disagreement, Facts, Finding, LoginFacts, Outlook, conclude,
};
pub use evidence::{
    Comparison, Destination, Mapping, Missing, OrderMatch, ProxyRelation, Reason, Sameness,
    Unsettled, Verdict, Warning,
};
pub use label::Label;
pub use listen::{Call, Calls, ListenEvidence};
pub use nat::{Filtering, NatMapping};
pub use observation::{
    Field, IpUnknown, Observation, PathKind, PortOrder, PortUnknown, Proxy, can_be_local,
    normalise, swap_port,
};
pub use pair::{Listener, PeerClient, PeerLabel, Side, meet};
pub use port_mapping::{
    MappingProtocol, NoExternal, OpenedPorts, Opening, PortMappingEvidence, RouterRelation,
};
pub use range::Range;
pub use settle::settle;
pub use stun::{Changed, StunEvidence, StunTransport, StunUnknown};
pub use udp::{UdpEvidence, UdpLabel, UdpTest};
