//! Text for a terminal: control characters are escaped, lines are wrapped.

use std::fmt::Display;

use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// The longest passage that is shown whole, in columns.
const LONGEST: usize = 500;

/// Whether a character controls the terminal, or hides or reorders the text around it, instead of
/// being visible.
pub(super) const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}' // DEL and C1, which has a one-character CSI
            | '\u{ad}' // soft hyphen
            | '\u{34f}' // grapheme joiner
            | '\u{61c}' // Arabic letter mark
            | '\u{115f}'..='\u{1160}' // Hangul fillers
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' // zero width, direction marks
            | '\u{2028}'..='\u{202e}' // line and paragraph ends, direction overrides
            | '\u{2060}'..='\u{206f}' // joiners, direction isolates
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}' // tags
    )
}

/// The text with hidden characters escaped (`\u{1b}`), cut after `most` columns.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    let mut room = most;
    for c in text.chars() {
        let piece = match is_hidden(c) {
            true => c.escape_default().to_string(),
            false => c.to_string(),
        };
        // Combining characters have no width; without a limit they would have no end.
        let needed = display_width(&piece).max(1);
        if needed > room {
            shown.push('…');
            break;
        }
        room -= needed;
        shown.push_str(&piece);
    }
    shown
}

/// The text, cleaned, as lines of at most `width` columns. The first begins with `first`, the
/// others with `rest`. Words too long for a line are broken.
pub(super) fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(rest)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let text = clean(text, LONGEST);
    let lines = textwrap::wrap(&text, options).into_iter();
    lines.map(Into::into).collect()
}

/// The text as a sentence: a capital where the first word is a plain one, and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut whole = String::with_capacity(text.len() + 1);
    let first = text.split_whitespace().next().unwrap_or_default();
    let mut rest = text.chars();
    // Host names, options and commands keep their spelling.
    if first
        .trim_end_matches([',', ';', ':'])
        .chars()
        .all(|c| c.is_ascii_lowercase())
    {
        whole.extend(rest.next().map(|c| c.to_ascii_uppercase()));
    }
    whole.push_str(rest.as_str());
    if !whole.is_empty() && !whole.ends_with(['.', '!', '?', '…']) {
        whole.push('.');
    }
    whole
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn join<T: Display>(words: impl IntoIterator<Item = T>, last: &str) -> String {
    let mut words: Vec<_> = words.into_iter().map(|word| word.to_string()).collect();
    match (words.pop(), words.is_empty()) {
        (None, _) => String::new(),
        (Some(end), true) => end,
        (Some(end), false) => format!("{} {last} {end}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(clean("\x1b[2J\x07", 40), r"\u{1b}[2J\u{7}");
        assert_eq!(clean("\u{9b}31m", 40), r"\u{9b}31m");
        assert_eq!(clean("a\u{202e}b\u{200b}", 40), r"a\u{202e}b\u{200b}");
        assert_eq!(clean("a\r\nb\tc", 40), r"a\r\nb\tc");
        assert_eq!(clean("grüße.example", 40), "grüße.example");
    }

    #[test]
    fn a_long_text_is_cut_and_never_within_an_escape() {
        assert_eq!(clean("abcdef", 6), "abcdef");
        assert_eq!(clean("abcdefg", 6), "abcdef…");
        assert_eq!(clean("abc\x1b", 6), "abc…");
        assert_eq!(clean("名前", 3), "名…");
        assert_eq!(clean("a\u{301}\u{301}", 2), "a\u{301}…");
    }

    #[test]
    fn lines_are_wrapped_and_long_words_broken() {
        let wrap = |text, width| wrap(text, width, "", "");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a abcdefghij b", 4), ["a", "abcd", "efgh", "ij b"]);
        assert_eq!(wrap("a\nb", 9), [r"a\nb"]);
        assert_eq!(wrap("名前は名前", 5), ["名前", "は名", "前"]);
        assert_eq!(super::wrap("one two", 6, "- ", "  "), ["- one", "  two"]);
    }

    #[test]
    fn a_sentence_keeps_the_spelling_of_names() {
        assert_eq!(sentence("the server answers"), "The server answers.");
        assert_eq!(sentence("ms.example: refused"), "ms.example: refused.");
        assert_eq!(sentence("--repeat helps"), "--repeat helps.");
        assert_eq!(sentence("ClientIP is odd."), "ClientIP is odd.");
        assert_eq!(sentence(""), "");
    }

    #[test]
    fn words_are_joined() {
        assert_eq!(join(["a"], "and"), "a");
        assert_eq!(join(["a", "b", "c"], "or"), "a, b or c");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_too_long_or_holds_anything_hidden(text in "\\PC*|.{0,80}", width in 2_usize..90) {
            for line in wrap(&text, width, "", "") {
                proptest::prop_assert!(display_width(&line) <= width);
                proptest::prop_assert!(!line.chars().any(is_hidden));
            }
        }
    }
}
