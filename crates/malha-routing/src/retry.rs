//! Whether there is another try (Envoy, `RetryStateImpl`; Istio, `pilot/pkg/networking/core/route/retry/retry.go`).

use std::time::Duration;

/// When and how often a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first.
    pub attempts: u32,
    /// Time for each try.
    pub per_try_timeout: Option<Duration>,
    /// Envoy's and gRPC's words, as written: what is known of them decides.
    pub on: RetryOn,
    /// Base of the waiting time between tries.
    pub backoff: Duration,
    /// Whether a host that was tried is passed over, up to five draws.
    pub avoid_previous_hosts: bool,
}

/// What is worth another try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// Words that are set, one bit each.
    pub words: u32,
    /// Status codes.
    pub status_codes: Vec<u16>,
}
