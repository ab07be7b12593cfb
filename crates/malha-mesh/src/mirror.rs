//! Copies of requests (Istio, `mirrors`; Envoy, `source/common/router/shadow_writer_impl.cc`): sent when the whole
//! request is there, once, and what comes back is thrown away.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, request};
use http_body_util::BodyExt;
use malha_routing::{Admission, Cluster, Forward};
use malha_runtime::{Body, Pod};
use tokio::time::timeout;

use crate::attempt;
use crate::head::{self, X_ENVOY_ATTEMPT_COUNT};
use crate::replay::Source;
use crate::road::Trip;

const X_ENVOY_INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");

/// Time for a copy where the route has none (Envoy's default for a route).
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

/// Sends a copy to each mirror that is drawn.
pub(crate) fn send(plan: &Forward<Pod>, parts: &request::Parts, source: &Source, trip: &mut Trip) {
    for mirror in &plan.mirrors {
        let Some(cluster) = mirror.cluster.as_ref().filter(|_| mirror.share.draw(&mut trip.chance)) else { continue };
        // More copies than this under way: a mirror that cannot keep up loses some, and costs its origin nothing.
        let Ok(permit) = Arc::clone(&trip.mesh.shared.mirrors).try_acquire_owned() else { continue };
        let mut parts = parts.clone();
        // Envoy's own client sends it, once (`AsyncStreamImpl::sendHeaders`).
        parts.headers.insert(X_ENVOY_ATTEMPT_COUNT, HeaderValue::from_static("1"));
        parts.headers.insert(X_ENVOY_INTERNAL, HeaderValue::from_static("true"));
        head::append_forwarded_for(&mut parts.headers, trip.address);
        let copy = Shadow {
            cluster: Arc::clone(cluster),
            parts,
            source: source.clone(),
            patience: plan.timeout.unwrap_or(PATIENCE),
        };
        let mut trip = Trip { chance: trip.mesh.shared.world.chance.stream(), ..trip.clone() };
        tokio::spawn(async move {
            copy.send(&mut trip).await;
            drop(permit);
        });
    }
}

struct Shadow {
    cluster: Arc<Cluster<Pod>>,
    parts: request::Parts,
    source: Source,
    patience: std::time::Duration,
}

impl Shadow {
    async fn send(self, trip: &mut Trip) {
        let clock = trip.mesh.shared.world.clock;
        let state = trip.proxy.state.cluster(&self.cluster, clock.elapsed());
        let Some(pick) = state.pick(None, &[], clock.elapsed(), &mut trip.chance) else { return };
        let ticket = match pick.admit(clock.elapsed()) {
            Admission::Go(ticket) => ticket,
            Admission::Wait(waiting) => match timeout(self.patience, waiting).await {
                Ok(Ok(ticket)) => ticket,
                _ => return,
            },
            Admission::Overflow => return,
        };
        let request = Request::from_parts(self.parts, self.source.copy());
        let sending = async {
            let result = attempt::send(&self.cluster, &pick, request, trip).await;
            match result {
                Ok(answered) => {
                    let status = answered.response.status();
                    pick.report(
                        &malha_routing::Outcome::Response { status, headers: answered.response.headers() },
                        clock.elapsed(),
                    );
                    let mut body: Body = answered.response.into_body();
                    while let Some(Ok(_)) = body.frame().await {}
                    ticket.finish(clock.elapsed());
                }
                Err(error) => pick.report(&attempt::outcome(&error), clock.elapsed()),
            }
        };
        // What takes longer is cut; nobody waits for it.
        let _ = timeout(self.patience, sending).await;
    }
}
