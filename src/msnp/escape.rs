//! Percent-encoding, as MSNP and Passport use it.

use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Encodes every byte but ASCII letters and digits, the one form all Passport servers read alike.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    encode(text, |byte| byte.is_ascii_alphanumeric())
}

/// Encodes only what would break a header's `key=value` pieces: commas, `%`, quotes, blanks, control
/// characters and everything that is not ASCII.
#[must_use]
pub fn encode_header_piece(text: &str) -> String {
    encode(text, |byte| {
        byte.is_ascii_graphic() && !matches!(byte, b',' | b'%' | b'"' | b'\'')
    })
}

/// Encodes what would break a command's parameter: blanks, control characters and `%`. Other
/// bytes, raw UTF-8 included, stay as they are.
#[must_use]
pub fn encode_word(text: &str) -> String {
    encode(text, |byte| byte > b' ' && byte != b'%' && byte != 0x7f)
}

fn encode(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut bytes = Vec::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if stays(byte) {
            bytes.push(byte);
        } else {
            bytes.push(b'%');
            bytes.push(HEX[usize::from(byte >> 4)]);
            bytes.push(HEX[usize::from(byte & 15)]);
        }
    }
    // Only whole characters stay unencoded, so this never replaces anything.
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Decodes `%XX`; a `%` that two hex digits do not follow stays, `+` stays, bytes that come out
/// as no UTF-8 are replaced.
#[must_use]
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "two hex digits are one byte"
            )]
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
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
