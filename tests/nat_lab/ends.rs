//! The two ends of a path, both the built binary: `serve`, and the tool itself.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use support::lab::{Error, Host, Process, Topology};
use support::{Serve, TOOL};

use crate::run::Run;

/// No test may find these in anything that the tool prints.
pub(crate) const PASSWORD: &str = "marker-password";
pub(crate) const PROXY_PASSWORD: &str = "marker-proxy-password";

/// The name that hosts with an `/etc/hosts` of their own know the server by.
pub(crate) const NAME: &str = "messenger.example";

/// Our server on the server's host. It lets any account in.
pub(crate) fn serve(net: &Topology) -> Result<Serve, Error> {
    serve_with(net, &["--open"])
}

/// With options, which may replace those in [`LISTENS`]. Who may sign in is among them.
pub(crate) fn serve_with(net: &Topology, options: &[&str]) -> Result<Serve, Error> {
    serve_on(&net.server, net, options)
}

/// On another host, but in the name of this network's server.
pub(crate) fn serve_on(host: &Host, net: &Topology, options: &[&str]) -> Result<Serve, Error> {
    let mut all = Vec::new();
    for (name, value) in LISTENS {
        if !options.contains(name) {
            all.extend([*name, *value]);
        }
    }
    let addresses: Vec<_> = net.servers.iter().map(ToString::to_string).collect();
    for name in addresses.iter().map(String::as_str).chain([NAME]) {
        all.extend(["--tls-name", name]);
    }
    all.extend(options);
    Serve::start_by(binary(host), &all)
}

/// The tool on a host, not yet run. All of its settings are on the command line or set here: the
/// environment of the test itself does not reach it.
pub(crate) struct Tool {
    command: Command,
    timeout: Duration,
}

impl Tool {
    /// On the client, given what a user gives: the server's address, an account, the authority.
    pub(crate) fn new(net: &Topology, server: &Serve) -> Self {
        let mut command = binary(&net.client);
        command
            .args(["--user", "user@example.com"])
            .args(["--server", &net.servers[0].to_string()])
            .arg("--ca-file")
            .arg(server.ca_file())
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

    /// Starts it for its JSON document.
    pub(crate) fn start(mut self) -> Result<Process, Error> {
        self.command.arg("--json");
        Process::start(self.command)
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
    let server = serve(&net)?;
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

/// How long after its time limit the tool counts as hanging, and is killed.
const HANGS: Duration = Duration::from_secs(20);

/// The built binary on a host, without the environment of the test.
pub(crate) fn binary(host: &Host) -> Command {
    let mut command = host.command(&*TOOL);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path);
    command
}
