//! gRPC's words in HTTP (gRPC, "gRPC over HTTP2"; Envoy, `source/common/grpc/{common,status}.cc`): what a proxy answers to
//! a gRPC client is a status in headers, not an HTTP status with a text.

use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Whether a request with these headers is one of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest, [] | [b'+', ..]))
}

/// The gRPC status that stands for an HTTP status.
pub fn status_of(http: StatusCode) -> u32 {
    match http.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The headers of a proxy's own answer to a gRPC client, which is 200 without a body.
pub fn reply_headers(status: u32, message: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(status));
    let message = percent_encoded(message);
    if let (false, Ok(message)) = (message.is_empty(), HeaderValue::try_from(message)) {
        headers.insert("grpc-message", message);
    }
    headers
}

/// As `grpc-message` is written: everything but printable ASCII, and `%`, as `%XX`.
fn percent_encoded(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_grpc_says_so() {
        for (kind, want) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_grpc(&headers), want, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    /// The first two tried with Envoy 1.40.
    #[test]
    fn an_answer_is_a_status_and_a_message() {
        for (status, message, want) in [
            (14, "fault filter abort", "fault filter abort"),
            (status_of(StatusCode::TOO_MANY_REQUESTS), "fault filter abort", "fault filter abort"),
            (14, "100 %\né", "100 %25%0A%C3%A9"),
        ] {
            let headers = reply_headers(status, message);
            assert_eq!(
                (&headers["grpc-status"], &headers["grpc-message"]),
                (&"14".parse().unwrap(), &want.parse().unwrap())
            );
        }
        assert!(!reply_headers(12, "").contains_key("grpc-message"));
    }
}
