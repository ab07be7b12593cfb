//! The replies that a proxy itself gives, as Envoy words them, and what its access log says of them.

use std::borrow::Cow;

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use malha_net::client::{Reason, SendError};
use malha_net::server::Unasked;
use malha_runtime::{Body, BodyError};

use crate::flags::{Flag, Flags};

/// Set where a circuit breaker refuses (Envoy, `x-envoy-overloaded`).
const X_ENVOY_OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// An answer, and what there is to say about it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) response: Response<Body>,
    pub(crate) flags: Flags,
    /// Envoy's response code details.
    pub(crate) details: Cow<'static, str>,
}

impl Answered {
    /// An upstream gave it.
    pub(crate) fn by_upstream(response: Response<Body>) -> Self {
        Self { response, flags: Flags::NONE, details: Cow::Borrowed("via_upstream") }
    }

    /// A rule of the proxy gave it.
    pub(crate) fn by_rule(response: Response<Body>) -> Self {
        Self { response, flags: Flags::NONE, details: Cow::Borrowed("direct_response") }
    }

    /// The response alone. What there is to say about it goes along as an [`Outcome`], unless it is the usual.
    pub(crate) fn into_response(self) -> Response<Body> {
        let Self { mut response, flags, details } = self;
        if flags != Flags::NONE || !matches!(details, Cow::Borrowed("via_upstream")) {
            if !matches!(details, Cow::Borrowed("via_upstream")) {
                response.extensions_mut().insert(Unasked);
            }
            response.extensions_mut().insert(Outcome { flags, details });
        }
        response
    }
}

/// What an access log says of an answer. An extension of every response that is not simply an upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `%RESPONSE_FLAGS%`
    pub flags: Flags,
    /// `%RESPONSE_CODE_DETAILS%`
    pub details: Cow<'static, str>,
}

/// A reply that no upstream gave.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Cow<'static, str>,
    pub(crate) flags: Flags,
    pub(crate) details: Cow<'static, str>,
    pub(crate) overloaded: bool,
    /// Whether it ends its connection: Envoy's connection manager gave it before it looked for the end of the request.
    pub(crate) closes: bool,
}

impl Reply {
    pub(crate) const fn new(status: StatusCode, body: &'static str, flags: Flags, details: &'static str) -> Self {
        let (body, details) = (Cow::Borrowed(body), Cow::Borrowed(details));
        Self { status, body, flags, details, overloaded: false, closes: false }
    }

    /// Given before anybody has looked for the end of the request.
    const fn early(status: StatusCode, details: &'static str) -> Self {
        let (body, details) = (Cow::Borrowed(""), Cow::Borrowed(details));
        Self { status, body, flags: Flags::NONE, details, overloaded: false, closes: true }
    }
}

/// No virtual host, or none of its routes, fits.
pub(crate) const NO_ROUTE: Reply = Reply::new(StatusCode::NOT_FOUND, "", Flags::of(Flag::NoRoute), "route_not_found");
/// The route leads to a service, port or subset that does not exist.
pub(crate) const NO_CLUSTER: Reply =
    Reply::new(StatusCode::SERVICE_UNAVAILABLE, "", Flags::of(Flag::NoCluster), "cluster_not_found");
/// The service has no endpoint that can take requests.
pub(crate) const NO_HEALTHY_UPSTREAM: Reply = Reply::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "no healthy upstream",
    Flags::of(Flag::NoHealthyUpstream),
    "no_healthy_upstream",
);
/// No answer within the route's timeout.
pub(crate) const TIMEOUT: Reply = Reply::new(
    StatusCode::GATEWAY_TIMEOUT,
    "upstream request timeout",
    Flags::of(Flag::UpstreamTimeout),
    "upstream_response_timeout",
);
/// No answer within the time for one try.
pub(crate) const TRY_TIMEOUT: Reply = Reply::new(
    StatusCode::GATEWAY_TIMEOUT,
    "upstream request timeout",
    Flags::of(Flag::UpstreamTimeout),
    "upstream_per_try_timeout",
);
/// A sidecar that calls nobody whom it does not know (Istio's virtual host `block_all`).
pub(crate) const BLOCKED: Reply = Reply::new(StatusCode::BAD_GATEWAY, "", Flags::NONE, "direct_response");
/// A route rewrites the path to what is none. Envoy sends it on, and the next proxy answers this.
pub(crate) const BAD_REWRITE: Reply = Reply::new(StatusCode::BAD_REQUEST, "", Flags::NONE, "via_upstream");
/// A head that names no host.
pub(crate) const NO_HOST: Reply = Reply::early(StatusCode::BAD_REQUEST, "missing_host_header");
/// A path that has no normal form.
pub(crate) const BAD_PATH: Reply = Reply::early(StatusCode::BAD_REQUEST, "path_normalization_failed");
/// A target that is no path: `*`, or a query behind a host.
pub(crate) const NO_PATH: Reply = Reply::new(StatusCode::NOT_FOUND, "", Flags::NONE, "absolute_path_rejected");

