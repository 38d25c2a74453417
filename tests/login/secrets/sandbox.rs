//! An empty directory to run a command in, and the search of everything that it leaves behind.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::marker::Marker;
use support::watch::{Watched, watch};

/// How long any command here may take.
const AT_MOST: Duration = Duration::from_secs(60);

/// A directory that is all the command has: its working directory, its home, its place for
/// temporary files.
pub(super) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Confines a command to it.
    pub(super) fn confine(&self, command: &mut Command) {
        command.current_dir(self.path());
        for name in [
            "HOME",
            "TMPDIR",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "XDG_DATA_HOME",
            "XDG_STATE_HOME",
            "XDG_RUNTIME_DIR",
        ] {
            command.env(name, self.path());
        }
    }

    /// Checks that there is nothing in it.
    pub(super) fn assert_empty(&self, what: &str) {
        let entries = std::fs::read_dir(self.path()).expect("a directory");
        let left: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert!(left.is_empty(), "{what} left {left:?} behind");
    }
}

/// None of the markers is in there.
pub(super) fn absent(markers: &[&Marker], bytes: &[u8], what: &str) {
    for marker in markers {
        if let Some(form) = marker.found_in(bytes) {
            let text = String::from_utf8_lossy(bytes);
            panic!("{what}: the {} is there, {form}:\n{text}", marker.name);
        }
    }
}

/// Runs a command in a sandbox of its own, and searches its streams, the argument lists of its
/// processes while they run, and the files it leaves, which must be none.
pub(super) fn keeps_quiet(command: &mut Command, markers: &[&Marker], what: &str) -> Watched {
    let sandbox = Sandbox::new();
    sandbox.confine(command);
    let mut seen = 0;
    let watched = watch(command, AT_MOST, |pid| {
        let lists = argument_lists(pid);
        seen += usize::from(!lists.is_empty());
        absent(markers, &lists, &format!("{what}: argument list"));
    });
    // The list of a process that ends soon may never be read.
    let is_short = watched.took < Duration::from_secs(2);
    assert!(seen > 0 || is_short, "{what}: no argument list was read");
    let run = &watched.run;
    absent(markers, run.stdout.as_bytes(), &format!("{what}: stdout"));
    absent(markers, run.stderr.as_bytes(), &format!("{what}: stderr"));
    sandbox.assert_empty(what);
    watched
}

/// The argument lists of a process and of all that it started.
pub(super) fn argument_lists(pid: u32) -> Vec<u8> {
    let mut family = vec![pid];
    let mut lists = Vec::new();
    let mut next = 0;
    while let Some(pid) = family.get(next).copied() {
        next += 1;
        lists.extend(std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            family.extend(children.split_whitespace().flat_map(str::parse::<u32>));
        }
    }
    lists
}

#[test]
fn argument_lists_of_children_are_seen() {
    let marker = Marker::found("argument", "Zr6bQk1XwJ8vMs3p");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "sh -c 'sleep 0.3; : Zr6bQk1XwJ8vMs3p'; :"]);
    // The outer shell's list is emptied of it, so that only the inner one's can be what is found.
    let mut found = false;
    let mut own = Vec::new();
    watch(&mut shell, AT_MOST, |pid| {
        let lists = argument_lists(pid);
        own = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        found |= lists.len() > own.len() && marker.found_in(&lists[own.len()..]).is_some();
    });
    assert!(found, "{}", String::from_utf8_lossy(&own));
}
