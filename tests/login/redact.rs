//! `--redact`: no address, port, host name or account is left in anything that is printed, however
//! the run ends.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use msnp9_conntype::mask::KEPT_PORTS;
use msnp9_conntype::report::Format;
use support::answer::Answer;
use support::document::{Document, read};
use support::intermediary::relay;
use support::{Run, Scripted, copy, file, honest, profile_message, side_by_side, text, tool, trid};

/// What the names and the account have in common; no other word has it.
const PLANTED: &str = "planted";
/// What the addresses have in common.
const ADDRESSES: [&str; 3] = ["127.77.", "8.77.66.", "2a00:77"];

/// Where logins come from.
const HERE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 9);

const ACCOUNT: &str = "Planted.User@planted-mail.test";

/// The ports that the servers saw, of their own and of others.
type Ports = Arc<Mutex<BTreeSet<u16>>>;

/// What the notification server says in the place of an honest answer to the ticket.
type Lie = fn(line: &str, port: u16) -> Vec<u8>;

const LIES: [(&str, Lie); 6] = [
    ("honest", |line, port| {
        honest(
            line,
            &profile_message("8.77.66.55", &port.swap_bytes().to_string()),
        )
    }),
    ("two readings", |line, _| {
        honest(line, &profile_message("[2A00:77::5]", "40077."))
    }),
    ("no address", |line, port| {
        honest(
            line,
            &profile_message("x8.77.66.55", &format!("{port} planted.test")),
        )
    }),
    ("refusal", |line, port| {
        format!("911 {} Planted.User planted-ns.test:{port}\r\n", trid(line)).into_bytes()
    }),
    ("chatter", |_, port| {
        format!("planted.user%40planted-mail%2Etest is at 8.77.66.55, port {port}\r\n").into_bytes()
    }),
    ("web page", |_, _| {
        b"HTTP/1.1 400 8.77.66.55:40077 planted-gate\r\n\r\n".to_vec()
    }),
];

/// The servers of a login, each at an address of its own. The proxy reaches them by their names.
struct World {
    dispatch: Scripted,
    notification: Scripted,
    pages: Scripted,
    proxy: Scripted,
    ports: Ports,
}

impl World {
    fn new(lie: Lie) -> Self {
        let ports = Ports::default();
        let note = |ports: &Ports, stream: &TcpStream| {
            let ends = [stream.local_addr(), stream.peer_addr()].map(|end| end.unwrap().port());
            ports.lock().unwrap().extend(ends);
            ends[1]
        };
        let seen = Arc::clone(&ports);
        let notification = Scripted::start_at([127, 77, 0, 2], move |stream, _| {
            let port = note(&seen, stream);
            let _ = answer_lines(stream, |line| match line.contains("TWN S") {
                true => lie(line, port),
                false => honest(line, b""),
            });
        });
        let (seen, to) = (Arc::clone(&ports), notification.address);
        let dispatch = Scripted::start_at([127, 77, 0, 6], move |stream, _| {
            note(&seen, stream);
            let is_here = stream.peer_addr().unwrap().ip() == HERE;
            let to = match is_here {
                true => to.to_string(),
                false => format!("planted-two.test:{}", to.port()),
            };
            let _ = answer_lines(stream, |line| match line.starts_with("USR") {
                true => format!("XFR {} NS {to} 0 127.77.0.6:1\r\n", trid(line)).into_bytes(),
                false => honest(line, b""),
            });
        });
        let seen = Arc::clone(&ports);
        let pages = Scripted::start_at([127, 77, 0, 3], move |stream, _| {
            note(&seen, stream);
            let _ = answer_pages(stream);
        });
        let (seen, to) = (
            Arc::clone(&ports),
            [&dispatch, &notification, &pages].map(|one| one.address),
        );
        let proxy = Scripted::start_at([127, 77, 0, 4], move |stream, _| {
            note(&seen, stream);
            let _ = forward(stream, to);
        });
        Self {
            dispatch,
            notification,
            pages,
            proxy,
            ports,
        }
    }

    /// A login from an address of its own: by addresses, or through the proxy by names.
    fn tool(&self, by_names: bool) -> Command {
        let mut command = tool();
        let [server, pages] = [&self.dispatch, &self.pages].map(|server| server.address);
        if by_names {
            let proxy = format!("http://planted-me:x@{}", self.proxy.address);
            command
                .args(["--server", &format!("Planted-NS.test:{}", server.port())])
                .args([
                    "--nexus-url",
                    &format!("http://planted-nexus.test:{}/n", pages.port()),
                ])
                .args(["--proxy", &proxy]);
        } else {
            command
                .args(["--server", &server.to_string()])
                .args(["--nexus-url", &format!("http://{pages}/n")]);
        }
        command
            .args(["--insecure-http", "--timeout", "5", "--bind", "127.77.0.9"])
            .args(["--user", ACCOUNT])
            .env("MSNP9_PASSWORD", "secret");
        command
    }
}

fn answer_lines(mut stream: &TcpStream, answer: impl Fn(&str) -> Vec<u8>) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        stream.write_all(&answer(&line))?;
    }
}

