//! The built binary on a pseudo-terminal: what stands on the screen after each command.

use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pty_process::blocking::{Command, Pty};
use support::{Document, Scripted, TOOL, document, wait_for_close};

/// What a command left on a terminal.
pub(super) struct Screen {
    pub(super) text: String,
    raw: Vec<u8>,
    columns: u16,
    pub(super) status: ExitStatus,
}

const ROWS: u16 = 10_000;

/// Longer than anything takes to come to the screen; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

fn terminal(raw: &[u8], columns: u16) -> vt100::Parser {
    let size = |number| NonZero::new(number).expect("a size");
    let mut terminal = vt100::Parser::new(size(ROWS), size(columns), 0);
    terminal.process(raw);
    terminal
}

impl Screen {
    pub(super) fn lines(&self) -> Vec<&str> {
        self.text.lines().map(str::trim_end).collect()
    }

    /// Whether the terminal had to wrap a line that was too long for it.
    fn is_wrapped(&self) -> bool {
        let terminal = terminal(&self.raw, self.columns);
        (0..ROWS).any(|row| terminal.screen().row_wrapped(row))
    }
}

/// A command on a terminal of its own, still running.
pub(super) struct Session {
    pty: Pty,
    child: std::process::Child,
    raw: Vec<u8>,
    columns: u16,
}

impl Session {
    pub(super) fn start(columns: u16, words: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(&TOOL, columns, words, variables)
    }

    /// Starts any program.
    pub(super) fn of(
        program: &Path,
        columns: u16,
        words: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let (pty, pts) = pty_process::blocking::open().expect("a terminal");
        pty.resize(pty_process::Size::new(ROWS, columns))
            .expect("a size");
        let mut command = Command::new(program)
            .args(words)
            .env_clear()
            .env("TERM", "xterm-256color");
        for (name, value) in variables {
            command = command.env(name, value);
        }
        let child = command.spawn(pts).expect("the tool starts");
        Self {
            pty,
            child,
            raw: Vec::new(),
            columns,
        }
    }

    /// Reads until the screen shows `words`, or has shown them on a line that was redrawn since.
    pub(super) fn wait_for(&mut self, words: &str) {
        let mut bytes = [0; 4096];
        let until = Instant::now() + PATIENCE;
        let came = |raw: &[u8]| memchr::memmem::find(raw, words.as_bytes()).is_some();
        while !came(&self.raw) && !self.text().contains(words) {
            let mut ready = [PollFd::new(self.pty.as_fd(), PollFlags::POLLIN)];
            let left = until.saturating_duration_since(Instant::now());
            let left = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
            let ready = poll(&mut ready, left).expect("a terminal to wait for");
            let is_late = ready == 0 || Instant::now() > until;
            assert!(!is_late, "{words:?} has not come:\n{}", self.text());
            match self.pty.read(&mut bytes) {
                Ok(got @ 1..) => self.raw.extend_from_slice(&bytes[..got]),
                _ => panic!("{words:?} never came:\n{}", self.text()),
            }
        }
    }

    pub(super) fn type_in(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).expect("keys are taken");
    }

    /// Ends it without waiting for what it has to say.
    pub(super) fn kill(mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("it ends");
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).expect("a signal");
    }

    /// Whether the terminal shows what is typed, and sends signals: its usual modes.
    pub(super) fn is_whole(&self) -> bool {
        use nix::sys::termios::{LocalFlags, tcgetattr};
        let modes = tcgetattr(&self.pty).expect("modes").local_flags;
        modes.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG)
    }

    /// Gives the terminal the modes in which a shell leaves it.
    pub(super) fn make_whole(&self) {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let mut modes = tcgetattr(&self.pty).expect("modes");
        modes.local_flags |= LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG;
        tcsetattr(&self.pty, SetArg::TCSANOW, &modes).expect("modes");
    }

    /// Closes the terminal, as a window is closed.
    pub(super) fn vanish(self) -> ExitStatus {
        let Self { pty, mut child, .. } = self;
        drop(pty);
        child.wait().expect("it ends")
    }

    fn text(&self) -> String {
        terminal(&self.raw, self.columns).screen().contents()
    }

    /// Reads to the end.
    pub(super) fn end(mut self) -> Screen {
        let mut bytes = [0; 4096];
        // A terminal whose last process has gone says EIO.
        while let Ok(got @ 1..) = self.pty.read(&mut bytes) {
            self.raw.extend_from_slice(&bytes[..got]);
        }
        let status = self.child.wait().expect("it ends");
        Screen {
            text: self.text(),
            raw: self.raw,
            columns: self.columns,
            status,
        }
    }
}

