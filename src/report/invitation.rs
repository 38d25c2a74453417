//! Invitations in the report: what clients said, and what an official one would send.

use std::net::IpAddr;

use serde::Serialize;

use super::probes::{OpenedReport, Probes};
use crate::conntype::{Label, MappingProtocol};
use crate::invitation::{
    Because, Claim, Form, Invitation, Name, Outcome, Seen, ToSend, address_of_net_id, check,
    net_id_of, to_send,
};
use crate::mask::Mask;

/// An invitation, and how each of its connection fields compares with what was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InvitationReport {
    /// The kind of message.
    pub form: Form,
    /// The account that it says it is from. Null where it says none.
    pub from: Option<String>,
    /// Who sent it in a capture. Null where it was not captured.
    pub by: Option<Party>,
    /// Its connection fields.
    pub fields: Vec<ClaimReport>,
}

/// Who sent an invitation, as seen from the client of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// The client itself: its fields are compared with its session.
    Client,
    /// One of its contacts, of whom nothing was observed.
    Contact,
}

/// A field of an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClaimReport {
    /// The field.
    pub name: Name,
    /// Its text, at most 256 characters; empty for a nonce.
    pub text: String,
    /// How it compares with what was observed.
    pub outcome: Outcome,
    /// Why.
    pub because: Because,
}

impl InvitationReport {
    /// An invitation, compared with what was observed of its sender.
    #[must_use]
    pub fn of(invitation: &Invitation, by: Option<Party>, seen: &Seen) -> Self {
        let claims = check(invitation, seen).into_iter();
        Self {
            form: invitation.form,
            from: invitation.from.clone(),
            by,
            fields: claims
                .map(|Claim { field, because }| ClaimReport {
                    name: field.name,
                    text: field.raw,
                    outcome: because.outcome(),
                    because,
                })
                .collect(),
        }
    }

    pub(super) fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            form,
            from,
            by,
            fields,
        } = self;
        Self {
            form,
            from: from.map(|from| mask.account(&from)),
            by,
            fields: fields.into_iter().map(|one| one.masked(mask)).collect(),
        }
    }

    /// What it is, for a heading.
    pub(super) fn heading(&self) -> String {
        let what = match self.form {
            Form::Request => "request for a direct connection",
            Form::Response => "answer to a request for a direct connection",
            Form::Voice => "invitation to voice or video",
            Form::FileTransfer => "invitation to a file transfer",
            Form::Fields => "connection fields",
        };
        let from = self.from.as_ref().map(|from| format!(" from {from}"));
        let by = match self.by {
            Some(Party::Contact) => ", of a contact",
            Some(Party::Client) | None => "",
        };
        format!("Invitation: {what}{}{by}", from.unwrap_or_default())
    }

    /// A sentence a field.
    pub(super) fn sentences(&self) -> Vec<String> {
        let fields = self.fields.iter();
        fields
            .map(|one| {
                let (name, text) = (one.name.as_str(), &one.text);
                let text = if text.is_empty() { "(not shown)" } else { text };
                format!("{name} {text}: {}", reason(one.because))
            })
            .collect()
    }
}

impl ClaimReport {
    fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            name,
            text,
            outcome,
            because,
        } = self;
        let text = match (name, text.parse::<i64>()) {
            (Name::NetId, Ok(id)) => masked_net_id(id, mask),
            (Name::InternalPort | Name::ExternalPort | Name::Ipv6Port | Name::PortX, _) => {
                mask.port_text(&text)
            }
            // Masked numbers in another way are not known.
            (Name::PortXInternal | Name::IpAddressInternal, _) => "[masked]".to_owned(),
            _ => mask.text(&text),
        };
        Self {
            name,
            text,
            outcome,
            because,
        }
    }
}

/// The number of the mask of a number's address, with a sign where the number can have one.
fn masked_net_id(id: i64, mask: &mut Mask) -> String {
    let is_unsigned = id > i64::from(i32::MAX);
    let signed = match is_unsigned {
        true => u32::try_from(id).ok().map(u32::cast_signed),
        false => i32::try_from(id).ok(),
    };
    match signed {
        Some(0) => "0".to_owned(),
        Some(id) => match mask.ip(IpAddr::V4(address_of_net_id(id))) {
            IpAddr::V4(ip) if is_unsigned => net_id_of(ip).cast_unsigned().to_string(),
            IpAddr::V4(ip) => net_id_of(ip).to_string(),
            IpAddr::V6(_) => "[masked]".to_owned(),
        },
        None => "[masked]".to_owned(),
    }
}

const fn reason(because: Because) -> &'static str {
    match because {
        Because::Same => "agrees",
        Because::Unsigned => "agrees, printed without its sign",
        Because::NoAddressNeeded => "agrees: this connection type needs no address",
        Because::OtherLabel => "disagrees: the observation gives another connection type",
        Because::OtherAddress => "disagrees: another address was observed",
        Because::OwnAddress => "disagrees: it is the client's own address, not the outside one",
        Because::OtherByteOrder => "disagrees: it is an address with its bytes in the other order",
        Because::KnownConstant => "disagrees: some clients send this number to everybody",
        Because::AddressMissing => "disagrees: this connection type needs the outside address",
        Because::NotTranslated => "disagrees: no address is translated",
        Because::OtherConnectivity => {
            "disagrees: Y stands for an own address that is the outside one, N for another"
        }
        Because::NotObserved => "cannot tell: what it is compared with was not observed",
        Because::UdpNotTested => "cannot tell: it may be of a test of UDP",
        Because::DoesNotShow => "cannot tell: a connection to the server does not show it",
        Because::Unreadable => "cannot tell: the text cannot be read",
    }
}

/// What an official client would send after a login and what was tested beside it.
pub(super) fn sent(tcp: Label, client_ip: Option<IpAddr>, probes: &Probes) -> ToSend {
    let router = probes.port_mapping.as_ref().filter(|router| router.tried);
    let by_upnp = |opened: OpenedReport| opened.by == MappingProtocol::Upnp;
    let upnp_nat = router.map(|router| router.opened.is_some_and(by_upnp));
    let mut udp = probes.labels().map(|(.., label)| label);
    let udp = udp.find(|label| label.determined());
    to_send(tcp, udp, client_ip, upnp_nat)
}

pub(super) fn masked(sent: ToSend, mask: &mut Mask) -> ToSend {
    let net_id = sent.net_id.map(|id| masked_net_id(id.into(), mask));
    ToSend {
        net_id: net_id.and_then(|id| id.parse().ok()),
        ..sent
    }
}

/// The fields as they would stand there; a value that is not known says so.
pub(super) fn lines(sent: &ToSend) -> Vec<String> {
    let fields = sent.fields().into_iter();
    let line = |(name, value): (Name, Option<String>)| {
        let value = value.unwrap_or_else(|| "(not known)".to_owned());
        format!("{}: {value}", name.as_str())
    };
    fields.map(line).collect()
}
