//! The tests with STUN servers: their place in the document.

use std::net::SocketAddr;

use serde::Serialize;

use crate::address::Address;
use crate::conntype::{Filtering, NatMapping, StunEvidence, StunTransport, StunUnknown, UdpLabel};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::mask::Mask;
use crate::report::ErrorReport;
use crate::report::model::{endpoint, milliseconds};

/// The tests with one STUN server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StunReport {
    /// The server's name and port as requested.
    pub server: Address,
    /// What carried the requests.
    pub transport: StunTransport,
    /// The connection type of UDP, in the words of UDP echo. Null over TCP.
    pub label: Option<UdpLabel>,
    /// The server's address. Null where the tests did not begin.
    #[cfg_attr(test, schemars(with = "Option<Address>"))]
    pub address: Option<SocketAddr>,
    /// The server's other address, as it names it. Null where it names none that is usable.
    #[cfg_attr(test, schemars(with = "Option<Address>"))]
    pub other_address: Option<SocketAddr>,
    /// The local end of the first test. Null where the tests did not begin.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<crate::report::model::Endpoint>"))]
    pub local: Option<SocketAddr>,
    /// This host's end as the server sees it. Null where the server did not answer.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<crate::report::model::Endpoint>"))]
    pub outside: Option<SocketAddr>,
    /// How a NAT maps (RFC 4787). Null where that cannot be told.
    pub mapping: Option<NatMapping>,
    /// What is let in (RFC 4787). Null where that cannot be told.
    pub filtering: Option<Filtering>,
    /// Whether hosts behind the NAT reach each other's outside ends. Null where that cannot be told.
    pub hairpin: Option<bool>,
    /// Whether the outside port is the local one. Null where the server did not answer.
    pub port_kept: Option<bool>,
    /// Milliseconds from the first request to its answer. Null where there was none.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub round_trip_ms: Option<f64>,
    /// How many packets arrived that answer no request. Null where the tests did not end.
    pub ignored: Option<u32>,
    /// Why something is null. Empty where the tests did not end.
    pub unknown: Vec<StunUnknownReport>,
    /// Why the connection type is not known. Null unless the label is `Unknown-Connect`.
    pub error: Option<ErrorReport>,
}

/// Why something cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StunUnknownReport {
    /// What is not known.
    pub what: StunTerm,
    /// Why, as a stable word.
    pub reason: StunUnknown,
}

/// What the tests are to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StunTerm {
    /// How the NAT maps.
    Mapping,
    /// What is let in.
    Filtering,
    /// Whether it hairpins.
    Hairpin,
}

impl StunReport {
    /// What the tests with `server` came to.
    #[must_use]
    pub fn of(
        server: &Address,
        transport: StunTransport,
        outcome: &Result<StunEvidence, Failure>,
    ) -> Self {
        let seen = outcome.as_ref().ok();
        let label = match transport {
            StunTransport::Udp => seen.map_or(Some(UdpLabel::UnknownConnect), StunEvidence::label),
            StunTransport::Tcp => None,
        };
        let (mapping, filtering) = (seen.map(|s| s.mapping()), seen.map(|s| s.filtering()));
        let hairpin = seen.map(|s| s.hairpin());
        let reasons = [
            (StunTerm::Mapping, mapping.and_then(Result::err)),
            (StunTerm::Filtering, filtering.and_then(Result::err)),
            (StunTerm::Hairpin, hairpin.and_then(Result::err)),
        ];
        let unknown = reasons.into_iter().filter_map(|(what, reason)| {
            Some(StunUnknownReport {
                what,
                reason: reason?,
            })
        });
        let error = match outcome {
            Err(failure) => Some(failure.into()),
            Ok(seen) => (label == Some(UdpLabel::UnknownConnect))
                .then(|| ErrorReport::from(&inconclusive(seen))),
        };
        Self {
            server: server.clone(),
            transport,
            label,
            address: seen.map(|seen| seen.server),
            other_address: seen.and_then(|seen| seen.other),
            local: seen.map(|seen| seen.local),
            outside: seen.and_then(|seen| seen.outside),
            mapping: mapping.and_then(Result::ok),
            filtering: filtering.and_then(Result::ok),
            hairpin: hairpin.and_then(Result::ok),
            port_kept: seen.and_then(StunEvidence::port_kept),
            round_trip_ms: seen.and_then(|seen| seen.round_trip).map(milliseconds),
            ignored: seen.map(|seen| seen.ignored),
            unknown: unknown.collect(),
            error,
        }
    }

