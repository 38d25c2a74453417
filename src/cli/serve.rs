//! `serve`: the embedded notification server, for people.

mod args;
mod files;
mod log;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use args::{GatewayPortWord, Listen, NexusFormWord, PortOrderWord};
use tracing::{error, info, warn};

pub(super) use args::ServeArgs;

use super::output::Output;
use super::signals;
use crate::exit::Exit;
use crate::msnp::passport::NexusForm;
use crate::report::print;
use crate::server::{
    AccountList, Accounts, BadAccountList, CertificateSource, Config, Counts, GatewayPort, Limits,
    MAX_TURNED_AWAY, PortField, Renewal, Server, ServerError, Stats,
};

/// Descriptors that are not connections within the limits: listeners, standard streams, the
/// runtime's own, and those who are being turned away.
const SPARE_FILES: usize = 64 + MAX_TURNED_AWAY;

/// Fewer connections than this are no server.
const LEAST_CONNECTIONS: usize = 32;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// The options contradict each other.
    #[error("{0}")]
    Usage(String),
    /// A file that an option names cannot be used.
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    /// The accounts cannot be used.
    #[error("{}: {why}", path.display())]
    Accounts { path: PathBuf, why: BadAccountList },
    /// The server cannot start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Too few files can be open at once.
    #[error("the limit of open files is {files}, and serving takes {needed} or more")]
    OpenFiles { files: usize, needed: usize },
    /// The line with the addresses cannot be written.
    #[error("cannot write the result: {0}")]
    Output(io::Error),
    /// The system does not do its part.
    #[error("{what}: {why}")]
    System { what: &'static str, why: io::Error },
}

impl ServeError {
    /// Whether the command line is to blame, or a file it names.
    pub(super) const fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::File { .. } | Self::Accounts { .. } => true,
            Self::Server(error) => error.is_usage(),
            Self::OpenFiles { .. } | Self::Output(_) | Self::System { .. } => false,
        }
    }

    /// A stable word for programs.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) | Self::File { .. } | Self::Accounts { .. } => "usage",
            Self::Server(error) => error.code(),
            Self::OpenFiles { .. } => "too-few-open-files",
            Self::Output(_) => "output",
            Self::System { .. } => "system",
        }
    }

    /// What to do about it.
    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Server(error) => error.remedy(),
            Self::OpenFiles { .. } => "raise the limit with 'ulimit -n'",
            _ => "see the message",
        }
    }
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// [`ServeError`], from before anything was served.
pub(super) fn run(args: ServeArgs, output: &Output) -> Result<Exit, ServeError> {
    let log = log::start(args.log_format, output)?;
    let served = serve(args);
    if let (Ok(counts), false) = (&served, output.quiet) {
        log.tell(&format!("{counts}\n"));
    }
    log.finish();
    served.map(|_| Exit::Done)
}

fn serve(args: ServeArgs) -> Result<Counts, ServeError> {
    let write_ca = args.write_ca.clone();
    let stats_every = args.stats_every.map(Duration::from_secs);
    for path in [&args.accounts, &args.ticket_key, &args.tls_key] {
        path.iter().for_each(|path| files::warn_if_shared(path));
    }
    let mut upkeep = Upkeep::of(&args);
    let mut config = config(args)?;
    fit_open_files(&mut config.limits)?;
    if let Accounts::List(list) = &config.accounts {
        upkeep.list = Some(list.clone());
    }
    let system = |what| move |why| ServeError::System { what, why };
    // One thread is enough: what a session costs is a few system calls. It is also quieter.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the runtime"))?;
    runtime.block_on(async {
        // Before the line on stdout: whoever reads it may send a signal at once.
        let stop = signals::listen().map_err(system("cannot wait for signals"))?;
        let server = Server::bind(config)?;
        let keeping = upkeep.run(server.renewal(), server.stats(), stats_every);
        let keeping = tokio::spawn(keeping.map_err(system("cannot wait for signals"))?);
        if let Some(path) = write_ca {
            write_authority(&path, &server)?;
        } else if server.authority_pem().is_some() {
            info!(
                "Passport's certificate was made now: --write-ca FILE writes the authority that \
                 clients have to trust"
            );
        }
        let mut line = serde_json::to_string(server.addresses())
            .map_err(io::Error::from)
            .map_err(system("cannot write the addresses"))?;
        info!(addresses = %line, "listening");
        line.push('\n');
        print::result(&line).map_err(ServeError::Output)?;
        let counts = server
            .run(async {
                let _ = stop.await;
            })
            .await;
        keeping.abort();
        Ok(counts)
    })
}

/// What is done while the server runs: files read anew on SIGHUP, counters told.
struct Upkeep {
    accounts: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
    /// The list that the server has.
    list: Option<AccountList>,
}

impl Upkeep {
    fn of(args: &ServeArgs) -> Self {
        Self {
            accounts: args.accounts.clone(),
            certificate: args.tls_cert.clone().zip(args.tls_key.clone()),
            list: None,
        }
    }

