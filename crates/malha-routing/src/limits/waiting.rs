//! A place in the queue for a host's connections.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::account::Account;
use super::gauge::Breakers;
use super::{Moment, Overflow, Ticket};

/// Becomes a ticket when a connection is free. Dropped, it leaves the queue.
#[derive(Debug)]
#[must_use = "nobody waits unless it is awaited"]
pub struct Waiting {
    waiter: Arc<Waiter>,
    account: Arc<Account>,
    breakers: Arc<Breakers>,
}

/// What the queue knows of one who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) since: Moment,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Resolved(Granted, Option<Waker>),
    Taken,
}

/// What became of waiting.
#[derive(Debug)]
pub(super) enum Granted {
    Ticket(Ticket),
    Refused(Overflow),
}

impl Waiter {
    pub(super) fn new(since: Moment) -> Self {
        Self { since, state: Mutex::new(State::Waiting(None)) }
    }

    pub(super) fn resolve(&self, granted: Granted) {
        let mut state = self.state.lock();
        let waker = if let State::Waiting(waker) = &mut *state { waker.take() } else { None };
        *state = State::Resolved(granted, waker);
    }

    /// Apart from [`Waiter::resolve`], so that no lock is held meanwhile.
    pub(super) fn wake(&self) {
        let waker = if let State::Resolved(_, waker) = &mut *self.state.lock() { waker.take() } else { None };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Waiting {
    pub(super) fn new(waiter: Arc<Waiter>, account: Arc<Account>, breakers: Arc<Breakers>) -> Self {
        Self { waiter, account, breakers }
    }
}

impl Future for Waiting {
    type Output = Result<Ticket, Overflow>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.waiter.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Resolved(Granted::Ticket(ticket), _) => Poll::Ready(Ok(ticket)),
            State::Resolved(Granted::Refused(overflow), _) => Poll::Ready(Err(overflow)),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
            // Polled again after its end: nothing more comes of it.
            State::Taken => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.account.leave(&self.breakers, &self.waiter) {
            return;
        }
        let state = std::mem::replace(&mut *self.waiter.state.lock(), State::Taken);
        if let State::Resolved(Granted::Ticket(mut ticket), _) = state {
            // Nothing was sent on that connection: it is as good as before.
            ticket.served = ticket.served.map(|served| served.saturating_sub(1));
            ticket.finish(self.waiter.since);
        }
    }
}
