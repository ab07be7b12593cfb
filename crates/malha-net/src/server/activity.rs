//! Whether a connection has anything to do, and since when it has not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::time::Instant;

use super::limits::IDLE_TIME;

/// Requests under way on a connection.
#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    requests: AtomicUsize,
    /// When the last one ended, in milliseconds after the beginning.
    ended: AtomicU64,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Activity {
    /// A connection that begins now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), requests: AtomicUsize::new(0), ended: AtomicU64::new(0) })
    }

    /// Begins a request, which ends when the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// When the connection will have been idle for too long, as far as one can say now.
    pub(super) fn idle_at(&self) -> Instant {
        let since = match self.requests.load(Ordering::Relaxed) {
            0 => self.begun + std::time::Duration::from_millis(self.ended.load(Ordering::Relaxed)),
            _ => Instant::now(),
        };
        since + IDLE_TIME
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let ended = self.0.begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        self.0.ended.store(ended, Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
