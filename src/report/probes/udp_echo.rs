//! The tests of UDP echo: their place in the document.

use std::net::SocketAddr;

use serde::Serialize;

use crate::address::Address;
use crate::conntype::{UdpEvidence, UdpLabel, UdpTest};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::mask::Mask;
use crate::report::ErrorReport;
use crate::report::model::{endpoint, milliseconds};

/// The tests of UDP echo, MSN's own network detection.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UdpEchoReport {
    /// The server's name and port as requested.
    pub server: Address,
    /// The connection type of UDP.
    pub label: UdpLabel,
    /// The server's address. Null where the tests did not begin.
    #[cfg_attr(test, schemars(with = "Option<Address>"))]
    pub address: Option<SocketAddr>,
    /// The server's other address, as it names it. Null where it names none that is usable.
    #[cfg_attr(test, schemars(with = "Option<Address>"))]
    pub other_address: Option<SocketAddr>,
    /// The local end of tests 1 and 3. Null where the tests did not begin.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<crate::report::model::Endpoint>"))]
    pub local: Option<SocketAddr>,
    /// This host's end as the server sees it. Null where the server did not answer.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<crate::report::model::Endpoint>"))]
    pub outside: Option<SocketAddr>,
    /// The tests. Null where they did not begin, or did not end.
    pub tests: Option<UdpTests>,
    /// Milliseconds from the first request to its answer. Null where there was none.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub round_trip_ms: Option<f64>,
    /// How many packets arrived that answer no request. Null where the tests did not end.
    pub ignored: Option<u32>,
    /// Why the connection type is not known. Null unless the label is `Unknown-Connect`.
    pub error: Option<ErrorReport>,
}

/// What each test observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UdpTests {
    /// Test 1: the server answers.
    pub first: UdpTestReport,
    /// Test 2: the other address answers, from a port that nothing was sent to.
    pub second: UdpTestReport,
    /// Test 3: the other address is asked from the port of test 1, and answers.
    pub third: UdpTestReport,
}

/// What one test observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UdpTestReport {
    /// The outcome.
    pub outcome: UdpOutcome,
    /// This host's end as the answer tells it. Null where there is no answer.
    #[serde(serialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "Option<crate::report::model::Endpoint>"))]
    pub outside: Option<SocketAddr>,
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UdpOutcome {
    /// It was not needed, or what it needs was missing.
    NotRun,
    /// Nothing came back.
    NoAnswer,
    /// An ICMP error came back.
    Refused,
    /// An answer came back.
    Answered,
}

impl From<UdpTest> for UdpTestReport {
    fn from(test: UdpTest) -> Self {
        let (outcome, outside) = match test {
            UdpTest::NotRun => (UdpOutcome::NotRun, None),
            UdpTest::NoAnswer => (UdpOutcome::NoAnswer, None),
            UdpTest::Refused => (UdpOutcome::Refused, None),
            UdpTest::Answered(end) => (UdpOutcome::Answered, Some(end.into())),
        };
        Self { outcome, outside }
    }
}

impl UdpEchoReport {
    /// What the tests with `server` came to.
    #[must_use]
    pub fn of(server: &Address, outcome: &Result<UdpEvidence, Failure>) -> Self {
        let evidence = outcome.as_ref().ok();
        let tests = evidence.map(|seen| UdpTests {
            first: seen.first.into(),
            second: seen.second.into(),
            third: seen.third.into(),
        });
        let label = evidence.map_or(UdpLabel::UnknownConnect, UdpEvidence::label);
        let error = match outcome {
            Err(failure) => Some(failure.into()),
            Ok(seen) => (!label.determined()).then(|| ErrorReport::from(&inconclusive(seen))),
        };
        Self {
            server: server.clone(),
            label,
            address: evidence.map(|seen| seen.server.into()),
            other_address: evidence.and_then(|seen| seen.other.map(SocketAddr::from)),
            local: evidence.map(|seen| seen.local.into()),
            outside: tests.as_ref().and_then(|tests| tests.first.outside),
            tests,
            round_trip_ms: evidence.and_then(|seen| seen.round_trip).map(milliseconds),
            ignored: evidence.map(|seen| seen.ignored),
            error,
        }
    }

