//! What pods use of the machine, for `kubectl top` and for autoscalers.

use std::time::Duration;

use crate::object::Key;

/// What a container has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since it started.
    pub cpu_time: Duration,
    /// Bytes of memory in use now.
    pub memory: u64,
    /// Requests that its sidecar has answered or let in since it started (`istio_requests_total`, `reporter="destination"`).
    pub requests: u64,
}

/// What a pod that runs has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUsage {
    /// The pod.
    pub pod: Key,
    /// Its `metadata.uid`: a pod of the same name may come after it.
    pub uid: String,
    /// Name of its container.
    pub container: String,
    /// What it has used.
    pub usage: Usage,
}
