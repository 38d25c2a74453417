//! What can be said on the command line: declarations for clap and nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser, Subcommand};

use super::environment::Origins;
use crate::conntype::{Label, PathKind, PortOrder, can_be_local};
use crate::msnp::Dialect;
use crate::transport::Url;

/// Tells the connection type between this host and an MSN notification server.
///
/// Logs in (MSNP9 or MSNP8), reads ClientIP and ClientPort from the initial profile, compares them
/// with the local socket, and prints the connection type as the official client names it:
/// Direct-Connect, IP-Restrict-NAT, Port-Restrict-NAT, Symmetric-NAT, Unknown-NAT, or
/// Unknown-Connect where it cannot be told.
///
/// The label goes to stdout, the story to stderr. Without a server at hand, try `demo`.
#[derive(Debug, Parser)]
#[command(
    name = "msnp9-conntype",
    version,
    args_override_self = true,
    after_help = crate::exit::HELP,
    max_term_width = 100
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) check: CheckArgs,

    #[command(flatten)]
    pub(super) output: OutputArgs,

    #[command(subcommand)]
    pub(super) command: Option<Action>,
}

/// What to do instead of a login.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Shows every kind of path on loopback, with a server of its own; needs nothing
    Demo(super::demo::DemoArgs),
    /// Runs the embedded notification server
    Serve(Box<super::serve::ServeArgs>),
    /// Gives the verdict on values that were seen elsewhere
    Classify(super::classify::ClassifyArgs),
    /// Explains a label: what it means, and what to do
    Explain(super::explain::ExplainArgs),
}

/// The main job.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Notification or dispatch server; the port is 1863 if left out
    #[arg(long, env = "MSNP9_SERVER", value_name = "HOST[:PORT]")]
    pub(super) server: Option<String>,

    /// Account to log in with; it is signed out wherever else it is signed in
    #[arg(long, env = "MSNP9_USER", value_name = "ACCOUNT")]
    pub(super) user: Option<String>,

    /// File whose first line is the password; '-' reads stdin
    ///
    /// Without it, MSNP9_PASSWORD is taken, or it is asked for on the terminal.
    #[arg(long, env = "MSNP9_PASSWORD_FILE", value_name = "FILE|-")]
    pub(super) password_file: Option<PathBuf>,

    /// Settings of a known network, each of which other options override; 'list' shows them
    #[arg(long, env = "MSNP9_NETWORK", value_name = "NAME")]
    pub(super) network: Option<String>,

    /// Passport nexus [default: https://SERVER/rdr/pprdr.asp]
    #[arg(long, env = "MSNP9_NEXUS_URL", value_name = "URL")]
    pub(super) nexus_url: Option<Url>,

    /// Passport login page; skips the nexus
    #[arg(long, env = "MSNP9_LOGIN_URL", value_name = "URL")]
    pub(super) login_url: Option<Url>,

    /// Certificates (PEM) to trust besides the public authorities
    #[arg(long, env = "MSNP9_CA_FILE", value_name = "PEM")]
    pub(super) ca_file: Option<PathBuf>,

    /// Let the password travel over plain http://, readable by everybody on the way
    #[arg(long, env = "MSNP9_INSECURE_HTTP", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) insecure_http: bool,

    /// How to read the byte order of ClientPort: auto, plain or swapped
    ///
    /// Microsoft's servers exchanged the two bytes, revival servers do not. 'auto' takes the
    /// ports for the same if either reading is.
    #[arg(long, env = "MSNP9_PORT_ORDER", value_name = "ORDER", default_value = "auto", value_parser = parse_order)]
    pub(super) port_order: PortOrder,

    /// Dialects to offer, best first, MSNP8 to MSNP12 [default: MSNP9,MSNP8]
    #[arg(
        long,
        env = "MSNP9_DIALECT",
        value_name = "DIALECT",
        value_delimiter = ','
    )]
    pub(super) dialect: Vec<Dialect>,

    /// Send one command at a time, as old clients do, instead of three at once
    #[arg(long, env = "MSNP9_LOCKSTEP", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) lockstep: bool,

    /// Local address, and port, to connect from
    #[arg(long, env = "MSNP9_BIND", value_name = "ADDR[:PORT]")]
    pub(super) bind: Option<String>,

    /// Proxy for every connection: socks5, socks5h, socks4, socks4a or http (CONNECT)
    ///
    /// With a user and a password where it wants them; those are better put into MSNP9_PROXY,
    /// since everybody on this host can read command lines. 'env' takes HTTPS_PROXY or ALL_PROXY,
    /// and NO_PROXY, which are not looked at otherwise.
    #[arg(
        long,
        env = "MSNP9_PROXY",
        hide_env_values = true,
        value_name = "SCHEME://HOST:PORT|env"
    )]
    pub(super) proxy: Option<String>,

    /// HTTP gateway to reach the server through [default path: /gateway/gateway.dll]
    #[arg(long, env = "MSNP9_HTTP_GATEWAY", value_name = "URL")]
    pub(super) http_gateway: Option<Url>,

    /// Server at another address to look from as well, from the same local port
    ///
    /// Two servers that see the same outside port, or two different ones, settle whether the
    /// mapping depends on the destination: Symmetric-NAT against Unknown-NAT.
    #[arg(
        long,
        env = "MSNP9_SECOND_SERVER",
        value_name = "HOST[:PORT]",
        conflicts_with = "http_gateway"
    )]
    pub(super) second_server: Option<String>,

    /// Number of logins, each from a new local port
    ///
    /// A server that prints the same port each time does not print what it sees.
    #[arg(long, env = "MSNP9_REPEAT", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(super) repeat: u8,

    /// Use IPv4 only
    #[arg(short = '4', long, env = "MSNP9_IPV4", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, conflicts_with = "ipv6")]
    pub(super) ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long, env = "MSNP9_IPV6", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) ipv6: bool,

    /// Time for the whole run, in seconds
    #[arg(long, env = "MSNP9_TIMEOUT", value_name = "SECONDS", default_value_t = 20.0, value_parser = parse_seconds)]
    pub(super) timeout: f64,

    #[arg(skip)]
    pub(super) origins: Origins,
}

