//! The replies that the proxy itself gives, as Envoy words them. The flag is what an access log shows.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use malha_runtime::Body;

/// A reply that no upstream gave.
pub(crate) struct Reply {
    status: StatusCode,
    body: &'static str,
}

/// `NR`: no virtual host, or none of its routes, fits.
pub(crate) const NO_ROUTE: Reply = Reply { status: StatusCode::NOT_FOUND, body: "" };
/// `NC`: the route leads to a service, port or subset that does not exist.
pub(crate) const NO_CLUSTER: Reply = Reply { status: StatusCode::SERVICE_UNAVAILABLE, body: "" };
/// `UH`: the service has no endpoint that is ready.
pub(crate) const NO_HEALTHY_UPSTREAM: Reply =
    Reply { status: StatusCode::SERVICE_UNAVAILABLE, body: "no healthy upstream" };
/// A route rewrites the path to what is none: no fault of the client's, and nothing to send on.
pub(crate) const BAD_REWRITE: Reply = Reply { status: StatusCode::INTERNAL_SERVER_ERROR, body: "" };
/// A head that names no host, or a path that has no normal form.
pub(crate) const BAD_REQUEST: Reply = Reply { status: StatusCode::BAD_REQUEST, body: "" };

impl From<Reply> for Response<Body> {
    fn from(reply: Reply) -> Self {
        let mut response = Self::new(reply.body.into());
        *response.status_mut() = reply.status;
        if !reply.body.is_empty() {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        response
    }
}
