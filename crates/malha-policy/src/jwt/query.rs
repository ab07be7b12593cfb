//! Query parameters (Envoy, `source/common/http/utility.cc`, `QueryParamsMulti`).

use std::collections::BTreeMap;

/// The parameters of a path.
pub(crate) struct Query<'p> {
    path: &'p str,
    text: Option<&'p str>,
}

impl<'p> Query<'p> {
    /// Those behind the first question mark.
    pub(crate) fn of(path_and_query: &'p str) -> Self {
        match path_and_query.split_once('?') {
            Some((path, text)) => Self { path, text: Some(text) },
            None => Self { path: path_and_query, text: None },
        }
    }

    /// Names and values as they were sent.
    fn pairs(&self) -> impl Iterator<Item = (&'p str, &'p str)> {
        // Nothing behind the last `&` is no parameter, while nothing between two is one.
        let text = self.text.unwrap_or_default();
        let text = text.strip_suffix('&').unwrap_or(text);
        let text = self.text.filter(|whole| !whole.is_empty()).map(|_| text);
        text.into_iter().flat_map(|text| text.split('&')).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// The first value of a parameter, decoded.
    pub(crate) fn first(&self, name: &str) -> Option<Vec<u8>> {
        self.pairs().find(|(own, _)| is(own, name)).map(|(_, value)| decode(value))
    }

    /// Path and query without a parameter. What is left is sorted by name, as Envoy does.
    ///
    /// Envoy also leaves the rest decoded, so that an encoded `&` or blank becomes a real one. That would forge
    /// parameters, and so is not done here.
    pub(crate) fn without(&self, name: &str) -> String {
        let mut kept: BTreeMap<Vec<u8>, Vec<(&str, &str)>> = BTreeMap::new();
        for (own, value) in self.pairs().filter(|(own, _)| !is(own, name)) {
            kept.entry(decode(own)).or_default().push((own, value));
        }
        let mut text = self.path.to_owned();
        let mut mark = '?';
        for (own, value) in kept.into_values().flatten() {
            text.push(mark);
            text.push_str(own);
            text.push('=');
            text.push_str(value);
            mark = '&';
        }
        text
    }
}

fn is(encoded: &str, name: &str) -> bool {
    encoded == name || (encoded.contains('%') && decode(encoded) == name.as_bytes())
}

/// Percent-decoding; a plus is a plus, and a percent sign without two digits is itself.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, digit(at + 1), digit(at + 2)) {
            decoded.push(u8::try_from(high << 4 | low).unwrap_or_default());
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_values_counts() {
        for (path, value) in [
            ("/p", None),
            ("/p?", None),
            ("/p?t", Some("")),
            ("/p?t=", Some("")),
            ("/p?t=1", Some("1")),
            ("/p?a=0&t=1&t=2", Some("1")),
            ("/p?%74=1", Some("1")),
            ("/p?t=a%2Eb%2", Some("a.b%2")),
            ("/p?t=a+b", Some("a+b")),
            ("/p?t=a=b", Some("a=b")),
            ("/p?T=1", None),
            ("/p?a?t=1", None),
        ] {
            assert_eq!(Query::of(path).first("t"), value.map(|value| value.as_bytes().to_vec()), "{path}");
        }
    }

    #[test]
    fn what_is_left_of_a_query_is_sorted() {
        for (path, left) in [
            ("/p?t=1", "/p"),
            ("/p?t=1&t=2", "/p"),
            ("/p?b=2&t=1&a=1&b=1", "/p?a=1&b=2&b=1"),
            ("/p?z&t=1", "/p?z="),
            ("/p?a=%26x%20&t=1", "/p?a=%26x%20"),
            ("/p?t=1&&a=1", "/p?=&a=1"),
            ("/p?t=1&", "/p"),
        ] {
            assert_eq!(Query::of(path).without("t"), left, "{path}");
        }
    }
}