fn run(columns: u16, words: &[&str], variables: &[(&str, &str)]) -> Screen {
    Session::start(columns, words, variables).end()
}

const TERMINALS: [&[(&str, &str)]; 4] = [
    &[],
    &[("NO_COLOR", "1")],
    &[("CLICOLOR", "0")],
    &[("TERM", "dumb")],
];

#[test]
fn the_demo_prints_its_table_first() {
    for variables in TERMINALS {
        for columns in [80, 50] {
            let screen = run(columns, &["demo"], variables);
            let lines = screen.lines();
            assert!(screen.status.success());
            let (first, rows) = match columns {
                80 => ("path               this host", 6),
                _ => ("direct             Direct-Connect", 24),
            };
            assert!(
                lines[0].starts_with(first),
                "{variables:?}:\n{}",
                screen.text
            );
            assert!(lines[rows + 1].is_empty() || lines[rows].is_empty());
            assert!(screen.text.contains("exchanged."), "{}", screen.text);
            let of_udp = lines.iter().filter(|line| line.ends_with("ISALike"));
            assert_eq!(of_udp.count(), 1, "{}", screen.text);
            assert!(!screen.text.contains("waiting"), "{}", screen.text);
            assert!(
                !screen.is_wrapped(),
                "{columns} {variables:?}:\n{}",
                screen.text
            );
        }
        let json = run(80, &["demo", "--json"], variables);
        let first = json.lines()[0];
        assert_eq!(first, "{", "{variables:?}:\n{}", json.text);
    }
}

#[test]
fn a_report_has_the_label_once_and_fits_the_width() {
    for variables in TERMINALS {
        for columns in [80, 50] {
            let screen = run(columns, &["demo", "--path", "port-rewritten"], variables);
            let lines = screen.lines();
            assert_eq!(
                lines[0], "Port-Restrict-NAT",
                "{variables:?}:\n{}",
                screen.text
            );
            assert_eq!(lines[1], "The path to the server");
            let times = screen.text.matches("Port-Restrict-NAT").count();
            assert_eq!(times, 1, "{variables:?}:\n{}", screen.text);
            assert!(
                lines
                    .iter()
                    .all(|line| line.chars().count() <= columns.into())
            );
            let coloured = screen.raw.windows(2).any(|pair| pair == b"\x1b[");
            assert_eq!(coloured, variables.is_empty(), "{variables:?}");
            // Yellow cannot be read on a light background.
            assert!(!screen.raw.windows(4).any(|bytes| bytes == b"\x1b[33"));
        }
    }
}

#[test]
fn verbose_output_has_whole_lines() {
    for variables in TERMINALS {
        for level in ["-v", "-vv", "-vvv"] {
            let screen = run(80, &["demo", "--path", "direct", level], variables);
            assert!(screen.status.success(), "{}", screen.text);
            assert!(!screen.text.contains("panicked"), "{}", screen.text);
            assert!(!screen.text.contains("ansi"), "{}", screen.text);
            assert!(
                screen.lines().contains(&"Direct-Connect"),
                "{}",
                screen.text
            );
        }
    }
}

#[test]
fn pages_fit_the_width() {
    for columns in [80, 50] {
        for words in [&["explain"][..], &["explain", "Symmetric-NAT"]] {
            let screen = run(columns, words, &[]);
            assert!(!screen.is_wrapped(), "{columns}:\n{}", screen.text);
        }
    }
}