    pub(in crate::report) fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            server,
            label,
            address,
            other_address,
            local,
            outside,
            tests,
            round_trip_ms,
            ignored,
            error,
        } = self;
        let mut socket = |end: Option<SocketAddr>| end.map(|end| mask.socket(end));
        let (address, other_address) = (socket(address), socket(other_address));
        let (local, outside) = (socket(local), socket(outside));
        let mut test = |UdpTestReport { outcome, outside }| UdpTestReport {
            outcome,
            outside: socket(outside),
        };
        let tests = tests.map(
            |UdpTests {
                 first,
                 second,
                 third,
             }| UdpTests {
                first: test(first),
                second: test(second),
                third: test(third),
            },
        );
        Self {
            server: mask.address(&server),
            label,
            address,
            other_address,
            local,
            outside,
            tests,
            round_trip_ms,
            ignored,
            error: error.map(|error| error.masked(mask)),
        }
    }

    /// The observations in sentences, and what they mean.
    pub(in crate::report) fn sentences(&self) -> Vec<String> {
        let mut sentences = ErrorReport::sentences(self.error.as_ref());
        if let Some(tests) = &self.tests {
            let of = |end: Option<SocketAddr>| match end {
                Some(end) => end.to_string(),
                None => "nothing".to_owned(),
            };
            let outcome = |test: &UdpTestReport| match test.outcome {
                UdpOutcome::NotRun => "not run".to_owned(),
                UdpOutcome::NoAnswer => "no answer".to_owned(),
                UdpOutcome::Refused => "refused by an ICMP error".to_owned(),
                UdpOutcome::Answered => format!("answered, and sees {}", of(test.outside)),
            };
            let (here, at, other) = (of(self.local), of(self.address), of(self.other_address));
            sentences.push(format!(
                "Test 1, {here} to {at}: {}.",
                outcome(&tests.first)
            ));
            if tests.second.outcome != UdpOutcome::NotRun {
                sentences.push(format!(
                    "Test 2, from the other address {other} without being asked there: {}.",
                    outcome(&tests.second)
                ));
            }
            if tests.third.outcome != UdpOutcome::NotRun {
                sentences.push(format!(
                    "Test 3, {here} to {other}: {}.",
                    outcome(&tests.third)
                ));
            }
        }
        sentences.push(meaning(self.label).to_owned());
        sentences
    }
}

/// Why tests that ended do not tell the connection type.
fn inconclusive(seen: &UdpEvidence) -> Failure {
    let (code, why) = match (seen.other, seen.second, seen.third) {
        (None, ..) => (
            ErrorCode::NoUsableAddress,
            format!("{} names no other address that is usable", seen.server),
        ),
        (Some(other), _, UdpTest::Refused) => (
            ErrorCode::ConnectionRefused,
            format!("UDP to {other}, the server's other address: refused"),
        ),
        (Some(other), ..) => (
            ErrorCode::Timeout,
            format!("no answer that tells more from {other}, the server's other address"),
        ),
    };
    Failure::new(Stage::UdpEcho, code, why)
}

const fn meaning(label: UdpLabel) -> &'static str {
    match label {
        UdpLabel::DirectConnect => "Nothing rewrites UDP between this host and the server.",
        UdpLabel::IpRestrictNat => {
            "A NAT lets answers in from any port of an address that this host has sent to."
        }
        UdpLabel::PortRestrictNat => {
            "A NAT lets answers in only from an address and port that this host has sent to, and \
             uses one outside port toward both addresses."
        }
        UdpLabel::SymmetricNat => {
            "A NAT uses another outside end toward each address, and lets in only what was asked \
             for there."
        }
        UdpLabel::Firewall => {
            "A firewall drops UDP, or nothing answers UDP echo there: the two look the same."
        }
        UdpLabel::IsaLike => {
            "UDP leaves with this host's own address and TCP with another one, as behind a proxy \
             for TCP."
        }
        UdpLabel::UnknownConnect => "The connection type of UDP is not known.",
    }
}
