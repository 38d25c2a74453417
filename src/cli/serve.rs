//! `serve`: the embedded notification server, for people.

mod args;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use args::{GatewayPortWord, Listen, NexusFormWord, PortOrderWord};

pub(super) use args::ServeArgs;

use super::signals;
use crate::exit::Exit;
use crate::msnp::passport::NexusForm;
use crate::report::print;
use crate::secret::{ExposeSecret, SecretSlice, SecretString};
use crate::server::{
    AccountList, Accounts, BadAccountList, CertificateSource, Config, GatewayPort, Limits,
    MAX_TURNED_AWAY, PortField, Server, ServerError, TicketKey,
};

/// The largest file of accounts or keys that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Descriptors that are not connections within the limits: listeners, standard streams, the
/// runtime's own, and those who are being turned away.
const SPARE_FILES: usize = 64 + MAX_TURNED_AWAY;

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
            Self::System { .. } => false,
        }
    }
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// Always a [`ServeError`], from before anything was served.
pub(super) fn run(args: ServeArgs, quiet: bool) -> anyhow::Result<Exit> {
    let write_ca = args.write_ca.clone();
    let mut config = config(args)?;
    fit_open_files(&mut config.limits);
    let system = |what| move |why| ServeError::System { what, why };
    // One thread is enough: what a session costs is a few system calls. It is also quieter.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the runtime"))?;
    let counts = runtime.block_on(async {
        // Before the line on stdout: whoever reads it may send a signal at once.
        let stop = signals::listen().map_err(system("cannot wait for signals"))?;
        let server = Server::bind(config)?;
        if let Some(path) = write_ca {
            write_authority(&path, &server)?;
        } else if server.authority_pem().is_some() && io::stderr().is_terminal() {
            print::tell(
                "Passport's certificate was made just now; --write-ca FILE writes the authority \
                 that clients have to trust\n",
            );
        }
        let mut line = serde_json::to_string(server.addresses())
            .map_err(io::Error::from)
            .map_err(system("cannot write the addresses"))?;
        line.push('\n');
        print::result(&line).map_err(system("cannot write to stdout"))?;
        Ok::<_, ServeError>(
            server
                .run(async {
                    let _ = stop.await;
                })
                .await,
        )
    })?;
    if !quiet {
        print::tell(&format!("{counts}\n"));
    }
    Ok(Exit::Done)
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
            Some(path) => Accounts::List(accounts(path)?),
            None => Accounts::Open,
        },
        ticket_key: args.ticket_key.as_deref().map(ticket_key).transpose()?,
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

fn accounts(path: &Path) -> Result<AccountList, ServeError> {
    let text = SecretString::from(read(path, |path| fs::read_to_string(path))?);
    AccountList::parse(text.expose_secret()).map_err(|why| ServeError::Accounts {
        path: path.to_owned(),
        why,
    })
}

fn ticket_key(path: &Path) -> Result<TicketKey, ServeError> {
    let bytes = SecretSlice::from(read(path, |path| fs::read(path))?);
    TicketKey::new(bytes.expose_secret()).map_err(|why| ServeError::File {
        path: path.to_owned(),
        why: why.to_string(),
    })
}

fn read<T>(path: &Path, how: impl Fn(&Path) -> io::Result<T>) -> Result<T, ServeError> {
    let fail = |why: String| ServeError::File {
        path: path.to_owned(),
        why,
    };
    let length = fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    if length.len() > MAX_FILE {
        return Err(fail(format!("is larger than {MAX_FILE} bytes")));
    }
    how(path).map_err(|error| fail(error.to_string()))
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
fn fit_open_files(limits: &mut Limits) {
    let Some(files) = open_files() else {
        return;
    };
    let room = files.saturating_sub(SPARE_FILES).max(1);
    if room < limits.max_connections {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "at most {room} connections, not {}: the limit of open files is {files}; raise it \
             with 'ulimit -n'",
            limits.max_connections
        );
        print::tell(&text);
        limits.max_connections = room;
    }
}

/// The limit of open files, where the system tells it in a file.
fn open_files() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
