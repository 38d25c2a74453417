//! What all that was found out means for file transfer, voice and webcam: its place in the document,
//! and its sentences.

use serde::Serialize;

use crate::conntype::{Because, Change, Conclusion, Disagreement, Finding, Outlook};

/// What others can expect of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConclusionReport {
    /// How sending and getting files goes.
    pub file_transfer: Outlook,
    /// How voice goes.
    pub voice: Outlook,
    /// How webcam goes: the more cautious of the two.
    pub webcam: Outlook,
    /// The evidence that decides each.
    pub reason: Reasons,
    /// The one change that would help most. Null where none is known to.
    pub change: Option<Change>,
    /// What contradicts itself.
    pub disagreements: Vec<Disagreement>,
}

/// The evidence that decides each, as stable words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reasons {
    /// Of file transfer.
    pub file_transfer: Because,
    /// Of voice.
    pub voice: Because,
    /// Of webcam.
    pub webcam: Because,
}

impl From<Conclusion> for ConclusionReport {
    fn from(found: Conclusion) -> Self {
        let Conclusion {
            file_transfer,
            voice,
            webcam,
            change,
            disagreements,
        } = found;
        Self {
            file_transfer: file_transfer.outlook,
            voice: voice.outlook,
            webcam: webcam.outlook,
            reason: Reasons {
                file_transfer: file_transfer.reason,
                voice: voice.reason,
                webcam: webcam.reason,
            },
            change,
            disagreements,
        }
    }
}

impl ConclusionReport {
    /// Each with how it goes and why, in a sentence.
    pub(super) fn outlooks(&self) -> [(&'static str, Finding); 3] {
        let Reasons {
            file_transfer,
            voice,
            webcam,
        } = self.reason;
        [
            ("File transfer", self.file_transfer, file_transfer),
            ("Voice", self.voice, voice),
            ("Webcam", self.webcam, webcam),
        ]
        .map(|(what, outlook, reason)| (what, Finding { outlook, reason }))
    }

    /// What would help most, and what contradicts itself.
    pub(super) fn advice(&self) -> Vec<String> {
        let disagreements = self.disagreements.iter().copied();
        let disagreements = disagreements.map(|one| disagreement(one).to_owned());
        self.change
            .map(change)
            .into_iter()
            .chain(disagreements)
            .collect()
    }
}

/// How something goes, and why.
pub(super) fn sentence(Finding { outlook, reason }: Finding) -> String {
    let how = match outlook {
        Outlook::Direct => "directly",
        Outlook::Likely => "probably directly",
        Outlook::OnlyIfTheOtherSideCanBeCalled => "directly only if the other side can be called",
        Outlook::ThroughTheServer => "not directly; through the server, if at all",
        Outlook::NotKnown => "not known",
    };
    format!("{how}: {}", because(reason))
}

const fn because(reason: Because) -> &'static str {
    match reason {
        Because::CallArrived => "a server's call reached this computer",
        Because::CallArrivedFromNearby => {
            "a call reached this computer within its own network; what comes from beyond is not known"
        }
        Because::CallArrivedThroughRouter => {
            "a server's call reached this computer through a port that the router opened"
        }
        Because::CallDidNotArrive => "a server called, and the call did not arrive",
        Because::RouterOpensPorts => "the router is the only NAT and offers to open ports",
        Because::NatBeyondRouter => "another NAT beyond the router opens no ports",
        Because::NothingRewritten => "nothing rewrites the address; no call was tested",
        Because::BehindNat => "this computer is behind a NAT; no call was tested",
        Because::Proxy => "this computer connects through a proxy or gateway",
        Because::UdpLetIn => "UDP is let in from others than those that were asked",
        Because::UdpFiltered => "UDP is let in only from where this computer sends to",
        Because::UdpMappedPerDestination => {
            "the NAT gives UDP another outside port for each destination, which others cannot know"
        }
        Because::UdpUnanswered => "nothing answers over UDP",
        Because::NoEvidence => "nothing that was asked shows it",
    }
}

fn change(change: Change) -> String {
    let what = match change {
        Change::ConnectWithoutProxy => {
            "to connect without the proxy or gateway, where that is possible"
        }
        Change::AskProviderForAddress => {
            "to ask the provider for an address that is not shared, or for IPv6"
        }
        Change::BridgeOneRouter => {
            "to make one of the two routers a bridge, or to forward ports in both"
        }
        Change::UseUpnp => "to switch on UPnP in the messenger: the router offers to open ports",
        Change::ForwardPorts => {
            "to switch on UPnP in the router, or to forward the messenger's ports to this computer"
        }
        Change::AllowInFirewall => {
            "to allow the messenger in the firewall of this computer or network"
        }
        Change::AllowUdp => "to let UDP out at the firewall",
    };
    format!("What would help most: {what}.")
}

const fn disagreement(disagreement: Disagreement) -> &'static str {
    match disagreement {
        Disagreement::UdpLabels => {
            "The tests of UDP disagree: what one server sees does not hold for another."
        }
        Disagreement::Addresses => {
            "Servers see this computer at different addresses: not all of its traffic takes the same \
             way."
        }
        Disagreement::OpenedPortsNotReached => {
            "The router opened ports, and no call arrived through them: something beyond it, or a \
             firewall, drops calls."
        }
    }
}
