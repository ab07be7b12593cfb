//! What a request can be sent to: clusters, in Envoy's sense, and their endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A destination as Envoy knows it: one port of one service.
#[derive(Debug)]
pub struct Cluster<P> {
    /// As Istio names it: `outbound|80||posts-service.default.svc.cluster.local`.
    pub name: String,
    /// The ready ones.
    pub endpoints: Vec<Arc<Endpoint<P>>>,
}

/// A pod's port. The same value lives on in the snapshots to come, so that its account of requests goes on.
#[derive(Debug)]
pub struct Endpoint<P> {
    /// `ip:port`, for people and logs.
    pub address: String,
    /// What answers for it on the data plane.
    pub payload: P,
    active: AtomicU32,
}

impl<P> Endpoint<P> {
    /// An idle endpoint.
    pub fn new(address: String, payload: P) -> Self {
        Self { address, payload, active: AtomicU32::new(0) }
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }
}

/// Counts a request against its endpoint for as long as it lives.
#[derive(Debug)]
pub struct InFlight<P>(Arc<Endpoint<P>>);

impl<P> InFlight<P> {
    /// The request begins.
    pub fn begin(endpoint: &Arc<Endpoint<P>>) -> Self {
        endpoint.active.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(endpoint))
    }
}

impl<P> Drop for InFlight<P> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
