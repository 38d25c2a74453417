//! The two ends of a path, both the built binary: `serve`, and the tool itself.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::lab::{Error, Host, Process, Topology};
use crate::run::Run;

/// No test may find these in anything that the tool prints.
pub(crate) const PASSWORD: &str = "marker-password";
pub(crate) const PROXY_PASSWORD: &str = "marker-proxy-password";

/// The name that hosts with an `/etc/hosts` of their own know the server by.
pub(crate) const NAME: &str = "messenger.example";

/// Our server, mostly on the server's host.
pub(crate) struct Server {
    folder: TempDir,
    _process: Process,
}

impl Server {
    /// Lets any account in.
    pub(crate) fn start(net: &Topology) -> Result<Self, Error> {
        Self::start_with(net, &["--open"])
    }

    /// With options, which may take the place of those in [`LISTENS`]. Who may sign in is among them.
    pub(crate) fn start_with(net: &Topology, options: &[&str]) -> Result<Self, Error> {
        Self::start_on(&net.server, net, options)
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        ca(&self.folder)
    }

    /// On another host, but in the name of this network's server.
    pub(crate) fn start_on(host: &Host, net: &Topology, options: &[&str]) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let mut command = binary(host);
        command.arg("serve").arg("--write-ca").arg(ca(&folder));
        let usual = LISTENS.iter().filter(|(name, _)| !options.contains(name));
        command.args(usual.flat_map(|(name, value)| [name, value]));
        let addresses = net.servers.iter().map(ToString::to_string);
        for name in addresses.chain([NAME.to_owned()]) {
            command.args(["--tls-name", &name]);
        }
        command.args(options);
        let process = Process::start(command)?;
        process.wait_for_line("\"notification\"", READY)?;
        Ok(Self {
            folder,
            _process: process,
        })
    }
}

/// The tool on a host, not yet run. Everything it is told is on the command line or set here: the
/// environment of the test itself does not reach it.
pub(crate) struct Tool {
    command: Command,
    timeout: Duration,
}

impl Tool {
    /// On the client, told of the server as a user would: its address, an account, the authority.
    pub(crate) fn new(net: &Topology, server: &Server) -> Self {
        let mut command = binary(&net.client);
        command
            .args(["--user", "user@example.com"])
            .args(["--server", &net.servers[0].to_string()])
            .arg("--ca-file")
            .arg(server.ca())
            .env("MSNP9_PASSWORD", PASSWORD);
        // The tool's own default.
        let timeout = Duration::from_secs(20);
        Self { command, timeout }
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn timeout(mut self, seconds: u32) -> Self {
        self.command.args(["--timeout", &seconds.to_string()]);
        self.timeout = Duration::from_secs(seconds.into());
        self
    }

    /// Runs it for its JSON document.
    pub(crate) fn run(mut self) -> Result<Run, Error> {
        self.command.arg("--json");
        let (timeout, started) = (self.timeout, Instant::now());
        let output = self.output()?;
        Ok(Run::new(&output, started.elapsed(), timeout))
    }

    fn output(self) -> Result<Output, Error> {
        Process::start(self.command)?.finish(self.timeout + HANGS)
    }
}

/// The usual case: a network, our server at its end, and one run with these arguments. What the
/// server saw must be what the network is known to show it.
///
/// Where there are no arguments, a second run without `--json` must print the label and nothing
/// else.
pub(crate) fn login(net: Result<Topology, Error>, args: &[&str]) -> Result<Run, Error> {
    let net = net?;
    let server = Server::start(&net)?;
    let mut run = Tool::new(&net, &server).args(args).run()?.seen_as(&net);
    if args.is_empty() {
        let output = Tool::new(&net, &server).output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        run.must(printed == format!("{}\n", run.label()), || {
            format!("without --json it prints {printed:?}")
        });
        run.must(output.status.code() == Some(run.code), || {
            format!("without --json it ends with {}", output.status)
        });
    }
    Ok(run)
}

/// Where our server listens, unless a test says otherwise.
const LISTENS: &[(&str, &str)] = &[
    ("--listen", "0.0.0.0:1863,[::]:1863"),
    ("--dispatch-listen", "0.0.0.0:1864,[::]:1864"),
    ("--passport-listen", "0.0.0.0:443,[::]:443"),
    ("--gateway-listen", "0.0.0.0:80,[::]:80"),
];

/// How long our server may take to listen; it needs milliseconds.
const READY: Duration = Duration::from_secs(20);

/// How long after its time limit the tool counts as hanging, and is killed.
const HANGS: Duration = Duration::from_secs(20);

fn binary(host: &Host) -> Command {
    let mut command = host.command(env!("CARGO_BIN_EXE_msnp9-conntype"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path);
    command
}

fn ca(folder: &TempDir) -> PathBuf {
    folder.path().join("ca.pem")
}
