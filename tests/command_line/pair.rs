//! `pair`: two labels, two documents, or the table.

use std::path::Path;

use serde_json::{Value, json};
use support::document::Document;
use support::{Run, file, text, tool};

fn pair(words: &[&str]) -> Run {
    Run::of(tool().arg("pair").args(words))
}

#[test]
fn labels_are_read_in_any_case_with_and_without_upnp() {
    let run = pair(&["ip-restrict-nat+UPNP", "symmetric-nat"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let first = "IP-Restrict-NAT+upnp and Symmetric-NAT: directly: the first listens\n";
    assert!(run.stdout.starts_with(first), "{}", run.stdout);
    let document = pair(&["Firewall", "ISALike", "--json"]).document(Document::Pair);
    let pairs = document["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 1);
    assert_eq!(
        (&pairs[0]["direct"], &pairs[0]["listener"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn without_arguments_there_is_the_table() {
    let run = pair(&[]);
    assert_eq!(run.code, 0);
    let rows = run
        .stdout
        .lines()
        .filter(|line| line.contains("Direct-Connect  "));
    assert_eq!(rows.count(), 1, "{}", run.stdout);
    assert_eq!(
        pair(&["--json"]).document(Document::Pair)["pairs"][65]["direct"],
        Value::Null
    );
}

#[test]
fn documents_of_runs_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let classify = |port: &str| {
        let words = ["classify", "--json", "--local", "192.168.1.5:51234"];
        let seen = ["--client-ip", "203.0.113.7", "--client-port", port];
        Run::of(tool().args(words).args(seen)).stdout
    };
    let one = file(&dir, "one.json", classify("8904"));
    let two = json!({
        "schema_version": 1,
        "label": "Symmetric-NAT",
        "probes": {"port_mapping": null, "listen": {"tcp": true}},
    });
    let two = file(&dir, "two.json", two.to_string());
    let run = pair(&[text(&one), text(&two), "--json"]);
    let document = run.document(Document::Pair);
    let pair = &document["pairs"][0];
    assert_eq!(pair["first"]["label"], "IP-Restrict-NAT");
    assert_eq!(pair["second"]["called"], true);
    assert_eq!(pair["listener"], "second");
}

#[test]
fn what_is_neither_a_label_nor_a_document_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let no_json = file(&dir, "no.json", "label");
    let other = file(&dir, "other.json", "{\"labels\": []}");
    let long = file(&dir, "long.json", vec![b' '; 5 << 20]);
    let bytes = file(&dir, "bytes.json", [0xff, 0xfe]);
    for (word, part) in [
        ("Symetric-NAT", "there is no such file"),
        ("+upnp", "there is no such file"),
        ("", "there is no such file"),
        (text(&no_json), "holds no JSON document"),
        (text(&other), "holds no JSON document"),
        (text(&long), "is too long"),
        (text(&bytes), "cannot be read"),
        (text(dir.path()), "cannot be read"),
    ] {
        let run = pair(&["Direct-Connect", word]);
        assert_eq!(run.code, 2, "{word}: {}", run.stdout);
        assert!(run.stderr.contains(part), "{word}: {}", run.stderr);
        assert_eq!(
            (run.stdout.as_str(), run.stderr.lines().count()),
            ("", 1),
            "{}",
            run.stderr
        );
    }
    assert_eq!(pair(&["Direct-Connect"]).code, 2);
    assert_eq!(pair(&["a", "b", "c"]).code, 2);
    assert!(!Path::new("Symetric-NAT").exists());
}
