//! Headers that Envoy keeps as one line.
//!
//! Envoy's codecs join the lines of these with `,` when they come in, and what is added to one of them goes into its line
//! (`envoy/http/header_map.h`, the inline headers, and those that its filters register; each one here was tried with Envoy
//! 1.40). The lines of every other header stay apart: a condition is met if one of them meets it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Of requests and responses. Sorted.
const BOTH: [&str; 14] = [
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-forwarded-client-cert",
    "x-request-id",
];

/// Of requests. Sorted.
const REQUEST: [&str; 27] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cdn-loop",
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
    "x-client-trace-id",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// Of responses. Sorted.
const RESPONSE: [&str; 18] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "age",
    "date",
    "etag",
    "expires",
    "grpc-message",
    "grpc-status",
    "last-modified",
    "location",
    "server",
    "vary",
    "x-envoy-overloaded",
    "x-envoy-upstream-service-time",
];

/// Whose headers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those of a request.
    Request,
    /// Those of a response.
    Response,
}

/// Whether Envoy keeps all values of `name` in one line.
fn is_inline(side: Side, name: &HeaderName) -> bool {
    let own: &[&str] = match side {
        Side::Request => &REQUEST,
        Side::Response => &RESPONSE,
    };
    let name = name.as_str();
    BOTH.binary_search(&name).is_ok() || own.binary_search(&name).is_ok()
}

/// The values that Envoy sees for `name`. Allocates for several lines of an inline header only.
pub fn values<'h>(headers: &'h HeaderMap, side: Side, name: &HeaderName) -> impl Iterator<Item = Cow<'h, [u8]>> {
    let lines = headers.get_all(name);
    let one = (lines.iter().nth(1).is_some() && is_inline(side, name)).then(|| Cow::Owned(joined(headers, name)));
    let apart = one.is_none().then(|| lines.iter().map(|line| Cow::Borrowed(line.as_bytes())));
    one.into_iter().chain(apart.into_iter().flatten())
}

/// Whether one of the values that Envoy sees for `name` fulfils `test`; `None` if there is none. Allocates for several
/// lines of an inline header only.
pub fn any_value(
    headers: &HeaderMap,
    side: Side,
    name: &HeaderName,
    mut test: impl FnMut(&[u8]) -> bool,
) -> Option<bool> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    if lines.next().is_none() {
        return Some(test(first.as_bytes()));
    }
    if is_inline(side, name) {
        return Some(test(&joined(headers, name)));
    }
    Some(headers.get_all(name).iter().any(|line| test(line.as_bytes())))
}

/// The value that Envoy reads where it wants one: the first, or all lines of an inline header.
pub fn value<'a>(headers: &'a HeaderMap, side: Side, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    if lines.next().is_some() && is_inline(side, name) {
        return Some(Cow::Owned(joined(headers, name)));
    }
    Some(Cow::Borrowed(first.as_bytes()))
}

/// Adds a value: to the line that there is of an inline header, else as a line of its own.
pub fn add(headers: &mut HeaderMap, side: Side, name: &HeaderName, value: HeaderValue) {
    if headers.contains_key(name) && is_inline(side, name) {
        let mut line = joined(headers, name);
        line.push(b',');
        line.extend_from_slice(value.as_bytes());
        // Values and a comma make a value.
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            headers.insert(name, line);
            return;
        }
    }
    headers.append(name, value);
}

/// Makes one line of all lines of each inline header.
pub fn join(headers: &mut HeaderMap, side: Side) {
    // Of nearly all heads, each name has one line.
    if headers.len() == headers.keys_len() {
        return;
    }
    let several = |name: &&HeaderName| headers.get_all(*name).iter().nth(1).is_some() && is_inline(side, name);
    let names: Vec<HeaderName> = headers.keys().filter(several).cloned().collect();
    for name in names {
        // Values and commas make a value.
        if let Ok(line) = HeaderValue::from_bytes(&joined(headers, &name)) {
            headers.insert(name, line);
        }
    }
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let mut out = Vec::new();
    for line in headers.get_all(name) {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(line.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(BOTH.is_sorted() && REQUEST.is_sorted() && RESPONSE.is_sorted());
    }

    #[test]
    fn lines_of_an_inline_header_are_one_and_others_stay_apart() {
        let mut headers = HeaderMap::new();
        assert_eq!(values(&headers, Side::Request, &HeaderName::from_static("accept")).count(), 0);
        for name in ["accept", "x-a"] {
            for value in ["1", "2"] {
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        for (name, want) in [("accept", vec!["1,2"]), ("x-a", vec!["1", "2"])] {
            let name = HeaderName::from_static(name);
            assert!(
                values(&headers, Side::Request, &name).eq(want.iter().map(|value| Cow::Borrowed(value.as_bytes()))),
                "{name}"
            );
        }
        let sees = |name: &'static str, want: &str| {
            any_value(&headers, Side::Request, &HeaderName::from_static(name), |value| value == want.as_bytes())
        };
        for (name, want, seen) in [
            ("accept", "1,2", Some(true)),
            ("accept", "1", Some(false)),
            ("x-a", "1,2", Some(false)),
            ("x-a", "2", Some(true)),
            ("x-b", "", None),
        ] {
            assert_eq!(sees(name, want), seen, "{name}: {want}");
        }
        join(&mut headers, Side::Request);
        let lines = |name: &str| headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!((lines("accept"), lines("x-a")), (vec!["1,2"], vec!["1", "2"]));
    }
}
