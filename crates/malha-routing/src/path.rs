//! The form of a path that routes are compared with.
//!
//! Istio sets Envoy's `normalize_path` (`pathNormalization: BASE`, its default), which is Chromium's canonical path:
//! dot segments go (RFC 3986 §5.2.4), also with parameters (`/..;x`), escapes of unreserved characters are decoded
//! (§6.2.2.2), characters that no path has are escaped, `\` is `/`. Doubled slashes and `%2f` stay. Without it,
//! `/public/../private` would pass a rule for `/public`. Each line of the tables below was measured with Envoy 1.40.

use std::borrow::Cow;

/// The normal form of an origin-form target. The query stays as it is; where nothing changes, nothing is allocated.
///
/// `None` is what Envoy refuses with 400: a fragment, or `%00`. What does not begin with `/` is none of its paths.
pub fn normalize(path_and_query: &str) -> Option<Cow<'_, str>> {
    if path_and_query.contains('#') {
        return None;
    }
    let (path, query) = split_query(path_and_query);
    if !path.starts_with('/') {
        return None;
    }
    if is_normal(path) {
        return Some(Cow::Borrowed(path_and_query));
    }
    let mut normal = without_dots(&unescaped(&without_parameters(path))?);
    normal.push_str(query);
    Some(Cow::Owned(normal))
}

/// `/a?b` → (`/a`, `?b`)
pub(crate) fn split_query(path_and_query: &str) -> (&str, &str) {
    path_and_query.find('?').map_or((path_and_query, ""), |at| path_and_query.split_at(at))
}

/// Whether [`without_parameters`], [`unescaped`] and [`without_dots`] would leave `path` as it is.
fn is_normal(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
        b'%' => escape(&bytes[at..]).is_none_or(|value| value != 0 && !is_unreserved(value)),
        b'/' => {
            !matches!(bytes[at + 1..], [b'.'] | [b'.', b'/' | b';', ..] | [b'.', b'.'] | [b'.', b'.', b'/' | b';', ..])
        }
        _ => true,
    })
}

/// The byte that an escape at the beginning of `text` stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match *text {
        [b'%', high, low, ..] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Without the parameters of dot segments: `/a/..;x/b` is `/a/../b`. They are looked for in what the client wrote: an
/// escaped dot, or `\` before it, makes no dot segment here.
fn without_parameters(path: &str) -> Cow<'_, str> {
    if !path.contains("/.;") && !path.contains("/..;") {
        return Cow::Borrowed(path);
    }
    let dots = |segment| match segment {
        _ if str::starts_with(segment, ".;") => ".",
        _ if segment.starts_with("..;") => "..",
        name => name,
    };
    Cow::Owned(path.split('/').map(dots).collect::<Vec<_>>().join("/"))
}

/// The escape of a character that no path has, in the case in which Envoy writes it.
fn escaped(character: char) -> Option<&'static str> {
    Some(match character {
        '"' => "%22",
        '<' => "%3C",
        '>' => "%3E",
        '^' => "%5E",
        '`' => "%60",
        '{' => "%7B",
        '|' => "%7C",
        '}' => "%7D",
        _ => return None,
    })
}

/// With unreserved characters written plainly, slashes for backslashes, and escapes for what no path has; `None` for
/// `%00`.
fn unescaped(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        match (first, escape(rest.as_bytes())) {
            (_, Some(0)) => return None,
            (_, Some(byte)) => {
                taken = 3;
                if is_unreserved(byte) {
                    push(&mut out, char::from(byte));
                } else {
                    out.push_str(&rest[..taken]);
                }
            }
            ('\\', None) => out.push('/'),
            (other, None) => match escaped(other) {
                Some(escape) => out.push_str(escape),
                None => push(&mut out, other),
            },
        }
        rest = &rest[taken..];
    }
    Some(out)
}

/// Adds a character. Where it would complete an escape that was none before (`%%361` → `%61`), the bare `%` is written
/// `%25`, as Chromium does: nobody after us may decode a second time.
fn push(out: &mut String, character: char) {
    let completes =
        matches!(out.as_bytes(), [.., b'%', digit] if digit.is_ascii_hexdigit()) && character.is_ascii_hexdigit();
    if completes {
        out.insert_str(out.len() - 1, "25");
    }
    out.push(character);
}

/// RFC 3986 §5.2.4; what would climb above the root stays there.
fn without_dots(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut ends_in_dots = false;
    for segment in path.split('/').skip(1) {
        ends_in_dots = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            name => {
                out.push('/');
                out.push_str(name);
            }
        }
    }
    if ends_in_dots {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_become_what_istios_gateway_makes_of_them() {
        for (path, want) in [
            ("/a//b", Some("/a//b")),
            ("/a/../b", Some("/b")),
            ("/a/./b", Some("/a/b")),
            ("/%61", Some("/a")),
            ("/a%2fb", Some("/a%2fb")),
            ("/a%2Fb?x=%2f", Some("/a%2Fb?x=%2f")),
            ("/a\\b", Some("/a/b")),
            ("/a?b#c", None),
            ("/a\"b<c>d^e`f{g|h}i?\"<>^`{|}", Some("/a%22b%3Cc%3Ed%5Ee%60f%7Bg%7Ch%7Di?\"<>^`{|}")),
        ] {
            assert_eq!(normalize(path).as_deref(), want, "{path}");
        }
    }

    #[test]
    fn dots_never_hide_nor_climb() {
        for (path, want) in [
            ("/..", Some("/")),
            ("/../../a", Some("/a")),
            ("/a/b/..", Some("/a/")),
            ("/a/.", Some("/a/")),
            ("/a//../b", Some("/a/b")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a\\..\\b", Some("/b")),
            ("/a/.../..b/.c", Some("/a/.../..b/.c")),
            ("/a?x=/../%61\\", Some("/a?x=/../%61\\")),
            ("/%%361", Some("/%2561")),
            ("/%2%65", Some("/%252e")),
            ("/%zz%", Some("/%zz%")),
            ("?x", None),
            ("/a/..;/b", Some("/b")),
            ("/a/..;", Some("/")),
            ("/a/.;x/b", Some("/a/b")),
            ("/a;/..;b/c", Some("/c")),
            ("/a/..;x\\b", Some("/")),
            ("/a/...;/b", Some("/a/...;/b")),
            ("/a\\..;x/b", Some("/a/..;x/b")),
            ("/a/%2e%2e;/b", Some("/a/..;/b")),
            ("/a/..%3b/b", Some("/a/..%3b/b")),
            ("/a%00", None),
            ("/a%%0000", None),
            ("*", None),
        ] {
            assert_eq!(normalize(path).as_deref(), want, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_is_a_path_and_stays_as_it_is(path in "/([./%a\\\\é?<|]|%2[ef5]|%6[1f]|[0-9a-f]){0,16}") {
            if let Some(normal) = normalize(&path) {
                prop_assert!(normal.starts_with('/'));
                let again = normalize(&normal);
                prop_assert!(matches!(&again, Some(Cow::Borrowed(same)) if *same == normal), "{normal} → {again:?}");
                prop_assert!(matches!(&normal, Cow::Borrowed(_)) == (normal == path));
            }
        }
    }
}
