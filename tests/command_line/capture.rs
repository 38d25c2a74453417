//! `classify --pcap`: captures made by hand, from a file and from a pipe.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::capture::{CLIENT, ETHERNET, RAW, SERVER, Talk, ethernet, pcap, pcapng};
use support::document::Document;
use support::watch::{bounded, watch};
use support::{Run, tool};

const HERE: &str = "192.168.1.5:1033";
const THERE: &str = "203.0.113.9:1863";

/// A file that goes with its guard.
struct Capture(tempfile::TempDir);

impl Capture {
    fn of(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("capture"), bytes).unwrap();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("capture")
    }

    fn classify(&self, words: &[&str]) -> Run {
        let mut command = tool();
        command.args(["classify", "--pcap"]).arg(self.path());
        Run::of(command.args(words))
    }
}

fn three() -> Vec<u8> {
    let natted = Talk::session(HERE, THERE, "198.51.100.1", "1033");
    let direct = Talk::session("203.0.113.7:1033", THERE, "203.0.113.7", "2308");
    let tls = Talk::new("192.168.1.6:1034", THERE)
        .open()
        .say(CLIENT, "\x16\x03\x01\x00");
    let packets = [natted.packets, direct.packets, tls.packets].concat();
    let frames: Vec<_> = packets.iter().map(|packet| ethernet(packet, &[])).collect();
    pcap(ETHERNET, &frames, usize::MAX)
}

#[test]
fn each_session_has_its_label() {
    let capture = Capture::of(&three());
    let run = capture.classify(&[]);
    let labels = "IP-Restrict-NAT\nDirect-Connect\nUnknown-Connect\n";
    assert_eq!((run.code, run.stdout.as_str()), (0, labels));
    for part in [
        "3 sessions in 30 packets: 1 Direct-Connect, 1 IP-Restrict-NAT, 1\nUnknown-Connect.\n\n",
        "   1  192.168.1.5:1033 to 203.0.113.9:1863, 2023-11-14T22:13:20Z\n      IP-Restrict-NAT\n",
        "      port 1033, the server says 2308: same, bytes exchanged\n",
        "      The session is encrypted (TLS).\n",
    ] {
        assert!(run.stderr.contains(part), "{part}\n{}", run.stderr);
    }
    let document = capture
        .classify(&["--json", "-q"])
        .document(Document::Capture);
    let sessions = document["sessions"].as_array().unwrap();
    let labels: Vec<_> = sessions
        .iter()
        .map(|one| one["label"].as_str().unwrap())
        .collect();
    assert_eq!(
        labels,
        ["IP-Restrict-NAT", "Direct-Connect", "Unknown-Connect"]
    );
    assert_eq!(document["sessions_found"], 3);
    assert_eq!(document["file"]["format"], "pcap");
    assert_eq!(sessions[0]["local"]["port"], 1033);
    assert!(sessions[0]["clients"].is_null());
    assert_eq!(sessions[0]["session"]["side"], "client");
    assert_eq!(sessions[2]["error"]["code"], "encrypted");
    assert_eq!(
        sessions[2]["local"],
        serde_json::json!({"ip": "192.168.1.6", "port": 1034})
    );
    // One line, the same.
    let line = capture.classify(&["--format", "ndjson", "-q"]);
    assert_eq!(line.stdout.lines().count(), 1);
    assert_eq!(line.document(Document::Capture), document);
    let page = capture.classify(&["--format", "report"]);
    assert!(page.stdout.starts_with("3 sessions") && page.stderr.is_empty());
}

#[test]
fn expected_labels_are_those_of_every_session_that_has_one() {
    let capture = Capture::of(&three());
    for (expected, code) in [
        ("IP-Restrict-NAT,Direct-Connect", 0),
        ("IP-Restrict-NAT", 1),
        ("Unknown-Connect", 1),
    ] {
        let run = capture.classify(&["--expect", expected, "--json"]);
        assert_eq!(run.code, code, "{expected}");
        assert_eq!(
            run.document(Document::Capture)["expected"]["met"],
            code == 0
        );
    }
    let none = Capture::of(&pcap(RAW, &[], usize::MAX));
    assert_eq!(none.classify(&[]).code, 5);
    assert_eq!(none.classify(&["--expect", "Unknown-Connect"]).code, 0);
    assert_eq!(none.classify(&["--expect", "Direct-Connect"]).code, 5);
}

