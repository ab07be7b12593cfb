//! Node ports: 30000 to 32767 (kube-apiserver, `--service-node-port-range`).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rand::{Rng, RngExt};

const RANGE: RangeInclusive<i32> = 30_000..=32_767;

/// Which node ports are taken.
#[derive(Debug, Default)]
pub(super) struct NodePorts(BTreeSet<i32>);

impl NodePorts {
    /// A free one by chance, as the API server draws it; `None` when all are taken.
    pub(super) fn draw(&mut self, chance: &mut impl Rng) -> Option<i32> {
        let start = chance.random_range(RANGE);
        let free = (start..=*RANGE.end()).chain(*RANGE.start()..start).find(|port| !self.0.contains(port))?;
        self.0.insert(free);
        Some(free)
    }

    /// This one, if it is in range and free.
    pub(super) fn claim(&mut self, port: i32) -> Result<(), &'static str> {
        if !RANGE.contains(&port) {
            return Err("provided port is not in the valid range. The range of valid ports is 30000-32767");
        }
        if self.0.insert(port) { Ok(()) } else { Err("provided port is already allocated") }
    }

    /// Gives one back.
    pub(super) fn free(&mut self, port: i32) {
        self.0.remove(&port);
    }
}

#[cfg(test)]
mod tests {
    use malha_world::Chance;

    use super::*;

    #[test]
    fn every_port_is_given_out_once() {
        let (mut ports, mut chance) = (NodePorts::default(), Chance::seeded(1).stream());
        assert_eq!(ports.claim(30_080), Ok(()));
        assert!(ports.claim(30_080).is_err() && ports.claim(80).is_err());
        let drawn: BTreeSet<_> = std::iter::from_fn(|| ports.draw(&mut chance)).collect();
        assert_eq!(drawn.len(), 2_767);
        assert!(!drawn.contains(&30_080));
        ports.free(30_080);
        assert_eq!(ports.draw(&mut chance), Some(30_080));
    }
}
