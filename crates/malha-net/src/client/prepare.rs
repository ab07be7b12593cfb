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