    /// Reads the files anew. What cannot be used is told, and the old goes on.
    fn reload(&self, renewal: &Renewal) {
        if let (Some(path), Some(list)) = (&self.accounts, &self.list) {
            files::warn_if_shared(path);
            match files::accounts(path) {
                Ok(new) => {
                    list.replace(new);
                    info!(path = %path.display(), "accounts reloaded");
                }
                Err(why) => error!(%why, "accounts not reloaded; the old list stays"),
            }
        }
        if let Some((chain, key)) = &self.certificate {
            match renewal.renew(chain, key) {
                Ok(()) => info!(path = %chain.display(), "certificate reloaded"),
                Err(why) => error!(%why, "certificate not reloaded; the old one stays"),
            }
        }
    }

    /// Waits for what there is to do, for ever.
    #[cfg(unix)]
    fn run(
        self,
        renewal: Renewal,
        stats: std::sync::Arc<Stats>,
        every: Option<Duration>,
    ) -> io::Result<impl Future<Output = ()>> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut reload = signal(SignalKind::hangup())?;
        let mut tell = signal(SignalKind::user_defined1())?;
        Ok(async move {
            loop {
                tokio::select! {
                    _ = reload.recv() => self.reload(&renewal),
                    _ = tell.recv() => tell_counters(&stats),
                    () = pause(every) => tell_counters(&stats),
                }
            }
        })
    }

    /// Waits for what there is to do, for ever.
    #[cfg(not(unix))]
    fn run(
        self,
        _: Renewal,
        stats: std::sync::Arc<Stats>,
        every: Option<Duration>,
    ) -> io::Result<impl Future<Output = ()>> {
        Ok(async move {
            loop {
                pause(every).await;
                tell_counters(&stats);
            }
        })
    }
}

async fn pause(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn tell_counters(stats: &Stats) {
    let counters = serde_json::to_string(&stats.counts()).unwrap_or_default();
    info!(%counters, "counters");
}

fn config(args: ServeArgs) -> Result<Config, ServeError> {
    let addresses = |list: Vec<Listen>| -> Vec<SocketAddr> {
        list.into_iter().filter_map(|listen| listen.0).collect()
    };
    let config = Config {
        listen: addresses(args.listen),
        dispatch_listen: addresses(args.dispatch_listen),
        passport_listen: addresses(args.passport_listen),
        gateway_listen: addresses(args.gateway_listen),
        advertise: args.advertise,
        passport_host: args.passport_host,
        nexus_form: match args.nexus_form {
            NexusFormWord::Classic => NexusForm::Classic,
            NexusFormWord::Escargot => NexusForm::Escargot,
        },
        accounts: match &args.accounts {
            Some(path) => Accounts::List(files::accounts(path)?),
            None => Accounts::Open,
        },
        ticket_key: args
            .ticket_key
            .as_deref()
            .map(files::ticket_key)
            .transpose()?,
        certificate: match (args.tls_cert, args.tls_key) {
            (Some(chain), Some(key)) => CertificateSource::Files { chain, key },
            _ => CertificateSource::Generated {
                names: args.tls_name,
            },
        },
        client_port: match args.port_order {
            PortOrderWord::Plain => PortField::Plain,
            PortOrderWord::Swapped => PortField::Swapped,
        },
        gateway_port: match args.gateway_port {
            GatewayPortWord::Zero => GatewayPort::Zero,
            GatewayPortWord::Peer => GatewayPort::Peer,
        },
        limits: Limits {
            max_connections: args.max_connections as usize,
            max_per_address: args.max_per_address as usize,
            idle_timeout: Duration::from_secs(args.idle_timeout),
            ..Limits::default()
        },
        ..Config::default()
    };
    let all: Vec<_> = [
        &config.listen,
        &config.dispatch_listen,
        &config.passport_listen,
        &config.gateway_listen,
    ]
    .into_iter()
    .flatten()
    .collect();
    if all.is_empty() {
        return Err(ServeError::Usage(
            "there is nothing to serve: every address is 'none'".to_owned(),
        ));
    }
    let exposed = all
        .iter()
        .find(|address| !crate::conntype::normalise(address.ip()).is_loopback());
    if let (Some(address), None, false) = (exposed, &args.accounts, args.open) {
        return Err(ServeError::Usage(format!(
            "{address} can be reached from other hosts: name who may sign in with --accounts \
             FILE, or say --open"
        )));
    }
    Ok(config)
}

fn write_authority(path: &Path, server: &Server) -> Result<(), ServeError> {
    let Some(pem) = server.authority_pem() else {
        let text = "--write-ca needs Passport, and --passport-listen is 'none'";
        return Err(ServeError::Usage(text.to_owned()));
    };
    fs::write(path, pem).map_err(|error| ServeError::File {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

/// Takes no more connections than there can be open files: beyond that the system would let them
/// wait without a word.
fn fit_open_files(limits: &mut Limits) -> Result<(), ServeError> {
    let Some(files) = open_files() else {
        return Ok(());
    };
    let room = files.saturating_sub(SPARE_FILES);
    if room < LEAST_CONNECTIONS.min(limits.max_connections) {
        let needed = SPARE_FILES + LEAST_CONNECTIONS;
        return Err(ServeError::OpenFiles { files, needed });
    }
    if room < limits.max_connections {
        warn!(
            "at most {room} connections, not {}: the limit of open files is {files}; raise it with \
             'ulimit -n'",
            limits.max_connections
        );
        limits.max_connections = room;
    }
    Ok(())
}

/// The limit of open files; `None` where there is none.
#[cfg(unix)]
fn open_files() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    usize::try_from(limit).ok()
}

#[cfg(not(unix))]
const fn open_files() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests;
