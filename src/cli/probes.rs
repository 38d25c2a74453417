//! What is asked besides the login, side by side under one deadline.

use std::net::IpAddr;

use tokio::time::Instant;

use super::values;
use crate::address::Address;
use crate::conntype::UdpEvidence;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::mask::Mask;
use crate::probe::udp_echo;
use crate::report::{Probes, UdpEchoReport};
use crate::run_log::RunLog;
use crate::transport::Route;

/// The options of the probes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ProbesArgs {
    /// Server of UDP echo to ask; the default port is 7001
    ///
    /// Shows how a NAT filters and maps UDP, in the report and in JSON (probes.udp_echo). Beside a
    /// login the label on stdout stays that of TCP. No proxy is used.
    #[arg(long, env = "MSNP9_UDP_ECHO", value_name = "HOST[:PORT]", value_parser = values::udp_echo)]
    udp_echo: Option<Address>,
}

impl ProbesArgs {
    /// Whether anything is asked for.
    pub(super) const fn any(&self) -> bool {
        let Self { udp_echo } = self;
        udp_echo.is_some()
    }

    /// Tells the mask what the options name.
    pub(super) fn tell(&self, mask: &mut Mask) {
        let Self { udp_echo } = self;
        udp_echo.iter().for_each(|at| drop(mask.address(at)));
    }
}

/// The probes that are asked for.
#[derive(Default)]
pub(super) struct Asked {
    udp_echo: Option<udp_echo::Plan>,
}

/// What each of them came to, `None` where it was not asked for.
struct Found {
    udp_echo: Option<Result<UdpEvidence, Failure>>,
}

impl Asked {
    pub(super) fn new(args: ProbesArgs, route: &Route) -> Self {
        let udp_echo = args.udp_echo.map(|server| udp_echo::Plan {
            server,
            route: route.clone(),
        });
        Self { udp_echo }
    }

    /// UDP echo alone.
    pub(super) fn of_udp_echo(server: Address, route: &Route) -> Self {
        Self::new(
            ProbesArgs {
                udp_echo: Some(server),
            },
            route,
        )
    }

    /// Runs all of them beside `login`, which gives the address that its server saw.
    pub(super) async fn beside<T>(
        &self,
        login: impl Future<Output = T>,
        client_ip: impl FnOnce(&T) -> Option<IpAddr>,
        log: &RunLog,
        until: Instant,
    ) -> (T, Probes) {
        let (done, udp_echo) = tokio::join!(login, async {
            Some(udp_echo::observe(self.udp_echo.as_ref()?, log, until).await)
        });
        let mut found = Found { udp_echo };
        if let Some(Ok(evidence)) = &mut found.udp_echo {
            evidence.client_ip = client_ip(&done);
        }
        let probes = self.report(found);
        (done, probes)
    }

    /// The report of a run that a signal ended.
    pub(super) fn interrupted(&self, signal: ErrorCode) -> Probes {
        let failure = |stage| {
            let message = "interrupted before the tests were judged";
            Failure::new(stage, signal, message)
        };
        self.report(Found {
            udp_echo: Some(Err(failure(Stage::UdpEcho))),
        })
    }

    fn report(&self, found: Found) -> Probes {
        let udp_echo = self.udp_echo.as_ref().zip(found.udp_echo.as_ref());
        Probes {
            udp_echo: udp_echo.map(|(plan, outcome)| UdpEchoReport::of(&plan.server, outcome)),
        }
    }
}
