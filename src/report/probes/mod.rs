//! What other probes than the login found: their place in the document.

mod listen;
mod port_mapping;
mod stun;
mod udp_echo;

use std::net::SocketAddr;
use std::time::SystemTime;

use serde::Serialize;

use super::model::{began, code, time};
use super::text::sentence;
use super::{ConclusionReport, ErrorReport, Expected, SCHEMA_VERSION, Tool};
use crate::address::Address;
use crate::conntype::{Beside, UdpLabel};
use crate::exit::Exit;
use crate::mask::{self, Mask};

pub use listen::{CallsReport, ListenReport};
pub use port_mapping::{ExternalReport, OpenedReport, PortMappingReport};
pub use stun::{StunReport, StunTerm, StunUnknownReport};
pub use udp_echo::{UdpEchoReport, UdpOutcome, UdpTestReport, UdpTests};

/// What other probes than the login found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Probes {
    /// The tests of UDP echo. Null where they were not asked for.
    pub udp_echo: Option<UdpEchoReport>,
    /// The tests with STUN servers, in the order they were given. Null where they were not asked for.
    pub stun: Option<Vec<StunReport>>,
    /// What the router says of port mapping. Null where it was not asked.
    pub port_mapping: Option<PortMappingReport>,
    /// Whether a server could call this host. Null where it was not asked to.
    pub listen: Option<ListenReport>,
}

impl ErrorReport {
    /// What happened and what to try, in sentences; none where there is no error.
    fn sentences(error: Option<&Self>) -> Vec<String> {
        let parts = error.map(|error| [sentence(&error.message), sentence(&error.remedy)]);
        parts.into_iter().flatten().collect()
    }
}

impl Probes {
    pub(super) fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            udp_echo,
            stun,
            port_mapping,
            listen,
        } = self;
        Self {
            udp_echo: udp_echo.map(|udp_echo| udp_echo.masked(mask)),
            stun: stun.map(|stun| stun.into_iter().map(|one| one.masked(mask)).collect()),
            port_mapping: port_mapping.map(|found| found.masked(mask)),
            listen: listen.map(|found| found.masked(mask)),
        }
    }

    /// The label of each test of UDP, with the kind of probe and the server that was asked.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&'static str, &Address, UdpLabel)> {
        let udp_echo = self.udp_echo.iter();
        let udp_echo = udp_echo.map(|found| ("udp-echo", &found.server, found.label));
        let stun = self.stun.iter().flatten();
        udp_echo.chain(stun.filter_map(|found| Some(("stun", &found.server, found.label?))))
    }

    /// What the rules of clients need of them.
    pub(super) fn beside(&self) -> Beside {
        let udp = self.udp_echo.as_ref();
        let tests = udp.and_then(|found| found.tests.as_ref());
        let port = |test: &UdpTestReport| test.outside.map(|end| end.port());
        Beside {
            udp: udp.map(|found| found.label),
            udp_ports: tests.and_then(|tests| Some((port(&tests.first)?, port(&tests.third)?))),
            called: self.listen.as_ref().and_then(|found| found.tcp),
        }
    }

    /// Why there is no label; where no test of UDP was asked for, why nothing else could run.
    fn error(&self) -> Option<&ErrorReport> {
        if let Some((_, error)) = self.udp() {
            return error;
        }
        let router = self.port_mapping.as_ref().map(|found| found.error.as_ref());
        let calls = self.listen.as_ref().map(|found| found.error.as_ref());
        let over_tcp = self.stun.iter().flatten().map(|found| found.error.as_ref());
        let mut asked = [router, calls].into_iter().flatten().chain(over_tcp);
        let first = asked.next()?;
        asked.all(|error| error.is_some()).then_some(first)?
    }

    /// The label of UDP, with the error where it is not known: that of UDP echo, else of the first STUN
    /// server that tells one.
    fn udp(&self) -> Option<(UdpLabel, Option<&ErrorReport>)> {
        if let Some(found) = &self.udp_echo {
            return Some((found.label, found.error.as_ref()));
        }
        let servers = self.stun.iter().flatten();
        let mut servers = servers.filter_map(|one| Some((one.label?, one.error.as_ref())));
        let told = servers.clone().find(|(label, _)| label.determined());
        told.or_else(|| servers.next())
    }
}

/// The result of `probe`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProbeReport {
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: u32,
    /// The program that made the document.
    pub tool: Tool,
    /// When the run began: RFC 3339, UTC, with milliseconds.
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "date-time")))]
    #[serde(serialize_with = "time")]
    pub started_at: Option<SystemTime>,
    /// Whether addresses, ports and host names are masked (`--redact`).
    pub redacted: bool,
    /// The connection type of UDP.
    pub label: UdpLabel,
    /// Whether it is known: false for `Unknown-Connect` only.
    pub determined: bool,
    /// The probes, as in the document of a login.
    pub probes: Probes,
    /// What they mean for file transfer, voice and webcam, as in the document of a login.
    pub conclusion: Option<ConclusionReport>,
    /// The labels of `--expect`. Null where none were given.
    pub expected: Option<Expected<UdpLabel>>,
    /// The exit code of the process.
    #[serde(serialize_with = "code")]
    pub exit_code: Exit,
}

impl ProbeReport {
    /// The result of a run without a login.
    #[must_use]
    pub fn new(
        probes: Probes,
        conclusion: Option<ConclusionReport>,
        started_at: SystemTime,
        expected: Vec<UdpLabel>,
    ) -> Self {
        let udp = probes.udp();
        let label = udp.map_or(UdpLabel::UnknownConnect, |(label, _)| label);
        let failed = probes.error().map(|error| error.code.exit());
        let expected = Expected::of(expected, &label);
        let met = expected.as_ref().map(|expected| expected.met);
        // Without a test of UDP there is no label to find out.
        let is_done = label.determined() || (udp.is_none() && failed.is_none());
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::THIS,
            started_at: began(Some(started_at)),
            redacted: false,
            label,
            determined: label.determined(),
            exit_code: Exit::settle(is_done, failed, met),
            expected,
            probes,
            conclusion,
        }
    }

    /// Why there is no label, or why what was asked for could not run.
    pub(super) fn error(&self) -> Option<&ErrorReport> {
        self.probes.error()
    }

    /// This host's end as the first server of a test of UDP sees it.
    pub(super) fn outside(&self) -> Option<SocketAddr> {
        let udp_echo = self.probes.udp_echo.as_ref();
        let mut stun = self.probes.stun.iter().flatten();
        let udp_echo = udp_echo.and_then(|found| found.outside);
        udp_echo.or_else(|| stun.find_map(|found| found.outside))
    }

    /// The report with the mask of this process, where it has one.
    #[must_use]
    pub fn to_share(self) -> Self {
        let probes = mask::with(|mask| self.probes.clone().masked(mask));
        let redacted = probes.is_some();
        Self {
            probes: probes.unwrap_or(self.probes),
            redacted,
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
