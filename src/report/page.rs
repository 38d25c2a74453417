//! The page that text is laid out on: indents, hanging items, tables, colours.

use anstyle::{AnsiColor, Style as Look};
use textwrap::core::display_width;

use super::parts::Tone;
use super::text::wrap;

pub(super) const PLAIN: Look = Look::new();
pub(super) const HEADING: Look = Look::new().bold();
pub(super) const QUIET: Look = Look::new().dimmed();
// Readable on light and dark backgrounds, unlike yellow.
pub(super) const ODD: Look = AnsiColor::Magenta.on_default();
pub(super) const BAD: Look = AnsiColor::Red.on_default().bold();

impl Tone {
    pub(super) const fn look(self) -> Look {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Odd => ODD,
            Self::Bad => BAD,
            Self::Note => AnsiColor::Cyan.on_default(),
            Self::Quiet => QUIET,
        }
    }
}

/// The blanks between two columns of a table.
const GAP: usize = 2;

/// A page in the making.
pub(super) struct Page {
    text: String,
    width: usize,
    colour: bool,
}

impl Page {
    /// Lines get between 40 and 100 columns: shorter ones cannot hold the addresses, longer ones
    /// are hard to read.
    pub(super) fn new(width: usize, colour: bool) -> Self {
        Self {
            text: String::new(),
            width: width.clamp(40, 100),
            colour,
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line as it is.
    pub(super) fn heading(&mut self, text: &str, look: Look) {
        self.put(text, look);
        self.text.push('\n');
    }

    /// A passage, every line of it indented.
    pub(super) fn text(&mut self, indent: usize, text: &str) {
        self.item("", PLAIN, indent, text);
    }

    /// A passage after a lead; the lines after the first are indented.
    pub(super) fn led(&mut self, lead: &str, look: Look, indent: usize, text: &str) {
        self.hang((lead, look), &format!("{lead} "), "", indent, text);
    }

    /// A lead, shorter than the indent, and a passage beside and below it.
    pub(super) fn item(&mut self, lead: &str, look: Look, indent: usize, text: &str) {
        self.rail((lead, look), "", indent, [text]);
    }

    /// As [`Self::item`], with `left` before every line but the first.
    pub(super) fn rail<'a, T: AsRef<str>>(
        &mut self,
        mut lead: (&'a str, Look),
        left: &'a str,
        indent: usize,
        passages: impl IntoIterator<Item = T>,
    ) {
        for passage in passages {
            self.hang(
                lead,
                &padded(lead.0, indent),
                left,
                indent,
                passage.as_ref(),
            );
            lead = (left, QUIET);
        }
    }

    fn hang(
        &mut self,
        (lead, look): (&str, Look),
        first: &str,
        left: &str,
        indent: usize,
        text: &str,
    ) {
        let lines = wrap(text, self.width, first, &padded(left, indent));
        for (at, line) in lines.iter().enumerate() {
            let (start, look) = match at {
                0 => (lead, look),
                _ => (left, QUIET),
            };
            self.put(start, look);
            self.heading(line.strip_prefix(start).unwrap_or(line), PLAIN);
        }
    }

    /// A table whose rows end in an outcome with its colour. Where the page is too narrow, the
    /// cells of a row go one below the other, the first and the outcome on one line.
    pub(super) fn table<const N: usize>(
        &mut self,
        indent: usize,
        head: [&str; N],
        last: &str,
        rows: &[([String; N], (&str, Look))],
    ) {
        let widths: [usize; N] = std::array::from_fn(|at| {
            let cells = rows.iter().map(|(cells, _)| display_width(&cells[at]));
            cells.fold(display_width(head[at]), usize::max) + GAP
        });
        let outcomes = rows.iter().map(|(_, (outcome, _))| display_width(outcome));
        let widest = outcomes.fold(0, usize::max);
        let is_wide = indent + widths.iter().sum::<usize>() + widest <= self.width;
        if is_wide {
            let cells = head.iter().zip(widths);
            let line: String = cells.map(|(name, width)| padded(name, width)).collect();
            let line = padded("", indent) + &line + last;
            self.heading(line.trim_end(), QUIET);
        }
        for (cells, (outcome, look)) in rows {
            let shown = if is_wide { N } else { 1 };
            let mut line = padded("", indent);
            for (cell, width) in cells.iter().zip(widths).take(shown) {
                line += &padded(cell, width);
            }
            self.text += &line;
            self.heading(outcome, *look);
            let names = head.map(display_width).into_iter().fold(0, usize::max);
            for (name, cell) in head.iter().zip(cells).skip(shown) {
                let lead = padded("", indent + 2) + name;
                self.item(&lead, QUIET, indent + 2 + names + GAP, cell);
            }
        }
    }

    fn put(&mut self, text: &str, look: Look) {
        if self.colour && look != PLAIN && !text.is_empty() {
            self.text += &format!("{look}{text}{look:#}");
        } else {
            self.text += text;
        }
    }
}

/// The text, filled with blanks up to `width` columns.
fn padded(text: &str, width: usize) -> String {
    let blanks = width.saturating_sub(display_width(text));
    text.to_owned() + &" ".repeat(blanks)
}
