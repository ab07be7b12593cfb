//! Earliest deadline first (Envoy, `source/common/upstream/edf_scheduler.h`): hosts of different weights in turn.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Rounds that are skipped at most for a start anywhere.
const LONGEST_SKIP: u64 = 1024;

/// Whose turn is when. A host comes back to the queue at one over its weight of then.
#[derive(Debug)]
pub(super) struct Schedule {
    now: f64,
    order: u64,
    queue: BinaryHeap<Entry>,
}

#[derive(Debug)]
struct Entry {
    deadline: f64,
    /// First come, first served among equal deadlines.
    order: u64,
    host: u32,
}

impl Schedule {
    /// `seed` says where in the sequence it begins, so that proxies do not go in step.
    pub(super) fn new(hosts: &[u32], weigh: impl Fn(u32) -> f64, seed: u64) -> Self {
        let mut schedule = Self { now: 0.0, order: 0, queue: BinaryHeap::with_capacity(hosts.len()) };
        for host in hosts {
            schedule.add(*host, weigh(*host));
        }
        for _ in 0..seed % LONGEST_SKIP {
            schedule.next(&weigh);
        }
        schedule
    }

    /// The next, which goes back into the queue with what it weighs now.
    pub(super) fn next(&mut self, weigh: impl Fn(u32) -> f64) -> Option<u32> {
        let entry = self.queue.pop()?;
        self.now = entry.deadline;
        self.add(entry.host, weigh(entry.host));
        Some(entry.host)
    }

    fn add(&mut self, host: u32, weight: f64) {
        self.queue.push(Entry { deadline: self.now + 1.0 / weight, order: self.order, host });
        self.order += 1;
    }
}

impl Ord for Entry {
    /// The heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.deadline.total_cmp(&self.deadline).then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}