/// A circuit breaker refused.
pub(crate) fn overflow(retried: bool) -> Reply {
    Reply { overloaded: true, ..reset("overflow", Flag::Overflow, retried, None) }
}

/// No answer came, for this reason.
pub(crate) fn broken(error: &SendError, retried: bool) -> Reply {
    if error.reason == Reason::Unresolved {
        return NO_HEALTHY_UPSTREAM;
    }
    let mut reply = reset(error.reason.as_str(), flag(error.reason), retried, error.transport_failure.as_deref());
    if error.reason == Reason::ProtocolError {
        reply.status = StatusCode::BAD_GATEWAY;
    }
    reply
}

fn flag(reason: Reason) -> Flag {
    match reason {
        Reason::Unresolved => Flag::NoHealthyUpstream,
        Reason::RemoteConnectionFailure | Reason::ConnectionTimeout => Flag::ConnectionFailure,
        Reason::ConnectionTermination => Flag::ConnectionTermination,
        Reason::LocalReset => Flag::LocalReset,
        Reason::RemoteReset | Reason::RemoteRefusedStreamReset => Flag::UpstreamReset,
        Reason::ProtocolError => Flag::UpstreamProtocolError,
    }
}

/// What is to be said of an answer whose body broke off. A pod that gives up is to its proxy a peer that hangs up.
pub(crate) fn broken_body(error: &BodyError) -> Flag {
    match error {
        BodyError::Http(error) => flag(SendError::of_body(error).reason),
        BodyError::Stalled => Flag::UpstreamTimeout,
        BodyError::Guest(_) | BodyError::TooLong => Flag::UpstreamProtocolError,
    }
}

/// Envoy, `Filter::onUpstreamReset` and `onUpstreamAbort`. What the transport has to say, e.g. of a certificate, is for
/// the log alone.
fn reset(reason: &str, flag: Flag, retried: bool, transport: Option<&str>) -> Reply {
    let when = if retried { "retried and the latest reset reason" } else { "reset reason" };
    let body = format!("upstream connect error or disconnect/reset before headers. {when}: {reason}");
    let transport = transport.map(|why| format!("|{why}")).unwrap_or_default();
    let details = format!("upstream_reset_before_response_started{{{reason}{transport}}}").replace(' ', "_");
    Reply {
        status: StatusCode::SERVICE_UNAVAILABLE,
        body: body.into(),
        flags: Flags::of(flag),
        details: details.into(),
        overloaded: false,
        closes: false,
    }
}

impl Reply {
    /// As an answer; callers of gRPC read its status from the headers (Envoy, `Utility::sendLocalReply`).
    pub(crate) fn answer(self, grpc: bool) -> Answered {
        let Self { status, body, flags, details, overloaded, closes } = self;
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        if grpc {
            *headers = malha_routing::grpc::reply_headers(malha_routing::grpc::status_of(status), &body);
        } else if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        if overloaded {
            headers.insert(X_ENVOY_OVERLOADED, HeaderValue::from_static("true"));
        }
        if closes {
            // HTTP/2 has no such header, and takes it out.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if !grpc {
            *response.status_mut() = status;
            *response.body_mut() = match body {
                Cow::Borrowed(text) => Body::from(text),
                Cow::Owned(text) => Body::from(text),
            };
        }
        Answered { response, flags, details }
    }
}
