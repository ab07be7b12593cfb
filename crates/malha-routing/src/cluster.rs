//! What a request can be sent to: clusters, in Envoy's sense, and their hosts.

use std::sync::Arc;

use crate::traffic::TrafficPolicy;
use crate::workload::Workload;
use malha_policy::InboundPolicy;

/// A destination as Envoy knows it: one port of one service, or of a subset of it.
///
/// What a proxy remembers of it (requests in flight, ejected hosts, whose turn it is) is not here but in the proxy's own
/// state: two proxies share clusters, and know nothing of each other's experience.
#[derive(Debug)]
pub struct Cluster<P> {
    /// As Istio names it: `outbound|80|v1|posts-service.default.svc.cluster.local`. Tells it from all others.
    pub name: Arc<str>,
    /// Host name of the service, for `Host` rewriting, server names and telemetry.
    pub service: Arc<str>,
    /// Port of the service.
    pub port: u16,
    /// The ready ones.
    pub hosts: Vec<Host<P>>,
    /// How it is used.
    pub policy: Arc<TrafficPolicy>,
}

/// A member of a cluster.
#[derive(Debug)]
pub struct Host<P> {
    /// Where it is.
    pub endpoint: Arc<Endpoint<P>>,
    /// Its share, relative to the others'; 1 for pods.
    pub weight: u32,
    /// Whose it is, and what its sidecar demands; `None` for what is outside of the mesh.
    pub resident: Option<Arc<Resident>>,
}

/// A workload behind a sidecar.
#[derive(Debug)]
pub struct Resident {
    /// Who it is.
    pub workload: Arc<Workload>,
    /// What its sidecar demands of whoever calls.
    pub policy: Arc<InboundPolicy>,
}

/// A pod's port, or an address outside of the process. The same value lives on in the snapshots to come.
#[derive(Debug)]
pub struct Endpoint<P> {
    /// `ip:port` or `name:port`, for people and logs.
    pub address: String,
    /// The port that its inbound proxy sees.
    pub port: u16,
    /// Who answers.
    pub upstream: Upstream<P>,
}

/// Who answers for an endpoint.
#[derive(Debug)]
pub enum Upstream<P> {
    /// A pod of this process.
    Pod(P),
    /// A name or address to connect to, and a port.
    Address(Arc<str>, u16),
}