/// A server that sends nothing, and the address of a nexus that does the same.
fn silent() -> (Scripted, String, String) {
    let silent = Scripted::silent();
    let (server, nexus) = (
        silent.address.to_string(),
        format!("https://{}/", silent.address),
    );
    (silent, server, nexus)
}

/// The same, and what tells when somebody comes.
pub(super) fn noticing() -> (Scripted, String, String, Receiver<()>) {
    let (arrived, arrival) = channel();
    let silent = Scripted::start(move |stream, _| {
        let _ = arrived.send(());
        wait_for_close(stream);
    });
    let server = silent.address.to_string();
    let nexus = format!("https://{server}/");
    (silent, server, nexus, arrival)
}

pub(super) fn login<'a>(server: &'a str, nexus: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["--server", server, "--user", "a@b.c", "--nexus-url", nexus];
    [&words[..], more].concat()
}

#[test]
fn progress_names_the_awaited_server_and_is_erased() {
    let (_silent, server, nexus) = silent();
    let words = login(&server, &nexus, &["--timeout", "2.5"]);
    let mut session = Session::start(80, &words, &[("MSNP9_PASSWORD", "x")]);
    // Which time it is depends on how busy the machine is.
    session.wait_for(&format!(" s, waiting for an answer from {server}"));
    let screen = session.end();
    assert_eq!(screen.status.code(), Some(3));
    assert_eq!(screen.lines()[0], "Unknown-Connect", "{}", screen.text);
    assert!(!screen.text.contains(" s, "), "{}", screen.text);

    // A terminal that cannot erase a line gets none.
    let dumb = [("MSNP9_PASSWORD", "x"), ("TERM", "dumb")];
    let screen = run(80, &words, &dumb);
    assert!(!screen.raw.contains(&0x1b), "{}", screen.text);
    assert_eq!(screen.lines()[0], "Unknown-Connect", "{}", screen.text);
}

#[test]
fn an_echoed_interrupt_leaves_no_trace_of_progress() {
    let (_silent, server, nexus) = silent();
    for columns in [20, 40] {
        let words = login(&server, &nexus, &[]);
        let mut session = Session::start(columns, &words, &[("MSNP9_PASSWORD", "x")]);
        session.wait_for(" s, waiting");
        session.type_in("\x03");
        let screen = session.end();
        assert_eq!(screen.status.code(), Some(130));
        assert_eq!(screen.lines()[0], "Unknown-Connect", "{}", screen.text);
    }
}

#[test]
fn progress_never_wraps() {
    let (_silent, server, nexus) = silent();
    // A name in wide characters, which the proxy is to look up.
    let proxy = format!("socks5h://{server}");
    let wide = "接続先のとても長い名前のサーバー.example";
    for columns in [1, 2, 7, 20, 40] {
        for (server, more) in [(server.as_str(), &[][..]), (wide, &["--proxy", &proxy])] {
            let more = [&["--timeout", "0.6"][..], more].concat();
            let words = login(server, &nexus, &more);
            let screen = run(columns, &words, &[("MSNP9_PASSWORD", "x")]);
            let raw = String::from_utf8(screen.raw.clone()).unwrap();
            let lines: Vec<_> = raw.split("\r\x1b[2K").collect();
            assert!(lines.len() > 2, "{raw}");
            // What comes last is the label.
            for line in &lines[..lines.len() - 1] {
                // The terminal may echo ^C after it.
                let widest = usize::from(columns.max(4)) - 3;
                assert!(unicode_width(line) <= widest, "{columns}: {line}");
            }
        }
    }
}

/// The columns of a line; nothing but the wide characters above and Latin ones is in it.
fn unicode_width(line: &str) -> usize {
    let width = |c: char| if c > '\u{2fff}' { 2 } else { 1 };
    line.chars().map(width).sum()
}

