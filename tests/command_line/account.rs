//! `account`: the file that it leaves, passwords from the terminal and from stdin, and what it refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::document::Document;
use support::{Run, TOOL, file, side_by_side, text, tool, tool_by};
use tempfile::TempDir;

use crate::terminal::Session;

const ANN: &str = "ann@example.com";

fn account(words: &[&str], path: &Path, password: &str) -> Run {
    let words = [&["account"], words, &["--accounts", text(path)]].concat();
    Run::with_stdin(&words, password)
}

/// Runs it, and it must succeed; stderr.
fn done(words: &[&str], path: &Path, password: &str) -> String {
    let run = account(words, path, password);
    assert_eq!(
        (run.code, &*run.stdout),
        (0, ""),
        "{words:?} {}",
        run.stderr
    );
    run.stderr
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

/// The names in a directory: no other file may be left.
fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_account_is_added_checked_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts");
    let shown = path.display();
    let said = done(&["add", ANN], &path, "first marker\n");
    assert_eq!(said, format!("added {ANN} to {shown}\n"));
    assert_eq!(mode(&path), 0o600);
    let line = fs::read_to_string(&path).unwrap();
    assert!(
        line.starts_with("ann@example.com:$argon2id$v=19$m=19456,t=2,p=1$") && line.ends_with('\n'),
        "{line}"
    );
    assert_eq!(
        done(&["check", "Ann@example.com"], &path, "first marker"),
        ""
    );

    let said = done(&["add", "ANN@example.com"], &path, "second marker\r\n");
    let want = format!("replaced the password of ANN@example.com in {shown}\n");
    assert_eq!(said, want);
    assert_eq!(done(&["check", ANN], &path, "second marker"), "");
    let wrong = account(&["check", ANN], &path, "first marker");
    let unknown = account(&["check", "eve@example.com"], &path, "first marker");
    assert_eq!((wrong.code, unknown.code), (1, 1));
    assert_eq!(
        (&wrong.stdout, &wrong.stderr),
        (&unknown.stdout, &unknown.stderr)
    );
    assert!(!wrong.stderr.contains("marker"), "{}", wrong.stderr);

    let said = done(&["remove", ANN], &path, "");
    assert_eq!(said, format!("removed {ANN} from {shown}\n"));
    assert_eq!(fs::read(&path).unwrap(), b"");
    let again = account(&["remove", ANN], &path, "");
    let want = format!("msnp9-conntype: {ANN} is not in {shown}\n");
    assert_eq!((again.code, again.stderr), (1, want));
    assert_eq!(names(&dir), ["accounts"]);
}

#[test]
fn what_is_not_concerned_stays_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let before = "\u{feff}# people\r\n\r\nann@example.com: x:y \r\n#bob@example.com:old\nEve@example.com:plain";
    let path = file(&dir, "accounts", before);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    done(&["add", "bob@example.com"], &path, "new");
    assert_eq!(mode(&path), 0o600);
    let after = fs::read_to_string(&path).unwrap();
    let added = after.strip_prefix(&format!("{before}\r\n")).unwrap();
    assert!(added.starts_with("bob@example.com:$argon2id$"), "{added}");
    done(&["remove", "bob@example.com"], &path, "");
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{before}\r\n"));
    done(&["check", ANN], &path, " x:y ");
    done(&["add", "eve@example.com"], &path, "new");
    let after = fs::read_to_string(&path).unwrap();
    let (kept, _) = before.split_once("plain").unwrap();
    let hash = after.strip_prefix(kept).unwrap();
    assert!(
        hash.starts_with("$argon2id$") && hash.ends_with("\r\n"),
        "{hash}"
    );
}

