//! The options of a login: declarations for clap and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::{BoolishValueParser, PossibleValue};

use super::environment::Origins;
use super::probes::ProbesArgs;
use super::values::{self, OneOf, one_of};
use crate::address::Address;
use crate::conntype::PortOrder;
use crate::msnp::{Account, Dialect};
use crate::networks::{NETWORKS, Network};
use crate::secret::SecretString;
use crate::transport::{Bind, Url};

/// The options of a login.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Notification or dispatch server; the default port is 1863
    #[arg(long, env = "MSNP9_SERVER", value_name = "HOST[:PORT]", value_parser = values::server)]
    pub(super) server: Option<Address>,

    /// Account to sign in with; its other sessions are signed out
    #[arg(long, env = "MSNP9_USER", value_name = "ACCOUNT")]
    pub(super) user: Option<Account>,

    /// File whose first line is the password; '-' reads stdin
    ///
    /// By default MSNP9_PASSWORD is used, or the password is asked for on the terminal.
    #[arg(long, env = "MSNP9_PASSWORD_FILE", value_name = "FILE|-")]
    pub(super) password_file: Option<PathBuf>,

    /// Use the settings of a known network; other options override them; 'list' prints them
    #[arg(long, env = "MSNP9_NETWORK", value_name = "NAME", value_parser = network_or_list())]
    pub(super) network: Option<NetworkOrList>,

    /// Passport nexus [default: https://SERVER/rdr/pprdr.asp]
    #[arg(long, env = "MSNP9_NEXUS_URL", value_name = "URL")]
    pub(super) nexus_url: Option<Url>,

    /// Passport login page; skips the nexus
    #[arg(long, env = "MSNP9_LOGIN_URL", value_name = "URL")]
    pub(super) login_url: Option<Url>,

    /// Certificates to trust in addition to the public authorities
    #[arg(long, env = "MSNP9_CA_FILE", value_name = "PEM")]
    pub(super) ca_file: Option<PathBuf>,

    /// Send the password over plain http:// if need be, where anyone on the way can read it
    #[arg(long, env = "MSNP9_INSECURE_HTTP", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) insecure_http: bool,

    /// How to read the byte order of ClientPort
    ///
    /// Microsoft's servers exchanged the two bytes, revival servers do not. 'auto' accepts either
    /// reading.
    #[arg(long, env = "MSNP9_PORT_ORDER", value_name = "ORDER", default_value = "auto", value_parser = values::port_order())]
    pub(super) port_order: PortOrder,

    /// Dialects to offer, best first [default: MSNP9,MSNP8]
    #[arg(
        long,
        env = "MSNP9_DIALECT",
        value_name = "DIALECT",
        value_delimiter = ',',
        value_parser = dialect()
    )]
    pub(super) dialect: Vec<Dialect>,

    /// Send one command at a time, as old clients do, instead of three at once
    #[arg(long, env = "MSNP9_LOCKSTEP", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) lockstep: bool,

    /// Local address and port to connect from
    #[arg(long, env = "MSNP9_BIND", value_name = "ADDR[:PORT]", value_parser = values::bind)]
    pub(super) bind: Option<Bind>,

    /// Proxy for every connection: socks5, socks5h, socks4, socks4a or http (CONNECT)
    ///
    /// A user and a password go before the host: socks5://USER:PASSWORD@HOST:PORT. Set MSNP9_PROXY
    /// rather than the option for those: other users of this host can read command lines. 'env' uses
    /// HTTPS_PROXY or ALL_PROXY, and NO_PROXY, which are ignored otherwise.
    #[arg(
        long,
        env = "MSNP9_PROXY",
        hide_env_values = true,
        value_name = "SCHEME://HOST:PORT|env"
    )]
    pub(super) proxy: Option<SecretString>,

    /// HTTP gateway to reach the server through [default path: /gateway/gateway.dll]
    #[arg(long, env = "MSNP9_HTTP_GATEWAY", value_name = "URL")]
    pub(super) http_gateway: Option<Url>,

    /// Second server, at another address, to log in to from the same local port
    ///
    /// Whether both servers report the same outside port shows whether the mapping depends on the
    /// destination: Symmetric-NAT or Unknown-NAT.
    #[arg(
        long,
        env = "MSNP9_SECOND_SERVER",
        value_name = "HOST[:PORT]",
        conflicts_with = "http_gateway",
        value_parser = values::server
    )]
    pub(super) second_server: Option<Address>,

    #[command(flatten)]
    pub(super) probes: ProbesArgs,

    /// Tell what an official client would put into an invitation to a file transfer or a call
    #[arg(long, env = "MSNP9_INVITATION", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) invitation: bool,

    /// Number of logins, each from a new local port
    ///
    /// A server that reports the same port each time does not report what it observes.
    #[arg(long, env = "MSNP9_REPEAT", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(super) repeat: u8,

    /// Check again and again, such as every 30s, 5m or 1h
    ///
    /// Prints a line for each change on a terminal, elsewhere one line of JSON for each check, or what
    /// --format and --output say. Each failure doubles the pause, up to eight intervals. Ctrl-C ends
    /// it.
    #[arg(long, env = "MSNP9_EVERY", value_name = "DURATION", value_parser = values::interval)]
    pub(super) every: Option<Duration>,

    /// Number of checks with --every
    #[arg(long, env = "MSNP9_COUNT", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(super) count: Option<u64>,

    /// Use IPv4 only
    #[arg(short = '4', long, env = "MSNP9_IPV4", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, conflicts_with = "ipv6")]
    pub(super) ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long, env = "MSNP9_IPV6", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) ipv6: bool,

    /// Time limit for the whole run, in seconds
    #[arg(long, env = "MSNP9_TIMEOUT", value_name = "SECONDS", default_value = "20", value_parser = values::seconds)]
    pub(super) timeout: Duration,

    #[arg(skip)]
    pub(super) origins: Origins,
}

impl CheckArgs {
    /// The network whose settings apply, if any.
    pub(super) const fn network(&self) -> Option<&'static Network> {
        match self.network {
            Some(NetworkOrList::Network(network)) => Some(network),
            _ => None,
        }
    }
}

/// The value of `--network`.
#[derive(Clone, Copy, Debug)]
pub(super) enum NetworkOrList {
    List,
    Network(&'static Network),
}

fn network_or_list() -> OneOf<NetworkOrList> {
    let networks = NETWORKS
        .iter()
        .map(|network| (network.name, NetworkOrList::Network(network)));
    one_of(networks.chain([("list", NetworkOrList::List)]))
}

fn dialect() -> OneOf<Dialect> {
    one_of([
        (PossibleValue::new("MSNP8").alias("8"), Dialect::MSNP8),
        (PossibleValue::new("MSNP9").alias("9"), Dialect::MSNP9),
        (PossibleValue::new("MSNP10").alias("10"), Dialect::MSNP10),
        (PossibleValue::new("MSNP11").alias("11"), Dialect::MSNP11),
        (PossibleValue::new("MSNP12").alias("12"), Dialect::MSNP12),
    ])
}
