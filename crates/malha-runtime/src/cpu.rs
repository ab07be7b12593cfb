//! Time on the CPU: how much a pod's guests used, measured around every poll of every guest, and how much they may.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use malha_world::Work;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Sleep;

use crate::engine::Engine;
use crate::quota::Quota;

/// A pod's account. Shared by all of its requests.
#[derive(Debug)]
pub(crate) struct Account {
    used: AtomicU64,
    work: Work,
    /// What it may use, if that is limited.
    quota: Option<Quota>,
}

impl Account {
    pub(crate) fn new(work: Work, quota: Option<Quota>) -> Self {
        Self { used: AtomicU64::new(0), work, quota }
    }

    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Waits until the pod has time on the CPU, without a place in the queue: for what costs hardly any.
    pub(crate) async fn thawed(&self) {
        if let Some(quota) = &self.quota {
            quota.refilled().await;
        }
    }

    /// Waits until the pod has time on the CPU and it is the turn of whoever asks.
    pub(crate) async fn turn(&self) {
        if let Some(quota) = &self.quota {
            quota.turn().await;
        }
    }

    fn charge(&self, nanos: u64) {
        self.used.fetch_add(nanos, Ordering::Relaxed);
        if let Some(quota) = &self.quota {
            quota.charge(nanos);
        }
    }

    /// Until when a guest has to wait, if it has to.
    fn freeze(&self) -> Option<Pin<Box<Sleep>>> {
        let until = self.quota.as_ref()?.empty_until()?;
        Some(Box::pin(tokio::time::sleep_until(until)))
    }

    /// Adds work that was measured on another thread, where work is measured.
    pub(crate) fn charge_measured(&self, spent: Duration) {
        if self.work == Work::Measured {
            self.charge(nanos(spent));
        }
    }
}

/// What one request used, kept where the deadline can see it while the guest runs. Real time in every world: a guest that
/// loops does so on a real processor.
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

    /// Adds work for this request that was done on another thread.
    pub(crate) fn charge(&self, spent: Duration) {
        self.spent.fetch_add(nanos(spent), Ordering::Relaxed);
    }
}

/// Runs a future, charges each poll to a meter and an account, and does not poll while the account is out of time.
pub(crate) struct Metered<F> {
    future: F,
    meter: Arc<Meter>,
    account: Arc<Account>,
    engine: Engine,
    /// What is still to be paid where work has a fixed cost: all of it by the first poll. From then on the guest runs
    /// freely, since how many polls it needs depends on real time (the ticker's).
    cost: Option<u64>,
    frozen: Option<Pin<Box<Sleep>>>,
}

impl<F: Future + Unpin> Metered<F> {
    pub(crate) fn new(future: F, meter: Arc<Meter>, account: Arc<Account>, engine: Engine) -> Self {
        let cost = match account.work {
            Work::Measured => None,
            Work::Fixed(cost) => Some(u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX)),
        };
        Self { future, meter, account, engine, cost, frozen: None }
    }
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if this.cost != Some(0) {
            while let Some(frozen) = this.frozen.take().or_else(|| this.account.freeze()) {
                ready!(this.frozen.insert(frozen).as_mut().poll(context));
                this.frozen = None;
            }
        }
        this.engine.wake_ticker();
        let start = thread_nanos();
        this.meter.running_since.store(start, Ordering::Relaxed);
        let result = Pin::new(&mut this.future).poll(context);
        let spent = thread_nanos().saturating_sub(start);
        this.meter.spent.fetch_add(spent, Ordering::Relaxed);
        this.account.charge(this.cost.as_mut().map_or(spent, std::mem::take));
        result
    }
}

/// The time that this thread was on a processor.
pub(crate) fn thread_time() -> Duration {
    Duration::from_nanos(thread_nanos())
}

/// As the accounts count it.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn thread_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}
