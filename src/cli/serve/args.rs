//! The options of `serve`, for clap.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{BoolishValueParser, PossibleValue};
use clap::{ArgAction, ValueEnum};
use ipnet::IpNet;

use crate::address::{Address, MSNP_PORT, UDP_ECHO_PORT};
use crate::cli::environment::Origins;
use crate::cli::values::{OneOf, one_of};
use crate::msnp::passport::NexusForm;
use crate::server::{GatewayPort, PortField};

/// The options of `serve`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ServeArgs {
    /// Address of the notification server; may be repeated; 'none' disables it
    ///
    /// An IPv6 address accepts IPv6 connections only, so 0.0.0.0 and [::] can be combined. Port 0
    /// picks a free port, which is printed on stdout.
    #[arg(
        long,
        env = "MSNP9_SERVE_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:1863"
    )]
    pub(super) listen: Vec<Listen>,

    /// Address of the dispatch server, which refers clients to the notification server
    ///
    /// Some clients require such a referral to log in.
    #[arg(
        long,
        env = "MSNP9_SERVE_DISPATCH_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    pub(super) dispatch_listen: Vec<Listen>,

    /// Address of Passport (nexus and login page), over TLS; 'none' disables it
    ///
    /// Clients that do not use a nexus require port 443.
    #[arg(
        long,
        env = "MSNP9_SERVE_PASSPORT_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:8443"
    )]
    pub(super) passport_listen: Vec<Listen>,

    /// Address of the HTTP gateway, without TLS; official clients require port 80
    #[arg(
        long,
        env = "MSNP9_SERVE_GATEWAY_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    pub(super) gateway_listen: Vec<Listen>,

    /// Two IPv4 addresses of this machine that answer UDP echo; the default port is 7001
    ///
    /// A client finds out with them how its NAT filters and maps UDP (--udp-echo there). Each client
    /// network gets at most 64 answers a second, none longer than its request.
    #[arg(
        long,
        env = "MSNP9_SERVE_UDP_ECHO",
        value_name = "IP[:PORT],IP[:PORT]",
        value_parser = udp_echo
    )]
    pub(super) udp_echo: Option<[SocketAddrV4; 2]>,

    /// Address where clients ask to be called back; may be repeated
    ///
    /// A client finds out with it whether others can reach its TCP and UDP ports. Only the address
    /// that asks is called, at ports from 1024, and each client network at most 6 times a minute.
    #[arg(
        long,
        env = "MSNP9_SERVE_CALL_BACK",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    pub(super) call_back: Vec<Listen>,

    /// Address of the metrics for Prometheus, over HTTP; may be repeated
    ///
    /// The pages are /metrics, /healthz (the server runs) and /readyz (it takes new clients). They have
    /// no password, so an address that may be reachable from the internet needs --metrics-public.
    #[arg(
        long,
        env = "MSNP9_SERVE_METRICS_LISTEN",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    pub(super) metrics_listen: Vec<Listen>,

    /// Allow any address for the metrics: a wildcard, or one of the internet
    #[arg(
        long,
        env = "MSNP9_SERVE_METRICS_PUBLIC",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    pub(super) metrics_public: bool,

    /// ClientPort in the profile of clients that use the gateway
    #[arg(
        long,
        env = "MSNP9_SERVE_GATEWAY_PORT",
        value_name = "PORT",
        default_value = "zero"
    )]
    pub(super) gateway_port: GatewayPort,

    /// Byte order of ClientPort in the profile
    #[arg(
        long,
        env = "MSNP9_SERVE_PORT_ORDER",
        value_name = "ORDER",
        default_value = "swapped"
    )]
    pub(super) port_order: PortField,

    /// Form of the nexus response at /rdr/pprdr.asp; /nexus-mock always uses Escargot's
    #[arg(
        long,
        env = "MSNP9_SERVE_NEXUS_FORM",
        value_name = "FORM",
        default_value = "classic",
        value_parser = nexus_form()
    )]
    pub(super) nexus_form: NexusForm,

    /// Notification server that the dispatch server refers to [default: its listening address]
    #[arg(
        long,
        env = "MSNP9_SERVE_ADVERTISE",
        value_name = "HOST[:PORT]",
        value_parser = |text: &str| Address::parse(text, MSNP_PORT)
    )]
    pub(super) advertise: Option<Address>,

    /// Login server that the nexus names [default: the host that the client requested]
    #[arg(
        long,
        env = "MSNP9_SERVE_PASSPORT_HOST",
        value_name = "HOST[:PORT]",
        value_parser = |text: &str| Address::parse(text, 443)
    )]
    pub(super) passport_host: Option<Address>,

    /// Certificate chain for Passport, in PEM format [default: generated at start]
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub(super) tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM format
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub(super) tls_key: Option<PathBuf>,

    /// Additional name or address in the generated certificate; may be repeated
    #[arg(
        long,
        env = "MSNP9_SERVE_TLS_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "tls_cert"
    )]
    pub(super) tls_name: Vec<String>,

    /// Write the certificate of the generated authority, which clients must trust, to FILE
    ///
    /// The authority's key is not stored and signs nothing else.
    #[arg(
        long,
        env = "MSNP9_SERVE_WRITE_CA",
        value_name = "FILE",
        conflicts_with = "tls_cert"
    )]
    pub(super) write_ca: Option<PathBuf>,

    /// File of accounts that may sign in, as account:password lines [default: any, on loopback]
    #[arg(
        long,
        env = "MSNP9_SERVE_ACCOUNTS",
        value_name = "FILE",
        conflicts_with = "open"
    )]
    pub(super) accounts: Option<PathBuf>,

    /// Allow any account with an '@' and any password, from any host
    #[arg(
        long,
        env = "MSNP9_SERVE_OPEN",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    pub(super) open: bool,

    /// File with a key of tickets, for several servers behind one name; may be repeated
    ///
    /// At least 16 bytes; the whole file is the key. The first key signs tickets, and all of them
    /// verify, so that keys can be changed without refusing a ticket. By default each server
    /// generates its own.
    #[arg(
        long = "ticket-key",
        env = "MSNP9_SERVE_TICKET_KEY",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub(super) ticket_keys: Vec<PathBuf>,

    /// Addresses of balancers, whose connections begin with a PROXY protocol header
    ///
    /// The header, of version 1 or 2, tells the client's address. Connections from these networks
    /// must have it, on every listener of clients; connections from others must not.
    #[arg(
        long,
        env = "MSNP9_SERVE_PROXY_PROTOCOL_FROM",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = network
    )]
    pub(super) proxy_protocol_from: Vec<IpNet>,

    /// How long to go on serving after SIGTERM or SIGINT, in seconds
    ///
    /// Meanwhile /readyz of --metrics-listen fails, so that a balancer sends clients elsewhere.
    #[arg(
        long,
        env = "MSNP9_SERVE_DRAIN_TIME",
        value_name = "SECONDS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=86_400)
    )]
    pub(super) drain_time: u64,

    /// Maximum number of connections and gateway sessions
    #[arg(
        long,
        env = "MSNP9_SERVE_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) max_connections: u32,

    /// Maximum number of connections and gateway sessions per address, or per IPv6 /64
    #[arg(
        long,
        env = "MSNP9_SERVE_MAX_PER_ADDRESS",
        value_name = "N",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) max_per_address: u32,

    /// Idle time after which a signed-in client is checked, in seconds
    ///
    /// Dead connections are found by TCP keepalive. A client that has answered a challenge (CHL)
    /// before must also answer the next one, within the same time.
    #[arg(
        long,
        env = "MSNP9_SERVE_IDLE_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 120,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(super) idle_timeout: u64,

    /// Format of the log on stderr; RUST_LOG, or -v and -q, select what is logged
    #[arg(
        long,
        env = "MSNP9_SERVE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(super) log_format: LogFormat,

    /// Log the counters at this interval, in seconds; SIGUSR1 logs them at any time
    #[arg(
        long,
        env = "MSNP9_SERVE_STATS_EVERY",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(super) stats_every: Option<u64>,

    /// The options whose values come from variables.
    #[arg(skip)]
    pub(in crate::cli) origins: Origins,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines of text
    Text,
    /// One JSON object per line
    Json,
}

