//! What the text of a document says: links, options, variables, files.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use support::{Run, tool};

use crate::ROOT;
use crate::markdown::Document;

static LINK: LazyLock<Regex> = LazyLock::new(|| pattern(r"\]\(([^)\s]+)\)"));
static WORD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[^\w-])(--[a-z][a-z0-9-]*|MSNP9_[A-Z0-9_]*[A-Z0-9])"));
static CODE: LazyLock<Regex> = LazyLock::new(|| pattern(r"`([^`]+)`"));
static FILE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:src|tests|docs|scripts|fuzz|benches|deploy|\.ci|\.github)/[\w./-]*$")
});
static COMMAND: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:[A-Z_]+=\S+ )*(?:cargo|\.ci/run|scripts/\S+|msnp9-conntype \S+)(?: |$)")
});
static PLACEHOLDER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^msnp9-conntype (?:.*(?:…|\b[A-Z]{2,}\b)|serve$)|^cargo run --$"));

/// Options of programs other than this one.
const OTHERS: &[&str] = &[
    "--all",
    "--all-targets",
    "--bench",
    "--cap-add",
    "--cap-drop",
    "--lib",
    "--locked",
    "--now",
    "--path",
    "--release",
    "--rm",
    "--root",
    "--schemafile",
    "--show",
    "--target",
    "--test",
    "--tool",
    "--unbuffered",
    "--workspace",
    "--write",
];

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

/// Links into the repository that lead nowhere.
pub(crate) fn links<'a>(
    document: &'a Document,
    all: &'a [Document],
) -> impl Iterator<Item = String> {
    let links = document.prose().flat_map(|(line, text)| {
        LINK.captures_iter(text)
            .map(move |link| (line, link[1].to_owned()))
    });
    let is_broken = |link: &str| {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let folder = Path::new(&document.name).parent().expect("a folder");
        let name = if path.is_empty() {
            Path::new(&document.name).into()
        } else {
            folder.join(path)
        };
        let Ok(target) = Path::new(ROOT).join(name).canonicalize() else {
            return true;
        };
        let page = all
            .iter()
            .find(|page| Path::new(ROOT).join(&page.name) == target);
        let headings = page.map(|page| page.prose().filter(|(_, line)| line.starts_with('#')));
        let mut anchors = headings.into_iter().flatten().map(|(_, line)| slug(line));
        !anchor.is_empty() && !anchors.any(|slug| slug == anchor)
    };
    let faults = links.filter(|(_, link)| !link.contains("://") && is_broken(link));
    faults
        .map(|(line, link)| format!("{}:{line}: {link} leads nowhere", document.name))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The anchor that a forge makes of a heading.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Every option and variable in the help of every command.
pub(crate) fn options_and_variables() -> BTreeSet<String> {
    let mut words: BTreeSet<String> = OTHERS.iter().map(|word| (*word).to_owned()).collect();
    help(&mut Vec::new(), &mut words);
    words
}

/// Adds the words in the help of this command and the commands below it.
fn help(path: &mut Vec<String>, words: &mut BTreeSet<String>) {
    let text = Run::of(tool().args(&*path).arg("--help")).stdout;
    words.extend(WORD.captures_iter(&text).map(|word| word[1].to_owned()));
    let commands = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in commands.take_while(|line| !line.is_empty()) {
        let name = line
            .strip_prefix("  ")
            .and_then(|line| line.split(' ').next());
        if let Some(name) = name.filter(|name| !name.is_empty() && *name != "help") {
            path.push(name.to_owned());
            help(path, words);
            path.pop();
        }
    }
}

/// Options and variables that no command has.
pub(crate) fn unknown_words(document: &Document, known: &BTreeSet<String>) -> Vec<String> {
    let lines = document.text.lines().enumerate();
    let words = lines.flat_map(|(index, line)| {
        // What follows the name of a program is that program's own.
        WORD.captures_iter(line)
            .map(move |word| (index + 1, word[1].to_owned()))
    });
    let faults = words.filter(|(_, word)| !known.contains(word));
    faults
        .map(|(line, word)| format!("{}:{line}: no command has {word}", document.name))
        .collect()
}

/// Files of the repository that are named and do not exist. Capitals stand for any name.
pub(crate) fn missing_files(document: &Document) -> Vec<String> {
    let codes = document.prose().flat_map(|(line, text)| {
        CODE.captures_iter(text)
            .map(move |code| (line, code[1].to_owned()))
    });
    let is_placeholder = |name: &str| name.split(['/', '.']).any(|part| part == "NAME");
    let missing = codes.filter(|(_, name)| {
        FILE.is_match(name) && !is_placeholder(name) && !Path::new(ROOT).join(name).exists()
    });
    missing
        .map(|(line, name)| format!("{}:{line}: there is no {name}", document.name))
        .collect()
}

/// The commands within the text, each with its line; not those with a placeholder (`explain LABEL`) or
/// without an end (`serve`).
pub(crate) fn commands(document: &Document) -> impl Iterator<Item = (usize, String)> {
    document.prose().flat_map(|(line, text)| {
        let codes = CODE.captures_iter(text).map(|code| code[1].to_owned());
        let codes = codes.filter(|code| COMMAND.is_match(code) && !PLACEHOLDER.is_match(code));
        codes.map(move |code| (line, code)).collect::<Vec<_>>()
    })
}
