//! `demo`: every kind of path that loopback can show, with the embedded server at the far end.

mod datagrams;
mod relay;

use std::cell::RefCell;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use datagrams::{Behaviour, Nat};
use relay::{OUTSIDE, Relay, Translation};

use super::check;
use super::error::CommandError;
use super::output::Output;
use super::probes::Asked;
use super::runtime;
use super::settings::Settings;
use super::values::{OneOf, one_of};
use crate::conntype::{Label, PortOrder, UdpLabel, Warning};
use crate::exit::Exit;
use crate::failure::{ErrorCode, Stage};
use crate::probe::login::{Passport, Plan, Tickets};
use crate::report::{Report, demo, print, remedy};
use crate::run_log::RunLog;
use crate::secret::SecretString;
use crate::server::{Config, PortField, Server};
use crate::transport::{Route, Url, read_certificates};

/// Time limit for one path; loopback needs a few milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// Show only this path, with the output of a login
    #[arg(long, value_name = "PATH", value_parser = path())]
    path: Option<&'static Path>,
}

/// A path that loopback can show.
#[derive(Debug)]
struct Path {
    name: &'static str,
    /// What the relay in front of the notification server does; `None` is no relay.
    translation: Option<Translation>,
    port_field: PortField,
    /// What the NAT in front of UDP echo does; `None` is no NAT.
    datagrams: Option<Behaviour>,
    /// The label that is right for this path.
    label: Label,
    /// The label of UDP that is right for it.
    udp: UdpLabel,
}

const PATHS: [Path; 6] = [
    Path {
        name: "direct",
        translation: None,
        port_field: PortField::Swapped,
        datagrams: None,
        label: Label::DirectConnect,
        udp: UdpLabel::DirectConnect,
    },
    Path {
        name: "port-rewritten",
        translation: Some(Translation::Port),
        port_field: PortField::Swapped,
        datagrams: None,
        label: Label::PortRestrictNat,
        udp: UdpLabel::DirectConnect,
    },
    Path {
        name: "address-rewritten",
        translation: Some(Translation::Address),
        port_field: PortField::Swapped,
        datagrams: Some(Behaviour::Open),
        label: Label::IpRestrictNat,
        udp: UdpLabel::IpRestrictNat,
    },
    Path {
        name: "both-rewritten",
        translation: Some(Translation::Both),
        port_field: PortField::Swapped,
        datagrams: Some(Behaviour::MappedForEach),
        label: Label::SymmetricNat,
        udp: UdpLabel::SymmetricNat,
    },
    Path {
        name: "no-port",
        translation: Some(Translation::Both),
        port_field: PortField::Absent,
        datagrams: Some(Behaviour::Filtered),
        label: Label::UnknownNat,
        udp: UdpLabel::PortRestrictNat,
    },
    Path {
        name: "tcp-rewritten",
        translation: Some(Translation::Both),
        port_field: PortField::Swapped,
        datagrams: None,
        label: Label::SymmetricNat,
        udp: UdpLabel::IsaLike,
    },
];

fn path() -> OneOf<&'static Path> {
    one_of(PATHS.iter().map(|path| (path.name, path)))
}

pub(super) fn run(args: &DemoArgs, output: &Output) -> Result<Exit, CommandError> {
    let paths = match args.path {
        Some(path) => vec![path],
        None => {
            output.check_page()?;
            PATHS.iter().collect()
        }
    };
    let mut rows = runtime::with(|runtime| {
        // Lines of progress would overwrite each other.
        let quiet = paths.len() > 1;
        // At the same time: UDP that is filtered takes a while to tell from UDP that is slow.
        let all = join_all(paths.iter().map(|path| show(path, quiet, output)));
        let shown = runtime.until_signal(all)?;
        let row = |(path, report): (&&Path, Result<Report, _>)| {
            Ok(demo::Row {
                path: path.name,
                report: report?.to_share(),
            })
        };
        paths
            .iter()
            .zip(shown)
            .map(row)
            .collect::<Result<Vec<_>, CommandError>>()
    })?;
    if args.path.is_some()
        && let Some(row) = rows.pop()
    {
        return Ok(output.finish(row.report));
    }
    let labels = rows.iter().map(|row| {
        let udp = row.report.probes.udp_echo.as_ref();
        (row.report.label, udp.map(|found| found.label))
    });
    let is_right = labels.eq(PATHS.iter().map(|path| (path.label, Some(path.udp))));
    output.page(|| demo::json(&rows), |width| demo::table(&rows, width))?;
    let cut_off = rows
        .iter()
        .any(|row| row.report.exit_code == Exit::Unreachable);
    Ok(match (is_right, cut_off) {
        (true, _) => Exit::Done,
        (false, true) => {
            let remedy = remedy(ErrorCode::NoLoopback, Stage::Connect);
            print::message(&format!("msnp9-conntype: {remedy}\n"));
            Exit::Unreachable
        }
        // The demo built the path itself, so a wrong label is a bug.
        (false, false) => Exit::Bug,
    })
}

