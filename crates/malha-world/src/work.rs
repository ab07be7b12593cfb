//! What work costs.

use std::time::Duration;

/// How a guest's time on a processor is found out, for its pod's account. Real processors are never twice as fast, and
/// no paused clock stops them; so a simulated world sets what work costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// By the thread's CPU clock.
    Measured,
    /// Each request costs its guest the same, at once when it begins to run.
    Fixed(Duration),
}
