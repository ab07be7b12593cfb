//! Headers that a client names in `connection`, because they are for the first hop alone (RFC 9110, 7.6.1).
//!
//! They are taken out before anything is decided or added, so that nobody can have a proxy's own headers removed. What may
//! not be named, and how much, is Envoy's (`Utility::sanitizeConnectionHeader`, `source/common/http/utility.cc`; measured
//! with 1.40). `host` may: such a request then has none.

use http::header::{CONNECTION, TE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::Refusal;

/// As many names are too many.
const NAMES: usize = 10;
/// As many bytes of a `te` that is named are too many.
const TE_BYTES: usize = 256;
/// They say where a request came from.
const ORIGIN: [&[u8]; 3] = [b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"];
/// Not headers, but what is to become of the connection.
const OPTIONS: [&[u8]; 4] = [b"close", b"http2-settings", b"keep-alive", b"upgrade"];

/// Takes out what `connection` names.
pub(super) fn remove(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let mut lines = headers.get_all(CONNECTION).iter();
    // Nearly all that come have none, or one that names nothing.
    match (lines.next(), lines.next()) {
        (None, _) => return Ok(()),
        (Some(line), None) if is_one_of(&OPTIONS, line.as_bytes()) => return Ok(()),
        _ => {}
    }
    let lines = headers.get_all(CONNECTION).into_iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).filter(|token| !token.is_empty());
    let mut named = Vec::new();
    for (index, token) in tokens.enumerate() {
        let token = token.trim_ascii();
        if index + 1 >= NAMES || token.starts_with(b":") || is_one_of(&ORIGIN, token) {
            return Err(Refusal::Malformed);
        }
        // What is no name is nobody's.
        named.extend(HeaderName::from_bytes(token).ok().filter(|_| !is_one_of(&OPTIONS, token)));
    }
    for name in named {
        if name == TE {
            te(headers)?;
        } else if name != CONNECTION {
            headers.remove(name);
        }
    }
    Ok(())
}

/// `te` stays where it asks for trailers.
fn te(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let lines: Vec<_> = headers.get_all(TE).iter().map(HeaderValue::as_bytes).collect();
    let value = lines.join(&b',');
    if value.len() >= TE_BYTES {
        return Err(Refusal::Malformed);
    }
    headers.remove(TE);
    if value.split(|byte| *byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers")) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Ok(())
}

fn is_one_of(names: &[&[u8]], token: &[u8]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_taken_out_and_what_must_not_be_named_is_refused() {
        let long = "y".repeat(TE_BYTES);
        for (lines, others, want) in [
            (&["x-a"][..], &[("x-a", "1"), ("x-a", "2"), ("x-b", "1")][..], Some("x-b: 1")),
            (&["X-A,  x-b ,,x-c"], &[("x-a", "1"), ("x-b", "1"), ("x-c", "1")], Some("")),
            (&["close, x-a", "x-b"], &[("x-a", "1"), ("x-b", "1")], Some("")),
            (&["keep-alive"], &[("keep-alive", "5")], Some("keep-alive: 5")),
            (&["http2-settings, x-a"], &[("http2-settings", "A"), ("x-a", "1")], Some("http2-settings: A")),
            (&["x-a; q"], &[("x-a", "1")], Some("x-a: 1")),
            (&["host"], &[("host", "a")], Some("")),
            (&["connection, content-length"], &[("content-length", "0")], Some("")),
            (&["te"], &[("te", "gzip, TRAILERS")], Some("te: trailers")),
            (&["te"], &[("te", "gzip"), ("te", "trailers")], Some("te: trailers")),
            (&["te"], &[("te", "trailers;q=0.5")], Some("")),
            (&["te"], &[("te", &long)], None),
            (&["x-a"], &[("te", &long)], Some(&format!("te: {long}"))),
            (&["x-forwarded-for"], &[], None),
            (&["close, X-Forwarded-Host"], &[], None),
            (&["x-forwarded-proto"], &[], None),
            (&["x-forwarded-port"], &[("x-forwarded-port", "1")], Some("")),
            (&[":authority"], &[], None),
            (&["a:b"], &[], Some("")),
            (&["a,b,c,d,e,f,g,h,i,"], &[], Some("")),
            (&["a,b,c,d,e", "f,g,h,i,j"], &[], None),
            (&["a, ,b, ,c, ,d, ,e, ,f"], &[], None),
            (&["close,close,close,close,close,close,close,close,close,close"], &[], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines.iter().map(|line| ("connection", *line)).chain(others.iter().copied()) {
                headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let left = remove(&mut headers).ok().map(|()| {
                headers.remove(CONNECTION);
                let left = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
                left.collect::<Vec<_>>().join("; ")
            });
            assert_eq!(left.as_deref(), want, "{lines:?} {others:?}");
        }
    }
}
