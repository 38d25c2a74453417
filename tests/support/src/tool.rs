//! The built binary: how to start it, how a run of it ended, and what its JSON document says.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::document::{self, Document};

/// The built binary. Cargo builds it, with the same profile, for every integration test and bench.
pub static TOOL: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().expect("the path of this test");
    // target/PROFILE/deps/TEST
    let profile = test.ancestors().nth(2).expect("a target directory");
    let tool = profile.join(format!("msnp9-conntype{}", std::env::consts::EXE_SUFFIX));
    assert!(tool.is_file(), "{} has not been built", tool.display());
    tool
});

/// The built binary as a command, in an environment without any variable that it reads.
pub fn tool() -> Command {
    tool_by(Command::new(&*TOOL))
}

/// The same for a command that starts the binary by other means.
pub fn tool_by(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("MSNP9_") || text.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(&name);
        }
    }
    for name in [
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "GITHUB_STEP_SUMMARY",
        "NO_COLOR",
        "RUST_BACKTRACE",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A copy of a command, which reads nothing from stdin.
pub fn copy(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args()).stdin(Stdio::null());
    with_environment_of(&mut copy, command);
    copy
}

/// Sets and removes the variables that `from` sets and removes.
pub(crate) fn with_environment_of(command: &mut Command, from: &Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// How a run of the tool ended.
#[derive(Debug)]
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

    /// Runs the tool with this text on stdin.
    pub fn with_stdin(words: &[&str], text: &str) -> Self {
        let mut child = tool()
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        // The tool may end without reading.
        let _ = child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(text.as_bytes());
        Self::from(child.wait_with_output().expect("the tool ends"))
    }

    /// The one JSON document on stdout, of a login or of `classify`.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.document(Document::Report)
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub fn document(&self, kind: Document) -> Value {
        match document::read(kind, &self.stdout) {
            Ok(document) => document,
            Err(why) => panic!("{why}\n{}", self.stderr),
        }
    }

    /// Checks what every failure owes its user: the label, the exit code, the JSON document, the
    /// stage, and a remedy in one line.
    #[track_caller]
    pub fn assert_failure(&self, exit_code: i32, error: &str, stage: &str) {
        let json = self.json();
        let shown = format!("{json:#}\n{}", self.stderr);
        assert_eq!(json["label"], "Unknown-Connect", "{shown}");
        assert_eq!(json["determined"], false, "{shown}");
        assert_eq!(json["error"]["code"], error, "{shown}");
        assert_eq!(json["error"]["stage"], stage, "{shown}");
        assert_eq!(json["exit_code"], exit_code, "{shown}");
        assert_eq!(self.code, exit_code, "{shown}");
        let remedy = json["error"]["remedy"].as_str().unwrap_or_default();
        assert!(!remedy.is_empty() && !remedy.contains('\n'), "{shown}");
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

/// The individual observations in a document.
pub fn observations(json: &Value) -> &[Value] {
    json["observations"].as_array().map_or(&[], Vec::as_slice)
}

/// The codes of the entries of `warnings` or another such list in a document.
pub fn codes(json: &Value, list: &str) -> Vec<String> {
    let entries = json[list].as_array().into_iter().flatten();
    entries
        .map(|entry| entry["code"].as_str().expect("a code").to_owned())
        .collect()
}

/// Writes a file.
pub fn file(dir: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).expect("a file is written");
    path
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A port that nothing listens on. It stays bound, so that no other test gets it.
pub fn closed_port() -> SocketAddr {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| {
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let at = socket.local_addr()?;
        std::mem::forget(socket);
        Ok(at)
    });
    let at = bound.ok().and_then(|at| at.as_socket());
    at.expect("a free port")
}

/// Whether this machine has IPv6; prints what is skipped where it has not. Only prints, with
/// `NO_SKIP` as well: the machine of a gate may have no IPv6, and no package adds it.
pub fn has_ipv6(what: &str) -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        print_skipped(&format!("{what}: this machine has no IPv6"));
    }
    has
}

/// Prints why a test is skipped; fails it where the variable `NO_SKIP` is set.
#[track_caller]
pub fn skipped(reason: &str) {
    let may_skip = std::env::var_os("NO_SKIP").is_none();
    assert!(may_skip, "NO_SKIP is set, and this is skipped: {reason}");
    print_skipped(reason);
}

fn print_skipped(reason: &str) {
    print_past_the_harness(&format!("skipped: {reason}\n"));
}

/// Prints straight to stdout, so that a test that succeeds shows it too.
pub fn print_past_the_harness(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
