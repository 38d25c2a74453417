//! What each label means and what to do about it.
//!
//! The words are for somebody whose file transfers fail and who knows little of networks. They
//! claim no more than one TCP connection can show: what happened to an address and a port on the
//! way, not whom a router lets in. What goes for every run with a label is here, what goes for one
//! run is in `here`.

mod here;

pub use here::{file_transfer_here, meaning_here, to_try, voice_here};

use crate::conntype::{Label, PortUnknown, Reason};

const FIREWALL: &str = "Let the messenger through this computer's firewall, for incoming \
    connections too.";
const OTHER_PERSON: &str = "If transfers stay slow, have the other person run this as well: it \
    takes two, and one side that can be called is usually enough.";
const UPNP: &str = "Switch on UPnP in the router and in the messenger: it lets a program open a \
    port on the router by itself.";
const FORWARD: &str = "Or forward ports by hand: tell the router to pass on to this computer \
    what arrives at the messenger's file transfer ports, often TCP 6891 to 6900.";
const STATUS_PAGE: &str = "Look up the internet address on the router's status page. If the \
    server sees another one, a VPN is in use, or the provider shares one address among its \
    customers (carrier-grade NAT); then ports opened on the router do not help.";
const SECOND_SERVER: &str = "Ask a second server in the same run, with --second-server HOST: it \
    shows whether the router uses one outside port for everybody or a new one for each.";
const SECURITY: &str = "Switch off for a moment what takes over connections, then run this \
    again: a VPN, a web filter, a virus scanner, a virtual machine's network.";
const REPEAT: &str = "Log in twice, with --repeat 2: it rules out a server that sends every login \
    the same port instead of the one it sees.";
const NO_PROXY: &str = "Log in without the proxy or gateway, if the network allows it: only then \
    is the label about this computer's own connection.";
const OTHER_SERVER: &str = "Ask another server, one that reports the address and port it sees. \
    Your own will do: msnp9-conntype serve, on a machine outside this network.";
const DEMO: &str = "See whether the program itself works: msnp9-conntype demo needs no network.";

/// What the label says about the connection.
#[must_use]
pub const fn meaning(label: Label) -> &'static str {
    match label {
        Label::DirectConnect => {
            "Nothing between this computer and the server changes the address or the port. \
             Others can call this computer at the address it has, unless a firewall stops \
             them; firewalls do not show in this label."
        }
        Label::IpRestrictNat => {
            "Something on the way, most often a home router, puts its own address in place of \
             this computer's and keeps the port. Others know only the router's address, and \
             the router decides what it passes on. Whom it lets in does not show in this \
             label: routers that keep ports, strict or lenient, all get it."
        }
        Label::PortRestrictNat => {
            "The address stays, only the port is changed. Routers seldom do that. It is the \
             mark of something that takes the connection over and speaks in this computer's \
             name: a proxy nobody configured, a security program, a virtual machine, or a \
             router that shares this computer's own address."
        }
        Label::SymmetricNat => {
            "Something on the way replaces both the address and the port: a router, a \
             provider's shared address, a VPN or a proxy. The name promises a router with a \
             new outside port for every destination, but a single look cannot show that: any \
             router that renumbers ports gets it."
        }
        Label::UnknownNat => {
            "Something on the way replaces the address. Either it is not known what happens to \
             the port, or two servers saw the same replaced port."
        }
        Label::UnknownConnect => {
            "The connection type could not be found out. This is no judgement of the \
             connection: whether transfers will work is simply not known."
        }
    }
}

/// What the label means for sending files.
#[must_use]
pub const fn file_transfer(label: Label) -> &'static str {
    match label {
        Label::DirectConnect => {
            "Files should go directly from computer to computer, at full speed."
        }
        Label::IpRestrictNat | Label::SymmetricNat => {
            "The other side cannot simply call this computer. Files go directly only if a port \
             is opened on the router or the other side can be called; else they go through \
             the server, slowly, or not at all."
        }
        Label::PortRestrictNat => {
            "Messengers disagree: some never connect directly with this label, some treat it \
             like any router. Expect the slow way through the server."
        }
        Label::UnknownNat => {
            "As behind any router: directly only if a port is opened or the other side can be \
             called; else through the server, slowly, or not at all."
        }
        Label::UnknownConnect => {
            "Not known. Messengers that are told this label expect the worst and send files \
             through the server, slowly, if at all."
        }
    }
}

