//! Base64 in the URL alphabet, as lenient as the decoder behind Envoy (Abseil, `WebSafeBase64Unescape`): padding may be
//! there or not, white space counts for nothing, and unused bits at the end may be anything.

/// The bytes that `text` means; `None` if it is no base64url.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut bits = 0_u32;
    let mut have = 0_u32;
    let mut rest = text.iter();
    let mut padding = 0_usize;
    for &character in rest.by_ref() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            b'=' | b'.' => {
                padding = 1;
                break;
            }
            space if is_space(space) => continue,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push(u8::try_from(bits >> have & 0xff).ok()?);
        }
    }
    for &character in rest {
        match character {
            b'=' | b'.' => padding += 1,
            space if is_space(space) => {}
            _ => return None,
        }
    }
    let due = match have {
        0 => 0,
        4 => 2,
        2 => 1,
        _ => return None,
    };
    (padding == 0 || padding == due).then_some(bytes)
}

fn is_space(character: u8) -> bool {
    matches!(character, b' ' | b'\t'..=b'\r')
}

/// Base64 in the plain alphabet, with padding.
pub(crate) fn encode_standard(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = word >> (18 - 6 * place) & 0x3f;
            text.push(if place <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_space_and_spare_bits_do_not_matter() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("YQ", Some(b"a")),
            ("YQ==", Some(b"a")),
            ("YR", Some(b"a")),
            ("Y Q\t= =", Some(b"a")),
            ("YWI", Some(b"ab")),
            ("YWI=", Some(b"ab")),
            ("YWJj", Some(b"abc")),
            ("-_-_", Some(b"\xfb\xff\xbf")),
            ("YQ=", None),
            ("YQ===", None),
            ("YWJj=", None),
            ("Y", None),
            ("YWJjY", None),
            ("+/+/", None),
            ("YQ==YQ", None),
            ("Y%Q", None),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), bytes, "{text}");
        }
    }

    #[test]
    fn the_plain_alphabet_is_padded() {
        for (bytes, text) in
            [(&b""[..], ""), (b"a", "YQ=="), (b"ab", "YWI="), (b"abc", "YWJj"), (b"\xfb\xff\xbf", "+/+/")]
        {
            assert_eq!(encode_standard(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_back(bytes: Vec<u8>) {
            let text = encode_standard(&bytes).replace('+', "-").replace('/', "_");
            prop_assert_eq!(decode(text.as_bytes()), Some(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = decode(&text);
        }
    }
}
