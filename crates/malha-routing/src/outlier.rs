//! Which hosts are left out for a while (Envoy, `source/common/upstream/outlier_detection_impl.cc`, with what Istio turns
//! on of it: failures in a row, always enforced; no success rates).
//!
//! Envoy brings hosts back in a timer that fires at every `interval`. Here nothing runs by itself: whoever asks brings
//! the time, and what the timer would have done by then is done first. The result is the same for whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::limits::{Account, Gauge, Moment};
use crate::outcome::Outcome;
use crate::traffic::Outlier;

/// Envoy's default for `max_ejection_time`; Istio has no field for it.
const LONGEST_EJECTION: Duration = Duration::from_mins(5);
/// What counts as a gateway's error (`CodeUtility::isGatewayError`).
const GATEWAY_ERRORS: std::ops::RangeInclusive<u16> = 502..=504;
/// What a failed connection counts as.
const UNAVAILABLE: u16 = 503;
/// What a timeout counts as.
const GATEWAY_TIMEOUT: u16 = 504;

/// Outlier detection of one cluster.
#[derive(Debug)]
pub(crate) struct Detector {
    rules: Outlier,
    /// When the timer was started.
    start: Moment,
    ledger: Mutex<Ledger>,
    /// When the timer next has something to do, in nanoseconds; the end of time, if nothing.
    due: AtomicU64,
    /// Grows whenever a host is ejected or brought back.
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Ledger {
    records: Vec<Record>,
    /// How often the timer has fired.
    ticks: u128,
}

/// What is known of a host over time.
#[derive(Debug)]
struct Record {
    account: Arc<Account>,
    ejected_at: Option<Moment>,
    /// How many bases the next ejection lasts (`eject_time_backoff`).
    multiplier: u32,
}

impl Detector {
    pub(crate) fn new(rules: Outlier, start: Moment) -> Self {
        let ledger = Mutex::default();
        Self { rules, start, ledger, due: AtomicU64::new(u64::MAX), changes: AtomicU64::new(0) }
    }

    pub(crate) fn rules(&self) -> &Outlier {
        &self.rules
    }

    /// Changes each time that another set of hosts is healthy.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The hosts of the cluster, from now on. Those that were there before keep their records.
    pub(crate) fn align(&self, accounts: &[Arc<Account>]) {
        let mut ledger = self.ledger.lock();
        let mut before = std::mem::take(&mut ledger.records);
        ledger.records = accounts
            .iter()
            .map(|account| {
                let known = before.iter().position(|record| Arc::ptr_eq(&record.account, account));
                known.map_or_else(
                    || Record { account: Arc::clone(account), ejected_at: None, multiplier: 0 },
                    |known| before.swap_remove(known),
                )
            })
            .collect();
        self.plan(&ledger);
    }

    /// Does what the timer would have done until `now`.
    pub(crate) fn tick(&self, now: Moment) {
        if nanos(now) >= self.due.load(Ordering::Relaxed) {
            let mut ledger = self.ledger.lock();
            self.fire(&mut ledger, now);
            self.plan(&ledger);
        }
    }

    /// How a try ended (`DetectorHostMonitorImpl::putResult`, as the router calls it).
    pub(crate) fn report(&self, account: &Arc<Account>, outcome: &Outcome<'_>, now: Moment) {
        self.tick(now);
        let local = match outcome {
            // Not the host's fault.
            Outcome::Overflow => return,
            Outcome::Response { status, .. } => return self.answered(account, self.meaning(status.as_u16()), now),
            Outcome::Timeout { .. } => GATEWAY_TIMEOUT,
            Outcome::ConnectFailure | Outcome::Refused | Outcome::Reset { .. } => UNAVAILABLE,
        };
        match self.rules.consecutive_local {
            Some(most) => self.failed(account, &account.local_errors, most, now),
            None => self.answered(account, local, now),
        }
    }

    /// A connection came about.
    pub(crate) fn connected(account: &Account) {
        account.local_errors.clear();
    }

    /// `outlierDetectionHttpErrorCodes` decide what is an error, if there are any (Envoy, `error_matcher`).
    fn meaning(&self, status: u16) -> u16 {
        if self.rules.error_codes.is_empty() {
            status
        } else if !self.rules.error_codes.contains(&status) {
            200
        } else if (500..600).contains(&status) {
            status
        } else {
            500
        }
    }

