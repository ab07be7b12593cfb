//! The one road of a request: route → destination by weight → endpoint → pod → response.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use malha_routing::{InFlight, VirtualHost, least_request, normalize};
use malha_runtime::{Body, Inbound, Pod};
use malha_world::Stream;
use rand::Rng;
use tokio::time::Instant;

use crate::replies::{BAD_REQUEST, BAD_REWRITE, NO_CLUSTER, NO_HEALTHY_UPSTREAM, NO_ROUTE, Reply};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What [`X_FORWARDED_PROTO`] says: a gateway, as Istio's edge (`use_remote_address`), believes nobody else; what is
/// within the mesh keeps what it finds.
pub(crate) const HTTP: HeaderValue = HeaderValue::from_static("http");
const X_ENVOY_ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const X_ENVOY_ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const X_ENVOY_UPSTREAM_SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// From where an application sees its sidecar connect (Istio, `InboundPassthroughBindIpv4`).
const SIDECAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)), 0);

/// What a request carries along its road.
pub(crate) struct Trip {
    /// Its share of chance.
    pub(crate) chance: Stream,
    /// How many calls led here; 0 at the edge.
    pub(crate) depth: usize,
}

/// Gives the path its normal form, which routes are compared with and pods see, or says how to refuse the request.
///
/// Belongs before the look-up of the virtual host: Envoy does this as soon as it has the head. A fragment, for which
/// Envoy answers 400, is not seen here: the `http` crate cuts it off.
pub(crate) fn normalize_path(request: &mut Request<Body>) -> Result<(), Reply> {
    let path = path(request);
    if !path.starts_with(['/', '?']) {
        // `CONNECT` and `OPTIONS *`: no path to change, and no route either.
        return Ok(());
    }
    let uri = match normalize(path) {
        Some(Cow::Borrowed(_)) => return Ok(()),
        Some(Cow::Owned(path)) => with_path(request.uri(), &path),
        None => None,
    };
    *request.uri_mut() = uri.ok_or(BAD_REQUEST)?;
    Ok(())
}

/// Takes a request from its virtual host to its response.
pub(crate) async fn travel(host: &VirtualHost<Pod>, mut request: Request<Body>, mut trip: Trip) -> Response<Body> {
    let path = path(&request);
    let Some((route, matched)) = host.route(path) else { return NO_ROUTE.into() };
    if let Some(rewrite) = &route.rewrite {
        let rewritten = rewrite.apply(matched, path);
        let original = HeaderValue::from_str(path);
        let (Some(uri), Ok(original)) = (with_path(request.uri(), &rewritten), original) else {
            return BAD_REWRITE.into();
        };
        *request.uri_mut() = uri;
        request.headers_mut().insert(X_ENVOY_ORIGINAL_PATH, original);
    }
    let Some(cluster) = &route.destination(&mut trip.chance).cluster else { return NO_CLUSTER.into() };
    let Some(endpoint) = least_request(&cluster.endpoints, &mut trip.chance) else {
        return NO_HEALTHY_UPSTREAM.into();
    };
    request.headers_mut().insert(X_ENVOY_ATTEMPT_COUNT, HeaderValue::from_static("1"));

    let in_flight = InFlight::begin(endpoint);
    let start = Instant::now();
    let mut response = endpoint.payload.handle(Inbound { request, depth: trip.depth, peer: SIDECAR }).await;
    let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    response.headers_mut().insert(X_ENVOY_UPSTREAM_SERVICE_TIME, milliseconds.into());
    response.body_mut().hold(in_flight);
    response
}

/// The path and query that routes are compared with; `CONNECT` has none (RFC 9110 §9.3.6), whatever its target says.
fn path(request: &Request<Body>) -> &str {
    match request.uri().path_and_query() {
        Some(path) if request.method() != Method::CONNECT => path.as_str(),
        _ => "",
    }
}

/// `uri` with another path and query; `None` where those are none.
fn with_path(uri: &Uri, path_and_query: &str) -> Option<Uri> {
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
