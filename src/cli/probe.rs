//! `probe`: what can be asked of the network without a login.

use std::future::ready;
use std::time::Duration;

use tokio::time::Instant;

use super::error::CommandError;
use super::output::Output;
use super::probes::{Asked, ProbesArgs};
use super::runtime;
use super::values;
use crate::conntype::UdpLabel;
use crate::exit::Exit;
use crate::mask;
use crate::report::ProbeReport;
use crate::run_log::RunLog;
use crate::transport::{Bind, Route};

/// What to ask.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeArgs {
    #[command(flatten)]
    probes: ProbesArgs,

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
    if !args.probes.any() {
        return Err(CommandError::usage(
            "no probe: give --udp-echo HOST[:PORT], --stun HOST[:PORT], --port-mapping, --call-back \
             HOST[:PORT], or --all",
        ));
    }
    args.probes.check()?;
    mask::with(|mask| args.probes.tell(mask));
    let bind = args.bind.unwrap_or_default();
    if bind.port != 0 {
        return Err(CommandError::usage(
            "--bind: the tests take several ports; give the address alone",
        ));
    }
    let route = Route {
        bind,
        ..Route::default()
    };
    let asked = Asked::new(args.probes, &route, None)?;
    let log = RunLog::new(None);
    let until = Instant::now() + args.timeout;
    let (probes, conclusion) = runtime::with(|runtime| {
        let work = async {
            let ((), probes, conclusion) = asked.beside(ready(()), |()| None, &log, until).await;
            (probes, conclusion)
        };
        Ok(runtime.run(work, asked.clean_up(), |signal| {
            (asked.interrupted(signal), None)
        }))
    })?;
    let report = ProbeReport::new(probes, conclusion, output.started_at.get(), args.expect);
    Ok(output.finish_probe(&report.to_share()))
}
