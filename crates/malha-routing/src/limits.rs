//! Circuit breakers, and who may use which connection when (Envoy, `source/common/upstream/resource_manager_impl.h` and
//! `source/common/conn_pool/conn_pool_base.cc`).
//!
//! Within the process no connection exists. What is kept is the account that Envoy's HTTP/1.1 pool would keep: a
//! connection serves one request at a time, stays open when the request ended well, and belongs to its host until it is
//! closed. A connection comes about at once, so nobody waits for that: requests wait only where `max_connections` forbids
//! another one. Without that limit, and for HTTP/2, whose streams share one connection, there is nothing to keep.

mod account;
mod gauge;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use account::Account;
pub use gauge::RetryLimit;
pub(crate) use gauge::{Breakers, Gauge, RetrySlot};
pub use waiting::Waiting;

/// Time since the process's start, or any other start that all calls share.
pub type Moment = Duration;

/// Whether a try may begin.
#[derive(Debug)]
pub enum Admission {
    /// Now.
    Go(Ticket),
    /// When a connection is free.
    Wait(Waiting),
    /// Not at all: 503 with flag `UO`.
    Overflow,
}

/// The proxy's limits forbid it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// A request in flight. Dropped early, it takes its connection with it, as an HTTP/1.1 request that is cut short does.
#[derive(Debug)]
pub struct Ticket {
    account: Arc<Account>,
    breakers: Arc<Breakers>,
    /// Requests that its connection has served, this one too; `None` where connections are not counted.
    served: Option<u32>,
    /// When it ended well.
    ended: Option<Moment>,
}

impl Ticket {
    /// The response was read to its end: the connection may serve another request.
    pub fn finish(mut self, now: Moment) {
        self.ended = Some(now);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.breakers.requests.fall();
        self.account.active.fall();
        if let Some(served) = self.served {
            self.account.release(&self.breakers, served, self.ended);
        }
    }
}

/// Asks for a request to `account`'s host. `others` are all hosts of the cluster, whose idle connections may have had
/// their time.
pub(crate) fn admit(
    breakers: &Arc<Breakers>,
    account: &Arc<Account>,
    others: &[Arc<Account>],
    now: Moment,
) -> Admission {
    if breakers.pooled {
        return account.admit(breakers, others, now);
    }
    match Account::begin(account, breakers, None) {
        Some(ticket) => Admission::Go(ticket),
        None => Admission::Overflow,
    }
}

#[cfg(test)]
mod tests;