#[test]
fn the_side_of_the_server_gives_no_label() {
    let session = |hops, port| {
        let mut talk = Talk::new(HERE, THERE);
        talk.hops_left = hops;
        Capture::of(&pcap(
            RAW,
            &talk.open().log_in("192.168.1.5", port).packets,
            usize::MAX,
        ))
    };
    for (hops, port, side, label, error, agrees) in [
        (
            [64, 60],
            "1033",
            "auto",
            "Direct-Connect",
            Value::Null,
            true,
        ),
        (
            [60, 64],
            "1033",
            "auto",
            "Unknown-Connect",
            "server-side".into(),
            true,
        ),
        (
            [60, 64],
            "9",
            "auto",
            "Unknown-Connect",
            "server-disagrees".into(),
            false,
        ),
        (
            [60, 60],
            "1033",
            "auto",
            "Unknown-Connect",
            "side-unknown".into(),
            true,
        ),
        (
            [60, 60],
            "1033",
            "client",
            "Direct-Connect",
            Value::Null,
            true,
        ),
        (
            [64, 60],
            "1033",
            "server",
            "Unknown-Connect",
            "server-side".into(),
            true,
        ),
    ] {
        let run = session(hops, port).classify(&["--side", side, "--json"]);
        let document = run.document(Document::Capture);
        let one = &document["sessions"][0];
        let found = (
            &one["label"],
            &one["error"]["code"],
            &one["session"]["profile_agrees"],
        );
        assert_eq!(
            found,
            (&label.into(), &error, &agrees.into()),
            "{hops:?} {side}"
        );
        // The client's own end is known on its side only.
        assert_eq!(one["local"].is_null(), error != Value::Null, "{one}");
        assert_eq!(run.code, if error.is_null() { 0 } else { 5 });
    }
}

