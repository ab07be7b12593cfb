//! The form that a request takes on the wire: HTTP/1.1 has the authority in `host`, HTTP/2 in the URI (RFC 9112 section
//! 3.2, RFC 9113 section 8.3.1).

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version};

use crate::client::error::SendError;
use crate::client::target::Target;

/// Origin form, and a `host`.
pub(super) fn http1<B>(request: &mut Request<B>, target: &Target) -> Result<(), SendError> {
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
    Ok(())
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
                host.iter().fold(request, |request, host| request.header(HOST, *host)).body(()).unwrap()
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
    fn a_host_that_is_none_cannot_be_sent_over_http_2() {
        let mut request = Request::get("/").header(HOST, "a b").body(()).unwrap();
        assert!(!http2(&mut request, &target("t", 80)).unwrap_err().sent);
    }
}
