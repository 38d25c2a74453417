//! How a NAT maps and filters, in the terms of RFC 4787.

use serde::Serialize;

/// How the outside end depends on where a packet goes (RFC 4787, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NatMapping {
    /// Nothing is rewritten.
    None,
    /// One outside end, whatever the destination.
    EndpointIndependent,
    /// Another outside end for each destination address.
    AddressDependent,
    /// Another outside end for each destination address and port.
    AddressAndPortDependent,
    /// It depends on the destination; whether on its port too was not told.
    EndpointDependent,
}

/// What a NAT or firewall lets in (RFC 4787, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// Everything that is sent to the outside end.
    EndpointIndependent,
    /// What comes from an address that was sent to.
    AddressDependent,
    /// What comes from an address and port that was sent to.
    AddressAndPortDependent,
}
