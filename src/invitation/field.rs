//! The fields, their spellings, and what their values are.

use std::net::{IpAddr, SocketAddr};

use crate::conntype::PeerLabel;
use crate::secret::excerpt;

/// The longest text of a value that is kept, in characters.
const LONGEST: usize = 256;

/// The most values of a list.
const MOST: usize = 64;

/// Declares [`Name`] as a table: variant, spelling, kind of value, whether only invitations have it.
macro_rules! names {
    ($($name:ident $spelling:literal $kind:ident $own:literal)+) => {
        /// A connection field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[non_exhaustive]
        pub enum Name {
            $(#[doc = concat!("`", $spelling, "`")] #[serde(rename = $spelling)] $name,)+
        }

        impl Name {
            /// Every field.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// How it is spelled.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $spelling,)+
                }
            }

            const fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)+
                }
            }

            /// Whether only invitations have it.
            pub(super) const fn is_own(self) -> bool {
                match self {
                    $(Self::$name => $own,)+
                }
            }
        }
    };
}

names! {
    Bridges "Bridges" Words true
    Bridge "Bridge" Words false
    NetId "NetID" Number true
    ConnType "Conn-Type" Label true
    TcpConnType "TCP-Conn-Type" Label true
    UpnpNat "UPnPNat" Flag true
    Icf "ICF" Flag true
    Listening "Listening" Flag false
    NeedConnectingEndpointInfo "NeedConnectingEndpointInfo" Flag true
    InternalAddresses "IPv4Internal-Addrs" Addresses true
    InternalPort "IPv4Internal-Port" Port true
    InternalEnds "IPv4Internal-AddrsAndPorts" Ends true
    ExternalAddresses "IPv4External-Addrs" Addresses true
    ExternalPort "IPv4External-Port" Port true
    ExternalEnds "IPv4External-AddrsAndPorts" Ends true
    Ipv6Addresses "IPv6-Addrs" Addresses true
    Ipv6Port "IPv6-Port" Port true
    Ipv6Global "IPv6-global" Addresses true
    Nonce "Nonce" Secret false
    HashedNonce "Hashed-Nonce" Secret false
    NatTraversal "Nat-Trav-Msg-Type" Words true
    PublicIp "Public-IP" Addresses true
    PrivateIp "Private-IP" Addresses true
    Upnp "UPnP" Flag false
    SipCapability "Sip-Capability" Words true
    Connectivity "Connectivity" Flag true
    IpAddress "IP-Address" Addresses false
    IpAddressInternal "IP-Address-Internal" Words true
    PortX "PortX" Port true
    PortXInternal "PortX-Internal" Words true
}

/// What the value of a field is.
#[derive(Clone, Copy)]
enum Kind {
    Words,
    Number,
    Label,
    Flag,
    Addresses,
    Port,
    Ends,
    Secret,
}

/// A field and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which one.
    pub name: Name,
    /// Its text, at most 256 characters of it. Empty for a nonce, which is not kept.
    pub raw: String,
    /// What it says.
    pub value: Value,
}

/// What a field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A connection type.
    Label(PeerLabel),
    /// A number; `NetID` as some clients print it does not fit 32 bits with a sign.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// A port, 1 to 65535.
    Port(u16),
    /// Addresses with ports.
    Ends(Vec<SocketAddr>),
    /// Words that are compared with nothing.
    Words,
    /// A nonce: it is there, and not kept.
    Secret,
    /// Nothing that such a field can say.
    Unreadable,
}

impl Field {
    /// Reads a field's text.
    pub(super) fn of(name: Name, text: &str) -> Self {
        let text = text.trim();
        let value = match name.kind() {
            Kind::Words => Some(Value::Words),
            Kind::Secret => Some(Value::Secret),
            Kind::Number => text.parse().ok().map(Value::Number),
            Kind::Label => label(text).map(Value::Label),
            Kind::Flag => flag(text).map(Value::Flag),
            Kind::Port => text.parse().ok().filter(|port| *port != 0).map(Value::Port),
            Kind::Addresses => list(text, |word| word.parse().ok()).map(Value::Addresses),
            Kind::Ends => list(text, |word| word.parse().ok()).map(Value::Ends),
        };
        Self {
            name,
            raw: match value {
                Some(Value::Secret) => String::new(),
                _ => excerpt(text, LONGEST),
            },
            value: value.unwrap_or(Value::Unreadable),
        }
    }
}

/// A connection type in any case; also in the spellings that an old Kopete sent.
fn label(text: &str) -> Option<PeerLabel> {
    let text = match text.to_ascii_lowercase().as_str() {
        "restrict-nat" | "restricted-nat" => "ip-restrict-nat".to_owned(),
        other => other.to_owned(),
    };
    let mut labels = PeerLabel::ALL.into_iter();
    labels.find(|known| known.as_str().eq_ignore_ascii_case(&text))
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "y" => Some(true),
        "false" | "n" => Some(false),
        _ => None,
    }
}

/// Every word of a list; `None` where one of them cannot be read or there is none.
fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let words = text.split_ascii_whitespace().take(MOST);
    let values: Option<Vec<T>> = words.map(read).collect();
    values.filter(|values| !values.is_empty())
}