/// The nexus and the login page, which redirects once.
fn answer_pages(mut stream: &TcpStream) -> io::Result<()> {
    loop {
        let head = head(stream)?;
        let host = head.lines().find_map(|line| line.strip_prefix("Host: "));
        let host = host.unwrap_or_default();
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        let answer = match path.rsplit('/').next() {
            Some("n") => Answer::nexus(&format!("http://{host}/r")),
            Some("r") => Answer::redirect(&format!("http://{host}/t?id=planted.user")),
            _ => Answer::ticket("t=ticket&p="),
        };
        stream.write_all(&answer.bytes)?;
    }
}

/// The proxy, which reaches the servers by their names.
fn forward(mut stream: &TcpStream, servers: [SocketAddr; 3]) -> io::Result<()> {
    let head = head(stream)?;
    let names = ["planted-ns", "planted-two", "planted-nexus"];
    let line = head.lines().next().unwrap_or_default().to_lowercase();
    let named = names.iter().position(|name| line.contains(name));
    let mut server = TcpStream::connect(servers[named.expect("a name of ours")])?;
    match head.starts_with("CONNECT") {
        true => stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?,
        false => server.write_all(head.as_bytes())?,
    }
    relay(stream, server)
}

fn head(mut stream: &TcpStream) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The planted values in a text.
fn found(text: &str, ports: &BTreeSet<u16>) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = [PLANTED].into_iter().chain(ADDRESSES);
    let words = words.filter(|word| lower.contains(word)).map(str::to_owned);
    // Dates, milliseconds, colours and hashes are no ports.
    let is_part = |c: char| c.is_ascii_alphanumeric() || "#+/.-".contains(c);
    // Masks of IPv6 begin with a number that is a port as well: the system may give out 53511.
    let text = text.replace("2001:db8:", "");
    let words_of = text.split(|c| !is_part(c));
    let numbers: BTreeSet<_> = words_of.map(|word| word.trim_matches(['.', '-'])).collect();
    let ports = ports.iter().flat_map(|port| [*port, port.swap_bytes()]);
    // A small number is a count or a time as well. The system may give out 36895, which is 8080.
    let is_kept = |port: &u16| {
        KEPT_PORTS
            .iter()
            .any(|kept| [*port, port.swap_bytes()].contains(kept))
    };
    let ports = ports
        .filter(|port| *port >= 1024 && !is_kept(port))
        .map(|port| port.to_string());
    words
        .chain(ports.filter(|port| numbers.contains(port.as_str())))
        .collect()
}

/// Runs it in every format at every verbosity: masked, and once unmasked, which must show
/// something.
fn keeps_quiet(command: &Command, ports: impl Fn() -> BTreeSet<u16>, verbose: bool, what: &str) {
    let dir = tempfile::tempdir().unwrap();
    let formats = Format::ALL.map(|format| format.words().0);
    let levels = if verbose {
        &["", "-v", "-vv", "-vvv"][..]
    } else {
        &[""]
    };
    for format in formats {
        for level in levels {
            let mut command = copy(command);
            command.args(["--redact", "--format", format]);
            command.args([level].into_iter().filter(|level| !level.is_empty()));
            let path = dir.path().join("result");
            if level.len() == 4 {
                command.args(["--output", text(&path)]);
            }
            let summary = dir.path().join("summary");
            let run = Run::of(command.env("GITHUB_STEP_SUMMARY", &summary));
            let files = [&path, &summary].map(std::fs::read_to_string);
            let files = files.map(Result::unwrap_or_default).concat();
            let all = format!("{}\n{}\n{files}", run.stdout, run.stderr);
            assert_eq!(
                found(&all, &ports()),
                Vec::<String>::new(),
                "{what} {format} {level}:\n{all}"
            );
            assert!(run.code != 2 && run.code != 70, "{what}: {all}");
            if format == "json" && level.len() < 4 {
                assert_eq!(run.json()["redacted"], true, "{what}");
            }
            let _ = std::fs::remove_file(&path);
        }
    }
    let run = Run::of(copy(command).args(["--json"]));
    let all = format!("{}\n{}", run.stdout, run.stderr);
    assert_ne!(
        found(&all, &ports()),
        Vec::<String>::new(),
        "{what}:\n{all}"
    );
    assert_eq!(run.json()["redacted"], false, "{what}");
}

#[test]
fn no_login_shows_whose_it_is() {
    let cases = LIES.into_iter().flat_map(|lie| [(lie, false), (lie, true)]);
    side_by_side(4, cases, |((name, lie), by_names)| {
        let world = World::new(lie);
        let ports = || world.ports.lock().unwrap().clone();
        let what = format!("{name}, by names: {by_names}");
        keeps_quiet(&world.tool(by_names), ports, true, &what);
        assert!(world.notification.accepted() > 1, "{what}");
        assert_eq!(world.proxy.accepted() > 1, by_names, "{what}");
    });
}

