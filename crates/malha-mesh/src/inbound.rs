//! The inbound side of a sidecar: what it demands of whoever calls, and what it tells its pod about them.

use std::net::{IpAddr, SocketAddr};

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Request, request};
use malha_net::client::{Cause, Reason, SendError};
use malha_net::server::Connection;
use malha_policy::jwt::Payload;
use malha_policy::{Decision, Denied, Identity, InboundPolicy, RequestView};
use malha_routing::{Host, Workload, grpc};
use malha_runtime::{Body, Inbound, Pod};
use malha_world::Clock;

use crate::head::{self, X_FORWARDED_CLIENT_CERT, X_FORWARDED_FOR};
use crate::replies::{Answered, Reply};
use crate::road::Trip;

/// From where an application sees its sidecar connect (Istio, `InboundPassthroughBindIpv4`).
const SIDECAR: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 6)), 0);

/// Who connects.
pub(crate) struct Visitor<'a> {
    /// From where.
    pub(crate) address: IpAddr,
    /// Who it is, where the connection is mutual TLS of the mesh.
    pub(crate) identity: Option<&'a Identity>,
    /// The server name that it asked for.
    pub(crate) server_name: Option<&'a str>,
    /// How many calls led here.
    pub(crate) depth: usize,
}

impl<'a> Visitor<'a> {
    /// Somebody outside of the mesh.
    pub(crate) fn client(connection: &'a Connection) -> Self {
        let server_name = connection.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        Self { address: connection.client.ip(), identity: None, server_name, depth: 0 }
    }

    /// Somebody without a proxy, within the cluster.
    pub(crate) fn stranger(address: IpAddr) -> Self {
        Self { address, identity: None, server_name: None, depth: 0 }
    }

    /// Another proxy of the mesh, which shows who it is unless it speaks plain text.
    pub(crate) fn proxy(trip: &'a Trip, plain: bool) -> Self {
        let identity = (!plain).then_some(&trip.proxy.identity);
        Self { address: trip.address, identity, server_name: None, depth: trip.depth }
    }
}

/// Where a visitor arrives.
pub(crate) struct Arrival {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) scheme: &'static str,
}

/// The connection is cut, for this reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(&'static str);

/// It is plain text.
const PLAIN: Refused = Refused("the other side demands mutual TLS");

/// Nobody is there any more to answer.
pub(crate) const STOPPED: Refused = Refused("the pod was stopped");

impl From<Refused> for SendError {
    fn from(Refused(why): Refused) -> Self {
        Self {
            reason: Reason::ConnectionTermination,
            cause: Cause::Terminated,
            sent: true,
            detail: why.into(),
            transport_failure: None,
        }
    }
}

/// Why a request does not get in.
pub(crate) enum Turned {
    /// With these words.
    Away(Box<Answered>),
    /// Without any.
    Cut,
}

/// Checks a request against a policy. What it changes (tokens taken, claims told) is changed in `parts`.
pub(crate) fn admit(
    policy: &InboundPolicy,
    parts: &mut request::Parts,
    visitor: &Visitor<'_>,
    arrival: &Arrival,
    clock: &Clock,
) -> Result<Option<Payload>, Turned> {
    let view = RequestView {
        method: &parts.method,
        path_and_query: head::path(&parts.method, &parts.uri),
        scheme: arrival.scheme,
        authority: head::authority(&parts.headers),
        headers: &parts.headers,
        destination_ip: arrival.address,
        destination_port: arrival.port,
        source_ip: visitor.address,
        remote_ip: remote(parts).unwrap_or(visitor.address),
        source: visitor.identity,
        sni: visitor.server_name,
    };
    let now = clock.since_epoch().as_secs();
    let allowed = match policy.check(&view, now) {
        Decision::Closed => return Err(Turned::Cut),
        Decision::Denied(denied) => {
            return Err(Turned::Away(Box::new(turn_away(denied, grpc::is_grpc(&parts.headers)))));
        }
        Decision::Allowed(allowed) => allowed,
    };
    let path = allowed.path_and_query.and_then(|path| head::with_path(&parts.uri, &path));
    let payload = allowed.payload;
    if let Some(headers) = allowed.headers {
        parts.headers = headers;
    }
    if let Some(uri) = path {
        parts.uri = uri;
    }
    Ok(payload)
}

/// The client as the last trusted proxy names it: the last of `x-forwarded-for` (Envoy with no trusted hops beyond).
fn remote(parts: &request::Parts) -> Option<IpAddr> {
    let last = parts.headers.get_all(X_FORWARDED_FOR).iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

fn turn_away(denied: Denied<'_>, grpc: bool) -> Answered {
    let mut reply = Reply::new(denied.status, "", crate::flags::Flags::NONE, "");
    reply.body = denied.body;
    reply.details = denied.details.into();
    let mut answered = reply.answer(grpc);
    if let Some(challenge) = denied.www_authenticate.and_then(|text| HeaderValue::try_from(text).ok()) {
        answered.response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answered
}

/// Hands a request to a pod, past its sidecar's checks.
pub(crate) async fn deliver(
    clock: &Clock,
    host: &Host<Pod>,
    pod: &Pod,
    mut request: Request<Body>,
    visitor: &Visitor<'_>,
) -> Result<Answered, Refused> {
    if let Some(resident) = &host.resident {
        let (mut parts, body) = request.into_parts();
        let address = host.endpoint.address.parse().map_or(SIDECAR.ip(), |address: SocketAddr| address.ip());
        let arrival = Arrival { address, port: host.endpoint.port, scheme: "http" };
        let admitted = admit(&resident.policy, &mut parts, visitor, &arrival, clock);
        // A connection that is cut brings no request: Istio counts what a sidecar answers, refusals among it.
        if !matches!(admitted, Err(Turned::Cut)) {
            pod.count_request();
        }
        match admitted {
            Ok(_) => {}
            Err(Turned::Away(answered)) => return Ok(*answered),
            Err(Turned::Cut) => return Err(PLAIN),
        }
        introduce(visitor, &resident.workload, &mut parts.headers);
        request = Request::from_parts(parts, body);
    }
    let inbound = Inbound { request, depth: visitor.depth, peer: SIDECAR };
    pod.answer(inbound).await.map(Answered::by_upstream).map_err(|_| STOPPED)
}

/// Tells the pod who calls, and nobody but the sidecar may (Istio, `forward_client_cert_details: APPEND_FORWARD` with the
/// URI). There is no certificate within the process, and so no hash of one.
fn introduce(visitor: &Visitor<'_>, own: &Workload, headers: &mut HeaderMap) {
    let Some(caller) = visitor.identity else {
        headers.remove(X_FORWARDED_CLIENT_CERT);
        return;
    };
    let Workload { namespace, service_account, .. } = own;
    let by = format_args!("spiffe://{}/ns/{namespace}/sa/{service_account}", caller.trust_domain);
    if let Ok(text) = HeaderValue::try_from(format!("By={by};Subject=\"\";URI={}", caller.spiffe_uri())) {
        headers.insert(X_FORWARDED_CLIENT_CERT, text);
    }
}
