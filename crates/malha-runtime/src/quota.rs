//! `limits.cpu` as the kernel carries it out (Documentation/scheduler/sched-bwc.rst, CFS bandwidth control): every
//! 100 ms a pod gets its quota; once it is used up, nothing of the pod runs until the next period. What it used beyond it (the
//! kernel, too, finds out only at the end of a slice of 5 ms) is a debt that later periods pay. Nothing is saved up: without
//! `cpu.max.burst`, which Kubernetes does not set, what is left of a quota lapses with its period.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// `cpu.cfs_period_us`, as the kubelet leaves it (`QuotaPeriod` in `pkg/kubelet/cm/helpers_linux.go`).
const PERIOD: u64 = 100_000_000;

/// The smallest quota (`MinQuotaPeriod` there).
const LEAST: u64 = 1_000_000;

/// What a pod may use of the processors, and what it has used.
#[derive(Debug)]
pub(crate) struct Quota {
    /// When its first period began.
    start: Instant,
    /// Nanoseconds a period.
    each: u64,
    /// Where the account stands, in nanoseconds. Periods that nobody used count as used up, so that `stand / each` is the
    /// period in which there is something left again. One number for all: no lock, whoever comes.
    stand: AtomicU64,
    /// Requests that wait before they run stand in a queue, as in front of a process that does not: one comes after another.
    queue: Semaphore,
}

impl Quota {
    /// For a limit in thousandths of a processor; `None` if it is zero, which is no limit (`MilliCPUToQuota`).
    pub(crate) fn new(millis: u64) -> Option<Self> {
        let each = millis.saturating_mul(PERIOD / 1_000).max(LEAST);
        let quota = || Self { start: Instant::now(), each, stand: AtomicU64::new(0), queue: Semaphore::new(1) };
        (millis > 0).then(quota)
    }

    /// When there is something left again, if there is nothing now.
    pub(crate) fn empty_until(&self) -> Option<Instant> {
        let period = self.stand.load(Ordering::Relaxed) / self.each;
        let due = self.start + Duration::from_nanos(period.saturating_mul(PERIOD));
        (Instant::now() < due).then_some(due)
    }

    /// Uses some.
    pub(crate) fn charge(&self, nanos: u64) {
        let period = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX) / PERIOD;
        self.stand.fetch_max(period.saturating_mul(self.each), Ordering::Relaxed);
        self.stand.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Waits until there is something left.
    pub(crate) async fn refilled(&self) {
        while let Some(due) = self.empty_until() {
            sleep_until(due).await;
        }
    }

    /// Waits until there is something left, and whoever came before has gone on.
    pub(crate) async fn turn(&self) {
        if self.queue.available_permits() > 0 && self.empty_until().is_none() {
            return;
        }
        // It is never closed.
        let _turn = self.queue.acquire().await;
        self.refilled().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Uses time in slices of `slice` as long as there is some, for two seconds: what was used, in milliseconds.
    async fn used(limit: u64, slice: Duration, pause: Duration) -> u64 {
        let quota = Quota::new(limit).unwrap();
        let mut used = Duration::ZERO;
        while quota.start.elapsed() < Duration::from_secs(2) {
            quota.turn().await;
            if quota.start.elapsed() < Duration::from_secs(2) {
                quota.charge(u64::try_from(slice.as_nanos()).unwrap());
                used += slice;
                tokio::time::sleep(pause).await;
            }
        }
        u64::try_from(used.as_millis()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_has_its_share_and_no_more() {
        // Limit in thousandths, one slice and the pause after it in milliseconds: the share, in milliseconds of 2 s.
        for (limit, slice, pause, want) in [
            // All that it can get: 10, 50, 100 and 200 ms in each period.
            (100, 1, 0, 200),
            (500, 1, 0, 1_000),
            (1_000, 1, 0, 2_000),
            (2_000, 1, 0, 4_000),
            // Slices that do not fit: the debt is paid, so the share is the same. Of the last slice all counts.
            (100, 5, 0, 200),
            (100, 7, 0, 203),
            (100, 30, 0, 210),
            (100, 1_000, 0, 1_000),
            // It wants less than it may.
            (500, 1, 9, 223),
            (100, 1, 49, 41),
            // The smallest quota: 1 ms.
            (1, 1, 0, 20),
            (10, 1, 0, 20),
        ] {
            let got = used(limit, MILLISECOND * slice, MILLISECOND * pause).await;
            assert_eq!(got, want, "limit {limit}m, slices of {slice} ms, pauses of {pause} ms");
        }
        assert!(Quota::new(0).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_lapses_and_what_is_owed_stays() {
        let quota = Quota::new(100).unwrap();
        let empty = |quota: &Quota| quota.empty_until().map(|due| due.duration_since(quota.start).as_millis());
        // A second without work saves nothing up: the period that begins then has 10 ms.
        tokio::time::sleep(MILLISECOND * 1_050).await;
        quota.charge(9_999_999);
        assert_eq!(empty(&quota), None);
        quota.charge(1);
        assert_eq!(empty(&quota), Some(1_100));
        // Another 25 ms: two whole periods, and half of a third.
        quota.charge(25_000_000);
        assert_eq!(empty(&quota), Some(1_300));
        tokio::time::sleep(MILLISECOND * 250).await;
        quota.charge(4_999_999);
        assert_eq!(empty(&quota), None);
        quota.charge(1);
        assert_eq!(empty(&quota), Some(1_400));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_in_the_order_of_coming() {
        let quota = Arc::new(Quota::new(100).unwrap());
        let (order, mut came) = tokio::sync::mpsc::unbounded_channel();
        let begin = quota.start;
        for name in 0..25 {
            let (quota, order) = (Arc::clone(&quota), order.clone());
            tokio::spawn(async move {
                quota.turn().await;
                quota.charge(1_000_000);
                order.send((name, begin.elapsed().as_millis())).unwrap();
            });
        }
        drop(order);
        let mut all = Vec::new();
        while let Some(next) = came.recv().await {
            all.push(next);
        }
        let want: Vec<_> = (0..25).map(|name| (name, u128::from(name / 10_u32) * 100)).collect();
        assert_eq!(all, want);
    }
}
