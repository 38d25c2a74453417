//! Whether an output is the one that stands in a document.
//!
//! What differs from run to run is matched by rule:
//!
//! - a number of five digits is a port: any number, but the same one everywhere in the block, no
//!   other's ([`Ports`]), and itself if the command has it;
//! - a time, a duration (`0.3 s`, `12 ms`) and a decimal fraction are any other one, a version is
//!   this version;
//! - blanks are any number of blanks, colours do not count;
//! - `…` is any text, on a line of its own any lines.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// What varies; the first alternative that fits counts.
static VARYING: LazyLock<Regex> = LazyLock::new(|| {
    let parts = [
        r"(?<time>\d{4}-\d\d-\d\dT[\d:.]+Z)",
        r"(?<address>\d+\.\d+\.\d+\.\d+)",
        r"(?<version>\b\d+\.\d+\.\d+\b)",
        r"(?<duration>\b\d+(\.\d+)? ?m?s\b)",
        r"(?<fraction>\b\d+\.\d+\b)",
        r"(?<port>\b\d{5}\b)",
        r"(?<blanks>\s+)",
        r"(?<any>…)",
        r"(?<other>.)",
    ];
    Regex::new(&parts.join("|")).expect("a pattern")
});

static COLOURS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[[\d;?]*[a-zA-Z]|\r").expect("a pattern"));

/// What a terminal would show, as lines.
pub(crate) fn without_colours(printed: &str) -> String {
    COLOURS.replace_all(printed, "").into_owned()
}

/// The ports of a block, each with what the run has in its place.
#[derive(Clone, Default)]
pub(crate) struct Ports {
    seen: HashMap<String, String>,
    /// Those that the commands and the block have more than once. No other number may stand for the same,
    /// so that one which differs in one place is noticed.
    often: HashSet<String>,
}

impl Ports {
    /// Those of a block whose commands are these; their numbers stand for themselves.
    pub(crate) fn new(commands: &str, block: &[String]) -> Self {
        let ports = |text: &str| -> Vec<String> {
            let found = VARYING.captures_iter(text);
            let ports = found.filter_map(|found| Some(found.name("port")?.as_str().to_owned()));
            ports.collect()
        };
        let seen = ports(commands).into_iter().map(|port| (port.clone(), port));
        let mut once = HashSet::new();
        let all = ports(commands).into_iter().chain(ports(&block.join("\n")));
        Self {
            seen: seen.collect(),
            often: all.filter(|port| !once.insert(port.clone())).collect(),
        }
    }

    /// Whether this port has been or may be `seen` as that.
    fn fits(&mut self, port: String, seen: &str) -> bool {
        if let Some(before) = self.seen.get(&port) {
            return before == seen;
        }
        let mut others = self.seen.iter().filter(|(_, other)| *other == seen);
        if others.any(|(other, _)| self.often.contains(&port) || self.often.contains(other)) {
            return false;
        }
        self.seen.insert(port, seen.to_owned());
        true
    }

    /// Whether `actual` is such a line.
    fn line(&mut self, expected: &str, actual: &str) -> bool {
        let mut ports = Vec::new();
        let pattern = VARYING.replace_all(expected.trim_end(), |found: &Captures<'_>| {
            let name = VARYING
                .capture_names()
                .flatten()
                .find(|name| found.name(name).is_some());
            match name {
                Some("time") => r"\d{4}-\d\d-\d\dT[\d:.]+Z".to_owned(),
                Some("version") => regex::escape(env!("CARGO_PKG_VERSION")),
                Some("duration") => r"\d+(?:\.\d+)? ?m?s".to_owned(),
                Some("fraction") => r"\d+\.\d+".to_owned(),
                Some("blanks") => r"\s+".to_owned(),
                Some("any") => ".*".to_owned(),
                Some("port") => {
                    ports.push(found[0].to_owned());
                    r"(\d{1,5})".to_owned()
                }
                _ => regex::escape(&found[0]),
            }
        });
        let pattern = Regex::new(&format!("^{pattern}$")).expect("a pattern");
        let Some(found) = pattern.captures(actual.trim_end()) else {
            return false;
        };
        let seen = found.iter().skip(1).flatten();
        let mut pairs = ports.into_iter().zip(seen);
        pairs.all(|(port, seen)| self.fits(port, seen.as_str()))
    }

    fn lines(&mut self, expected: &[&str], actual: &[&str]) -> bool {
        let Some((first, rest)) = expected.split_first() else {
            return actual.is_empty();
        };
        if *first == "…" {
            let met = (0..=actual.len()).find_map(|skipped| {
                let mut ports = self.clone();
                ports.lines(rest, &actual[skipped..]).then_some(ports)
            });
            let fits = met.is_some();
            *self = met.unwrap_or_default();
            return fits;
        }
        actual
            .split_first()
            .is_some_and(|(line, others)| self.line(first, line) && self.lines(rest, others))
    }
}

