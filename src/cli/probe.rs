//! `probe`: what can be asked of the network without a login.

use std::time::Duration;

use tokio::time::Instant;

use super::error::CommandError;
use super::output::Output;
use super::runtime;
use super::values;
use crate::address::Address;
use crate::conntype::UdpLabel;
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::mask;
use crate::probe::udp_echo::{Plan, observe};
use crate::report::ProbeReport;
use crate::run_log::RunLog;
use crate::transport::{Bind, Route};

/// What to ask.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeArgs {
    /// Server of UDP echo; the default port is 7001
    #[arg(long, value_name = "HOST[:PORT]", value_parser = values::udp_echo)]
    udp_echo: Address,

    /// Accepted labels; any other label exits with 1
    #[arg(id = "expect_udp", long = "expect", value_name = "LABEL", value_delimiter = ',', value_parser = values::udp_label())]
    expect: Vec<UdpLabel>,

    /// Local address to send from
    #[arg(long, value_name = "ADDR", value_parser = values::bind)]
    bind: Option<Bind>,

    /// Time limit for the whole run, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = values::seconds)]
    timeout: Duration,
}

pub(super) fn run(args: ProbeArgs, output: &Output) -> Result<Exit, CommandError> {
    output.check_probe()?;
    mask::with(|mask| drop(mask.address(&args.udp_echo)));
    let bind = args.bind.unwrap_or_default();
    if bind.port != 0 {
        return Err(CommandError::usage(
            "--bind: the tests take several ports; give the address alone",
        ));
    }
    let plan = Plan {
        server: args.udp_echo,
        route: Route {
            bind,
            ..Route::default()
        },
    };
    let log = RunLog::new(None);
    let until = Instant::now() + args.timeout;
    let outcome = runtime::with(|runtime| {
        Ok(runtime.run(observe(&plan, &log, until), |signal| {
            Err(Failure::new(
                Stage::UdpEcho,
                signal,
                log.interrupted(signal).message,
            ))
        }))
    })?;
    let started_at = output.started_at.get();
    let report = ProbeReport::of_udp_echo(&plan.server, &outcome, started_at, args.expect);
    Ok(output.finish_probe(&report.to_share()))
}
