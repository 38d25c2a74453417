//! Several servers behind one name: keys of tickets, and changing them during the run.

use nix::sys::signal::Signal;
use support::{Run, Serve, file, text};
use tempfile::TempDir;

/// Two servers with keys in files of their own.
struct Pair {
    servers: [Serve; 2],
    dirs: [TempDir; 2],
}

impl Pair {
    /// With these keys each: the first signs.
    fn start(keys: [&str; 2]) -> Self {
        let dirs = [0, 1].map(|_| tempfile::tempdir().unwrap());
        let servers = [&dirs[0], &dirs[1]].map(|dir| {
            let files = write(dir, keys);
            Serve::start(&["--ticket-key", &files[0], "--ticket-key", &files[1]])
        });
        Self { servers, dirs }
    }

    /// Writes other keys for one server, which reads them.
    fn change(&self, server: usize, keys: [&str; 2], told: &str) {
        write(&self.dirs[server], keys);
        self.servers[server].signal(Signal::SIGHUP);
        self.servers[server].log_line(&[told]);
    }

    /// Whether each server accepts the tickets of the other.
    fn agree(&self) -> [bool; 2] {
        let [one, two] = &self.servers;
        [(one, two), (two, one)].map(|(issues, verifies)| {
            let mut tool = issues.tool_for(verifies.at("notification"));
            Run::of(tool.arg("-q")).code == 0
        })
    }
}

fn write(dir: &TempDir, keys: [&str; 2]) -> [String; 2] {
    [("first", keys[0]), ("second", keys[1])]
        .map(|(name, key)| text(&file(dir, name, key.repeat(16))).to_owned())
}

/// The steps of docs/server.md: no ticket is refused at any of them.
#[test]
fn keys_are_changed_without_refusing_a_ticket() {
    let pair = Pair::start(["a", "a"]);
    let reloaded = "ticket keys reloaded";
    for keys in [["a", "b"], ["b", "a"], ["b", "b"]] {
        for server in [0, 1] {
            pair.change(server, keys, reloaded);
            assert_eq!(pair.agree(), [true, true], "{keys:?} on {server}");
        }
    }
    // Without the steps it is refused.
    pair.change(0, ["c", "c"], reloaded);
    assert_eq!(pair.agree(), [false, false]);
}

#[test]
fn keys_that_are_unusable_change_nothing() {
    let pair = Pair::start(["a", "b"]);
    write(&pair.dirs[0], ["c", "c"]);
    file(&pair.dirs[0], "second", "too short");
    pair.servers[0].signal(Signal::SIGHUP);
    let line = pair.servers[0].log_line(&["ERROR", "ticket keys not reloaded", "16 bytes"]);
    assert!(
        line.contains("second") && !line.contains("too short"),
        "{line}"
    );
    assert_eq!(pair.agree(), [true, true]);
}