    pub(super) fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            server,
            transport,
            label,
            address,
            other_address,
            local,
            outside,
            mapping,
            filtering,
            hairpin,
            port_kept,
            round_trip_ms,
            ignored,
            unknown,
            error,
        } = self;
        let mut socket = |end: Option<SocketAddr>| end.map(|end| mask.socket(end));
        let (address, other_address) = (socket(address), socket(other_address));
        let (local, outside) = (socket(local), socket(outside));
        Self {
            server: mask.address(&server),
            transport,
            label,
            address,
            other_address,
            local,
            outside,
            mapping,
            filtering,
            hairpin,
            port_kept,
            round_trip_ms,
            ignored,
            unknown,
            error: error.map(|error| error.masked(mask)),
        }
    }

    /// What was found, in a few words, for a heading.
    pub(in crate::report) fn heading(&self) -> String {
        let Self { server, .. } = self;
        match self.label {
            Some(label) => format!("STUN, {server}: {label}"),
            None => {
                let told = self.outside.map_or("not known", |_| "the outside end");
                format!("STUN over TCP, {server}: {told}")
            }
        }
    }

    /// The observations in sentences.
    pub(in crate::report) fn sentences(&self) -> Vec<String> {
        let mut sentences = ErrorReport::sentences(self.error.as_ref());
        let (Some(local), Some(outside)) = (self.local, self.outside) else {
            if self.error.is_none() {
                sentences.push(
                    "A firewall drops UDP, or nothing answers STUN there: the two look the same."
                        .to_owned(),
                );
            }
            return sentences;
        };
        sentences.push(format!("{} sees {local} as {outside}.", self.server));
        let carried = match self.transport {
            StunTransport::Udp => "UDP",
            StunTransport::Tcp => "TCP",
        };
        sentences.extend(self.mapping.map(|mapping| mapped(mapping, carried)));
        sentences.extend(self.filtering.map(|filtering| let_in(filtering).to_owned()));
        let is_nat = self.mapping != Some(NatMapping::None);
        sentences.extend(self.port_kept.filter(|_| is_nat).map(|kept| match kept {
            true => "The NAT kept the port.".to_owned(),
            false => "The NAT replaced the port.".to_owned(),
        }));
        sentences.extend(self.hairpin.map(|hairpin| {
            match hairpin {
                true => {
                    "Hosts behind the NAT reach each other's outside ends (hairpinning).".to_owned()
                }
                false => {
                    "The NAT does not hairpin: hosts behind it do not reach each other's outside \
                      ends."
                        .to_owned()
                }
            }
        }));
        for unknown in &self.unknown {
            // Without a NAT nothing hairpins, and over TCP nothing else is asked.
            if !matches!(unknown.reason, StunUnknown::NoNat | StunUnknown::OverTcp) {
                sentences.push(unknown.sentence());
            }
        }
        sentences
    }
}

impl StunUnknownReport {
    fn sentence(&self) -> String {
        let what = match self.what {
            StunTerm::Mapping => "How the NAT maps",
            StunTerm::Filtering => "What is let in",
            StunTerm::Hairpin => "Whether the NAT hairpins",
        };
        let why = match self.reason {
            StunUnknown::NoAnswer => "the server does not answer",
            StunUnknown::NoOtherAddress => "it names no other address that is usable",
            StunUnknown::OtherAddressSilent => "its other address does not answer",
            StunUnknown::ChangeIgnored => "it answers from one address only, whatever it is asked",
            StunUnknown::ChangeRefused => "it refuses to answer from its other address",
            StunUnknown::ChangeNotSeen => "nothing shows that it answers from its other address",
            StunUnknown::HiddenByMapping => "the mapping hides it",
            StunUnknown::NoNat => "there is no NAT",
            StunUnknown::OverTcp => "it was asked over TCP",
        };
        format!("{what} cannot be told with this server: {why}.")
    }
}

fn mapped(mapping: NatMapping, carried: &str) -> String {
    let toward = match mapping {
        NatMapping::None => {
            return format!("Nothing rewrites {carried} between this host and the server.");
        }
        NatMapping::EndpointIndependent => {
            "one outside end toward every destination (endpoint-independent mapping)"
        }
        NatMapping::AddressDependent => {
            "another outside end toward each address (address-dependent mapping)"
        }
        NatMapping::AddressAndPortDependent => {
            "another outside end toward each address and port (address-and-port-dependent mapping)"
        }
        NatMapping::EndpointDependent => {
            "another outside end toward another destination (endpoint-dependent mapping)"
        }
    };
    format!("The NAT uses {toward}.")
}

const fn let_in(filtering: Filtering) -> &'static str {
    match filtering {
        Filtering::EndpointIndependent => {
            "Everything that is sent to the outside end is let in (endpoint-independent filtering)."
        }
        Filtering::AddressDependent => {
            "Packets are let in from every port of an address that this host has sent to \
             (address-dependent filtering)."
        }
        Filtering::AddressAndPortDependent => {
            "Packets are let in only from an address and port that this host has sent to \
             (address-and-port-dependent filtering)."
        }
    }
}

/// Why tests that ended do not tell the connection type.
fn inconclusive(seen: &StunEvidence) -> Failure {
    let why = format!(
        "{} does not tell how a NAT maps and what it lets in",
        seen.server
    );
    Failure::new(Stage::Stun, ErrorCode::Inconclusive, why)
}
