//! The form that a request takes on the wire: HTTP/1.1 has the authority in `host`, HTTP/2 in the URI (RFC 9112 section
//! 3.2, RFC 9113 section 8.3.1).

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body::Body;

use crate::client::error::SendError;
use crate::client::target::Target;

/// Origin form, and a `host`; no body is said to be none, where the method leaves that open (Envoy,
/// `StreamEncoderImpl::encodeHeadersBase`, `HeaderUtility::requestShouldHaveNoBody`).
pub(super) fn http1<B: Body>(request: &mut Request<B>, target: &Target) -> Result<(), SendError> {
    *request.version_mut() = Version::HTTP_11;
    if !request.headers().contains_key(HOST) {
        let host = match request.uri().authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()),
            None => HeaderValue::from_str(&authority(target)),
        };
        let host = host.map_err(|error| SendError::request(error.to_string()))?;
        request.headers_mut().insert(HOST, host);
    }
    if request.uri().authority().is_some() && request.method() != Method::CONNECT {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
    }
    if request.body().is_end_stream() && may_have_body(request.method()) && !is_framed(request.headers()) {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(())
}

fn may_have_body(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::TRACE | Method::CONNECT)
}

fn is_framed(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// Absolute form, and no `host`.
pub(super) fn http2<B>(request: &mut Request<B>, target: &Target) -> Result<(), SendError> {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(HOST);
    let authority = match (host, request.uri().authority()) {
        (Some(host), _) => Authority::try_from(host.as_bytes()),
        (None, Some(authority)) => Ok(authority.clone()),
        (None, None) => Authority::try_from(authority(target)),
    };
    let mut parts = http::uri::Parts::default();
    parts.authority = Some(authority.map_err(|error| SendError::request(error.to_string()))?);
    if request.method() != Method::CONNECT {
        parts.scheme = Some(if target.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        let path = request.uri().path_and_query().cloned();
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|error| SendError::request(error.to_string()))?;
    Ok(())
}

fn authority(target: &Target) -> String {
    let Target { host, port, .. } = target;
    match (target.tls.is_some(), port) {
        (false, 80) | (true, 443) => host.to_string(),
        _ if host.contains(':') => format!("[{host}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::target::Protocol;

    fn target(host: &str, port: u16) -> Target {
        Target { host: Arc::from(host), port, tls: None, protocol: Protocol::Http1 }
    }

    #[test]
    fn authority_and_path_are_where_each_protocol_has_them() {
        for (method, uri, host, to, want1, want2) in [
            ("GET", "/a?b", Some("h:1"), ("t", 80), ("h:1", "/a?b"), "http://h:1/a?b"),
            ("GET", "http://u/a", None, ("t", 80), ("u", "/a"), "http://u/a"),
            ("GET", "http://u", Some("h"), ("t", 80), ("h", "/"), "http://h/"),
            ("GET", "/", None, ("t", 80), ("t", "/"), "http://t/"),
            ("GET", "/", None, ("t", 81), ("t:81", "/"), "http://t:81/"),
            ("GET", "/", None, ("::1", 81), ("[::1]:81", "/"), "http://[::1]:81/"),
            ("OPTIONS", "*", Some("h"), ("t", 80), ("h", "*"), "http://h*"),
            ("CONNECT", "u:443", None, ("t", 80), ("u:443", "u:443"), "u:443"),
        ] {
            let request = || {
                let request = Request::builder().method(method).uri(uri);
                host.iter().fold(request, |request, host| request.header(HOST, *host)).body(String::new()).unwrap()
            };
            let to = target(to.0, to.1);
            let mut sent = request();
            http1(&mut sent, &to).unwrap();
            assert_eq!((sent.headers()[HOST].to_str().unwrap(), &*sent.uri().to_string()), want1);
            let mut sent = request();
            http2(&mut sent, &to).unwrap();
            assert_eq!((sent.headers().get(HOST), &*sent.uri().to_string()), (None, want2));
        }
    }

    #[test]
    fn no_body_has_a_length_where_there_might_be_one() {
        for (method, body, said, want) in [
            ("POST", "", None, Some("0")),
            ("OPTIONS", "", None, Some("0")),
            ("PROPFIND", "", None, Some("0")),
            ("POST", "", Some("0"), Some("0")),
            ("GET", "", Some("0"), Some("0")),
            ("GET", "", None, None),
            ("HEAD", "", None, None),
            ("DELETE", "", None, None),
            ("TRACE", "", None, None),
            ("POST", "x", None, None),
        ] {
            let request = Request::builder().method(method).uri("/");
            let request = said.iter().fold(request, |request, said| request.header(CONTENT_LENGTH, *said));
            let mut request = request.body(body.to_owned()).unwrap();
            http1(&mut request, &target("t", 80)).unwrap();
            let got = request.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap());
            assert_eq!(got, want, "{method} {body:?} {said:?}");
        }
    }

    #[test]
    fn a_host_that_is_none_cannot_be_sent_over_http_2() {
        let mut request = Request::get("/").header(HOST, "a b").body(()).unwrap();
        assert!(!http2(&mut request, &target("t", 80)).unwrap_err().sent);
    }
}