#[test]
fn an_interrupt_ends_with_its_code_and_a_whole_report() {
    let (_silent, server, nexus) = silent();
    for (signal, code, more) in [
        (Signal::SIGINT, 130, &[][..]),
        (Signal::SIGTERM, 143, &["--expect", "Unknown-Connect"]),
        (Signal::SIGINT, 130, &["--json"]),
    ] {
        let words = login(&server, &nexus, more);
        let mut session = Session::start(80, &words, &[("MSNP9_PASSWORD", "x")]);
        session.wait_for("waiting for");
        session.signal(signal);
        let screen = session.end();
        assert_eq!(screen.status.code(), Some(code), "{}", screen.text);
        // Lines may be wrapped.
        let words: Vec<_> = screen.text.split_whitespace().collect();
        let waited = format!("interrupted while waiting for an answer from {server}");
        assert!(words.join(" ").contains(&waited), "{}", screen.text);
        match more {
            ["--json"] => {
                let document = screen.text.find('{').map(|at| &screen.text[at..]);
                let end = document.and_then(|text| text.rfind('}')).unwrap();
                let text = &document.unwrap()[..=end];
                let read = document::read(Document::Report, text).unwrap();
                assert_eq!(read["error"]["code"], "interrupted", "{text}");
            }
            _ => assert_eq!(screen.lines()[0], "Unknown-Connect", "{}", screen.text),
        }
    }
}

#[test]
fn a_password_is_asked_for_without_showing_it() {
    let (_silent, server, nexus) = silent();
    for more in [&[][..], &["--password-file", "-"]] {
        let more = [more, &["--timeout", "0.5"]].concat();
        let mut session = Session::start(80, &login(&server, &nexus, &more), &[]);
        session.wait_for("Password of a@b.c: ");
        session.type_in("hidden-word\n");
        let screen = session.end();
        assert!(!screen.text.contains("hidden-word"), "{}", screen.text);
        assert_eq!(screen.lines()[1], "Unknown-Connect", "{}", screen.text);
    }
}

#[test]
fn the_prompt_restores_the_terminal_however_it_ends() {
    let (_silent, server, nexus) = silent();
    let (ctrl_c, ctrl_d, ctrl_z) = ("\x03", "\x04", "\x1a");
    let none = Signal::SIGCONT;
    for (keys, signal, code) in [
        (ctrl_c, none, 130),
        (ctrl_d, none, 2),
        ("", Signal::SIGTERM, 143),
        ("", Signal::SIGHUP, 143),
    ] {
        let mut session = Session::start(80, &login(&server, &nexus, &[]), &[]);
        session.wait_for("Password of a@b.c: ");
        assert!(!session.is_whole());
        session.signal(signal);
        session.type_in(keys);
        let status = session.child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{keys:?}");
        assert!(session.is_whole(), "{keys:?}");
        let screen = session.end();
        let prompt = screen.lines()[0].to_owned();
        assert_eq!(prompt, "Password of a@b.c:", "{keys:?}:\n{}", screen.text);
    }
    // Ctrl-Z is not part of a password, and does not stop the program with the modes changed.
    let words = login(&server, &nexus, &["--timeout", "0.5"]);
    let mut session = Session::start(80, &words, &[]);
    session.wait_for("Password of a@b.c: ");
    session.type_in(&format!("{ctrl_z}x\n"));
    assert_eq!(session.end().status.code(), Some(3));
}

#[test]
fn an_interrupt_from_the_keyboard_does_not_share_a_line_with_the_label() {
    for (more, first) in [(&[][..], "Unknown-Connect"), (&["--json"], "{")] {
        let (_silent, server, nexus, arrival) = noticing();
        // No progress line, which would take the echo along.
        let variables = [("MSNP9_PASSWORD", "x"), ("TERM", "dumb")];
        let mut session = Session::start(80, &login(&server, &nexus, more), &variables);
        arrival.recv().unwrap();
        session.type_in("\x03");
        let screen = session.end();
        assert_eq!(screen.status.code(), Some(130), "{}", screen.text);
        assert_eq!(screen.lines()[..2], ["^C", first], "{}", screen.text);
    }
}
