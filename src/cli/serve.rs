//! `serve`: the embedded notification server as a command.

mod args;
mod error;
mod files;
mod log;
mod maintenance;

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{info, warn};

pub(super) use args::ServeArgs;
pub(super) use error::ServeError;
pub(super) use files::MAX_ACCOUNTS;

use args::Listen;
use files::Files;
use maintenance::Maintenance;

use super::output::Output;
use super::signals;
use crate::conntype::{Range, normalise};
use crate::exit::Exit;
use crate::report::print;
use crate::server::{
    Accounts, Addresses, CertificateSource, Config, Counts, Limits, MAX_ARRIVING, MAX_CALLS,
    MAX_CLOSING_REFUSED, MAX_READERS, Server, max_open_files,
};

/// File descriptors that are not connections: listeners, standard streams, the runtime's own, and
/// refused connections that are being closed.
const SPARE_FILES: usize = 64 + MAX_CLOSING_REFUSED;

/// More of them where clients are called back: each call has two sockets.
const CALL_FILES: usize = 2 * MAX_CALLS;

/// More of them where the metrics are served: each reader, and a file in `/proc`.
const METRICS_FILES: usize = MAX_READERS + 1;

/// The fewest connections that make a useful server.
const MIN_CONNECTIONS: usize = 32;

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// [`ServeError`] if it cannot start.
pub(super) fn run(args: ServeArgs, output: &Output) -> Result<Exit, ServeError> {
    let log = log::start(args.log_format, output)?;
    let served = serve(args);
    log.finish(served.as_ref().ok());
    served.map(|_| Exit::Done)
}

fn serve(args: ServeArgs) -> Result<Counts, ServeError> {
    let files = Files::of(&args);
    files.warn_if_shared();
    let stats_every = args.stats_every.map(Duration::from_secs);
    let mut config = config(args, &files)?;
    let mut spare = SPARE_FILES;
    for (is_used, files) in [
        (!config.call_back.is_empty(), CALL_FILES),
        (!config.metrics_listen.is_empty(), METRICS_FILES),
        (!config.proxy_protocol_from.is_empty(), MAX_ARRIVING),
    ] {
        spare += if is_used { files } else { 0 };
    }
    fit_open_files(&mut config.limits, spare)?;
    let system = |operation| move |reason| ServeError::System { operation, reason };
    // One thread is enough: a session costs a few system calls, and the memory of threads is saved.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the runtime"))?;
    let served = runtime.block_on(async {
        // Before the line on stdout: its reader may send a signal at once.
        let stop = signals::listen().map_err(system("cannot wait for signals"))?;
        let accounts = config.accounts.clone();
        let drain_time = config.drain_time;
        let ticket_keys = config.ticket_keys.clone();
        let server = Server::bind(config).map_err(|error| files.named(error))?;
        let maintenance = Maintenance {
            files: files.clone(),
            accounts,
            ticket_keys,
            acceptor: server.acceptor(),
            stats: server.stats(),
            stats_every,
        }
        .run()
        .map_err(system("cannot wait for signals"))?;
        let maintenance = tokio::spawn(maintenance);
        match (&files.write_ca, server.authority_pem()) {
            (Some(file), Some(pem)) => file.write(pem)?,
            (None, Some(_)) => info!(
                "the certificate of Passport is new; --write-ca FILE writes the authority that \
                 clients must trust"
            ),
            (_, None) => {}
        }
        announce(server.addresses())?;
        let counts = server
            .run(async {
                let _ = stop.await;
                if !drain_time.is_zero() {
                    info!(?drain_time, "draining");
                }
            })
            .await;
        maintenance.abort();
        Ok(counts)
    });
    // A hash that is being computed is of no use any more.
    runtime.shutdown_background();
    served
}

/// Prints the addresses on stdout, and logs them.
fn announce(addresses: &Addresses) -> Result<(), ServeError> {
    for (service, list) in [
        ("notification", &addresses.notification),
        ("dispatch", &addresses.dispatch),
        ("passport", &addresses.passport),
        ("gateway", &addresses.gateway),
        ("udp-echo", &addresses.udp_echo),
        ("call-back", &addresses.call_back),
        ("metrics", &addresses.metrics),
    ] {
        for address in list {
            info!(service, %address, "listening");
        }
    }
    let line =
        serde_json::to_string(addresses).map_err(|error| ServeError::Output(error.into()))?;
    print::result(&(line + "\n")).map_err(ServeError::Output)
}

