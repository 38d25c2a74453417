//! What is asked besides the login, side by side under one deadline.

use std::net::SocketAddr;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use tokio::time::Instant;

use super::error::CommandError;
use super::values;
use crate::address::{Address, CALL_BACK_PORT};
use crate::conntype::{
    Conclusion, Facts, LoginFacts, PathKind, StunEvidence, UdpEvidence, conclude,
};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::mask::Mask;
use crate::probe::port_mapping::{self, Ledger};
use crate::probe::reach::{self, Reach};
use crate::probe::{listen, stun, udp_echo};
use crate::report::{
    ConclusionReport, ListenReport, PortMappingReport, Probes, StunReport, UdpEchoReport,
};
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

    /// STUN server to ask, over TCP after tcp://; the default port is 3478; may be repeated
    ///
    /// Shows how a NAT maps and filters UDP in the terms of RFC 4787, as far as the server can tell
    /// (probes.stun). A server with a second address (RFC 5780) tells both; two plain servers tell
    /// the mapping alone. Over TCP they tell the outside end and the mapping of TCP. No proxy is used.
    #[arg(
        long,
        env = "MSNP9_STUN",
        value_name = "[tcp://]HOST[:PORT]",
        value_delimiter = ',',
        value_parser = values::stun
    )]
    stun: Vec<stun::Server>,

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

    /// Server that is to call this host; the default port is 7001
    ///
    /// Shows whether others can reach this host, by TCP and UDP (probes.listen): a server of this
    /// program (serve --call-back) calls ports that are opened for it. With --port-mapping=try it
    /// calls the ports that the router opens as well. No proxy is used.
    #[arg(long, env = "MSNP9_CALL_BACK", value_name = "HOST[:PORT]", value_parser = values::call_back)]
    call_back: Option<Address>,

    /// Have this host called at this port; without a number the system picks one
    ///
    /// The server is that of --call-back, or else that of --udp-echo or --server, at port 7001.
    #[arg(
        long,
        env = "MSNP9_LISTEN_TEST",
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        value_parser = values::called_port
    )]
    listen_test: Option<u16>,

    /// Ask everything that the given servers allow, and the router
    ///
    /// The same as --port-mapping --listen-test; without a server, the router alone.
    #[arg(long, env = "MSNP9_ALL", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    all: bool,
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
            call_back,
            listen_test,
            all,
        } = self;
        let is_server = udp_echo.is_some() || !stun.is_empty() || call_back.is_some();
        is_server || port_mapping.is_some() || listen_test.is_some() || *all
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
        let stun = self.stun.iter().map(|server| &server.address);
        let servers = self.udp_echo.iter().chain(stun).chain(&self.call_back);
        servers.for_each(|at| drop(mask.address(at)));
    }

    /// The server that is to call, if one is.
    ///
    /// # Errors
    /// One is to, and none is named.
    fn caller(&self, login: Option<&Address>) -> Result<Option<Address>, CommandError> {
        let is_asked = self.call_back.is_some() || self.listen_test.is_some() || self.all;
        let other = self.udp_echo.as_ref().or(login).map(|server| Address {
            port: CALL_BACK_PORT,
            ..server.clone()
        });
        match self.call_back.clone().or(other).filter(|_| is_asked) {
            None if self.listen_test.is_some() => Err(CommandError::usage(
                "--listen-test: name the server that is to call, with --call-back HOST[:PORT]",
            )),
            caller => Ok(caller),
        }
    }
}

/// The probes that are asked for.
#[derive(Default)]
pub(super) struct Asked {
    udp_echo: Option<udp_echo::Plan>,
    stun: Option<stun::Plan>,
    port_mapping: Option<port_mapping::Plan>,
    listen: Option<listen::Plan>,
}

/// What each of them came to, `None` where it was not asked for.
struct Found {
    udp_echo: Option<Result<UdpEvidence, Failure>>,
    stun: Option<Vec<Result<StunEvidence, Failure>>>,
    reach: Reach,
}

impl Found {
    /// Tells each what the others and the login observed.
    fn compare(&mut self, login: Option<LoginFacts>) {
        let client_ip = login.and_then(|login| login.client_ip);
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
        if let Some(Ok(evidence)) = &mut self.reach.port_mapping {
            // Behind a proxy it is the proxy's.
            let direct = login.filter(|login| login.path == PathKind::Tcp);
            let calls = self.reach.listen.iter().flatten();
            evidence.seen = direct
                .and_then(|login| login.client_ip)
                .into_iter()
                .chain(calls.map(|calls| calls.seen.ip()))
                .chain(seen.map(|end| end.ip()))
                .collect();
        }
    }

