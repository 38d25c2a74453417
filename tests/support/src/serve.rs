//! The built `serve` as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::document::{self, Document};
use crate::tool::{Run, text, tool};
use crate::{Error, Process};

/// Where it listens unless a test says otherwise: on loopback, on ports of the system's choice.
const LISTEN: [(&str, &str); 4] = [
    ("--listen", "127.0.0.1:0"),
    ("--dispatch-listen", "127.0.0.1:0"),
    ("--passport-listen", "127.0.0.1:0"),
    ("--gateway-listen", "127.0.0.1:0"),
];

/// How long it may take to listen, to write a line of its log, or to end; it needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `serve`, killed on drop.
#[derive(Debug)]
pub struct Serve {
    process: Process,
    addresses: Value,
    dir: TempDir,
    /// How many bytes of the log [`Self::log_line`] has read.
    read: AtomicUsize,
}

impl Serve {
    /// Starts `serve` with these options besides; they replace the usual ones of the same name.
    pub fn start(options: &[&str]) -> Self {
        Self::start_by(tool(), options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same by a command that runs the binary somewhere or somehow else.
    ///
    /// # Errors
    ///
    /// When it does not start; with what it wrote.
    pub fn start_by(mut command: Command, options: &[&str]) -> Result<Self, Error> {
        let dir = tempfile::tempdir()?;
        command.arg("serve");
        for (name, value) in LISTEN {
            if !options.contains(&name) {
                command.args([name, value]);
            }
        }
        // A certificate that is given needs no authority.
        if !options.contains(&"--tls-cert") {
            command.arg("--write-ca").arg(dir.path().join("ca.pem"));
        }
        let process = Process::start({
            command.args(options);
            command
        })?;
        let line = process.first_line(PATIENCE)?;
        let addresses = document::read(Document::Serve, &line).map_err(Error::new)?;
        Ok(Self {
            process,
            addresses,
            dir,
            read: AtomicUsize::new(0),
        })
    }

    /// The line that it printed: all of its addresses.
    pub fn addresses(&self) -> &Value {
        &self.addresses
    }

    /// The first address of that kind: `notification`, `dispatch`, `passport`, `gateway`.
    pub fn at(&self, kind: &str) -> SocketAddr {
        self.addresses[kind][0]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no {kind} address in {}", self.addresses))
    }

    pub fn nexus_url(&self) -> String {
        format!("https://{}/rdr/pprdr.asp", self.at("passport"))
    }

    pub fn gateway_url(&self) -> String {
        format!("http://{}/gateway/gateway.dll", self.at("gateway"))
    }

    /// The file with the authority's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The tool with the options to log in to this server.
    pub fn tool(&self) -> Command {
        self.tool_for(self.at("notification"))
    }

    /// The tool with the options to log in to `server` with this server's Passport pages.
    pub fn tool_for(&self, server: SocketAddr) -> Command {
        let mut command = self.tool_trusting(&[text(&self.ca_file())]);
        command.args(["--server", &server.to_string()]);
        command
    }

    /// The tool with the options to log in to this server and to trust these authorities besides the public
    /// ones.
    pub fn tool_with_ca(&self, ca_files: &[&str]) -> Command {
        let mut command = self.tool_trusting(ca_files);
        command.args(["--server", &self.at("notification").to_string()]);
        command
    }

    fn tool_trusting(&self, ca_files: &[&str]) -> Command {
        let mut command = tool();
        command
            .args(["--user", "user@example.com", "--nexus-url"])
            .arg(self.nexus_url())
            .env("MSNP9_PASSWORD", "secret");
        for file in ca_files {
            command.args(["--ca-file", file]);
        }
        command
    }

    /// Everything written to standard output so far.
    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// Waits for a line of the log that contains all of these, from where the last call stopped.
    pub fn log_line(&self, parts: &[&str]) -> String {
        let from = self.read.load(Ordering::Relaxed);
        let fits = |line: &str| parts.iter().all(|part| line.contains(part));
        let found = self.process.stderr_line(PATIENCE, from, fits);
        let (line, end) = found.unwrap_or_else(|error| panic!("{parts:?}: {error}"));
        self.read.store(end, Ordering::Relaxed);
        line
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal).expect("the server runs");
    }

    /// Asks it to end and waits; what it wrote, and its exit code.
    pub fn stop(self) -> Run {
        self.stop_by(Signal::SIGTERM)
    }

    /// The same by another signal.
    pub fn stop_by(self, signal: Signal) -> Run {
        self.signal(signal);
        Run::from(self.process.finish(PATIENCE).expect("the server ends"))
    }
}
