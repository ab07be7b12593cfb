//! Whether there is another try (Envoy, `source/common/router/retry_state_impl.cc`; Istio,
//! `pilot/pkg/networking/core/route/retry/retry.go`).

mod tries;
mod words;

use std::time::Duration;

pub use tries::{Next, Stop, Tries};

/// Draws that a retry makes at most to find a host that was not tried (`host_selection_retry_max_attempts`).
pub(crate) const HOST_SELECTION_RETRIES: u32 = 5;

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
    /// Whether a host that was tried is passed over, up to five draws. Istio: yes, but no for a consistent hash.
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

impl RetryPolicy {
    /// What Istio gives to routes that say nothing of retries, and the rest of a policy that says something.
    pub const fn istio_default() -> Self {
        Self {
            attempts: 2,
            per_try_timeout: None,
            on: RetryOn { words: words::ISTIO_DEFAULT, status_codes: Vec::new() },
            backoff: Duration::from_millis(25),
            avoid_previous_hosts: true,
        }
    }
}
