//! Which host of a cluster gets the request (Envoy, `source/extensions/load_balancing_policies`).

mod edf;
mod hash;
mod ketama;
mod maglev;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rand::{Rng, RngExt};

use self::edf::Schedule;
pub use self::hash::Hashed;
use crate::cluster::Host;
use crate::traffic::{Balancer, Ring};

/// What Envoy takes the share of healthy hosts times, in percent, before it thinks of panic.
const OVERPROVISIONING: u64 = 140;

/// The hosts that may be chosen at the moment, and what is prepared for choosing.
#[derive(Debug)]
pub(crate) struct Lineup {
    /// Indices of hosts.
    hosts: Vec<u32>,
    /// So few are healthy that health is disregarded.
    panic: bool,
    table: OnceLock<Table>,
    /// For hosts of different weights.
    schedule: Option<OnceLock<Mutex<Schedule>>>,
}

/// Whose turn it is, once for the healthy and once for all in a panic. Begins anywhere, so that not all proxies begin
/// with the same host.
#[derive(Debug, Default)]
pub(crate) struct Turns([OnceLock<AtomicU64>; 2]);

/// Where a hash leads.
#[derive(Debug)]
enum Table {
    Ketama(ketama::Points),
    Maglev(maglev::Entries),
}

impl Lineup {
    /// `minimum_health`: below this share of healthy hosts, in percent, all are chosen from.
    pub(crate) fn new<P>(hosts: &[Host<P>], healthy: impl Fn(usize) -> bool, minimum_health: u32) -> Self {
        let all = || 0..u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        let fit: Vec<u32> = all().filter(|index| healthy(*index as usize)).collect();
        let panic = panics(hosts.len() as u64, fit.len() as u64, minimum_health);
        let hosts_now = if panic { all().collect() } else { fit };
        let mut weights = hosts_now.iter().map(|index| weight(&hosts[*index as usize]));
        let first = weights.next();
        let differ = weights.any(|weight| Some(weight) != first);
        Self { hosts: hosts_now, panic, table: OnceLock::new(), schedule: differ.then(OnceLock::new) }
    }

    /// One draw. `attempt` counts the draws of one try, from 0; `hash` leads to the same host each time, unless the draw
    /// is repeated.
    pub(crate) fn draw<P>(
        &self,
        balancer: &Balancer,
        all: &[Host<P>],
        active: impl Fn(usize) -> u32,
        turns: &Turns,
        (hash, attempt): (u64, u32),
        chance: &mut impl Rng,
    ) -> Option<usize> {
        let any = |chance: &mut _| self.hosts[RngExt::random_range(chance, 0..self.hosts.len())] as usize;
        if self.hosts.is_empty() {
            return None;
        }
        Some(match (balancer, &self.schedule) {
            // Weights count for nothing in a random choice. Behind an original destination, which within a cluster is a
            // cluster IP, kube-proxy chooses at random too.
            (Balancer::Random | Balancer::OriginalDestination, _) => any(chance),
            (Balancer::ConsistentHash { ring, .. }, _) => self.hashed(*ring, all, hash, attempt)?,
            (Balancer::LeastRequest, None) => {
                let (first, second) = (any(chance), any(chance));
                if active(second) < active(first) { second } else { first }
            }
            (Balancer::RoundRobin, None) => {
                let turn = turns.0[usize::from(self.panic)].get_or_init(|| AtomicU64::new(chance.next_u64()));
                let turn = turn.fetch_add(1, Ordering::Relaxed) % self.hosts.len() as u64;
                self.hosts[usize::try_from(turn).unwrap_or_default()] as usize
            }
            (Balancer::LeastRequest, Some(schedule)) => {
                let weigh =
                    |index: u32| f64::from(weight(&all[index as usize])) / (f64::from(active(index as usize)) + 1.0);
                self.scheduled(schedule, weigh, chance)?
            }
            (Balancer::RoundRobin, Some(schedule)) => {
                self.scheduled(schedule, |index| f64::from(weight(&all[index as usize])), chance)?
            }
        })
    }

    fn scheduled(
        &self,
        schedule: &OnceLock<Mutex<Schedule>>,
        weigh: impl Fn(u32) -> f64,
        chance: &mut impl Rng,
    ) -> Option<usize> {
        let schedule = schedule.get_or_init(|| Mutex::new(Schedule::new(&self.hosts, &weigh, chance.next_u64())));
        schedule.lock().next(weigh).map(|index| index as usize)
    }

    fn hashed<P>(&self, ring: Ring, all: &[Host<P>], hash: u64, attempt: u32) -> Option<usize> {
        let table = self.table.get_or_init(|| {
            let weighted = Weighted::of(&self.hosts, all);
            match ring {
                Ring::Ketama { minimum_size } => Table::Ketama(ketama::Points::new(&weighted, minimum_size)),
                Ring::Maglev { table_size } => Table::Maglev(maglev::Entries::new(&weighted, table_size)),
            }
        });
        let index = match table {
            Table::Ketama(points) => points.find(hash, attempt),
            Table::Maglev(entries) => entries.find(hash, attempt),
        };
        index.map(|index| index as usize)
    }
}

/// Hosts with their shares of one, as hash tables are built from them (`normalizeHostWeights`).
struct Weighted<'a> {
    /// Index, what is hashed for it, share.
    hosts: Vec<(u32, &'a str, f64)>,
    least: f64,
    most: f64,
}

impl<'a> Weighted<'a> {
    fn of<P>(chosen: &[u32], all: &'a [Host<P>]) -> Self {
        let sum: f64 = chosen.iter().map(|index| f64::from(weight(&all[*index as usize]))).sum();
        let share = |host: &Host<P>| f64::from(weight(host)) / sum;
        let hosts: Vec<_> = chosen
            .iter()
            .map(|index| (*index, &all[*index as usize]))
            .map(|(index, host)| (index, host.endpoint.address.as_str(), share(host)))
            .collect();
        let (least, most) =
            hosts.iter().fold((1.0_f64, 0.0_f64), |(least, most), host| (least.min(host.2), most.max(host.2)));
        Self { hosts, least, most }
    }
}

/// Envoy knows no weight of zero.
fn weight<P>(host: &Host<P>) -> u32 {
    host.weight.max(1)
}

/// `LoadBalancerBase::recalculatePerPriorityPanic`: never, while 1.4 times the healthy hosts would be enough for all.
fn panics(hosts: u64, healthy: u64, minimum_health: u32) -> bool {
    hosts > 0 && OVERPROVISIONING * healthy / hosts < 100 && 100 * healthy < u64::from(minimum_health.min(100)) * hosts
}

#[cfg(test)]
mod tests;