/// What the label means for voice and webcam.
#[must_use]
pub const fn voice(label: Label) -> &'static str {
    match label {
        Label::DirectConnect => {
            "Should work. Voice travels by UDP, which a firewall may treat otherwise than the \
             TCP connection seen here."
        }
        Label::IpRestrictNat => {
            "Both go directly between the computers. They work if the router passes them on \
             or the other side can be called. A router that keeps ports makes that likelier, \
             but voice is UDP and this was TCP."
        }
        Label::PortRestrictNat => {
            "Uncertain. Voice travels by UDP: what changes this TCP connection may leave it \
             alone, or block it."
        }
        Label::SymmetricNat => {
            "The hardest case: the outside port that others would have to call is not the one \
             this computer knows of. Likely to fail if the other side is behind a router too."
        }
        Label::UnknownNat => {
            "Works if the router passes it on or the other side can be called. Behind a proxy, \
             voice has to find a way around it, or fails."
        }
        Label::UnknownConnect => "Not known.",
    }
}

/// What other programs make of the label when somebody sends it to them.
#[must_use]
pub const fn peers(label: Label) -> &'static str {
    match label {
        Label::DirectConnect => {
            "Kopete connects directly, unless the sender's Windows Firewall is in the way. \
             Miranda ranks it above all others. MSNPSharp waits to be called."
        }
        Label::IpRestrictNat | Label::SymmetricNat => {
            "Kopete connects directly only with UPnP. Miranda ranks it second with UPnP, low \
             without. MSNPSharp does not wait to be called, because the address differs."
        }
        Label::PortRestrictNat => {
            "Kopete never connects directly. Miranda ranks it second with UPnP, low without. \
             MSNPSharp waits to be called: it looks at the address alone."
        }
        Label::UnknownNat => {
            "Kopete connects directly only with UPnP. Miranda ranks it just below the other \
             NATs, and almost last without UPnP. MSNPSharp does not wait to be called."
        }
        Label::UnknownConnect => {
            "Kopete does not connect directly. Miranda ranks it at the bottom."
        }
    }
}

/// What to try when the label is this one.
#[must_use]
pub const fn try_next(label: Label) -> &'static [&'static str] {
    match label {
        Label::DirectConnect => &[FIREWALL, OTHER_PERSON],
        Label::IpRestrictNat => &[UPNP, FORWARD, STATUS_PAGE, SECURITY],
        Label::PortRestrictNat => &[REPEAT, SECURITY, OTHER_PERSON],
        Label::SymmetricNat => &[SECOND_SERVER, REPEAT, UPNP, FORWARD, STATUS_PAGE],
        Label::UnknownNat => &[NO_PROXY, UPNP, FORWARD, STATUS_PAGE],
        Label::UnknownConnect => &[OTHER_SERVER, NO_PROXY, DEMO],
    }
}

/// What to try when this reason kept us from a label.
#[must_use]
pub const fn remedy(reason: &Reason) -> &'static str {
    match reason {
        Reason::AddressOursPortUnknown(why) | Reason::AddressRewrittenPortUnknown(why) => match why
        {
            PortUnknown::Zero => "log in without the HTTP gateway",
            PortUnknown::OtherConnection => "log in without the proxy or gateway",
            PortUnknown::Absent | PortUnknown::Unreadable | PortUnknown::OutOfRange => {
                "ask a server that reports the port; your own (msnp9-conntype serve) does"
            }
        },
        Reason::KnownConstant | Reason::ObservedConstant => {
            "ask a server that reports what it sees; your own (msnp9-conntype serve) does"
        }
        Reason::LoopbackElsewhere => {
            "ask a server that no proxy stands in front of; your own (msnp9-conntype serve) has none"
        }
        Reason::ObservationsDisagree => {
            "leave out the second observation for a label of the first alone, or run it again"
        }
        Reason::AddressUnknown => {
            "ask a server that reports the address; your own (msnp9-conntype serve) does"
        }
        Reason::NothingRewritten
        | Reason::AddressRewritten
        | Reason::PortRewritten
        | Reason::BothRewritten
        | Reason::MappingDependsOnDestination
        | Reason::MappingIndependentOfDestination
        | Reason::PortKeptTowardOne => "nothing needs mending for a label",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_something_to_try() {
        for label in Label::ALL {
            assert!((2..=5).contains(&try_next(label).len()), "{label}");
        }
    }
}