    fn answered(&self, account: &Arc<Account>, status: u16, now: Moment) {
        if !(500..600).contains(&status) {
            account.server_errors.clear();
            account.gateway_errors.clear();
            return;
        }
        if GATEWAY_ERRORS.contains(&status) {
            self.failed(account, &account.gateway_errors, self.rules.consecutive_gateway, now);
        } else {
            account.gateway_errors.clear();
        }
        self.failed(account, &account.server_errors, self.rules.consecutive_5xx, now);
    }

    fn failed(&self, account: &Arc<Account>, counter: &Gauge, most: u32, now: Moment) {
        if counter.count() == most {
            self.eject(account, counter, now);
        }
    }

    /// `onConsecutiveErrorWorker` and `ejectHost`.
    fn eject(&self, account: &Arc<Account>, counter: &Gauge, now: Moment) {
        let mut ledger = self.ledger.lock();
        self.fire(&mut ledger, now);
        let hosts = ledger.records.len() as u64;
        let ejected = ledger.records.iter().filter(|record| record.ejected_at.is_some()).count() as u64;
        let record = ledger.records.iter_mut().find(|record| Arc::ptr_eq(&record.account, account));
        // The counter of a host that is ejected already, or has left, goes on: it is not at the mark any more.
        let Some(record) = record.filter(|record| record.ejected_at.is_none()) else {
            return;
        };
        // 100 × (ejected + 1) ÷ hosts ≤ percent, without the rounding.
        if 100 * (ejected + 1) <= u64::from(self.rules.max_ejection_percent.min(100)) * hosts {
            record.ejected_at = Some(now);
            let longest = self.longest();
            if self.rules.base_ejection.saturating_mul(record.multiplier)
                < longest.saturating_add(self.rules.base_ejection)
            {
                record.multiplier += 1;
            }
            account.ejected.store(true, Ordering::Release);
            self.changes.fetch_add(1, Ordering::Release);
        }
        counter.clear();
        self.plan(&ledger);
    }

    fn longest(&self) -> Duration {
        LONGEST_EJECTION.max(self.rules.base_ejection)
    }

    fn interval(&self) -> u128 {
        // Envoy's smallest.
        self.rules.interval.max(Duration::from_millis(1)).as_nanos()
    }

    /// All ticks up to `now` (`onIntervalTimer`), each host's in one step.
    fn fire(&self, ledger: &mut Ledger, now: Moment) {
        let interval = self.interval();
        let ticks = now.saturating_sub(self.start).as_nanos() / interval;
        if ticks <= ledger.ticks {
            return;
        }
        let before = ledger.ticks;
        for record in &mut ledger.records {
            let mut healthy_since = before;
            if let Some(ejected_at) = record.ejected_at {
                let length = self.rules.base_ejection.saturating_mul(record.multiplier).min(self.longest());
                let end = ejected_at.saturating_add(length).saturating_sub(self.start).as_nanos();
                // The first tick at or after the end, and not one that has been.
                let back = end.div_ceil(interval).max(before + 1);
                if back > ticks {
                    continue;
                }
                record.ejected_at = None;
                for errors in
                    [&record.account.server_errors, &record.account.gateway_errors, &record.account.local_errors]
                {
                    errors.clear();
                }
                record.account.ejected.store(false, Ordering::Release);
                self.changes.fetch_add(1, Ordering::Release);
                healthy_since = back;
            }
            // Each whole interval in health makes the next ejection one base shorter.
            let shorter = u32::try_from(ticks - healthy_since).unwrap_or(u32::MAX);
            record.multiplier = record.multiplier.saturating_sub(shorter);
        }
        ledger.ticks = ticks;
    }

    fn plan(&self, ledger: &Ledger) {
        let idle = ledger.records.iter().all(|record| record.multiplier == 0 && record.ejected_at.is_none());
        let due = if idle {
            u64::MAX
        } else {
            u64::try_from(self.start.as_nanos() + (ledger.ticks + 1) * self.interval()).unwrap_or(u64::MAX)
        };
        self.due.store(due, Ordering::Relaxed);
    }
}

fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
