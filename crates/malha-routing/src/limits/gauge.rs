//! Counters with a limit, for a whole cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::traffic::{Limits, Protocol};

/// How many of something there are.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU32);

impl Gauge {
    /// One more, if there are fewer than `most`.
    pub(crate) fn try_rise(&self, most: u32) -> bool {
        if most == u32::MAX {
            self.rise();
            return true;
        }
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1)).is_ok()
    }

    pub(crate) fn rise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One more; how many there are then.
    pub(crate) fn count(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// None. Looks before it writes: this is the way of every success.
    pub(crate) fn clear(&self) {
        if self.read() != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn fall(&self) {
        self.fall_by(1);
    }

    pub(crate) fn fall_by(&self, count: u32) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one cluster.
#[derive(Debug)]
pub(crate) struct Breakers {
    pub(crate) limits: Limits,
    /// Whether connections are worth an account.
    pub(crate) pooled: bool,
    pub(crate) connections: Gauge,
    pub(crate) pending: Gauge,
    pub(crate) requests: Gauge,
    retries: Gauge,
}

impl Breakers {
    pub(crate) fn new(limits: Limits, protocol: Protocol) -> Self {
        let pooled = limits.connections != u32::MAX && protocol == Protocol::Http1;
        let gauge = Gauge::default;
        Self { limits, pooled, connections: gauge(), pending: gauge(), requests: gauge(), retries: gauge() }
    }

    /// A budget takes the place of the fixed number (`RetryBudgetImpl::max`).
    fn most_retries(&self) -> u32 {
        let Some(budget) = self.limits.retry_budget else {
            return self.limits.retries;
        };
        let active = f64::from(self.requests.read()) + f64::from(self.pending.read());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "truncated as in Envoy; a cast saturates"
        )]
        let share = (budget.percent / 100.0 * active) as u32;
        share.max(budget.minimum)
    }
}

/// How many retries a cluster may have in flight.
#[derive(Clone, Debug)]
pub struct RetryLimit(Arc<Breakers>);

impl RetryLimit {
    pub(crate) fn new(breakers: Arc<Breakers>) -> Self {
        Self(breakers)
    }

    #[cfg(test)]
    pub(crate) fn of(limits: &Limits) -> Self {
        Self(Arc::new(Breakers::new(limits.clone(), Protocol::Http1)))
    }

    /// One more, if that is allowed.
    pub(crate) fn begin(&self) -> Option<RetrySlot> {
        self.0.retries.try_rise(self.0.most_retries()).then(|| RetrySlot(Arc::clone(&self.0)))
    }
}

/// A retry that waits or runs.
#[derive(Debug)]
pub(crate) struct RetrySlot(Arc<Breakers>);

impl Drop for RetrySlot {
    fn drop(&mut self) {
        self.0.retries.fall();
    }
}
