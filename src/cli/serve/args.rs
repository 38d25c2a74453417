//! What can be said after `serve`: declarations for clap and nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, ValueEnum};

use crate::address::{Address, BadAddress, MSNP_PORT};

/// What can be said after `serve`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ServeArgs {
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
    pub(super) listen: Vec<Listen>,

    /// Where the dispatch server listens, which refers clients to the notification server
    ///
    /// Some clients log in only after such a referral.
    #[arg(
        long,
        env = "MSNP9_SERVE_DISPATCH_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    pub(super) dispatch_listen: Vec<Listen>,

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
    pub(super) passport_listen: Vec<Listen>,

    /// Where the HTTP gateway listens, without TLS; official clients want it on port 80
    #[arg(
        long,
        env = "MSNP9_SERVE_GATEWAY_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    pub(super) gateway_listen: Vec<Listen>,

    /// ClientPort of those who come through the gateway
    #[arg(
        long,
        env = "MSNP9_SERVE_GATEWAY_PORT",
        value_name = "PORT",
        default_value = "zero"
    )]
    pub(super) gateway_port: GatewayPortWord,

    /// Byte order of ClientPort in the profile
    #[arg(
        long,
        env = "MSNP9_SERVE_PORT_ORDER",
        value_name = "ORDER",
        default_value = "swapped"
    )]
    pub(super) port_order: PortOrderWord,

    /// Form of the nexus' answer at /rdr/pprdr.asp; /nexus-mock always has Escargot's
    #[arg(
        long,
        env = "MSNP9_SERVE_NEXUS_FORM",
        value_name = "FORM",
        default_value = "classic"
    )]
    pub(super) nexus_form: NexusFormWord,

    /// What the dispatch server names as the notification server [default: where it listens]
    #[arg(
        long,
        env = "MSNP9_SERVE_ADVERTISE",
        value_name = "HOST[:PORT]",
        value_parser = msnp_address
    )]
    pub(super) advertise: Option<Address>,

    /// What the nexus names as the login server [default: what the client calls this one]
    #[arg(
        long,
        env = "MSNP9_SERVE_PASSPORT_HOST",
        value_name = "HOST[:PORT]",
        value_parser = https_address
    )]
    pub(super) passport_host: Option<Address>,

    /// Certificate for Passport, PEM, with its chain [default: one made at start]
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub(super) tls_cert: Option<PathBuf>,

    /// Private key of that certificate, PEM
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub(super) tls_key: Option<PathBuf>,

    /// One more name or address in the certificate made at start; may be repeated
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "tls_cert"
    )]
    pub(super) tls_name: Vec<String>,

    /// Writes the certificate of the authority made at start, for clients to trust
    ///
    /// The authority's key is thrown away at once: it never signs anything else.
    #[arg(
        long,
        env = "MSNP9_SERVE_WRITE_CA",
        value_name = "FILE",
        conflicts_with = "tls_cert"
    )]
    pub(super) write_ca: Option<PathBuf>,

    /// Accounts that may sign in: lines of account:password [default: any, on loopback only]
    #[arg(
        long,
        env = "MSNP9_SERVE_ACCOUNTS",
        value_name = "FILE",
        conflicts_with = "open"
    )]
    pub(super) accounts: Option<PathBuf>,

    /// Lets any account with an '@' sign in, with any password, from anywhere
    #[arg(
        long,
        env = "MSNP9_SERVE_OPEN",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    pub(super) open: bool,

    /// File with the key that signs tickets, for several servers behind one name
    ///
    /// At least 16 bytes, all of which count. By default each server makes its own.
    #[arg(long, env = "MSNP9_SERVE_TICKET_KEY", value_name = "FILE")]
    pub(super) ticket_key: Option<PathBuf>,

    /// Connections and gateway sessions in all
    #[arg(
        long,
        env = "MSNP9_SERVE_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) max_connections: u32,

    /// Connections and gateway sessions of one address, or of one IPv6 /64
    #[arg(
        long,
        env = "MSNP9_SERVE_MAX_PER_ADDRESS",
        value_name = "N",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) max_per_address: u32,

    /// Silence after which a client that has signed in is checked, seconds
    ///
    /// The system checks by TCP keepalive. A client that has answered a challenge (CHL) gets another
    /// one and has the same time again to answer it. Clients that are alive stay.
    #[arg(
        long,
        env = "MSNP9_SERVE_IDLE_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 120,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(super) idle_timeout: u64,

    /// Form of the log on stderr; RUST_LOG or -v and -q decide how much is in it
    #[arg(
        long,
        env = "MSNP9_SERVE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(super) log_format: LogFormat,

    /// Log the counters this often, seconds; SIGUSR1 logs them at any time
    #[arg(
        long,
        env = "MSNP9_SERVE_STATS_EVERY",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(super) stats_every: Option<u64>,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object on a line
    Json,
}

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen(pub(super) Option<SocketAddr>);

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
pub(super) enum GatewayPortWord {
    /// 0, as Microsoft's servers said
    Zero,
    /// The port of the HTTP connection, as Escargot says
    Peer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PortOrderWord {
    /// The number is the port, as revival servers print it
    Plain,
    /// The two bytes are exchanged, as Microsoft's servers printed it
    Swapped,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum NexusFormWord {
    /// Microsoft's, without a scheme
    Classic,
    /// Escargot's, one URL and nothing else
    Escargot,
}
