//! What the tests of the built binary share: the binary, our server, and a server that lies.
#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

pub mod answer;
pub mod authority;
pub mod detour;
pub mod noise;
pub mod watch;
pub mod world;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long a scripted server waits for a client that says nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// The built binary, in an environment that says nothing about it.
pub fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msnp9-conntype"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("MSNP9_") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(&name);
        }
    }
    command
        .env_remove("NO_COLOR")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    command
}

/// How a run of the tool ended.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().expect("the tool runs"))
    }

    /// The one JSON document on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "stdout is no single JSON document ({error}):\n{}\n{}",
                self.stdout, self.stderr
            )
        })
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

/// Our server, running as a process of its own until dropped.
pub struct Served {
    child: Child,
    pub addresses: Value,
    dir: TempDir,
}

impl Served {
    /// Starts `serve` on ports of the system's choice, with these arguments besides.
    pub fn start(extra: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ca = dir.path().join("ca.pem");
        Self::run(
            dir,
            &[&["--write-ca", ca.to_str().expect("UTF-8")], extra].concat(),
        )
    }

    /// The same, for a certificate that comes with the arguments.
    pub fn start_without_ca(extra: &[&str]) -> Self {
        Self::run(tempfile::tempdir().expect("a temporary directory"), extra)
    }

    fn run(dir: TempDir, extra: &[&str]) -> Self {
        let mut command = tool();
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--dispatch-listen",
                "127.0.0.1:0",
            ])
            .args(["--passport-listen", "127.0.0.1:0"])
            .args(extra)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("serve starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        BufReader::new(out)
            .read_line(&mut line)
            .expect("serve says where it listens");
        let addresses = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("serve said {line:?}: {error}"));
        Self {
            child,
            addresses,
            dir,
        }
    }

    /// The file with the authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The first address of that kind: `notification`, `dispatch`, `passport`, `gateway`.
    pub fn at(&self, kind: &str) -> SocketAddr {
        self.addresses[kind][0]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no {kind} address in {}", self.addresses))
    }

    pub fn nexus(&self) -> String {
        format!("https://{}/rdr/pprdr.asp", self.at("passport"))
    }

    /// The tool, told to log in to `server` with this server's Passport pages.
    pub fn tool_for(&self, server: &str) -> Command {
        let mut command = self.tool_toward(server);
        command.arg("--ca-file").arg(self.ca());
        command
    }

    fn tool_toward(&self, server: &str) -> Command {
        let mut command = tool();
        command
            .args([
                "--server",
                server,
                "--user",
                "user@example.com",
                "--nexus-url",
                &self.nexus(),
            ])
            .env("MSNP9_PASSWORD", "secret");
        command
    }

    /// The tool, told to log in to this server, and to trust the public authorities only.
    pub fn tool_without_ca(&self) -> Command {
        self.tool_toward(&self.at("notification").to_string())
    }

    /// The tool, told to log in to this server.
    pub fn tool(&self) -> Command {
        self.tool_for(&self.at("notification").to_string())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that does to each connection what its script says.
pub struct Scripted {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// `script` gets each connection, and its number from 0, on a thread of its own.
    pub fn start(script: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static) -> Self {
        Self::listen(Ipv4Addr::LOCALHOST, script)
    }

    /// The same at another address of this host.
    pub fn start_at(
        ip: impl Into<Ipv4Addr>,
        script: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static,
    ) -> Self {
        Self::listen(ip.into(), script)
    }

    fn listen(
        ip: Ipv4Addr,
        script: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, script) = (Arc::clone(&stop), Arc::new(script));
        let thread = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(mut stream), script) = (stream, Arc::clone(&script)) else {
                    return;
                };
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.set_write_timeout(Some(PATIENCE));
                std::thread::spawn(move || script(&mut stream, number));
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// A server that answers each line by what `answer` makes of it; `None` ends the connection.
    pub fn answering(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, answer)
    }

    /// The same at another address of this host.
    pub fn at(
        ip: impl Into<Ipv4Addr>,
        answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(ip.into(), move |stream, _| {
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle"));
            loop {
                let mut line = Vec::new();
                match lines.read_until(b'\n', &mut line) {
                    Ok(1..) => {}
                    _ => return,
                }
                let line = String::from_utf8_lossy(&line);
                match answer(line.trim_end()) {
                    Some(bytes) if stream.write_all(&bytes).is_ok() => {}
                    _ => return,
                }
            }
        })
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until the other end closes, without a word.
pub fn wait_for_close(stream: &mut TcpStream) {
    let mut sink = [0; 1024];
    while matches!(stream.read(&mut sink), Ok(1..)) {}
}

/// Whether this machine has IPv6; says what is skipped where it has not.
pub fn has_ipv6(what: &str) -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        // Past the harness, which keeps back what a test prints that passes.
        let line = format!("skipped: {what}: this machine has no IPv6\n");
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
    has
}

/// A policy, as servers send it with `USR … TWN S`.
pub const POLICY: &str = "lc=1033,id=507,tw=40,fs=1,ru=http%3A%2F%2Fmessenger%2Emsn%2Ecom,ct=1,kpp=1,kv=5,ver=2.1.0173.1,tpf=0";

/// A profile message that says these of the client.
pub fn profile_message(ip: &str, port: &str) -> Vec<u8> {
    let payload = format!(
        "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\n\
         MSPAuth: marker-mspauth\r\nClientIP: {ip}\r\nClientPort: {port}\r\n\r\n"
    );
    format!("MSG Hotmail Hotmail {}\r\n{payload}", payload.len()).into_bytes()
}

/// What an honest server answers to a line of the login. `profile` comes after `USR OK`.
pub fn honest(line: &str, profile: &[u8]) -> Vec<u8> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let trid = words.get(1).copied().unwrap_or("0");
    match (words.first().copied(), words.get(3).copied()) {
        (Some("VER"), _) => format!("VER {trid} MSNP9 CVR0\r\n").into_bytes(),
        (Some("CVR"), _) => {
            format!("CVR {trid} 6.0.0602 6.0.0602 1.0.0000 http://a http://b\r\n").into_bytes()
        }
        (Some("USR"), Some("I")) => format!("USR {trid} TWN S {POLICY}\r\n").into_bytes(),
        (Some("USR"), Some("S")) => {
            let mut answer = format!("USR {trid} OK user@example.com Name 1 0\r\n").into_bytes();
            answer.extend_from_slice(profile);
            answer
        }
        _ => Vec::new(),
    }
}

/// A file in a directory of its own.
pub fn file(dir: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).expect("a file is written");
    path
}

/// A port that nothing listens on: it was ours a moment ago.
pub fn closed_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|l| l.local_addr())
        .expect("a free port")
}
