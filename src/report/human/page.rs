//! The page that is written on: indents, hanging items, a table, colours.

use anstyle::{AnsiColor, Style as Look};

use super::Style;
use crate::report::text::wrap;

pub(super) const PLAIN: Look = Look::new();
pub(super) const HEADING: Look = Look::new().bold();
pub(super) const QUIET: Look = Look::new().dimmed();
pub(super) const GOOD: Look = AnsiColor::Green.on_default();
// Readable on light and dark backgrounds, which yellow is not.
pub(super) const ODD: Look = AnsiColor::Magenta.on_default();
pub(super) const BAD: Look = AnsiColor::Red.on_default().bold();
pub(super) const NOTE: Look = AnsiColor::Cyan.on_default();

/// A page in the making.
pub(super) struct Page {
    text: String,
    width: usize,
    colour: bool,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self {
            text: String::new(),
            width: style.width.clamp(40, 100),
            colour: style.colour,
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn heading(&mut self, text: &str, look: Look) {
        self.put(text, look);
        self.text.push('\n');
    }

    /// A passage, every line of it indented.
    pub(super) fn text(&mut self, indent: usize, text: &str) {
        self.item("", PLAIN, indent, text);
    }

    /// A text whose first word is painted; the lines after the first are indented.
    pub(super) fn led(&mut self, lead: &str, look: Look, indent: usize, text: &str) {
        let lines = wrap(&format!("{lead} {text}"), self.width - indent);
        for (at, line) in lines.iter().enumerate() {
            match (at, line.strip_prefix(lead)) {
                (0, Some(rest)) => {
                    self.put(lead, look);
                    self.text.push_str(rest);
                }
                _ => {
                    self.pad(indent);
                    self.text.push_str(line);
                }
            }
            self.text.push('\n');
        }
    }

    /// A lead, shorter than the indent, and a passage that hangs beside and below it.
    pub(super) fn item(&mut self, lead: &str, look: Look, indent: usize, passage: &str) {
        self.rail((lead, look), "", indent, &[passage.to_owned()]);
    }

    /// As [`Self::item`], with something to the left of every line but the first.
    pub(super) fn rail(
        &mut self,
        (lead, look): (&str, Look),
        left: &str,
        indent: usize,
        passages: &[String],
    ) {
        let room = self.width - indent;
        let lines = passages.iter().flat_map(|passage| wrap(passage, room));
        for (at, line) in lines.enumerate() {
            let (lead, look) = match at {
                0 => (lead, look),
                _ => (left, QUIET),
            };
            self.put(lead, look);
            self.pad(indent.saturating_sub(chars(lead)));
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    /// Rows of a name, two values under their heads and an outcome; the last column is painted by what stands in it. Where the page is
    /// too narrow the cells go one below the other.
    pub(super) fn table<const ROWS: usize>(
        &mut self,
        head: [&str; 2],
        rows: &[[String; 4]; ROWS],
        look: fn(&str) -> Look,
    ) {
        let widest = |column: usize| {
            let above = match column {
                1 | 2 => chars(head[column - 1]),
                _ => 0,
            };
            rows.iter()
                .map(|row| chars(&row[column]))
                .fold(above, usize::max)
                + 3
        };
        let widths = [widest(0), widest(1), widest(2)];
        if 2 + widths.iter().sum::<usize>() + widest(3) - 3 > self.width {
            return self.stack(head, rows, look);
        }
        self.text.push_str("  ");
        self.pad(widths[0]);
        self.put(head[0], QUIET);
        self.pad(widths[1] - chars(head[0]));
        self.put(head[1], QUIET);
        self.text.push('\n');
        for row in rows {
            self.text.push_str("  ");
            for (cell, width) in row.iter().zip(widths) {
                self.text.push_str(cell);
                self.pad(width - chars(cell));
            }
            self.put(&row[3], look(&row[3]));
            self.text.push('\n');
        }
    }

    fn stack<const ROWS: usize>(
        &mut self,
        head: [&str; 2],
        rows: &[[String; 4]; ROWS],
        look: fn(&str) -> Look,
    ) {
        let indent = 4
            + head
                .iter()
                .map(|name| chars(name))
                .max()
                .unwrap_or_default()
            + 2;
        for [name, here, there, outcome] in rows {
            self.text.push_str("  ");
            self.text.push_str(name);
            self.pad(10 - chars(name));
            self.put(outcome, look(outcome));
            self.text.push('\n');
            for (lead, cell) in [(head[0], here), (head[1], there)] {
                self.item(&format!("    {lead}"), QUIET, indent, cell);
            }
        }
    }

    fn put(&mut self, text: &str, look: Look) {
        if self.colour && !text.is_empty() {
            self.text.push_str(&format!("{look}{text}{look:#}"));
        } else {
            self.text.push_str(text);
        }
    }

    fn pad(&mut self, blanks: usize) {
        self.text.extend(std::iter::repeat_n(' ', blanks));
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}