fn config(args: ServeArgs, files: &Files) -> Result<Config, ServeError> {
    let addresses = |list: Vec<Listen>| -> Vec<SocketAddr> {
        list.into_iter().filter_map(|listen| listen.0).collect()
    };
    let config = Config {
        listen: addresses(args.listen),
        dispatch_listen: addresses(args.dispatch_listen),
        passport_listen: addresses(args.passport_listen),
        gateway_listen: addresses(args.gateway_listen),
        udp_echo: args.udp_echo,
        call_back: addresses(args.call_back),
        metrics_listen: addresses(args.metrics_listen),
        advertise: args.advertise,
        passport_host: args.passport_host,
        nexus_form: args.nexus_form,
        accounts: match &files.accounts {
            Some(file) => Accounts::List(file.accounts()?),
            None => Accounts::Open,
        },
        ticket_keys: files.ticket_keys()?,
        proxy_protocol_from: args.proxy_protocol_from,
        drain_time: Duration::from_secs(args.drain_time),
        certificate: match (args.tls_cert, args.tls_key) {
            (Some(chain), Some(key)) => CertificateSource::Files { chain, key },
            _ => CertificateSource::Generated {
                names: args.tls_name,
            },
        },
        client_port: args.port_order,
        gateway_port: args.gateway_port,
        limits: Limits {
            max_connections: args.max_connections as usize,
            max_per_address: args.max_per_address as usize,
            idle_timeout: Duration::from_secs(args.idle_timeout),
            ..Limits::default()
        },
    };
    let all = [
        ("--listen", &config.listen),
        ("--dispatch-listen", &config.dispatch_listen),
        ("--passport-listen", &config.passport_listen),
        ("--gateway-listen", &config.gateway_listen),
    ];
    let usage = |text| Err(ServeError::Usage(text));
    let is_none = config.udp_echo.is_none() && config.call_back.is_empty();
    if is_none && all.iter().all(|(_, list)| list.is_empty()) {
        return usage("nothing to serve: every listening address is 'none'".to_owned());
    }
    let is_internal = |address: &&SocketAddr| {
        let range = Range::of(normalise(address.ip()));
        matches!(range, Range::Loopback | Range::Private)
    };
    let mut metrics = config.metrics_listen.iter();
    if !args.metrics_public
        && let Some(address) = metrics.find(|address| !is_internal(address))
    {
        return usage(format!(
            "{} {address} is reachable from the internet, or may be: choose a loopback, private or \
             link-local address, or allow it with --metrics-public",
            args.origins.name("--metrics-listen")
        ));
    }
    if files.write_ca.is_some() && config.passport_listen.is_empty() {
        let option = args.origins.name("--write-ca");
        return usage(format!(
            "{option} needs Passport, but --passport-listen is 'none'"
        ));
    }
    if files.accounts.is_none() && !args.open {
        let is_exposed = |address: &&SocketAddr| !normalise(address.ip()).is_loopback();
        for (option, list) in all {
            if let Some(address) = list.iter().find(is_exposed) {
                return usage(format!(
                    "{} {address} is reachable from other hosts: specify the accounts with \
                     --accounts FILE, or allow any account with --open",
                    args.origins.name(option)
                ));
            }
        }
    }
    Ok(config)
}

/// Lowers the limit of connections to what the limit of open files permits: connections beyond it
/// would wait without an answer. `spare` files are not for them.
fn fit_open_files(limits: &mut Limits, spare: usize) -> Result<(), ServeError> {
    let Some(files) = max_open_files().and_then(|files| usize::try_from(files).ok()) else {
        return Ok(());
    };
    let room = files.saturating_sub(spare);
    if room < MIN_CONNECTIONS.min(limits.max_connections) {
        let needed = spare + MIN_CONNECTIONS;
        return Err(ServeError::OpenFiles { files, needed });
    }
    if room < limits.max_connections {
        warn!(
            "accepting at most {room} connections, not {}: the limit of open files is \
             {files}; raise it with 'ulimit -n'",
            limits.max_connections
        );
        limits.max_connections = room;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
