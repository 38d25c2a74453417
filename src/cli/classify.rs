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
use crate::conntype::{Observation, PathKind, PortOrder, Verdict, classify};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::invitation::{Invitation, Seen, find_invitations};
use crate::msnp::{Profile, find_profile};
use crate::report::{Context, InvitationReport, Report};
use crate::secret::{self, ExposeSecret};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What was observed elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct ClassifyArgs {
    /// Local address and port of the socket that carried the login
    #[arg(long, value_name = "IP:PORT", value_parser = values::endpoint)]
    #[arg(required_unless_present_any = ["pcap", "invitation"])]
    local: Option<SocketAddr>,

    /// ClientIP of the profile; omit it if the profile has none
    #[arg(long, value_name = "IP", requires = "local")]
    client_ip: Option<String>,

    /// ClientPort of the profile; omit it if the profile has none
    #[arg(long, value_name = "N", allow_hyphen_values = true, requires = "local")]
    client_port: Option<String>,

    /// File with a profile, or with a transcript that contains one; '-' reads stdin
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["client_ip", "client_port"])]
    #[arg(requires = "local")]
    profile: Option<PathBuf>,

    /// File with an invitation to a file transfer or a call; '-' reads stdin
    ///
    /// Its connection fields (NetID, Conn-Type and the like) are compared with the other values.
    #[arg(long, value_name = "FILE|-")]
    invitation: Option<PathBuf>,

    /// Capture of packets (pcap or pcapng, also with gzip); '-' reads stdin
    ///
    /// Each session in it is classified. The client's address and port are those in the packets.
    #[arg(long, value_name = "FILE|-")]
    #[arg(conflicts_with_all = ["local", "client_ip", "client_port", "profile", "invitation", "path"])]
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
    for (option, file) in [
        ("--pcap", &args.pcap),
        ("--profile", &args.profile),
        ("--invitation", &args.invitation),
    ] {
        output.check_input(option, file.as_deref())?;
    }
    if let Some(pcap) = &args.pcap {
        return capture::run(pcap, args.side, args.port_order, output);
    }
    if args.side.is_some() {
        return Err(CommandError::usage(
            "--side is for a capture: give --pcap FILE",
        ));
    }
    if [&args.profile, &args.invitation].map(Option::as_deref) == [Some(Path::new("-")); 2] {
        return Err(CommandError::usage(
            "--profile and --invitation cannot both read stdin",
        ));
    }
    let context = output.context(Context {
        path: args.path,
        local: args.local,
        ..Context::default()
    });
    let invitations = match &args.invitation {
        Some(path) => find_invitations(&read("--invitation", path)?),
        None => Vec::new(),
    };
    let observation = match args.invitation.is_some() && invitations.is_empty() {
        true => Err(Failure::new(
            Stage::Verdict,
            ErrorCode::NoInvitation,
            "the file holds no invitation with connection fields",
        )),
        false => observation(args)?,
    };
    let report = match observation {
        Ok(seen) => {
            let verdict = classify(&seen);
            let invitations = checked(args, &invitations, Some(&verdict));
            let context = Context {
                invitations,
                ..context
            };
            Report::of_verdict(&verdict, &seen, context)
        }
        Err(failure) => {
            let invitations = checked(args, &invitations, None);
            let context = Context {
                invitations,
                ..context
            };
            Report::of_failure(&failure, context)
        }
    };
    Ok(output.finish(report))
}

/// The invitations that were asked for, compared with the verdict.
fn checked(
    args: &ClassifyArgs,
    invitations: &[Invitation],
    verdict: Option<&Verdict>,
) -> Option<Vec<InvitationReport>> {
    let seen = match verdict {
        Some(verdict) => Seen::of(verdict),
        None => Seen {
            local: args.local,
            ..Seen::default()
        },
    };
    let invitations = invitations.iter();
    let checked = invitations.map(|one| InvitationReport::of(one, None, &seen));
    args.invitation.as_ref().map(|_| checked.collect())
}

/// What was observed, or why there is nothing to classify.
fn observation(args: &ClassifyArgs) -> Result<Result<Observation, Failure>, CommandError> {
    let none = |message: &str| Err(Failure::new(Stage::Verdict, ErrorCode::NoProfile, message));
    let profile = match &args.profile {
        Some(path) => find_profile(&read("--profile", path)?),
        None if args.client_ip.is_some() || args.client_port.is_some() => Some(Profile {
            client_ip: args.client_ip.clone(),
            client_port: args.client_port.clone(),
            sso: None,
        }),
        None if args.invitation.is_some() => {
            return Ok(none(
                "there is no profile to compare the invitation with: give --local and --profile, or \
                 --client-ip and --client-port",
            ));
        }
        None => {
            return Err(CommandError::usage(
                "nothing to classify: give --client-ip and --client-port, or --profile FILE",
            ));
        }
    };
    let (Some(profile), Some(local)) = (profile, args.local) else {
        return Ok(none(
            "the file holds no profile (Content-Type: text/x-msmsgsprofile)",
        ));
    };
    if let Some(sso) = &profile.sso {
        secret::remember(sso.expose_secret());
    }
    Ok(Ok(Observation {
        order: args.port_order,
        path: args.path,
        ..Observation::new(
            local,
            profile.client_ip.as_deref(),
            profile.client_port.as_deref(),
        )
    }))
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, CommandError> {
    let file = path.to_owned();
    let read = move || {
        let mut bytes = Vec::new();
        open(&file)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // A person types, or a pipe is slow: a signal ends that like any other run.
    let read = runtime::with(|runtime| runtime.blocking(read))?;
    read.map_err(|why: io::Error| {
        CommandError::value(option, format!("cannot read {}: {why}", path.display()))
    })
}