#[test]
fn the_accounts_are_listed_for_people_and_programs() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "accounts", "# people\nBob@example.com:plain\n");
    done(&["add", ANN], &path, "x");
    let list = |more: &[&str]| {
        let run = account(&[&["list"], more].concat(), &path, "");
        assert_eq!((run.code, &*run.stderr), (0, ""));
        run
    };
    assert_eq!(list(&[]).stdout, "Bob@example.com\nann@example.com\n");
    assert_eq!(
        list(&["-v"]).stdout,
        "Bob@example.com plain\nann@example.com argon2id\n"
    );
    let document = list(&["--json"]).document(Document::Accounts);
    let want = json!([
        { "account": "Bob@example.com", "hash": "plain" },
        { "account": ANN, "hash": "argon2id" },
    ]);
    assert_eq!(
        (&document["accounts"], &document["schema_version"]),
        (&want, &json!(1))
    );
}

#[test]
fn a_terminal_is_asked_twice_and_shows_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts");
    let words = ["account", "add", "--accounts", text(&path), ANN];
    let add = |first: &str, second: Option<&str>| {
        let mut session = Session::start(80, &words, &[]);
        session.wait_for("New password of ann@example.com: ");
        session.type_in(&format!("{first}\n"));
        if let Some(second) = second {
            session.wait_for("The same password again: ");
            session.type_in(&format!("{second}\n"));
        }
        let screen = session.end();
        assert!(!screen.text.contains("marker"), "{}", screen.text);
        (screen.status.code(), screen.text)
    };
    let (code, said) = add("marker1", Some("marker2"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the two passwords differ"), "{said}");
    let (code, said) = add("", None);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the password is empty"), "{said}");
    assert!(!path.exists());
    let (code, said) = add("marker1", Some("marker1"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("added ann@example.com to "), "{said}");

    let words = ["account", "check", "--accounts", text(&path), ANN];
    for (password, code) in [("marker1", 0), ("marker2", 1)] {
        let mut session = Session::start(80, &words, &[]);
        session.wait_for("Password of ann@example.com: ");
        session.type_in(&format!("{password}\n"));
        let screen = session.end();
        assert_eq!(screen.status.code(), Some(code), "{}", screen.text);
        assert!(!screen.text.contains("marker"), "{}", screen.text);
    }
}

#[test]
fn an_interrupt_at_the_prompt_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "accounts", "ann@example.com:old\n");
    let words = ["account", "add", "--accounts", text(&path), ANN];
    let mut session = Session::start(80, &words, &[]);
    session.wait_for("New password of ann@example.com: ");
    session.type_in("marker\n");
    session.wait_for("The same password again: ");
    session.signal(nix::sys::signal::Signal::SIGINT);
    let screen = session.end();
    assert_eq!(screen.status.code(), Some(130), "{}", screen.text);
    assert!(!screen.text.contains("Unknown"), "{}", screen.text);
    assert_eq!(fs::read_to_string(&path).unwrap(), "ann@example.com:old\n");
    assert_eq!(names(&dir), ["accounts"]);
}

#[test]
fn a_link_stays_and_its_target_is_replaced() {
    let (dir, links) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = file(&dir, "accounts", "");
    let link = links.path().join("link");
    symlink(&path, &link).unwrap();
    // Only root can give a file away, and then it stays with its owner.
    let given = std::os::unix::fs::chown(&path, Some(33), Some(34));
    let owner = path.metadata().unwrap().uid();
    assert!(given.is_err() || owner == 33);
    done(&["add", ANN], &link, "x");
    assert!(link.is_symlink());
    assert_eq!(
        (path.metadata().unwrap().uid(), mode(&path)),
        (owner, 0o600)
    );
    done(&["check", ANN], &path, "x");
    assert_eq!(
        (names(&dir), names(&links)),
        (vec!["accounts".into()], vec!["link".into()])
    );
    let nowhere = links.path().join("nowhere");
    symlink(dir.path().join("missing"), &nowhere).unwrap();
    let run = account(&["add", ANN], &nowhere, "x");
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(names(&dir), ["accounts"]);
}