/// A whole login over one kind of path: dispatch, referral, Passport over TLS, profile; and UDP echo.
async fn show(path: &Path, quiet: bool, output: &Output) -> Result<Report, CommandError> {
    let loopback = |what, why: &dyn Display| CommandError::Loopback(format!("{what}: {why}"));
    let notification = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = Config {
        listen: vec![notification],
        gateway_listen: Vec::new(),
        udp_echo: Some([Ipv4Addr::LOCALHOST, OUTSIDE].map(|ip| SocketAddrV4::new(ip, 0))),
        client_port: path.port_field,
        ..Config::default()
    };
    // The server refers clients to the relay, so the relay needs its address first.
    let relay = match path.translation {
        Some(translation) => {
            let relay = Relay::bind(translation).await;
            let relay = relay.map_err(|why| loopback("cannot start the relay", &why))?;
            config.advertise = Some(relay.address().into());
            Some(relay)
        }
        None => None,
    };
    let server = Server::bind(config);
    let server = server.map_err(|why| loopback("cannot start the embedded server", &why))?;
    let addresses = server.addresses();
    let at = |list: &[SocketAddr]| list.first().copied().context("no address bound");
    let (dispatch, notification) = (at(&addresses.dispatch)?, at(&addresses.notification)?);
    let passport = at(&addresses.passport)?;
    let [SocketAddr::V4(one), SocketAddr::V4(two)] = addresses.udp_echo[..] else {
        return Err(loopback("cannot start UDP echo", &"no address bound"));
    };
    let nat = match path.datagrams {
        Some(behaviour) => {
            let nat = Nat::bind([one, two], behaviour).await;
            Some(nat.map_err(|why| loopback("cannot start the NAT", &why))?)
        }
        None => None,
    };
    let udp_echo = nat.as_ref().map_or(one, Nat::address);
    let authority = server.authority_pem().context("no authority was made")?;
    let plan = Plan {
        server: dispatch.into(),
        account: "demo@example.com"
            .parse()
            .context("the account of the demo")?,
        password: SecretString::from("any password"),
        passport: Passport::Nexus(Url {
            https: true,
            address: passport.into(),
            path: "/rdr/pprdr.asp".to_owned(),
        }),
        decodes_sign_in: true,
        credential_hosts: vec![Ipv4Addr::LOCALHOST.to_string()],
        dialects: Vec::new(),
        lockstep: false,
        order: PortOrder::Auto,
        route: Route {
            extra_roots: read_certificates(authority.as_bytes())
                .context("the certificate of the embedded server")?,
            ..Route::default()
        },
        gateway: None,
        insecure_http: false,
        timeout: TIMEOUT,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let relaying = relay.map(|relay| tokio::spawn(relay.run(notification)));
    let translating = nat.map(|nat| tokio::spawn(nat.run()));
    let settings = Settings {
        probes: Asked::of_udp_echo(SocketAddr::V4(udp_echo).into(), &plan.route),
        plan,
        second: None,
        repeat: 1,
        invitation: false,
    };
    let log = RunLog::new(output.progress().filter(|_| !quiet));
    let mut report = check::report(
        &settings,
        &log,
        &RefCell::default(),
        &mut Tickets::default(),
        output,
    )
    .await;
    // No other session exists on a server that has just started.
    report
        .warnings
        .retain(|warning| *warning != Warning::SignedOutElsewhere);
    drop(stop);
    relaying
        .iter()
        .chain(&translating)
        .for_each(JoinHandle::abort);
    serving.abort();
    Ok(report)
}
