//! One thing to try, and its words.

use std::fmt;
use std::net::IpAddr;

use crate::conntype::{Label, PortUnknown, Reason};

/// One thing to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    Firewall,
    OtherPerson,
    Upnp,
    Forward,
    StatusPage,
    SecondServer,
    Security,
    Repeat,
    NoProxy,
    OtherServer,
    FirstAlone,
    Demo,
    /// The other byte order makes this number the local port.
    AutoOrder {
        number: u16,
        local: u16,
    },
    /// The login went to this computer itself.
    BeyondThisHost,
    /// The local address is no internet address, and the server sees it unchanged.
    BeyondThisNetwork(IpAddr),
    /// The address that the server sees is no internet address either.
    BeyondTheNat(IpAddr),
    /// The local address is one of carrier-grade NAT.
    PublicAddress(IpAddr),
    /// The server sees an address of the other IP version.
    Translator,
    /// The server sees another address than this one on the internet.
    Vpn(IpAddr),
}

impl fmt::Display for Hint {
    /// A sentence without its capital and its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firewall => {
                "allow the messenger through this computer's firewall, incoming connections \
                 included"
            }
            Self::OtherPerson => {
                "if transfers stay slow, have the other person run this too: one side that can be \
                 called is usually enough"
            }
            Self::Upnp => {
                "switch on UPnP in the router and in the messenger: it lets a program open a port \
                 on the router"
            }
            Self::Forward => {
                "or forward ports by hand: have the router pass the messenger's file transfer \
                 ports, often TCP 6891 to 6900, on to this computer"
            }
            Self::StatusPage => {
                "look up the internet address on the router's status page: if the server sees \
                 another one, a VPN is in use or the provider shares one address among its \
                 customers (carrier-grade NAT), and opening ports on the router does not help"
            }
            Self::SecondServer => {
                "ask a second server in the same run, with --second-server HOST: it shows whether \
                 the router uses the same outside port for both servers or a new one for each"
            }
            Self::Security => {
                "switch off for a moment what may take over connections, then run this again: a \
                 VPN, a web filter, a virus scanner, a virtual machine's network"
            }
            Self::Repeat => {
                "log in twice, with --repeat 2: it detects a server that sends every login the \
                 same port instead of the one it sees"
            }
            Self::NoProxy => {
                "log in without the proxy or gateway, if the network allows it: only then does \
                 the label describe this computer's own connection"
            }
            Self::OtherServer => {
                "ask another server that reports the address and port it sees, such as your own: \
                 msnp9-conntype serve, on a machine outside this network"
            }
            Self::FirstAlone => {
                "leave out the second observation for a label of the first alone, or run it again"
            }
            Self::Demo => {
                "check that the program itself works: msnp9-conntype demo needs no network"
            }
            Self::AutoOrder { number, local } => {
                return write!(
                    f,
                    "run this again with --port-order auto: in the other byte order, the server's \
                     {number} is this computer's own port {local}"
                );
            }
            Self::BeyondThisHost => {
                "ask a server on the internet: this login went to this computer itself, and the \
                 label describes only that"
            }
            Self::BeyondThisNetwork(local) => {
                return write!(
                    f,
                    "ask a server on the internet: {local} is an address for private networks, so \
                     the label holds inside this network only"
                );
            }
            Self::BeyondTheNat(seen) => {
                return write!(
                    f,
                    "ask a server on the internet: {seen} is not an internet address either, so \
                     the rest of the path is unknown"
                );
            }
            Self::PublicAddress(local) => {
                return write!(
                    f,
                    "ask the provider for a public address: {local} is from the range for \
                     addresses that many customers share (carrier-grade NAT; some VPNs use it \
                     too), and behind one of those no ports can be opened"
                );
            }
            Self::Translator => {
                "find out what translates addresses: this computer uses one IP version and the \
                 server sees the other, so a translator of the provider (NAT64) or a proxy is in \
                 between"
            }
            Self::Vpn(local) => {
                return write!(
                    f,
                    "look for a VPN or a proxy: {local} is an internet address, but the server \
                     sees another one"
                );
            }
        })
    }
}

/// What to try with this label, whatever the run.
pub(super) const fn of_label(label: Label) -> &'static [Hint] {
    use Hint::{
        Demo, Firewall, Forward, NoProxy, OtherPerson, OtherServer, Repeat, SecondServer, Security,
        StatusPage, Upnp,
    };
    match label {
        Label::DirectConnect => &[Firewall, OtherPerson],
        Label::IpRestrictNat => &[Upnp, Forward, StatusPage, Security],
        Label::PortRestrictNat => &[Repeat, Security, OtherPerson],
        Label::SymmetricNat => &[SecondServer, Repeat, Upnp, Forward, StatusPage],
        Label::UnknownNat => &[NoProxy, Upnp, Forward, StatusPage],
        Label::UnknownConnect => &[OtherServer, NoProxy, Demo],
    }
}

/// What to try where this reason leaves the connection type unknown.
pub(super) const fn remedy(reason: &Reason) -> Hint {
    match reason {
        Reason::AddressOursPortUnknown(PortUnknown::Zero | PortUnknown::OtherConnection) => {
            Hint::NoProxy
        }
        Reason::ObservationsDisagree => Hint::FirstAlone,
        _ => Hint::OtherServer,
    }
}