#[test]
fn changes_at_the_same_time_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "accounts", "gone@example.com:x\n");
    let accounts: Vec<_> = (0..12).map(|n| format!("user{n}@example.com")).collect();
    let mut work: Vec<_> = accounts.iter().map(|name| ["add", name]).collect();
    work.push(["remove", "gone@example.com"]);
    side_by_side(work.len(), &work, |words| done(&words[..], &path, "x"));
    let run = account(&["list"], &path, "");
    let mut listed: Vec<_> = run.stdout.lines().collect();
    listed.sort_unstable();
    let mut wanted: Vec<_> = accounts.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(listed, wanted);
    assert_eq!(names(&dir), ["accounts"]);
}

#[test]
fn files_that_the_server_would_refuse_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    for (content, why) in [
        (
            &b"nonsense marker\n"[..],
            "line 1 is not 'account:password'",
        ),
        (
            b"a@b.c:x\nA@b.c:marker\n",
            "line 2: the account is listed twice",
        ),
        (
            b"a@b.c:$argon2i$marker\n",
            "line 1: the hash is not one of Argon2id",
        ),
        (b"\xffmarker\n", "it is not UTF-8"),
    ] {
        let path = file(&dir, "accounts", content);
        for words in [
            &["add", ANN][..],
            &["remove", ANN],
            &["list"],
            &["check", ANN],
        ] {
            let run = account(words, &path, "x");
            assert_eq!((run.code, &*run.stdout), (2, ""), "{words:?} {why}");
            let want = format!("msnp9-conntype: --accounts: {}: {why}", path.display());
            assert!(run.stderr.starts_with(&want), "{}", run.stderr);
            assert!(!run.stderr.contains("marker"), "{}", run.stderr);
        }
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(names(&dir), ["accounts"]);
    }
}

#[test]
fn usage_errors_name_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "accounts", "");
    for (account, password, why) in [
        ("ann", "x", "ann: an account needs an '@'"),
        ("a:b@example.com", "x", "cannot have a ':'"),
        ("#a@example.com", "x", "or begin with '#'"),
        ("a b@example.com", "x", "holds a blank"),
        (ANN, "", "stdin: the password is empty"),
        (ANN, "\nx", "stdin: the password is empty"),
        (ANN, "a\0b", "NUL"),
        (ANN, &"x".repeat(1025), "longer than 1024 bytes"),
    ] {
        let run = self::account(&["add", account], &path, password);
        assert_eq!(run.code, 2, "{account}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{account}: {}", run.stderr);
    }
    assert_eq!(fs::read(&path).unwrap(), b"");

    let missing = dir.path().join("none/accounts");
    for (words, path) in [
        (&["add", ANN][..], &*missing),
        (&["remove", ANN], &missing),
        (&["list"], &missing),
        (&["check", ANN], &missing),
        (&["add", ANN], dir.path()),
        (&["add", ANN], Path::new("/dev/null")),
    ] {
        let mut command = tool();
        command.arg("account").args(words);
        let run = Run::of(command.env("MSNP9_SERVE_ACCOUNTS", path));
        assert_eq!((run.code, &*run.stdout), (2, ""), "{words:?}");
        if words[0] != "add" {
            let want = format!("msnp9-conntype: MSNP9_SERVE_ACCOUNTS: {}: ", path.display());
            assert!(run.stderr.starts_with(&want), "{}", run.stderr);
        }
    }
    let run = Run::of(tool().args(["account", "list"]));
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("--accounts <FILE>"), "{}", run.stderr);
    assert_eq!(names(&dir), ["accounts"]);
}

#[test]
fn a_file_that_cannot_be_written_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "accounts", "ann@example.com:old\n");
    let password = file(&dir, "password", "new\n");
    let mut shell = tool_by(Command::new("sh"));
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
    shell.args([
        text(&TOOL),
        "account",
        "add",
        "--accounts",
        text(&path),
        ANN,
    ]);
    let run = Run::of(shell.stdin(fs::File::open(password).unwrap()));
    assert_eq!(run.code, 74, "{}", run.stderr);
    assert!(
        run.stderr.contains("cannot write the result to"),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "ann@example.com:old\n");
    assert_eq!(names(&dir), ["accounts", "password"]);
}
