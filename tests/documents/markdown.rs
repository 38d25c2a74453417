//! A document as its blocks.

use std::path::Path;

use crate::ROOT;

/// A document, its name relative to the repository.
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Default)]
pub(crate) struct Block {
    pub(crate) language: String,
    /// The number of its first line in the document.
    pub(crate) line: usize,
    pub(crate) lines: Vec<String>,
    /// What the comment before it says: `run`, `prints` and so on.
    notes: Vec<(String, String)>,
}

impl Document {
    pub(crate) fn read(name: String) -> Self {
        let text = std::fs::read_to_string(Path::new(ROOT).join(&name)).expect("a document");
        let blocks = blocks(&text);
        Self { name, text, blocks }
    }

    /// The lines outside of blocks, with their numbers.
    pub(crate) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let within = |number: usize| {
            let is_in =
                |block: &Block| (block.line..block.line + block.lines.len()).contains(&number);
            self.blocks.iter().any(is_in)
        };
        let lines = self
            .text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        lines.filter(move |(number, _)| !within(*number))
    }
}

impl Block {
    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// The text, and what the comment says.
    pub(crate) fn with_notes(&self) -> String {
        let notes = self.notes.iter().map(|(_, value)| value.as_str());
        notes.fold(self.text(), |text, note| text + "\n" + note)
    }

    pub(crate) fn note(&self, name: &str) -> Option<&str> {
        let mut notes = self.notes.iter();
        notes.find_map(|(word, value)| (word == name).then_some(value.as_str()))
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut notes = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(comment) = line.strip_prefix("<!--") {
            notes.clear();
            let mut comment = comment;
            loop {
                note(&mut notes, comment.trim_end_matches("-->").trim());
                if comment.ends_with("-->") {
                    break;
                }
                comment = lines.next().expect("the end of a comment").1;
            }
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            assert!(
                line.starts_with("```"),
                "line {}: an indented block",
                index + 1
            );
            let content = lines.by_ref().map(|(_, line)| line);
            let content = content.take_while(|line| !line.starts_with("```"));
            blocks.push(Block {
                language: language.trim().to_owned(),
                line: index + 2,
                lines: content.map(str::to_owned).collect(),
                notes: std::mem::take(&mut notes),
            });
        } else if !line.is_empty() {
            notes.clear();
        }
    }
    blocks
}

/// Adds `word: value`, or goes on with the value of the line before.
fn note(notes: &mut Vec<(String, String)>, line: &str) {
    let words = ["run", "prints", "then", "exit", "skip"];
    match line.split_once(": ") {
        Some((word, value)) if words.contains(&word) => {
            notes.push((word.to_owned(), value.to_owned()));
        }
        _ => {
            if let Some((_, value)) = notes.last_mut() {
                value.push(' ');
                value.push_str(line);
            }
        }
    }
}