    /// What all of it means.
    fn conclude(&self, login: Option<LoginFacts>) -> Conclusion {
        fn of<T>(found: &Option<Result<T, Failure>>) -> Option<&T> {
            found.as_ref()?.as_ref().ok()
        }
        let stun: Vec<_> = self.stun.iter().flatten().flatten().collect();
        conclude(&Facts {
            login,
            udp_echo: of(&self.udp_echo),
            stun: &stun,
            port_mapping: of(&self.reach.port_mapping),
            listen: of(&self.reach.listen),
        })
    }
}

impl Asked {
    /// What the options ask for, beside a login to this server if there is one.
    ///
    /// # Errors
    /// An option needs another one.
    pub(super) fn new(
        args: ProbesArgs,
        route: &Route,
        login: Option<&Address>,
    ) -> Result<Self, CommandError> {
        let listen = args.caller(login)?.map(|server| listen::Plan {
            server,
            port: args.listen_test.unwrap_or_default(),
            route: route.clone(),
        });
        let udp_echo = args.udp_echo.map(|server| udp_echo::Plan {
            server,
            route: route.clone(),
        });
        let stun = (!args.stun.is_empty()).then(|| stun::Plan {
            servers: args.stun,
            route: route.clone(),
        });
        let by_all = args.all.then_some(PortMapping::Ask);
        let how = args.port_mapping.or(by_all);
        let port_mapping = how.map(|how| port_mapping::Plan {
            route: route.clone(),
            opens: how == PortMapping::Try,
            ledger: Ledger::default(),
        });
        Ok(Self {
            udp_echo,
            stun,
            port_mapping,
            listen,
        })
    }

    /// Whether anything is asked.
    const fn any(&self) -> bool {
        let Self {
            udp_echo,
            stun,
            port_mapping,
            listen,
        } = self;
        udp_echo.is_some() || stun.is_some() || port_mapping.is_some() || listen.is_some()
    }

    /// UDP echo alone.
    pub(super) fn of_udp_echo(server: Address, route: &Route) -> Self {
        let route = route.clone();
        Self {
            udp_echo: Some(udp_echo::Plan { server, route }),
            ..Self::default()
        }
    }

    /// Runs all of them beside `login`, which shows what its server saw. With what all of it means,
    /// where anything was asked besides.
    pub(super) async fn beside<T>(
        &self,
        login: impl Future<Output = T>,
        seen: impl FnOnce(&T) -> Option<LoginFacts>,
        log: &RunLog,
        until: Instant,
    ) -> (T, Probes, Option<ConclusionReport>) {
        let udp_echo = async { Some(udp_echo::observe(self.udp_echo.as_ref()?, log, until).await) };
        let stun = async { Some(stun::observe(self.stun.as_ref()?, log, until).await) };
        let (mapping, calls) = (self.port_mapping.as_ref(), self.listen.as_ref());
        let reach = reach::observe(mapping, calls, log, until);
        let (done, udp_echo, stun, reach) = tokio::join!(login, udp_echo, stun, reach);
        let mut found = Found {
            udp_echo,
            stun,
            reach,
        };
        let login = seen(&done);
        found.compare(login);
        let conclusion = self.any().then(|| found.conclude(login).into());
        let probes = self.report(found);
        (done, probes, conclusion)
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
            reach: Reach {
                port_mapping: Some(Err(failure(Stage::PortMapping))),
                listen: Some(Err(failure(Stage::CallBack))),
            },
        })
    }

    fn report(&self, found: Found) -> Probes {
        let udp_echo = self.udp_echo.as_ref().zip(found.udp_echo.as_ref());
        let stun = self.stun.as_ref().zip(found.stun.as_ref());
        let Reach {
            port_mapping,
            listen,
        } = &found.reach;
        let port_mapping = self.port_mapping.as_ref().zip(port_mapping.as_ref());
        let listen = self.listen.as_ref().zip(listen.as_ref());
        Probes {
            listen: listen.map(|(plan, outcome)| ListenReport::of(&plan.server, outcome)),
            port_mapping: port_mapping.map(|(plan, outcome)| {
                PortMappingReport::of(outcome, plan.opens, plan.ledger.state())
            }),
            stun: stun.map(|(plan, outcomes)| {
                let each = plan.servers.iter().zip(outcomes);
                each.map(|(server, outcome)| {
                    StunReport::of(&server.address, server.transport, outcome)
                })
                .collect()
            }),
            udp_echo: udp_echo.map(|(plan, outcome)| UdpEchoReport::of(&plan.server, outcome)),
        }
    }
}