/// A listening address, or `none`.
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
                "expected an IP address and a port, such as 127.0.0.1:1863 or [::1]:1863, or 'none'"
            })
    }
}

/// Two addresses: each names the other one to clients, so neither is a wildcard.
fn udp_echo(text: &str) -> Result<[SocketAddrV4; 2], &'static str> {
    let read = |text: &str| {
        let at = text.parse().or_else(|_| {
            let ip = text.parse::<Ipv4Addr>();
            ip.map(|ip| SocketAddrV4::new(ip, UDP_ECHO_PORT))
        });
        at.ok()
            .filter(|at: &SocketAddrV4| !at.ip().is_unspecified())
    };
    let both = text.split_once(',').and_then(|(one, two)| {
        let both = [read(one.trim())?, read(two.trim())?];
        (both[0].ip() != both[1].ip()).then_some(both)
    });
    both.ok_or("expected two different IPv4 addresses, such as 192.0.2.1:7001,192.0.2.2:7001")
}

/// A network such as `192.0.2.0/24`, or one address.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| "expected an IP address or a network, such as 192.0.2.1 or 2001:db8::/32")
}

fn nexus_form() -> OneOf<NexusForm> {
    let value = |name, help| PossibleValue::new(name).help(help);
    one_of([
        (
            value(
                "classic",
                "Microsoft's: several keys, and a login address without a scheme",
            ),
            NexusForm::Classic,
        ),
        (
            value("escargot", "Escargot's: one key with a URL"),
            NexusForm::Escargot,
        ),
    ])
}
