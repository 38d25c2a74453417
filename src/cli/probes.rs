//! What is asked besides the login, side by side under one deadline.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;

use super::error::CommandError;
use super::values;
use crate::address::Address;
use crate::conntype::{PortMappingEvidence, StunEvidence, UdpEvidence};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::mask::Mask;
use crate::probe::port_mapping::{self, Ledger};
use crate::probe::{stun, udp_echo};
use crate::report::{PortMappingReport, Probes, StunReport, UdpEchoReport};
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

    /// STUN server to ask; the default port is 3478; may be repeated
    ///
    /// Shows how a NAT maps and filters UDP in the terms of RFC 4787, as far as the server can tell
    /// (probes.stun). A server with a second address (RFC 5780) tells both; two plain servers tell
    /// the mapping alone. No proxy is used.
    #[arg(
        long,
        env = "MSNP9_STUN",
        value_name = "HOST[:PORT]",
        value_delimiter = ',',
        value_parser = values::stun
    )]
    stun: Vec<Address>,

    /// Ask this host's router for its outside address, by UPnP, NAT-PMP and PCP
    ///
    /// Shows whether another NAT lies beyond the router (probes.port_mapping). Only asks; with =try
    /// it also opens a port each for TCP and UDP, and closes them again, whatever happens.
    #[arg(
        long,
        env = "MSNP9_PORT_MAPPING",
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "ask"
    )]
    port_mapping: Option<PortMapping>,
}

/// What the router is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PortMapping {
    /// Its outside address; nothing is changed
    Ask,
    /// To open ports as well, which are closed again
    Try,
}

/// The most STUN servers of one run.
const MOST_SERVERS: usize = 8;

impl ProbesArgs {
    /// Whether anything is asked for.
    pub(super) const fn any(&self) -> bool {
        let Self {
            udp_echo,
            stun,
            port_mapping,
        } = self;
        udp_echo.is_some() || !stun.is_empty() || port_mapping.is_some()
    }

    /// # Errors
    /// Too many servers.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        match self.stun.len() <= MOST_SERVERS {
            true => Ok(()),
            false => Err(CommandError::usage(format!(
                "--stun: at most {MOST_SERVERS} servers"
            ))),
        }
    }

    /// Tells the mask what the options name.
    pub(super) fn tell(&self, mask: &mut Mask) {
        let Self {
            udp_echo,
            stun,
            port_mapping: _,
        } = self;
        udp_echo
            .iter()
            .chain(stun)
            .for_each(|at| drop(mask.address(at)));
    }
}

/// The probes that are asked for.
#[derive(Default)]
pub(super) struct Asked {
    udp_echo: Option<udp_echo::Plan>,
    stun: Option<stun::Plan>,
    port_mapping: Option<port_mapping::Plan>,
}

/// What each of them came to, `None` where it was not asked for.
struct Found {
    udp_echo: Option<Result<UdpEvidence, Failure>>,
    stun: Option<Vec<Result<StunEvidence, Failure>>>,
    port_mapping: Option<Result<PortMappingEvidence, Failure>>,
}

impl Found {
    /// Tells each what the others and the login observed.
    fn compare(&mut self, client_ip: Option<IpAddr>) {
        if let Some(Ok(evidence)) = &mut self.udp_echo {
            evidence.client_ip = client_ip;
        }
        for evidence in self.stun.iter_mut().flatten().flatten() {
            evidence.client_ip = client_ip;
        }
        let udp_echo = self.udp_echo.iter().flatten();
        let udp_echo = udp_echo.filter_map(UdpEvidence::outside);
        let stun = self.stun.iter().flatten().flatten();
        let stun = stun.filter_map(|seen| seen.outside);
        let seen = udp_echo.map(SocketAddr::from).chain(stun);
        if let Some(Ok(evidence)) = &mut self.port_mapping {
            evidence.seen = client_ip
                .into_iter()
                .chain(seen.map(|end| end.ip()))
                .collect();
        }
    }
}

impl Asked {
    pub(super) fn new(args: ProbesArgs, route: &Route) -> Self {
        let udp_echo = args.udp_echo.map(|server| udp_echo::Plan {
            server,
            route: route.clone(),
        });
        let stun = (!args.stun.is_empty()).then(|| stun::Plan {
            servers: args.stun,
            route: route.clone(),
        });
        let port_mapping = args.port_mapping.map(|how| port_mapping::Plan {
            route: route.clone(),
            opens: how == PortMapping::Try,
            ledger: Ledger::default(),
        });
        Self {
            udp_echo,
            stun,
            port_mapping,
        }
    }

    /// UDP echo alone.
    pub(super) fn of_udp_echo(server: Address, route: &Route) -> Self {
        let route = route.clone();
        Self {
            udp_echo: Some(udp_echo::Plan { server, route }),
            ..Self::default()
        }
    }

    /// Runs all of them beside `login`, which gives the address that its server saw.
    pub(super) async fn beside<T>(
        &self,
        login: impl Future<Output = T>,
        client_ip: impl FnOnce(&T) -> Option<IpAddr>,
        log: &RunLog,
        until: Instant,
    ) -> (T, Probes) {
        let udp_echo = async { Some(udp_echo::observe(self.udp_echo.as_ref()?, log, until).await) };
        let stun = async { Some(stun::observe(self.stun.as_ref()?, log, until).await) };
        let port_mapping = async {
            let plan = self.port_mapping.as_ref()?;
            Some(port_mapping::observe(plan, None, log, until, async |_| {}).await)
        };
        let (done, udp_echo, stun, port_mapping) =
            tokio::join!(login, udp_echo, stun, port_mapping);
        let mut found = Found {
            udp_echo,
            stun,
            port_mapping,
        };
        found.compare(client_ip(&done));
        let probes = self.report(found);
        (done, probes)
    }

    /// Closes what is open at the router.
    pub(super) async fn clean_up(&self) {
        if let Some(plan) = &self.port_mapping {
            plan.ledger.close().await;
        }
    }

    /// The report of a run that a signal ended.
    pub(super) fn interrupted(&self, signal: ErrorCode) -> Probes {
        let failure = |stage| {
            let message = "interrupted before the tests were judged";
            Failure::new(stage, signal, message)
        };
        self.report(Found {
            udp_echo: Some(Err(failure(Stage::UdpEcho))),
            stun: self.stun.as_ref().map(|plan| {
                let failed = |_| Err(failure(Stage::Stun));
                plan.servers.iter().map(failed).collect()
            }),
            port_mapping: Some(Err(failure(Stage::PortMapping))),
        })
    }

    fn report(&self, found: Found) -> Probes {
        let udp_echo = self.udp_echo.as_ref().zip(found.udp_echo.as_ref());
        let stun = self.stun.as_ref().zip(found.stun.as_ref());
        let port_mapping = self.port_mapping.as_ref().zip(found.port_mapping.as_ref());
        Probes {
            port_mapping: port_mapping.map(|(plan, outcome)| {
                PortMappingReport::of(outcome, plan.opens, plan.ledger.state())
            }),
            stun: stun.map(|(plan, outcomes)| {
                let each = plan.servers.iter().zip(outcomes);
                each.map(|(server, outcome)| StunReport::of(server, outcome))
                    .collect()
            }),
            udp_echo: udp_echo.map(|(plan, outcome)| UdpEchoReport::of(&plan.server, outcome)),
        }
    }
}
