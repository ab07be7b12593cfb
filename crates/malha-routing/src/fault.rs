//! Faults on purpose (Istio, `HTTPFaultInjection`; Envoy, the filter `fault`).

use std::time::Duration;

/// What goes wrong, and how often. Delay and abort are drawn independently; the delay comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A wait.
    pub delay: Option<(Share, Duration)>,
    /// An answer instead of the service's.
    pub abort: Option<(Share, Abort)>,
}

/// An answer on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// An HTTP status, with the body `fault filter abort`.
    Http(u16),
    /// A gRPC status.
    Grpc(u32),
}

/// A share of requests, in millionths: Istio turns percentages with a fraction into Envoy's `MILLION`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// All of them.
    pub const ALL: Self = Self(1_000_000);

    /// From percent, 0 to 100; what is beyond is cut, what is finer than a millionth is dropped (Istio,
    /// `translatePercentToFractionalPercent`).
    pub fn percent(percent: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between the bounds")]
        Self((percent * 10_000.0).clamp(0.0, 1_000_000.0) as u32)
    }
}
