//! Addresses of pods and Services.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

/// A range of addresses, given out in order and not again before the others had their turn, so that an address that
/// was freed does not mean another pod a moment later. Deterministic: no chance involved.
#[derive(Debug)]
pub(crate) struct Pool {
    first: u32,
    last: u32,
    next: u32,
    taken: BTreeSet<u32>,
}

impl Pool {
    /// The pods of a node: what its range has between the network's own address and the one for all.
    fn pods(range: PodRange) -> Self {
        Self::new(Ipv4Addr::from(range.first + 1), Ipv4Addr::from(range.first + range.pods()))
    }

    /// Services: kubeadm's default `--service-cidr`, 10.96.0.0/12; 10.96.0.1 is the API server's and the first
    /// addresses are left to those that name their own (KEP-3070).
    pub(crate) fn services() -> Self {
        let mut pool = Self::new(Ipv4Addr::new(10, 96, 0, 1), Ipv4Addr::new(10, 111, 255, 254));
        pool.next = Ipv4Addr::new(10, 96, 1, 0).into();
        pool.taken.insert(pool.first);
        pool
    }

    fn new(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        Self { first: first.into(), last: last.into(), next: first.into(), taken: BTreeSet::new() }
    }

    /// The next free address; `None` when all are taken.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let free =
            (self.next..=self.last).chain(self.first..self.next).find(|address| !self.taken.contains(address))?;
        self.taken.insert(free);
        self.next = if free == self.last { self.first } else { free + 1 };
        Some(Ipv4Addr::from(free))
    }

    /// This address, if it is in range and free.
    pub(crate) fn claim(&mut self, address: Ipv4Addr) -> Result<(), &'static str> {
        let address = u32::from(address);
        if !(self.first..=self.last).contains(&address) {
            return Err("provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/12");
        }
        if self.taken.insert(address) { Ok(()) } else { Err("provided IP is already allocated") }
    }

    /// Gives an address back.
    pub(crate) fn free(&mut self, address: Ipv4Addr) {
        self.taken.remove(&u32::from(address));
    }
}

/// A node's part of kubeadm's usual `--pod-network-cidr`, 10.244.0.0/16: for one node all of it, for several equal parts, as
/// large as can be (`--node-cidr-mask-size`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodRange {
    first: u32,
    prefix: u32,
}

impl PodRange {
    /// The part of the node of this number, from 0, of so many.
    pub(crate) fn of(index: u32, nodes: u32) -> Self {
        let prefix = 16 + nodes.max(1).next_power_of_two().trailing_zeros();
        Self { first: u32::from(Ipv4Addr::new(10, 244, 0, 0)) + (index << (32 - prefix)), prefix }
    }

    /// How many pods have an address there.
    pub(crate) fn pods(self) -> u32 {
        (1 << (32 - self.prefix)) - 2
    }
}

impl fmt::Display for PodRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

/// The addresses of all pods, by the name of their node.
#[derive(Debug)]
pub(crate) struct PodAddresses(BTreeMap<String, (PodRange, Pool)>);

impl PodAddresses {
    /// Of these nodes.
    pub(crate) fn new(nodes: impl IntoIterator<Item = (String, PodRange)>) -> Self {
        Self(nodes.into_iter().map(|(name, range)| (name, (range, Pool::pods(range)))).collect())
    }

    /// Whether it is a node of this cluster.
    pub(crate) fn has(&self, node: &str) -> bool {
        self.0.contains_key(node)
    }

    /// An address on a node. The error says what is used up.
    pub(crate) fn take(&mut self, node: &str) -> Result<Ipv4Addr, String> {
        let (range, pool) = self.0.get_mut(node).ok_or_else(|| format!("node \"{node}\" not found"))?;
        pool.take().ok_or_else(|| format!("no address left in {range}"))
    }

    /// Gives an address back.
    pub(crate) fn free(&mut self, address: Ipv4Addr) {
        self.0.values_mut().for_each(|(_, pool)| pool.free(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_address_comes_last() {
        let mut pool = Pool::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 3));
        let first = pool.take().unwrap();
        pool.free(first);
        let then: Vec<_> = std::iter::from_fn(|| pool.take()).map(|a| a.octets()[3]).collect();
        assert_eq!(then, [2, 3, 1]);
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn nodes_share_the_range_of_pods_evenly() {
        for (index, nodes, range, pods) in [
            (0, 1, "10.244.0.0/16", 65_534),
            (1, 2, "10.244.128.0/17", 32_766),
            (2, 3, "10.244.128.0/18", 16_382),
            (99, 100, "10.244.198.0/23", 510),
        ] {
            let part = PodRange::of(index, nodes);
            assert_eq!((part.to_string().as_str(), part.pods()), (range, pods));
        }
        let mut last = Pool::pods(PodRange::of(1, 2));
        assert_eq!(last.take(), Some(Ipv4Addr::new(10, 244, 128, 1)));
        assert_eq!(last.last, u32::from(Ipv4Addr::new(10, 244, 255, 254)));
    }

    #[test]
    fn an_address_of_ones_own_must_be_free_and_in_range() {
        let mut pool = Pool::services();
        assert_eq!(pool.claim(Ipv4Addr::new(10, 96, 0, 7)), Ok(()));
        assert!(pool.claim(Ipv4Addr::new(10, 96, 0, 7)).is_err());
        assert!(pool.claim(Ipv4Addr::new(10, 96, 0, 1)).is_err());
        assert!(pool.claim(Ipv4Addr::new(192, 168, 0, 1)).is_err());
    }
}
