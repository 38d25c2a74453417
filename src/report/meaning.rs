//! What a label means for the connection, for file transfer, and for voice and webcam.
//!
//! Written for somebody whose file transfers fail and who knows little of networks. The words
//! claim no more than one TCP connection can show: what happened to an address and a port on the
//! way, not which connections a router accepts.

use super::{Report, Why};
use crate::conntype::{Label, PathKind, Range, Reason, Warning};

/// What a label means.
pub(super) struct Meaning {
    /// For the connection.
    pub(super) connection: &'static str,
    /// For sending files.
    pub(super) file_transfer: &'static str,
    /// For voice and webcam.
    pub(super) voice: &'static str,
}

impl Meaning {
    /// For every run with this label.
    pub(super) const fn of(label: Label) -> Self {
        let (connection, file_transfer, voice) = match label {
            Label::DirectConnect => (
                "Nothing between this computer and the server changes the address or the port. \
                 Others can call this computer at its address unless a firewall blocks them; \
                 firewalls do not show in this label.",
                "Files should go directly from computer to computer, at full speed.",
                "Should work. Voice uses UDP, which a firewall may treat differently from this \
                 TCP connection.",
            ),
            Label::IpRestrictNat => (
                "Something on the way, usually a home router, replaces this computer's address \
                 with its own and keeps the port. Others know only the router's address, and the \
                 router decides what to pass on. Which connections it accepts does not show in \
                 this label: strict and lenient routers get it alike if they keep ports.",
                CALLED,
                "Both go directly between the computers. They work if the router passes them on \
                 or the other side can be called. A router that keeps ports makes that likelier, \
                 but voice uses UDP and this was TCP.",
            ),
            Label::PortRestrictNat => (
                "The address stays, only the port changes. Routers seldom do that. It is typical \
                 of something that takes over connections and opens new ones in their place: a \
                 transparent proxy, a security program, a virtual machine, or a router that \
                 shares this computer's own address.",
                "Messengers differ: some never connect directly with this label, some treat it \
                 like any router. Expect the slow path through the server.",
                "Uncertain. Voice uses UDP: what changes this TCP connection may leave UDP alone, \
                 or block it.",
            ),
            Label::SymmetricNat => (
                "Something on the way replaces both the address and the port: a router, a \
                 provider's shared address, a VPN or a proxy. The name stands for a router that \
                 uses a new outside port for every destination, but one observation cannot show \
                 that: any router that changes ports gets this label.",
                CALLED,
                "The hardest case: this computer does not know the outside port that others would \
                 have to call. Likely to fail if the other side is behind a router too.",
            ),
            Label::UnknownNat => (
                "Something on the way replaces the address. Either it is not known what happens \
                 to the port, or two servers saw the same replaced port.",
                "As behind any router: directly only if a port is opened or the other side can be \
                 called; otherwise through the server, slowly, or not at all.",
                "Works if the router passes it on or the other side can be called. Through a \
                 proxy, voice works only if it can bypass the proxy.",
            ),
            Label::UnknownConnect => (
                "The connection type could not be determined. This says nothing about the \
                 connection: whether transfers will work is not known.",
                "Not known. Messengers that get this label expect the worst and send files \
                 through the server, slowly, if at all.",
                "Not known.",
            ),
        };
        Self {
            connection,
            file_transfer,
            voice,
        }
    }

