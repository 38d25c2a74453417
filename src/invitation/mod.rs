//! The connection fields that clients put into their invitations to a file transfer, a voice call or a
//! webcam: what they say, and whether it agrees with what was observed.
//!
//! Pure, like [`conntype`](crate::conntype). `read` finds them in bytes, `check` compares them, and `send`
//! gives those that an official client would send.
//!
//! The fields are those of MSNSLP's `application/x-msnmsgr-transreqbody` and its response, of `SM1` and
//! MSNFTP in `text/x-msmsgsinvite` (Kopete, Miranda, MSNPSharp, aMSN and papyon; hypothetic.org).

mod check;
mod field;
mod read;
mod send;

use std::net::Ipv4Addr;

pub use check::{Because, Claim, Outcome, Seen, check};
pub use field::{Field, Name, Value};
pub use read::{MOST_INVITATIONS, find_invitations};
pub use send::{ToSend, to_send};

/// What kind of message holds the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A request for a direct connection (MSNSLP).
    Request,
    /// The answer to one.
    Response,
    /// An invitation to voice or video of MSNP8 (`Session-Protocol: SM1`).
    Voice,
    /// An invitation of MSNFTP.
    FileTransfer,
    /// The fields alone.
    Fields,
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The kind of message.
    pub form: Form,
    /// The account in `From`, where there is one.
    pub from: Option<String>,
    /// Its connection fields, in their order, each once.
    pub fields: Vec<Field>,
}

impl Invitation {
    /// A field's value.
    #[must_use]
    pub fn get(&self, name: Name) -> Option<&Value> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(&field.value)
    }
}

/// `NetID`: the four bytes of an address, the first of them the lowest, as a signed number.
///
/// ```
/// use msnp9_conntype::invitation::{net_id_of, address_of_net_id};
///
/// let address = "193.255.198.161".parse().unwrap();
/// assert_eq!(net_id_of(address), -1_580_793_919);
/// assert_eq!(address_of_net_id(-1_580_793_919), address);
/// ```
#[must_use]
pub const fn net_id_of(address: Ipv4Addr) -> i32 {
    i32::from_le_bytes(address.octets())
}

/// The address of a `NetID`.
#[must_use]
pub fn address_of_net_id(net_id: i32) -> Ipv4Addr {
    net_id.to_le_bytes().into()
}

#[cfg(test)]
mod tests;
