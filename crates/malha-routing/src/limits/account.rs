//! What a proxy keeps of one host: requests, connections and who waits for one, failures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;

use super::gauge::{Breakers, Gauge};
use super::waiting::{Granted, Waiter, Waiting};
use super::{Admission, Moment, Overflow, Ticket};

/// Envoy's default for `idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);

/// A host's account with one proxy.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Requests in flight: what `LEAST_REQUEST` compares.
    pub(crate) active: Gauge,
    /// Failures in a row, each kind by itself.
    pub(crate) server_errors: Gauge,
    pub(crate) gateway_errors: Gauge,
    pub(crate) local_errors: Gauge,
    /// Whether outlier detection leaves it out.
    pub(crate) ejected: AtomicBool,
    pool: Mutex<Pool>,
}

/// A host's connections, where they are counted.
#[derive(Debug, Default)]
struct Pool {
    /// The latest used at the back.
    idle: VecDeque<Idle>,
    busy: usize,
    /// The longest waiting at the front.
    waiting: VecDeque<Arc<Waiter>>,
    /// The host has left the cluster: connections end with their requests.
    gone: bool,
}

#[derive(Debug)]
struct Idle {
    since: Moment,
    served: u32,
}

impl Account {
    /// A request begins, unless there are too many already (`attachStreamToClient`).
    pub(super) fn begin(account: &Arc<Self>, breakers: &Arc<Breakers>, served: Option<u32>) -> Option<Ticket> {
        breakers.requests.try_rise(breakers.limits.requests).then(|| {
            account.active.rise();
            Ticket { account: Arc::clone(account), breakers: Arc::clone(breakers), served, ended: None }
        })
    }

    /// `ConnPoolImplBase::newStream`: an idle connection, or else a place in the queue, which a new connection may end
    /// at once.
    pub(super) fn admit(self: &Arc<Self>, breakers: &Arc<Breakers>, others: &[Arc<Self>], now: Moment) -> Admission {
        let mut pool = self.pool.lock();
        pool.expire(breakers, now);
        if let Some(connection) = pool.idle.pop_back() {
            return pool.begin(self, breakers, connection).map_or(Admission::Overflow, Admission::Go);
        }
        if !breakers.pending.try_rise(breakers.limits.pending) {
            return Admission::Overflow;
        }
        let open = pool.open(breakers) || {
            // Envoy closes what is idle for too long by a timer; here it is done when it matters.
            for other in others.iter().filter(|other| !Arc::ptr_eq(other, self)) {
                // Who holds a lock is about to use or to free a connection: no reason to wait for it.
                if let Some(mut pool) = other.pool.try_lock() {
                    pool.expire(breakers, now);
                }
            }
            pool.open(breakers)
        };
        if open {
            breakers.pending.fall();
            let connection = Idle { since: now, served: 0 };
            return pool.begin(self, breakers, connection).map_or(Admission::Overflow, Admission::Go);
        }
        let waiter = Arc::new(Waiter::new(now));
        pool.waiting.push_back(Arc::clone(&waiter));
        Admission::Wait(Waiting::new(waiter, Arc::clone(self), Arc::clone(breakers)))
    }

    /// A request ended (`onStreamClosed`), well at `ended`. Its connection serves whoever waits for this host, rests, or
    /// closes; in its place a new one may come about.
    pub(super) fn release(self: &Arc<Self>, breakers: &Arc<Breakers>, served: u32, ended: Option<Moment>) {
        let mut woken = Vec::new();
        let mut pool = self.pool.lock();
        pool.busy -= 1;
        let most = breakers.limits.requests_per_connection;
        let mut ready = match ended {
            Some(since) if !pool.gone && (most == 0 || served < most) => Some(Idle { since, served }),
            _ => {
                breakers.connections.fall();
                let since = pool.waiting.front().map_or(Moment::ZERO, |waiter| waiter.since);
                (!pool.waiting.is_empty() && pool.open(breakers)).then_some(Idle { since, served: 0 })
            }
        };
        while let Some(connection) = ready.take() {
            let Some(waiter) = pool.waiting.pop_front() else {
                pool.idle.push_back(connection);
                break;
            };
            breakers.pending.fall();
            if let Some(ticket) = pool.begin(self, breakers, connection) {
                waiter.resolve(Granted::Ticket(ticket));
            } else {
                // The connection is idle again, and the next in the queue has a try at it.
                waiter.resolve(Granted::Refused(Overflow));
                ready = pool.idle.pop_back();
            }
            woken.push(waiter);
        }
        drop(pool);
        for waiter in woken {
            waiter.wake();
        }
    }

    /// Leaves the queue; whether it was still in there.
    pub(super) fn leave(&self, breakers: &Breakers, waiter: &Arc<Waiter>) -> bool {
        let mut pool = self.pool.lock();
        let place = pool.waiting.iter().position(|other| Arc::ptr_eq(other, waiter));
        if let Some(place) = place {
            pool.waiting.remove(place);
            breakers.pending.fall();
        }
        place.is_some()
    }

    /// The host is no member of the cluster any more: what is idle closes.
    pub(crate) fn retire(&self, breakers: &Breakers) {
        let mut pool = self.pool.lock();
        pool.gone = true;
        let idle = std::mem::take(&mut pool.idle);
        breakers.connections.fall_by(u32::try_from(idle.len()).unwrap_or(u32::MAX));
    }
}

impl Pool {
    /// `tryCreateNewConnection`: a host without a connection always gets one, or those who wait for it would wait for
    /// ever.
    fn open(&self, breakers: &Breakers) -> bool {
        if breakers.connections.try_rise(breakers.limits.connections) {
            return true;
        }
        let none = self.idle.is_empty() && self.busy == 0;
        if none {
            breakers.connections.rise();
        }
        none
    }

    fn begin(&mut self, account: &Arc<Account>, breakers: &Arc<Breakers>, connection: Idle) -> Option<Ticket> {
        let ticket = Account::begin(account, breakers, Some(connection.served.saturating_add(1)));
        match ticket {
            Some(_) => self.busy += 1,
            None => self.idle.push_back(connection),
        }
        ticket
    }

    fn expire(&mut self, breakers: &Breakers, now: Moment) {
        let longest = breakers.limits.idle_timeout.unwrap_or(IDLE_TIMEOUT);
        if longest.is_zero() {
            return;
        }
        while self.idle.front().is_some_and(|idle| now.saturating_sub(idle.since) >= longest) {
            self.idle.pop_front();
            breakers.connections.fall();
        }
    }
}