/// Compares a text. An error is the number of the first line that is not met, from 0, and both.
pub(crate) fn text(
    ports: &mut Ports,
    expected: &[String],
    actual: &str,
) -> Result<(), (usize, String)> {
    let actual = without_colours(actual);
    let actual: Vec<&str> = actual.trim_end().lines().collect();
    let wanted: Vec<&str> = expected.iter().map(|line| line.trim_end()).collect();
    let end = wanted
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(0, |last| last + 1);
    let wanted = &wanted[..end];
    if ports.clone().lines(wanted, &actual) {
        ports.lines(wanted, &actual);
        return Ok(());
    }
    // The longest beginning that fits tells where the difference is.
    let fits = |end: &usize| {
        ports
            .clone()
            .lines(&[&wanted[..*end], &["…"]].concat(), &actual)
    };
    let met = (0..=wanted.len()).rev().find(fits).unwrap_or(0);
    let shown = wanted.get(met).copied().unwrap_or("the end of the output");
    Err((
        met,
        format!("no such output: {shown}\nprinted:\n{}", actual.join("\n")),
    ))
}

/// Compares a JSON document: the same keys, and values as a text has them. An error is the path to
/// the first difference. Of `timings_ms`, whose order and number vary, each entry has the keys and types
/// of the first.
pub(crate) fn json(
    ports: &mut Ports,
    expected: &Value,
    actual: &Value,
    at: &str,
) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(wanted), Value::Object(found)) => {
            let keys =
                |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            if keys(wanted) != keys(found) {
                return Err(format!("{at}: the keys are {:?}", keys(found)));
            }
            let mut members = wanted.iter();
            members.try_for_each(|(key, value)| {
                json(ports, value, &found[key], &format!("{at}.{key}"))
            })
        }
        (Value::Array(wanted), Value::Array(found)) if at.ends_with(".timings_ms") => {
            let alike = |entry: &Value| shape(entry) == shape(&wanted[0]);
            let all = wanted.iter().chain(found).all(alike) && !found.is_empty();
            all.then_some(())
                .ok_or_else(|| format!("{at}: the entries are {found:?}"))
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let mut pairs = wanted.iter().zip(found).enumerate();
            pairs.try_for_each(|(index, (wanted, found))| {
                json(ports, wanted, found, &format!("{at}[{index}]"))
            })
        }
        _ if ports.line(&expected.to_string(), &actual.to_string()) => Ok(()),
        _ => Err(format!("{at}: it is {actual}, not {expected}")),
    }
}

/// The keys of an object, each with the kind of its value.
fn shape(value: &Value) -> Vec<(String, std::mem::Discriminant<Value>)> {
    let members = value.as_object().into_iter().flatten();
    members
        .map(|(key, value)| (key.clone(), std::mem::discriminant(value)))
        .collect()
}

#[test]
fn a_changed_word_is_found() {
    let page =
        "from 127.0.0.1:46412\nto 203.0.113.7:46412 in 0.3 s\n…\nsame, exchanged: 19637\n\nlast\n…";
    let page: Vec<String> = page.lines().map(str::to_owned).collect();
    let good = "from  127.0.0.1:41024\r\n\x1b[1mto\x1b[0m 203.0.113.7:41024 in 12 ms\nx\ny\nsame, exchanged: 16544\n\nlast\n";
    let first = |command: &str, actual: &str| {
        text(&mut Ports::new(command, &page), &page, actual).map_err(|(line, _)| line)
    };
    assert_eq!(first("", good), Ok(()));
    assert_eq!(first("--port 46412", good), Err(0));
    assert_eq!(first("", &good.replace("from", "in")), Err(0));
    assert_eq!(first("", &good.replace("7:41024", "7:41025")), Err(1));
    assert_eq!(first("", &good.replace("in 12", "by 12")), Err(1));
    assert_eq!(first("", &good.replace("same", "other")), Err(3));
    assert_eq!(first("", &good.replace("last", "least")), Err(5));
    assert_eq!(first("", &format!("{good}more")), Ok(()));
    assert_eq!(first("", "from 127.0.0.1:41024"), Err(1));
}

#[test]
fn a_changed_key_or_value_is_found() {
    let page = serde_json::json!({"port": 46412, "a": [{"b": "x"}], "timings_ms": [{"t": 1.5}]});
    let good = serde_json::json!({"port": 1025, "a": [{"b": "x"}], "timings_ms": [{"t": 2.0}, {"t": 3.1}]});
    let same = |actual: &Value| json(&mut Ports::default(), &page, actual, "");
    assert_eq!(same(&good), Ok(()));
    let changes = [
        ("/a/0/b", Value::from("y")),
        ("/a/0/b", Value::Null),
        ("/a/0", serde_json::json!({"c": "x"})),
        ("/a", Value::Array(Vec::new())),
        ("/timings_ms/1", serde_json::json!({"t": "1"})),
        ("/port", Value::from("1025")),
    ];
    for (place, value) in changes {
        let mut bad = good.clone();
        *bad.pointer_mut(place).expect("a place") = value;
        assert!(same(&bad).is_err(), "{place}: {bad}");
    }
}
