//! The head of a request on its way: what it holds in common with what decisions look at, and how its path changes.

use std::borrow::Cow;

use http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request};
use malha_routing::{Head, Labels, normalize};
use malha_runtime::Body;
use malha_world::Stream;
use rand::Rng;

use crate::replies::{BAD_PATH, NO_PATH, Reply};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
pub(crate) const X_ENVOY_ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
pub(crate) const X_ENVOY_EXPECTED_RQ_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const X_ENVOY_EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
pub(crate) const X_ENVOY_ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
pub(crate) const X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-timeout-ms");
pub(crate) const X_ENVOY_ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
pub(crate) const X_ENVOY_UPSTREAM_SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// What decisions look at.
pub(crate) fn view<'a>(
    parts: &'a request::Parts,
    scheme: &'a str,
    claims: Option<&'a serde_json::Value>,
    source: &'a Labels,
) -> Head<'a> {
    Head {
        method: &parts.method,
        scheme,
        authority: authority(&parts.headers),
        path_and_query: path(&parts.method, &parts.uri),
        headers: &parts.headers,
        claims,
        source,
    }
}

/// Whom a request is for: an entrance leaves that in `Host` alone.
pub(crate) fn authority(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// The path and query that routes are compared with; `CONNECT` has none (RFC 9110 §9.3.6), whatever its target says.
pub(crate) fn path<'a>(method: &Method, uri: &'a Uri) -> &'a str {
    match uri.path_and_query() {
        Some(path) if *method != Method::CONNECT => path.as_str(),
        _ => "",
    }
}

/// Gives the path its normal form, which routes are compared with and pods see, or says how to refuse the request.
///
/// Belongs before the look-up of the virtual host: Envoy does this as soon as it has the head. A fragment, for which
/// Envoy answers 400, is not seen here: the `http` crate cuts it off.
pub(crate) fn normalize_path(request: &mut Request<Body>) -> Result<(), Reply> {
    let path = path(request.method(), request.uri());
    if path.is_empty() {
        // `CONNECT`: no path to change, and no route either.
        return Ok(());
    }
    if !path.starts_with('/') {
        return Err(NO_PATH);
    }
    let uri = match normalize(path) {
        Some(Cow::Borrowed(_)) => return Ok(()),
        Some(Cow::Owned(path)) => with_path(request.uri(), &path),
        None => None,
    };
    *request.uri_mut() = uri.ok_or(BAD_PATH)?;
    Ok(())
}

/// `uri` with another path and query; `None` where those are none.
pub(crate) fn with_path(uri: &Uri, path_and_query: &str) -> Option<Uri> {
    let path = path_and_query.parse::<PathAndQuery>().ok()?;
    // The parser takes a path without its slash, and cuts fragments off.
    if !path_and_query.starts_with('/') || path != *path_and_query {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

/// A fresh `x-request-id`: a version 4 UUID, as Envoy makes them.
pub(crate) fn request_id(chance: &mut Stream) -> HeaderValue {
    let mut bytes = [0; 16];
    chance.fill_bytes(&mut bytes);
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("0"))
}

/// Headers by which clients inside of a mesh may order Envoy about; from outside they are taken out
/// (Envoy, `ConnectionManagerUtility::cleanInternalHeaders`).
const ORDERS: [HeaderName; 15] = [
    HeaderName::from_static("x-envoy-decorator-operation"),
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-force-trace"),
    HeaderName::from_static("x-envoy-hedge-on-per-try-timeout"),
    HeaderName::from_static("x-envoy-internal"),
    HeaderName::from_static("x-envoy-ip-tags"),
    HeaderName::from_static("x-envoy-max-retries"),
    HeaderName::from_static("x-envoy-original-path"),
    HeaderName::from_static("x-envoy-original-url"),
    HeaderName::from_static("x-envoy-retriable-header-names"),
    HeaderName::from_static("x-envoy-retriable-status-codes"),
    HeaderName::from_static("x-envoy-retry-grpc-on"),
    HeaderName::from_static("x-envoy-retry-on"),
    HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-ms"),
];

/// What an edge does with what comes from outside: nobody there gives orders, and everybody is named.
pub(crate) fn distrust(headers: &mut HeaderMap, client: std::net::IpAddr) {
    if headers.keys().any(|name| name.as_str().starts_with("x-envoy-")) {
        for name in &ORDERS {
            headers.remove(name);
        }
    }
    // Who a client is, nobody but a proxy says (Istio, `forward_client_cert_details: SANITIZE_SET` at gateways).
    headers.remove(X_FORWARDED_CLIENT_CERT);
    append_forwarded_for(headers, client);
    if let Ok(client) = HeaderValue::try_from(client.to_string()) {
        headers.insert(X_ENVOY_EXTERNAL_ADDRESS, client);
    }
}

/// Takes out what concerns one connection only (RFC 9110 §7.6.1; Envoy, `mutateRequestHeaders`). What a client names in
/// `connection`, its connection has taken out already; what an upstream names there goes on, as in Envoy.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in [&CONNECTION, &KEEP_ALIVE, &PROXY_CONNECTION, &TRANSFER_ENCODING, &UPGRADE] {
        headers.remove(name);
    }
}

/// Of what a client can do with transfer codings only `trailers` goes on (Envoy, `sanitizeTEHeader`).
pub(crate) fn sanitize_te(headers: &mut HeaderMap) {
    let mut codings = headers.get_all(TE).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(te), None) if te == "trailers" => {}
        _ => {
            let wanted = |line: &HeaderValue| line.as_bytes().split(|byte| *byte == b',').any(is_trailers);
            let wanted = headers.get_all(TE).iter().any(wanted);
            headers.remove(TE);
            if wanted {
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
        }
    }
}

fn is_trailers(coding: &[u8]) -> bool {
    coding.trim_ascii() == b"trailers"
}

/// Adds the client to `x-forwarded-for`, behind every proxy that named itself before.
pub(crate) fn append_forwarded_for(headers: &mut HeaderMap, client: std::net::IpAddr) {
    let mut list = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR) {
        if !line.is_empty() {
            list.extend_from_slice(line.as_bytes());
            list.push(b',');
        }
    }
    list.extend_from_slice(client.to_string().as_bytes());
    // What came in header lines can be written into one again.
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        headers.insert(X_FORWARDED_FOR, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_comes_after_every_proxy_that_named_itself() {
        for (lines, want) in [
            (&[][..], "192.0.2.1"),
            (&["10.0.0.1"], "10.0.0.1,192.0.2.1"),
            (&["10.0.0.1, 10.0.0.2", "10.0.0.3"], "10.0.0.1, 10.0.0.2,10.0.0.3,192.0.2.1"),
            (&["", "é"], "é,192.0.2.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
            }
            append_forwarded_for(&mut headers, "192.0.2.1".parse().unwrap());
            let got: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
            assert_eq!(got, [want.as_bytes()], "{lines:?}");
        }
    }
}
