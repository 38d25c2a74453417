//! Text made fit for a terminal: what a terminal would obey is shown instead, lines are wrapped.

/// The longest passage that is shown whole, in characters.
const LONGEST: usize = 500;

/// Whether a character is obeyed by a terminal, or hides or reorders what stands around it,
/// instead of being seen.
pub(crate) const fn is_hidden(c: char) -> bool {
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

/// The text with hidden characters written out (`\u{1b}`) and cut after `most` characters.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    let mut room = most;
    for c in text.chars() {
        let escaped = is_hidden(c).then(|| c.escape_default());
        let needed = escaped.as_ref().map_or(1, ExactSizeIterator::len);
        if needed > room {
            shown.push('…');
            break;
        }
        room -= needed;
        match escaped {
            Some(escape) => shown.extend(escape),
            None => shown.push(c),
        }
    }
    shown
}

/// The text as lines of at most `width` characters, cleaned. Words too long for a line are
/// broken.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let text = clean(text, LONGEST);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + letters.len() > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        for piece in letters.chunks(width) {
            if used + piece.len() > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.extend(piece);
            used += piece.len();
        }
    }
    if used > 0 {
        lines.push(line);
    }
    lines
}

/// The text as a sentence: a capital where the first word is a plain one, and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut said = String::with_capacity(text.len() + 1);
    let first = text.split_whitespace().next().unwrap_or_default();
    let mut rest = text.chars();
    // A host name, an option or a command stays as it is written.
    if first
        .trim_end_matches([',', ';', ':'])
        .chars()
        .all(|c| c.is_ascii_lowercase())
    {
        said.extend(rest.next().map(|c| c.to_ascii_uppercase()));
    }
    said.push_str(rest.as_str());
    if !said.is_empty() && !said.ends_with(['.', '!', '?', '…']) {
        said.push('.');
    }
    said
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn join(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [front @ .., end] => format!("{} {last} {end}", front.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
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
    }

    #[test]
    fn lines_are_wrapped_and_long_words_broken() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a abcdefghij b", 4), ["a", "abcd", "efgh", "ij b"]);
        assert_eq!(wrap("  ", 4), Vec::<String>::new());
        assert_eq!(wrap("a\nb", 9), [r"a\nb"]);
    }

    #[test]
    fn a_sentence_leaves_names_alone() {
        assert_eq!(sentence("the server answers"), "The server answers.");
        assert_eq!(sentence("ms.example: refused"), "ms.example: refused.");
        assert_eq!(sentence("--repeat helps"), "--repeat helps.");
        assert_eq!(sentence("ClientIP is odd."), "ClientIP is odd.");
        assert_eq!(sentence(""), "");
    }

    #[test]
    fn words_are_joined() {
        assert_eq!(join(&["a"], "and"), "a");
        assert_eq!(join(&["a", "b", "c"], "or"), "a, b or c");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_too_long_or_holds_anything_hidden(text in "\\PC*|.{0,80}", width in 1_usize..90) {
            for line in wrap(&text, width) {
                proptest::prop_assert!(line.chars().count() <= width);
                proptest::prop_assert!(!line.chars().any(is_hidden));
            }
        }
    }
}