/// How the result is shown; every command takes these.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Accepted labels; any other label exits with 1
    #[arg(
        long,
        env = "MSNP9_EXPECT",
        value_name = "LABEL",
        value_delimiter = ',',
        global = true
    )]
    pub(super) expect: Vec<Label>,

    /// Print one JSON document instead of the label
    #[arg(long, env = "MSNP9_JSON", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, global = true)]
    pub(super) json: bool,

    /// Suppress the report on stderr
    #[arg(short, long, env = "MSNP9_QUIET", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, global = true)]
    pub(super) quiet: bool,

    /// Increase verbosity: -v timings and steps, -vv debug, -vvv wire trace
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(super) verbose: u8,
}

pub(super) fn parse_order(word: &str) -> Result<PortOrder, String> {
    word.parse()
}

pub(super) fn parse_path(word: &str) -> Result<PathKind, String> {
    word.parse()
}

/// `IP:PORT`, with brackets around IPv6.
pub(super) fn parse_endpoint(word: &str) -> Result<SocketAddr, String> {
    let end = word
        .parse()
        .map_err(|_| "expected an address and a port, such as 192.168.1.5:51234".to_owned())?;
    match can_be_local(end) {
        true => Ok(end),
        false => Err("no connected socket has this local address and port".to_owned()),
    }
}

fn parse_seconds(word: &str) -> Result<f64, String> {
    word.parse()
        .ok()
        .filter(|seconds| (0.1..=3600.0).contains(seconds))
        .ok_or_else(|| "expected a number of seconds from 0.1 to 3600".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declarations_hold_together() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
