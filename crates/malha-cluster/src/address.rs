//! Addresses of pods and Services.

use std::collections::BTreeSet;
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
    /// Pods: kubeadm's usual `--pod-network-cidr`, 10.244.0.0/16.
    pub(crate) fn pods() -> Self {
        Self::new(Ipv4Addr::new(10, 244, 0, 1), Ipv4Addr::new(10, 244, 255, 254))
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
    fn an_address_of_ones_own_must_be_free_and_in_range() {
        let mut pool = Pool::services();
        assert_eq!(pool.claim(Ipv4Addr::new(10, 96, 0, 7)), Ok(()));
        assert!(pool.claim(Ipv4Addr::new(10, 96, 0, 7)).is_err());
        assert!(pool.claim(Ipv4Addr::new(10, 96, 0, 1)).is_err());
        assert!(pool.claim(Ipv4Addr::new(192, 168, 0, 1)).is_err());
    }
}
