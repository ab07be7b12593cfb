//! The values of a header as Envoy sees them.
//!
//! A header of several lines has several values, except for some that Envoy keeps in one place (`INLINE_REQ_*_HEADERS`
//! in `envoy/http/header_map.h`, and what filters add to them): their lines are one value, with commas between.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Those whose lines are one value, as measured with Envoy 1.40; sorted.
const JOINED: &[&str] = &[
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "cdn-loop",
    "content-encoding",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "referer",
    "te",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// The values of a header.
pub(crate) fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = Cow<'h, [u8]>> {
    let lines = headers.get_all(name);
    let several = lines.iter().nth(1).is_some();
    let joined = (several && JOINED.binary_search(&name.as_str()).is_ok())
        .then(|| lines.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b','));
    let single = joined.is_none().then(|| lines.iter().map(|value| Cow::Borrowed(value.as_bytes())));
    joined.map(Cow::Owned).into_iter().chain(single.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_headers_have_one_value_and_others_one_a_line() {
        assert!(JOINED.is_sorted());
        for (name, expected) in
            [("accept", vec!["1,2"]), ("x-a", vec!["1", "2"]), ("cookie", vec!["1", "2"]), ("te", vec!["1,2"])]
        {
            let name = HeaderName::from_static(name);
            let mut headers = HeaderMap::new();
            assert_eq!(values(&headers, &name).count(), 0);
            headers.append(&name, HeaderValue::from_static("1"));
            assert_eq!(values(&headers, &name).collect::<Vec<_>>(), [b"1".as_slice()]);
            headers.append(&name, HeaderValue::from_static("2"));
            let expected: Vec<_> = expected.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(values(&headers, &name).collect::<Vec<_>>(), expected, "{name}");
        }
    }
}
