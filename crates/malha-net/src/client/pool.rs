//! Connections to one target. Of those that are idle the one used last is taken first, as Envoy does, so that the
//! others may time out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::client::RequestBody;
use crate::client::exchange::Connection;
use crate::client::multiplex::Multiplexed;
use crate::client::target::SendOptions;

/// Idle connections to one target.
const TO_ONE: usize = 512;

/// Idle connections in all.
pub(super) const TO_ALL: usize = 2048;

/// Connections to one target.
pub(super) struct Pool<B: RequestBody> {
    /// The one used last at the end.
    #[expect(clippy::vec_box, reason = "they pass through here with each request, as the box that bodies hold")]
    idle: Mutex<Vec<Box<Connection<B>>>>,
    /// Of the whole client.
    idle_in_all: Arc<AtomicUsize>,
    /// HTTP/2.
    pub(super) multiplexed: Multiplexed<B>,
}

impl<B: RequestBody> Pool<B> {
    pub(super) fn new(idle_in_all: Arc<AtomicUsize>) -> Self {
        Self { idle: Mutex::default(), idle_in_all, multiplexed: Multiplexed::default() }
    }

    /// An idle connection that is still open.
    pub(super) fn take(&self) -> Option<Box<Connection<B>>> {
        loop {
            let mut connection = self.idle.lock().pop()?;
            self.idle_in_all.fetch_sub(1, Ordering::Relaxed);
            if Instant::now() < connection.expires && connection.usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection that is at rest, unless it has served its time. Where there are too many, the one that has
    /// been idle longest goes.
    pub(super) fn give_back(&self, mut connection: Box<Connection<B>>, options: &SendOptions) {
        let most = options.requests_per_connection;
        if most != 0 && connection.served() >= most {
            return;
        }
        connection.expires = Instant::now() + options.idle_timeout;
        let mut idle = self.idle.lock();
        let full = idle.len() >= TO_ONE || self.idle_in_all.load(Ordering::Relaxed) >= TO_ALL;
        if !full {
            self.idle_in_all.fetch_add(1, Ordering::Relaxed);
            idle.push(connection);
        } else if !idle.is_empty() {
            let longest_idle = idle.remove(0);
            idle.push(connection);
            drop(idle);
            drop(longest_idle);
        }
    }

    /// Closes what has expired, or was closed by the other side; and half of the rest if connections are scarce.
    /// When the next one expires.
    pub(super) fn sweep(&self, now: Instant, scarce: bool) -> Option<Instant> {
        let mut closed = Vec::new();
        let mut idle = self.idle.lock();
        let spared = if scarce { idle.len() / 2 } else { 0 };
        for (at, mut connection) in std::mem::take(&mut *idle).into_iter().enumerate() {
            if at >= spared && now < connection.expires && connection.usable() {
                idle.push(connection);
            } else {
                closed.push(connection);
            }
        }
        let next = idle.iter().map(|connection| connection.expires).min();
        drop(idle);
        self.idle_in_all.fetch_sub(closed.len(), Ordering::Relaxed);
        [next, self.multiplexed.sweep(now)].into_iter().flatten().min()
    }

    /// Idle connections.
    pub(super) fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.idle.lock().is_empty() && self.multiplexed.is_empty()
    }
}
