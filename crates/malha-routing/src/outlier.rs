//! Which hosts are left out for a while (Envoy, `source/common/upstream/outlier_detection_impl.cc`, with what Istio turns
//! on of it: failures in a row, always enforced; no success rates).
//!
//! Envoy brings hosts back in a timer that fires at every `interval`. Here nothing runs by itself: whoever asks brings
//! the time, and what the timer would have done by then is done first. The result is the same for whoever asks.
//!
//! Nor does Envoy tell its balancers of each change: those of hosts' health within a second of the last one that was told
//! are told together a second later (`ClusterManagerImpl::scheduleUpdate`, `update_merge_window`). So a host that fails
//! right after another was ejected goes on getting requests until then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::limits::{Account, Gauge, Moment};
use crate::outcome::Outcome;
use crate::traffic::Outlier;

/// Envoy's default for `max_ejection_time`; Istio has no field for it.
const LONGEST_EJECTION: Duration = Duration::from_mins(5);
/// Envoy's default for `update_merge_window`; Istio has no field for it.
const MERGE_WINDOW: Duration = Duration::from_secs(1);
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
    /// When a timer next has something to do, in nanoseconds; the end of time, if nothing.
    due: AtomicU64,
    /// Grows whenever balancers are told that hosts were ejected or brought back.
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Ledger {
    records: Vec<Record>,
    /// How often the timer has fired.
    ticks: u128,
    /// When balancers were told of changes last.
    told: Option<Moment>,
    /// When they will be told of those since.
    to_tell: Option<Moment>,
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
        // Another set of hosts is told at once, with all that was to be told.
        if let Some(at) = ledger.told.filter(|_| ledger.to_tell.is_some()) {
            self.tell(&mut ledger, at);
        }
        self.plan(&ledger);
    }

    /// Does what the timers would have done until `now`.
    pub(crate) fn tick(&self, now: Moment) {
        if nanos(now) >= self.due.load(Ordering::Relaxed) {
            let mut ledger = self.ledger.lock();
            self.catch_up(&mut ledger, now);
            self.plan(&ledger);
        }
    }

    fn catch_up(&self, ledger: &mut Ledger, now: Moment) {
        self.fire(ledger, now);
        self.tell_if_due(ledger, now);
    }

    /// The health of a host has changed.
    fn changed(&self, ledger: &mut Ledger, at: Moment) {
        let since = ledger.told.map(|told| at.saturating_sub(told).as_millis());
        if since.is_none_or(|since| since > MERGE_WINDOW.as_millis()) {
            self.tell(ledger, at);
        } else {
            ledger.to_tell.get_or_insert(at + MERGE_WINDOW);
        }
    }

    fn tell_if_due(&self, ledger: &mut Ledger, now: Moment) {
        if let Some(due) = ledger.to_tell.filter(|due| *due <= now) {
            self.tell(ledger, due);
        }
    }

    fn tell(&self, ledger: &mut Ledger, at: Moment) {
        for record in &ledger.records {
            record.account.ejected.store(record.ejected_at.is_some(), Ordering::Release);
        }
        (ledger.told, ledger.to_tell) = (Some(at), None);
        self.changes.fetch_add(1, Ordering::Release);
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
        self.catch_up(&mut ledger, now);
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
            self.changed(&mut ledger, now);
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
        let mut returns = Vec::new();
        for (index, record) in ledger.records.iter_mut().enumerate() {
            let mut healthy_since = before;
            if let Some(ejected_at) = record.ejected_at {
                let length = self.rules.base_ejection.saturating_mul(record.multiplier).min(self.longest());
                let end = ejected_at.saturating_add(length).saturating_sub(self.start).as_nanos();
                // The first tick at or after the end, and not one that has been.
                let back = end.div_ceil(interval).max(before + 1);
                if back > ticks {
                    continue;
                }
                returns.push((back, index));
                healthy_since = back;
            }
            // Each whole interval in health makes the next ejection one base shorter.
            let shorter = u32::try_from(ticks - healthy_since).unwrap_or(u32::MAX);
            record.multiplier = record.multiplier.saturating_sub(shorter);
        }
        ledger.ticks = ticks;
        returns.sort_unstable();
        for (tick, index) in returns {
            let at = self.at(tick);
            self.tell_if_due(ledger, at);
            let record = &mut ledger.records[index];
            record.ejected_at = None;
            let Account { server_errors, gateway_errors, local_errors, .. } = &*record.account;
            for errors in [server_errors, gateway_errors, local_errors] {
                errors.clear();
            }
            self.changed(ledger, at);
        }
    }

    /// When the timer fires for the so-manieth time.
    fn at(&self, tick: u128) -> Moment {
        let since = u64::try_from(tick.saturating_mul(self.interval())).unwrap_or(u64::MAX);
        self.start.saturating_add(Duration::from_nanos(since))
    }

    fn plan(&self, ledger: &Ledger) {
        let idle = ledger.records.iter().all(|record| record.multiplier == 0 && record.ejected_at.is_none());
        let fires = if idle { u64::MAX } else { nanos(self.at(ledger.ticks + 1)) };
        let tells = ledger.to_tell.map_or(u64::MAX, nanos);
        self.due.store(fires.min(tells), Ordering::Relaxed);
    }
}

fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
