//! Percent-encoding, as MSNP and Passport use it.

use std::borrow::Cow;

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode,
};

/// What would break the `key=value` pieces of a header.
const HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%').add(b'"').add(b'\'');

/// What would break a command's parameter.
const WORD: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// Encodes every byte but ASCII letters and digits, the one form all Passport servers read alike.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Encodes only what would break a header's `key=value` pieces: commas, `%`, quotes, blanks, control
/// characters and everything that is not ASCII.
#[must_use]
pub fn encode_header_piece(text: &str) -> String {
    utf8_percent_encode(text, HEADER).to_string()
}

/// Encodes what would break a command's parameter: blanks, control characters and `%`. Other
/// bytes, raw UTF-8 included, stay as they are.
#[must_use]
pub fn encode_word(text: &str) -> Cow<'_, str> {
    // Accounts, and most names, stay as they are.
    if text.bytes().all(|byte| !is_encoded(byte)) {
        return Cow::Borrowed(text);
    }
    let mut word = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c: char| c.is_ascii()) {
        let (utf8, ascii) = piece.split_at(piece.trim_end_matches(|c: char| c.is_ascii()).len());
        word.push_str(utf8);
        word.extend(utf8_percent_encode(ascii, WORD));
    }
    Cow::Owned(word)
}

/// Whether [`WORD`] has it.
const fn is_encoded(byte: u8) -> bool {
    byte.is_ascii_control() || matches!(byte, b' ' | b'%')
}

/// Decodes `%XX`; a `%` that two hex digits do not follow stays, `+` stays, bytes that do not come
/// out as UTF-8 are replaced.
#[must_use]
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    match text.contains('%') {
        true => percent_decode_str(text).decode_utf8_lossy(),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passport_form_leaves_letters_and_digits_alone() {
        assert_eq!(percent_encode("user@example.com"), "user%40example%2Ecom");
        assert_eq!(percent_encode("a,b+c%d e"), "a%2Cb%2Bc%25d%20e");
        assert_eq!(percent_encode("ü"), "%C3%BC");
    }

    #[test]
    fn the_command_form_leaves_utf8_alone() {
        assert_eq!(encode_word("Zoë 50%\r\n"), "Zoë%2050%25%0D%0A");
    }

    #[test]
    fn the_same_bytes_are_encoded_on_the_fast_way() {
        for byte in 0..128 {
            let text = char::from(byte).to_string();
            let encoded = utf8_percent_encode(&text, WORD).to_string();
            assert_eq!(encode_word(&text), encoded);
            assert_eq!(is_encoded(byte), encoded != text);
        }
    }

    #[test]
    fn decoding_survives_stray_percents() {
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
        assert_eq!(percent_decode("%+1"), "%+1");
        assert_eq!(percent_decode("%C3"), "\u{fffd}");
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in ".*") {
            let (whole, word) = (percent_encode(&text), encode_word(&text));
            proptest::prop_assert_eq!(percent_decode(&whole), text.as_str());
            proptest::prop_assert_eq!(percent_decode(&word), text.as_str());
        }
    }
}
