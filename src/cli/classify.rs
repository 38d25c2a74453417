//! `classify`: the verdict on values that were observed elsewhere; no network.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::capture;
use super::error::CommandError;
use super::output::Output;
use super::runtime;
use super::secret_input::open;
use super::values;
use crate::capture::Place;
use crate::conntype::{Observation, PathKind, PortOrder, classify};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::msnp::{Profile, find_profile};
use crate::report::{Context, Report};
use crate::secret::{self, ExposeSecret};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What was observed elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct ClassifyArgs {
    /// Local address and port of the socket that carried the login
    #[arg(long, value_name = "IP:PORT", value_parser = values::endpoint)]
    #[arg(required_unless_present = "pcap")]
    local: Option<SocketAddr>,

    /// ClientIP of the profile; omit it if the profile has none
    #[arg(long, value_name = "IP")]
    client_ip: Option<String>,

    /// ClientPort of the profile; omit it if the profile has none
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    client_port: Option<String>,

    /// File with a profile, or with a transcript that contains one; '-' reads stdin
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["client_ip", "client_port"])]
    profile: Option<PathBuf>,

    /// Capture of packets (pcap or pcapng, also with gzip); '-' reads stdin. Classifies each session in it
    #[arg(long, value_name = "FILE|-")]
    #[arg(conflicts_with_all = ["local", "client_ip", "client_port", "profile", "path"])]
    pcap: Option<PathBuf>,

    /// Side of the NATs on which the capture was taken; 'auto' tells it from the packets
    #[arg(long, value_name = "SIDE", default_value = "auto", value_parser = values::side())]
    side: Side,

    /// How to read the byte order of ClientPort
    #[arg(long, value_name = "ORDER", default_value = "auto", value_parser = values::port_order())]
    port_order: PortOrder,

    /// Path that the login took
    #[arg(long, value_name = "PATH", default_value = "tcp", value_parser = values::path())]
    path: PathKind,
}

/// The side of a capture; `None` is for finding out.
type Side = Option<Place>;

pub(super) fn run(args: &ClassifyArgs, output: &Output) -> Result<Exit, CommandError> {
    let local = match (&args.pcap, args.local) {
        (Some(pcap), _) => {
            output.check_input("--pcap", Some(pcap))?;
            return capture::run(pcap, args.side, args.port_order, output);
        }
        (None, _) if args.side.is_some() => {
            return Err(CommandError::usage(
                "--side is for a capture: give --pcap FILE",
            ));
        }
        (None, Some(local)) => local,
        (None, None) => return Err(CommandError::usage("give --local, or --pcap FILE")),
    };
    let context = output.context(Context {
        path: args.path,
        local: Some(local),
        ..Context::default()
    });
    let profile = match &args.profile {
        Some(path) => find_profile(&read(path)?),
        None if args.client_ip.is_none() && args.client_port.is_none() => {
            return Err(CommandError::usage(
                "nothing to classify: give --client-ip and --client-port, or --profile FILE",
            ));
        }
        None => Some(Profile {
            client_ip: args.client_ip.clone(),
            client_port: args.client_port.clone(),
            sso: None,
        }),
    };
    let Some(profile) = profile else {
        let failure = Failure::new(
            Stage::Verdict,
            ErrorCode::NoProfile,
            "the file holds no profile (Content-Type: text/x-msmsgsprofile)",
        );
        return Ok(output.finish(Report::of_failure(&failure, context)));
    };
    if let Some(sso) = &profile.sso {
        secret::remember(sso.expose_secret());
    }
    let observation = Observation {
        order: args.port_order,
        path: args.path,
        ..Observation::new(
            local,
            profile.client_ip.as_deref(),
            profile.client_port.as_deref(),
        )
    };
    Ok(output.finish(Report::of_verdict(
        &classify(&observation),
        &observation,
        context,
    )))
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let file = path.to_owned();
    let read = move || {
        let mut bytes = Vec::new();
        open(&file)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // A person types, or a pipe is slow: a signal ends that like any other run.
    let read = runtime::with(|runtime| runtime.blocking(read))?;
    read.map_err(|why: io::Error| {
        CommandError::value(
            "--profile",
            format!("cannot read {}: {why}", path.display()),
        )
    })
}
