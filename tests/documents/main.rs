//! The documents are run: every command line in them, every output, every link.
//!
//! A fenced block is run by its language ([`blocks`]): `sh` must succeed, `console` must print what
//! stands there, `json` must be what the tool prints, and the recipes of `docs/ci.md` do their work. A comment
//! directly before a block says what its text does not:
//!
//! ```text
//! <!-- run: COMMAND       run before it
//!      prints: COMMAND    the block is what this prints
//!      then: COMMAND      checks what the block did; it is in the file `block`, what it printed in `stdout`
//!      exit: 3            the exit code if it is not 0; of a console, of each command
//!      skip: why          not run; the reason is in SKIPS -->
//! ```
//!
//! Commands within the text are run, too. A watch (`--every`) checks once.
//!
//! A document has a folder of its own, and a network: a computer behind a home router, and
//! `ms.example.net` outside ([`world`]).

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod blocks;
mod compare;
mod markdown;
mod prose;
mod recipes;
mod world;

use std::path::Path;

use markdown::Document;
use support::lab;

/// Where the documents are.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every block that is not run, and why.
const SKIPS: &[&str] = &[];

/// README.md and its like, and everything in `docs`.
fn documents() -> Vec<Document> {
    let names = ["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(str::to_owned);
    let folder = std::fs::read_dir(Path::new(ROOT).join("docs")).expect("docs");
    let pages = folder.map(|entry| entry.expect("an entry").file_name());
    let pages = pages.map(|name| format!("docs/{}", name.to_string_lossy()));
    let pages = pages.filter(|name| name.ends_with(".md"));
    names.into_iter().chain(pages).map(Document::read).collect()
}

/// Fails with all faults; each names its file and line.
fn none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n\n"));
}

#[test]
fn every_block_does_what_it_says() {
    let lab = lab::requirements()
        .and_then(|()| lab::proxies::requirements())
        .and_then(|()| lab::needs_program("jq", "jq"));
    if let Err(reason) = &lab {
        support::skipped(&format!("blocks that log in: {reason}"));
    }
    let documents = documents();
    let threads = documents.len();
    none(
        support::side_by_side(threads, documents, |document| {
            blocks::run(&document, lab.is_ok())
        })
        .concat(),
    );
}

#[test]
fn every_skip_is_known() {
    let all = documents();
    let skips = all.iter().flat_map(|document| {
        let skipped = document
            .blocks
            .iter()
            .filter_map(|block| block.note("skip"));
        skipped.map(|reason| format!("{}: {reason}", document.name))
    });
    let skips: Vec<String> = skips.collect();
    for skip in &skips {
        support::print_past_the_harness(&format!("not run: {skip}\n"));
    }
    assert_eq!(skips, SKIPS);
}

#[test]
fn every_link_leads_somewhere() {
    let all = documents();
    none(all.iter().flat_map(|document| prose::links(document, &all)));
}

#[test]
fn every_option_and_variable_exists() {
    let known = prose::options_and_variables();
    none(
        documents()
            .iter()
            .flat_map(|document| prose::unknown_words(document, &known)),
    );
}

#[test]
fn every_file_that_is_named_exists() {
    none(documents().iter().flat_map(prose::missing_files));
}