/// What a server puts into the profile is hidden where it is a secret, and is cut.
#[test]
fn what_a_server_repeats_is_hidden_and_cut() {
    let long = "9".repeat(1000);
    for (secret, name) in [("secretmspauth", "MSPAuth"), ("secretticket", "the ticket")] {
        for side in ["client", "server"] {
            let ip = format!("x {secret} {long}");
            let packets = Talk::session(HERE, THERE, &ip, "9").packets;
            let capture = Capture::of(&pcap(RAW, &packets, usize::MAX));
            for format in [&["--json"][..], &[]] {
                let run = capture.classify(&[&["--side", side], format].concat());
                let shown = format!("{}{}", run.stdout, run.stderr);
                assert!(!shown.contains(secret), "{name} on the {side}'s side");
                let nines = shown.split(|c| c != '9').map(str::len).max();
                assert!(nines <= Some(128), "{nines:?} on the {side}'s side");
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_one_line_and_a_document() {
    let file = three();
    let session = Talk::session(HERE, THERE, "198.51.100.1", "1033").packets;
    for (bytes, code, error) in [
        (Vec::new(), 5, "no-capture"),
        (b"hello, world\n".to_vec(), 5, "no-capture"),
        (file[..file.len() - 3].to_vec(), 0, "capture-cut"),
        (
            [&file[..], &[0xff; 5_000_000]].concat(),
            0,
            "capture-damaged",
        ),
        (pcap(147, &session, usize::MAX), 5, "link-type"),
        (pcapng(147, &session, false), 5, "link-type"),
        (pcap(RAW, &session, 30), 5, "no-session"),
        (pcap(RAW, &[], usize::MAX), 5, "no-session"),
        (pcap(RAW, &session, 54), 5, ""),
    ] {
        let run = Capture::of(&bytes).classify(&["--json"]);
        let document = run.document(Document::Capture);
        assert_eq!(
            (run.code, document["exit_code"].as_i64()),
            (code, Some(i64::from(code))),
            "{error}"
        );
        assert_eq!(
            document["error"]["code"].as_str().unwrap_or_default(),
            error
        );
        assert!(!run.stderr.is_empty());
    }
    let none = Run::of(tool().args(["classify", "--pcap", "/nonexistent/capture", "--json"]));
    assert_eq!((none.code, none.stdout.as_str()), (2, ""));
    let directory = Run::of(tool().args(["classify", "--pcap", "/"]));
    assert_eq!(directory.code, 2);
    assert!(
        directory
            .stderr
            .starts_with("msnp9-conntype: --pcap: cannot read /: "),
        "{}",
        directory.stderr
    );
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let capture = Capture::of(&three());
    for format in ["html", "nagios", "prometheus", "junit", "github"] {
        let run = capture.classify(&["--format", format]);
        assert_eq!(run.code, if format == "nagios" { 3 } else { 2 }, "{format}");
        assert!(
            run.stderr.contains("is for the result of one login"),
            "{}",
            run.stderr
        );
    }
    for words in [
        &["--local", "192.168.1.5:1"][..],
        &["--client-ip", "192.168.1.5"],
        &["--profile", "x"],
        &["--path", "socks5"],
    ] {
        assert_eq!(capture.classify(words).code, 2, "{words:?}");
    }
    let side = Run::of(tool().args(["classify", "--local", "192.168.1.5:1", "--side", "client"]));
    assert!(
        side.code == 2 && side.stderr.contains("--pcap"),
        "{}",
        side.stderr
    );
    // Never over the capture.
    let path = capture.path();
    let over = capture.classify(&["--output", path.to_str().unwrap()]);
    assert_eq!(over.code, 2, "{}", over.stderr);
    assert_eq!(std::fs::read(path).unwrap(), three());
}

#[test]
fn nothing_of_whose_session_it_is_is_in_a_masked_document() {
    let capture = Capture::of(&three());
    for words in [
        &["--redact", "--json"][..],
        &["--redact", "--format", "report"],
    ] {
        let run = capture.classify(words);
        for value in [
            "192.168.1.5",
            "203.0.113.9",
            "198.51.100.1",
            "1033",
            "2308",
            "a@b.example",
        ] {
            let found = [&run.stdout, &run.stderr].iter().any(|text| {
                // 203.0.113.x and 198.51.100.x are masks, too; those here are longer than what is looked for.
                text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '@')
                    .any(|word| word == value)
            });
            let is_mask = ["203.0.113.9", "198.51.100.1"].contains(&value);
            assert!(!found || is_mask, "{value}\n{}", run.stdout);
        }
    }
    let secrets = capture.classify(&["--json"]);
    for secret in ["secretmspauth", "secretticket"] {
        assert!(!secrets.stdout.contains(secret) && !secrets.stderr.contains(secret));
    }
}

#[test]
fn a_pipe_that_does_not_end_is_read_until_a_signal() {
    let mut child = tool()
        .args(["classify", "--pcap", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&three()).unwrap();
    pipe.flush().unwrap();
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // Once it has read everything, all of it waits.
    let io = format!("/proc/{id}/io");
    let has_read = || {
        let text = std::fs::read_to_string(&io).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("rchar:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            >= three().len()
    };
    let is_asleep = || {
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let mut threads = threads.map(|thread| thread.unwrap().path().join("stat"));
        threads.all(|stat| std::fs::read_to_string(stat).unwrap().contains(") S "))
    };
    while !(has_read() && is_asleep()) {
        std::thread::yield_now();
    }
    kill(id, Signal::SIGINT).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    drop(pipe);
    let document = run.document(Document::Capture);
    assert_eq!(
        (run.code, &document["error"]["code"]),
        (130, &"interrupted".into())
    );
    assert_eq!(document["sessions_found"], 3);
}

#[test]
fn a_hundred_thousand_sessions_and_a_long_one_take_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture");
    let classify = || {
        let mut command = tool();
        command
            .args(["classify", "--json", "-q", "--pcap"])
            .arg(&path);
        // Address space, not memory: threads reserve some of it.
        watch(
            &mut bounded(&command, 1 << 20),
            Duration::from_secs(120),
            |_| {},
        )
    };
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&pcap(RAW, &[], usize::MAX)).unwrap();
    for at in 0..100_000_u32 {
        let client = format!("10.{}.{}.{}:1033", at >> 16, at >> 8 & 0xff, at & 0xff);
        let talk = Talk::new(&client, THERE)
            .open()
            .log_in("198.51.100.1", "1033");
        file.write_all(&pcap(RAW, &talk.packets, usize::MAX)[24..])
            .unwrap();
    }
    let many = classify();
    let document = many.run.document(Document::Capture);
    assert_eq!(document["sessions_found"], 100_000);
    assert_eq!(document["labels"][0]["sessions"], 100_000);
    assert_eq!(document["sessions"].as_array().unwrap().len(), 1000);
    assert!(many.peak < 100 * 1024, "{} KiB", many.peak);

    let mut file = std::fs::File::create(&path).unwrap();
    let mut talk = Talk::new(HERE, THERE)
        .open()
        .say(CLIENT, "VER 1 MSNP9 CVR0\r\n");
    talk = talk.say(SERVER, "VER 1 MSNP9\r\nUSR 4 OK a@b.example A 1 0\r\n");
    file.write_all(&pcap(RAW, &talk.packets, usize::MAX))
        .unwrap();
    let lines = "NLN NLN a@b.example A 0\r\n".repeat(1000);
    for _ in 0..4000 {
        talk.packets.clear();
        talk = talk.say(SERVER, &lines);
        file.write_all(&pcap(RAW, &talk.packets, usize::MAX)[24..])
            .unwrap();
    }
    let long = classify();
    let document = long.run.document(Document::Capture);
    assert_eq!(document["sessions"][0]["error"]["code"], "no-profile");
    assert!(long.peak < 20 * 1024, "{} KiB", long.peak);
}
