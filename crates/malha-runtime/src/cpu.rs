//! Time on the CPU: how much a pod's guests used, measured around every poll of every guest.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::engine::Engine;

/// A pod's account. Shared by all of its requests.
#[derive(Debug, Default)]
pub(crate) struct Account(AtomicU64);

impl Account {
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// What one request used, kept where the deadline can see it while the guest runs.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    spent: AtomicU64,
    running_since: AtomicU64,
}

impl Meter {
    /// Including the poll that is under way on this thread.
    pub(crate) fn used(&self) -> Duration {
        let running = thread_nanos().saturating_sub(self.running_since.load(Ordering::Relaxed));
        Duration::from_nanos(self.spent.load(Ordering::Relaxed) + running)
    }
}

/// Runs a future and charges the thread's time in each poll to a meter and an account.
pub(crate) struct Metered<F> {
    future: F,
    meter: Arc<Meter>,
    account: Arc<Account>,
    engine: Engine,
}

impl<F: Future + Unpin> Metered<F> {
    pub(crate) fn new(future: F, meter: Arc<Meter>, account: Arc<Account>, engine: Engine) -> Self {
        Self { future, meter, account, engine }
    }
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        this.engine.wake_ticker();
        let start = thread_nanos();
        this.meter.running_since.store(start, Ordering::Relaxed);
        let result = Pin::new(&mut this.future).poll(context);
        let spent = thread_nanos().saturating_sub(start);
        this.meter.spent.fetch_add(spent, Ordering::Relaxed);
        this.account.0.fetch_add(spent, Ordering::Relaxed);
        result
    }
}

/// The time that this thread was on a processor.
fn thread_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}
