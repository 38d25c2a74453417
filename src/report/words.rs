//! The sentences about the evidence: reasons and warnings.

use serde::{Serialize, Serializer};

use crate::conntype::{Missing, PortUnknown, Reason, Unsettled, Warning};

/// A code for programs and a sentence for people, without its full stop.
#[derive(Serialize)]
struct Said {
    code: &'static str,
    text: String,
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (code, text) = (self.code(), reason(self));
        Said { code, text }.serialize(to)
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (code, text) = (self.code(), warning(self));
        Said { code, text }.serialize(to)
    }
}

const fn port_unknown(why: PortUnknown) -> &'static str {
    match why {
        PortUnknown::Absent => "the profile has no ClientPort",
        PortUnknown::Unreadable => "ClientPort is not a number",
        PortUnknown::OutOfRange => "ClientPort is above 65535",
        PortUnknown::Zero => "ClientPort is 0, which an HTTP gateway reports",
        PortUnknown::OtherConnection => {
            "the local port belongs to the connection to the proxy or gateway"
        }
    }
}

/// The rule that gave the label.
pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::NothingRewritten => "the server sees this computer's own address and port",
        Reason::AddressRewritten => "the server sees another address but the same port",
        Reason::PortRewritten => "the server sees this computer's address but another port",
        Reason::BothRewritten => "the server sees another address and another port",
        Reason::MappingDependsOnDestination => {
            "the server sees another address and another port, and a second server sees a \
             different port from the same local port"
        }
        Reason::MappingIndependentOfDestination => {
            "the server sees another address and another port, and a second server sees the same \
             ones from the same local port"
        }
        Reason::PortKeptTowardOne => {
            "from the same local port, one server sees that port and another server sees a \
             different one: the mapping depends on the destination"
        }
        Reason::ObservationsDisagree => {
            "two observations contradict each other; the label is one that both allow"
        }
        Reason::AddressRewrittenPortUnknown(why) => {
            let why = port_unknown(*why);
            return format!(
                "the server sees another address, and the ports cannot be compared: {why}"
            );
        }
        Reason::AddressOursPortUnknown(why) => {
            let why = port_unknown(*why);
            return format!(
                "the server sees this computer's address, but the ports cannot be compared: {why}"
            );
        }
        Reason::AddressUnknown => "the profile has no valid ClientIP",
        Reason::LoopbackElsewhere => {
            "ClientIP is a loopback address although the server is on another host: a proxy in \
             front of the server hides this connection"
        }
        Reason::KnownConstant => {
            "the profile has values that a server is known to send to every client"
        }
        Reason::ObservedConstant => {
            "ClientPort stayed the same while the local port changed: the server sends a \
             constant, not the port that it sees"
        }
    }
    .to_owned()
}

fn unsettled(why: &Unsettled) -> String {
    match why {
        Unsettled::NotTranslated(ip) => format!(
            "one of the servers sees this computer's own private address {ip}: it is on this \
             side of the NAT, so the two observations cannot be compared"
        ),
        Unsettled::OtherSide(first, second) => format!(
            "the servers see {first} and {second}, of which only one is a public address: one \
             server is inside a private network or behind its own proxy, so the two observations \
             cannot be compared"
        ),
        Unsettled::TwoOutsideAddresses(first, second) => format!(
            "the servers see two outside addresses, {first} and {second}, as with an address \
             pool or two uplinks, so the ports cannot be compared"
        ),
        Unsettled::SameAddress => {
            "the second server has the address of the first and sees the same port; toward \
             another address the NAT may use another port"
                .to_owned()
        }
        Unsettled::PortUnknown => "one of the two observations has no port to compare".to_owned(),
        Unsettled::Undetermined(why) => {
            format!("another observation is not usable: {}", reason(why))
        }
        Unsettled::KnownConstant => {
            "another server sent values that it is known to send to every client, so its \
             observation is ignored"
                .to_owned()
        }
    }
}

/// What is worth knowing besides the label.
pub(super) fn warning(warning: &Warning) -> String {
    match warning {
        Warning::ClientIpNotGlobal(ip) => format!(
            "ClientIP {ip} is not an internet address although the server has one: a router on \
             this network sent the connection back (a hairpin), or a proxy is in front of the \
             server; the label describes that path"
        ),
        Warning::ClientIpIsServer(ip) => format!(
            "ClientIP {ip} is the server's own address: a router sent the connection back (a \
             hairpin), or a proxy is in front of the server; the label describes that path"
        ),
        Warning::OutsidePortAmbiguous(plain, swapped) => format!(
            "the outside port is {plain} or, with its bytes exchanged, {swapped}; set the order \
             with --port-order"
        ),
        Warning::OrderUndecided => {
            "the port's two bytes are equal, so the server's byte order is not known".to_owned()
        }
        Warning::TcpFlowOnly => {
            "the label describes this one TCP connection; UDP may be treated differently".to_owned()
        }
        Warning::SignedOutElsewhere => {
            "this login signs the account out wherever else it is signed in; use a test account \
             to avoid that"
                .to_owned()
        }
        Warning::PortNotSent(server) => format!(
            "an HTTP gateway gets the server's host only: the port of {server} was not sent"
        ),
        Warning::CredentialsElsewhere(host) => format!(
            "the account and the password went to {host}, which is neither the server nor named \
             by an option: the nexus or a redirect named it"
        ),
        Warning::ObservationMissing(why) => match why {
            Missing::LoginFailed => {
                "another login failed, so what it would settle stays open; see the individual \
                 observations"
            }
            Missing::OutOfTime => {
                "the time was up before every login was made; --timeout allows more"
            }
            Missing::SameServer => {
                "the second server is the first one, reached from the same port, so it settles \
                 nothing"
            }
        }
        .to_owned(),
        Warning::ObservationsDisagree(label) => format!(
            "another observation alone gives {label}: connections from this computer are not all \
             treated alike"
        ),
        Warning::Unsettled(why) => unsettled(why),
    }
}
