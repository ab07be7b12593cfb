//! Envoy's `RING_HASH` (`ring_hash_lb.cc`): each host has points on a ring, and a hash belongs to the next point.

use twox_hash::XxHash64;

use super::Weighted;

/// Envoy's default for `maximum_ring_size`, and the most that either bound may be.
const MAXIMUM_SIZE: u64 = 8 << 20;

/// Points in order, each with its host.
#[derive(Debug)]
pub(super) struct Points(Vec<(u64, u32)>);

impl Points {
    /// At least `minimum_size` points, so many that the host with the least share has a whole number.
    #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^53")]
    pub(super) fn new(weighted: &Weighted<'_>, minimum_size: u64) -> Self {
        let minimum_size = minimum_size.clamp(1, MAXIMUM_SIZE) as f64;
        let scale = ((weighted.least * minimum_size).ceil() / weighted.least).min(MAXIMUM_SIZE as f64);
        let mut points = Vec::new();
        let mut target = 0.0;
        let mut key = String::new();
        for (host, address, share) in &weighted.hosts {
            target += scale * share;
            let mut number = 0_u32;
            while (points.len() as f64) < target {
                key.clear();
                // Writing to a string does not fail.
                let _ = std::fmt::Write::write_fmt(&mut key, format_args!("{address}_{number}"));
                points.push((XxHash64::oneshot(0, key.as_bytes()), *host));
                number += 1;
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        Self(points)
    }

    /// Each further `attempt` is one point further, which may be the same host's.
    pub(super) fn find(&self, hash: u64, attempt: u32) -> Option<u32> {
        let place = self.0.partition_point(|(point, _)| *point < hash) + attempt as usize;
        self.0.get(place.checked_rem(self.0.len())?).map(|(_, host)| *host)
    }
}
