//! `serve`: the embedded notification server, for people.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, ValueEnum};

use crate::address::{Address, BadAddress, MSNP_PORT};
use crate::exit::Exit;
use crate::msnp::passport::NexusForm;
use crate::report::print;
use crate::secret::{ExposeSecret, SecretSlice, SecretString};
use crate::server::{
    AccountList, Accounts, BadAccountList, CertificateSource, Config, GatewayPort, Limits,
    PortField, Server, ServerError, TicketKey,
};

/// The largest file of accounts or keys that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Descriptors that are not connections: listeners, standard streams, the runtime's own.
const SPARE_FILES: usize = 64;

/// What can be said after `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Where the notification server listens; may be repeated; 'none' for nowhere
    ///
    /// An IPv6 address takes IPv6 connections only, so that 0.0.0.0 and [::] go together. Port 0
    /// picks a free port. The line on stdout says what it became.
    #[arg(
        long,
        env = "MSNP9_SERVE_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:1863"
    )]
    listen: Vec<Listen>,

    /// Where the dispatch server listens, which refers clients to the notification server
    ///
    /// Some clients log in only after such a referral.
    #[arg(
        long,
        env = "MSNP9_SERVE_DISPATCH_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    dispatch_listen: Vec<Listen>,

    /// Where Passport (nexus and login page) listens, over TLS; 'none' for nowhere
    ///
    /// Clients that skip the nexus want it on port 443.
    #[arg(
        long,
        env = "MSNP9_SERVE_PASSPORT_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:8443"
    )]
    passport_listen: Vec<Listen>,

    /// Where the HTTP gateway listens, without TLS; official clients want it on port 80
    #[arg(
        long,
        env = "MSNP9_SERVE_GATEWAY_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    gateway_listen: Vec<Listen>,

    /// ClientPort of those who come through the gateway
    #[arg(
        long,
        env = "MSNP9_SERVE_GATEWAY_PORT",
        value_name = "PORT",
        default_value = "zero"
    )]
    gateway_port: GatewayPortWord,

    /// Byte order of ClientPort in the profile
    #[arg(
        long,
        env = "MSNP9_SERVE_PORT_ORDER",
        value_name = "ORDER",
        default_value = "swapped"
    )]
    port_order: PortOrderWord,

    /// Form of the nexus' answer at /rdr/pprdr.asp; /nexus-mock always has Escargot's
    #[arg(
        long,
        env = "MSNP9_SERVE_NEXUS_FORM",
        value_name = "FORM",
        default_value = "classic"
    )]
    nexus_form: NexusFormWord,

    /// What the dispatch server names as the notification server [default: where it listens]
    #[arg(
        long,
        env = "MSNP9_SERVE_ADVERTISE",
        value_name = "HOST[:PORT]",
        value_parser = msnp_address
    )]
    advertise: Option<Address>,

    /// What the nexus names as the login server [default: what the client calls this one]
    #[arg(
        long,
        env = "MSNP9_SERVE_PASSPORT_HOST",
        value_name = "HOST[:PORT]",
        value_parser = https_address
    )]
    passport_host: Option<Address>,

    /// Certificate for Passport, PEM, with its chain [default: one made at start]
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,

    /// Private key of that certificate, PEM
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,

    /// One more name or address in the certificate made at start; may be repeated
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "tls_cert"
    )]
    tls_name: Vec<String>,

    /// Writes the certificate of the authority made at start, for clients to trust
    ///
    /// The authority's key is thrown away at once: it never signs anything else.
    #[arg(
        long,
        env = "MSNP9_SERVE_WRITE_CA",
        value_name = "FILE",
        conflicts_with = "tls_cert"
    )]
    write_ca: Option<PathBuf>,

    /// Accounts that may sign in: lines of account:password [default: any, on loopback only]
    #[arg(
        long,
        env = "MSNP9_SERVE_ACCOUNTS",
        value_name = "FILE",
        conflicts_with = "open"
    )]
    accounts: Option<PathBuf>,

    /// Lets any account with an '@' sign in, with any password, from anywhere
    #[arg(
        long,
        env = "MSNP9_SERVE_OPEN",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    open: bool,

    /// File with the key that signs tickets, for several servers behind one name
    ///
    /// At least 16 bytes, all of which count. By default each server makes its own.
    #[arg(long, env = "MSNP9_SERVE_TICKET_KEY", value_name = "FILE")]
    ticket_key: Option<PathBuf>,

    /// Connections and gateway sessions in all
    #[arg(
        long,
        env = "MSNP9_SERVE_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_connections: u32,

    /// Connections and gateway sessions of one address, or of one IPv6 /64
    #[arg(
        long,
        env = "MSNP9_SERVE_MAX_PER_ADDRESS",
        value_name = "N",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_per_address: u32,

    /// How long a client that has signed in may be silent, seconds
    #[arg(
        long,
        env = "MSNP9_SERVE_IDLE_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 120,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    idle_timeout: u64,
}

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listen(Option<SocketAddr>);

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| {
                "write an IP address and a port, as in 127.0.0.1:1863 or [::1]:1863; names are not \
             looked up"
            })
    }
}

fn msnp_address(text: &str) -> Result<Address, BadAddress> {
    Address::parse(text, MSNP_PORT)
}

fn https_address(text: &str) -> Result<Address, BadAddress> {
    Address::parse(text, 443)
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GatewayPortWord {
    /// 0, as Microsoft's servers said
    Zero,
    /// The port of the HTTP connection, as Escargot says
    Peer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PortOrderWord {
    /// The number is the port, as revival servers print it
    Plain,
    /// The two bytes are exchanged, as Microsoft's servers printed it
    Swapped,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NexusFormWord {
    /// Microsoft's, without a scheme
    Classic,
    /// Escargot's, one URL and nothing else
    Escargot,
}

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
    #[error("{what}: {source}")]
    System {
        what: &'static str,
        source: io::Error,
    },
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
pub(super) fn run(args: ServeArgs) -> anyhow::Result<Exit> {
    let write_ca = args.write_ca.clone();
    let mut config = config(args)?;
    fit_open_files(&mut config.limits);
    let system = |what| move |source| ServeError::System { what, source };
    // One thread is enough: what a session costs is a few system calls. It is also quieter.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the runtime"))?;
    let counts = runtime.block_on(async {
        // Before the line on stdout: whoever reads it may send a signal at once.
        let stop = signals().map_err(system("cannot wait for signals"))?;
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
        Ok::<_, ServeError>(server.run(stop).await)
    })?;
    print::tell(&format!("{counts}\n"));
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
    let exposed = all.iter().find(|address| !address.ip().is_loopback());
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

/// What completes when the program is asked to stop.
#[cfg(unix)]
fn signals() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// What completes when the program is asked to stop.
#[cfg(not(unix))]
fn signals() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

#[cfg(test)]
mod tests;