#[test]
fn the_label_and_its_arithmetic_stay() {
    let world = World::new(LIES[0].1);
    let [plain, masked] = [&[][..], &["--redact"]]
        .map(|more| Run::of(world.tool(false).args(["--json", "-q"]).args(more)).json());
    for pointer in [
        "/label",
        "/reason",
        // The ports differ from run to run; one in 256 has two equal bytes.
        "/comparison/ip",
        "/comparison/port",
        "/path/kind",
        "/exit_code",
    ] {
        assert_eq!(
            plain.pointer(pointer),
            masked.pointer(pointer),
            "{masked:#}"
        );
    }
    assert_eq!(masked["label"], "IP-Restrict-NAT", "{masked:#}");
    let number = |at: &str| {
        masked
            .pointer(at)
            .and_then(|port| u16::try_from(port.as_u64()?).ok())
            .unwrap()
    };
    let seen = number("/observed/client_port/number");
    assert_eq!(number("/local/port"), seen.swap_bytes());
    assert_eq!(masked["observed"]["client_port"]["raw"], seen.to_string());
}

#[test]
fn a_watch_has_the_same_masks_at_each_check() {
    let world = World::new(LIES[0].1);
    let mut command = world.tool(true);
    command.args(["--redact", "-v", "--every", "1s", "--count", "2"]);
    let run = Run::of(&mut command);
    let all = format!("{}\n{}", run.stdout, run.stderr);
    let ports = world.ports.lock().unwrap().clone();
    assert_eq!(found(&all, &ports), Vec::<String>::new(), "{all}");
    let lines = run
        .stdout
        .lines()
        .map(|line| read(Document::Report, line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let [first, second] = &lines[..] else {
        panic!("two lines: {all}");
    };
    for pointer in ["/server", "/path/proxy", "/local/ip"] {
        assert_eq!(first.pointer(pointer), second.pointer(pointer), "{all}");
    }
    assert_ne!(first["local"], second["local"]);
}

#[test]
fn a_run_that_fails_early_shows_nothing_either() {
    let dir = tempfile::tempdir().unwrap();
    let profile = file(
        &dir,
        "planted-no-profile",
        "Nothing of planted@planted.test",
    );
    let closed = TcpListener::bind("127.77.0.5:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ports = || BTreeSet::from([closed.port()]);
    let login = |server: &str| {
        let mut command = tool();
        command
            .args(["--server", server, "--timeout", "3", "--user", ACCOUNT])
            .env("MSNP9_PASSWORD", "secret");
        command
    };
    let known = "planted-gone.invalid";
    for (server, more) in [
        (closed.to_string(), &[][..]),
        (known.to_owned(), &[]),
        (closed.to_string(), &["--bind", "127.77.0.9"]),
        (
            known.to_owned(),
            &["--proxy", "socks5://planted:x@planted-proxy.invalid"],
        ),
        (known.to_owned(), &["--http-gateway", "http://127.77.0.5:9"]),
    ] {
        let mut command = login(&server);
        command.args(more);
        keeps_quiet(&command, ports, true, &format!("{server} {more:?}"));
    }
    // What is wrong on the command line is repeated.
    for words in [
        &["--server", "planted@127.77.0.5:1"][..],
        &["--server", "127.77.0.5:99999", "--format", "nagios"],
        &["--server", "planted server", "--user=planted person@x.y"],
        &[
            "--server",
            "planted.test:1",
            "--nexus-url",
            "http://planted.test:40077/",
        ],
        &[
            "classify",
            "--local",
            "127.77.0.5:40077:1",
            "--client-ip",
            "x",
        ],
        &[
            "classify",
            "--local",
            "127.77.0.5:1",
            "--profile",
            text(&profile),
        ],
    ] {
        let run = Run::of(
            tool()
                .args(words)
                .arg("--redact")
                .env("MSNP9_USER", ACCOUNT),
        );
        let by_variable = Run::of(
            tool()
                .args(words)
                .envs([("MSNP9_USER", ACCOUNT), ("MSNP9_REDACT", "yes")]),
        );
        assert_eq!(by_variable.stderr, run.stderr);
        assert!([2, 3, 5].contains(&run.code), "{run:?}");
        let all = format!("{}\n{}", run.stdout, run.stderr);
        assert_eq!(
            found(&all, &BTreeSet::from([40077])),
            Vec::<String>::new(),
            "{run:?}"
        );
    }
}

#[test]
fn classify_and_the_demo_are_masked() {
    let mut command = tool();
    command.args([
        "classify",
        "--local",
        "127.77.0.5:40077",
        "--client-ip",
        "8.77.66.55",
    ]);
    command.args(["--client-port", "36252"]);
    keeps_quiet(&command, || BTreeSet::from([40077]), false, "classify");

    let run = Run::of(tool().args(["demo", "--json"]).env("MSNP9_REDACT", "1"));
    let json = run.document(Document::Demo);
    let reports: Vec<_> = json["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| &path["report"])
        .collect();
    assert!(
        reports.iter().all(|report| report["redacted"] == true),
        "{json:#}"
    );
    // The system gives none of those out.
    let is_mask = |report: &&serde_json::Value| report["local"]["port"].as_u64() > Some(61000);
    assert!(reports.iter().all(is_mask), "{json:#}");
}