    /// For this run.
    pub(super) fn of_run(report: &Report) -> Self {
        let general = Self::of(report.label);
        let is_tcp = report.path.kind == PathKind::Tcp;
        let local = report.local.filter(|_| is_tcp);
        let reason = match &report.reason {
            Why::Rule(reason) => Some(*reason),
            Why::Failed { .. } => None,
        };
        let connection = match (report.label, reason) {
            _ if is_detour(report) => {
                return Self {
                    connection: "The address that the server sees did not come from this computer \
                                 over the internet: either the server is on this network and the \
                                 router sent the connection back (a hairpin), or a proxy is in \
                                 front of the server. The label describes that path. What happens \
                                 to this computer's address on the way to others is not known.",
                    file_transfer: "Not known: this login did not show it.",
                    voice: "Not known.",
                };
            }
            (Label::DirectConnect, _) => match local.map(|local| Range::of(local.ip())) {
                Some(Range::Loopback) => {
                    return Self {
                        connection: "This login went to this computer itself, so nothing was on \
                                     the way. What is between this computer and the internet did \
                                     not show.",
                        file_transfer: "Not known: nothing left this computer.",
                        voice: "Not known.",
                    };
                }
                Some(Range::Global) | None => general.connection,
                Some(_) => {
                    return Self {
                        connection: "Nothing between this computer and the server changes the \
                                     address or the port. But the internet cannot call this \
                                     address, so the server is nearby, and what is between this \
                                     computer and the internet did not show.",
                        file_transfer: "Files should go directly to others in this network. \
                                        Beyond it: not known.",
                        voice: "Should work with others in this network. Beyond it: not known.",
                    };
                }
            },
            (_, Some(Reason::ObservationsDisagree)) => {
                "Connections from this computer are not all treated alike: the observations above \
                 contradict each other, and the label says only what they have in common."
            }
            (Label::SymmetricNat, Some(Reason::PortKeptTowardOne)) => {
                "Something on the way, usually a router, replaces the address, and toward some \
                 destinations the port too. Only the server knows the port that was opened toward \
                 it, so nobody else can call it."
            }
            (_, Some(Reason::MappingDependsOnDestination)) => {
                "Something on the way, usually a router, replaces both the address and the port, \
                 and uses a different outside port for each server. Only the server knows the \
                 port that was opened toward it, so nobody else can call it."
            }
            (_, Some(Reason::MappingIndependentOfDestination)) => {
                "Something on the way, usually a router, replaces both the address and the port, \
                 but uses the same outside port for both servers. Others can call the port that a \
                 server sees, if the router lets them in."
            }
            (Label::UnknownNat, _) => match report.path.kind {
                PathKind::Tcp => {
                    "Something on the way, usually a router, replaces the address. The server \
                     sent no usable port, so how the router treats ports is not known."
                }
                PathKind::HttpGateway => {
                    "The HTTP gateway carries the messages as web requests, and something on the \
                     way replaces the address. The server sees no port of this computer, so how a \
                     router treats ports is not known."
                }
                PathKind::Socks4 | PathKind::Socks5 | PathKind::HttpConnect => {
                    "The proxy makes the connection to the server, so the server sees an address \
                     and a port of the proxy or of something beyond it. How this computer's own \
                     router treats ports is not known."
                }
            },
            _ => general.connection,
        };
        let voice = match report.label {
            Label::UnknownNat if is_tcp => {
                "Works if the router passes it on or the other side can be called. Voice uses UDP, \
                 which the router may treat differently from this TCP connection."
            }
            _ => general.voice,
        };
        Self {
            connection,
            voice,
            ..general
        }
    }
}

const CALLED: &str = "The other side cannot simply call this computer. Files go directly only if \
    a port is opened on the router or the other side can be called; otherwise they go through the \
    server, slowly, or not at all.";

/// Whether the server sees the address of a hairpin, or of a proxy in front of it.
pub(super) fn is_detour(report: &Report) -> bool {
    let is_one = |warning: &Warning| {
        matches!(
            warning,
            Warning::ClientIpNotGlobal(_) | Warning::ClientIpIsServer(_)
        )
    };
    report.warnings.iter().any(is_one)
}

/// How other programs treat the label when somebody sends it to them.
pub(super) const fn peers(label: Label) -> &'static str {
    match label {
        Label::DirectConnect => {
            "Kopete connects directly, unless the sender's Windows Firewall is in the way. \
             Miranda ranks it above all others. MSNPSharp waits for an incoming connection."
        }
        Label::IpRestrictNat | Label::SymmetricNat => {
            "Kopete connects directly only with UPnP. Miranda ranks it second with UPnP, low \
             without. MSNPSharp does not wait for an incoming connection, because the address \
             differs."
        }
        Label::PortRestrictNat => {
            "Kopete never connects directly. Miranda ranks it second with UPnP, low without. \
             MSNPSharp waits for an incoming connection: it compares the address only."
        }
        Label::UnknownNat => {
            "Kopete connects directly only with UPnP. Miranda ranks it just below the other \
             NATs, and almost last without UPnP. MSNPSharp does not wait for an incoming \
             connection."
        }
        Label::UnknownConnect => "Kopete does not connect directly. Miranda ranks it last.",
    }
}
