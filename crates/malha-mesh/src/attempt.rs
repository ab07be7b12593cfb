//! One try: from a host that was chosen to the head of its answer, or to why there is none.

use http::{HeaderMap, Request, StatusCode};
use malha_net::client::{Reason, SendError};
use malha_routing::{ClientTls, Cluster, Outcome, Pick, Upstream};
use malha_runtime::{Body, Pod};

use crate::inbound::{self, Visitor};
use crate::replies::Answered;
use crate::road::Trip;

/// Sends a request to a host.
///
/// A request that never arrives is an error; a refusal that the other side's sidecar puts into words is an answer.
pub(crate) async fn send(
    cluster: &Cluster<Pod>,
    pick: &Pick<Pod>,
    request: Request<Body>,
    trip: &Trip,
) -> Result<Answered, SendError> {
    let host = pick.host();
    match &host.endpoint.upstream {
        Upstream::Pod(pod) => {
            let visitor = Visitor::proxy(trip, cluster.policy.tls == ClientTls::Disable);
            pick.connected();
            Ok(inbound::deliver(&trip.mesh.shared.world.clock, host, pod, request, &visitor).await?)
        }
        Upstream::Address(name, port) => {
            let response = trip.mesh.shared.dialer.send(&cluster.policy, name, *port, request).await?;
            pick.connected();
            Ok(Answered::by_upstream(response))
        }
    }
}

/// The status by which outlier detection judges an answer: of a call of gRPC the one that its own status stands for
/// (Envoy, `Grpc::Utility::grpcToHttpStatus`).
pub(crate) fn judged(status: StatusCode, headers: &HeaderMap, grpc: bool) -> StatusCode {
    let own = headers.get("grpc-status").filter(|_| grpc).and_then(|own| own.to_str().ok()?.parse::<u8>().ok());
    let code = match own {
        None => return status,
        Some(0) => 200,
        Some(1) => 499,
        Some(3 | 9 | 11) => 400,
        Some(4) => 504,
        Some(5) => 404,
        Some(6 | 10) => 409,
        Some(7) => 403,
        Some(8) => 429,
        Some(12) => 501,
        Some(14) => 503,
        Some(16) => 401,
        Some(_) => 500,
    };
    StatusCode::from_u16(code).unwrap_or(status)
}

/// A failure in the words of retries and outlier detection.
pub(crate) fn outcome(error: &SendError) -> Outcome<'static> {
    match error.reason {
        Reason::Unresolved | Reason::RemoteConnectionFailure | Reason::ConnectionTimeout => Outcome::ConnectFailure,
        Reason::RemoteRefusedStreamReset => Outcome::Refused,
        Reason::ConnectionTermination | Reason::LocalReset | Reason::RemoteReset | Reason::ProtocolError => {
            Outcome::Reset { sent: error.sent }
        }
    }
}
