//! Envoy's `MAGLEV` (`maglev_lb.cc`): a table in which every host prefers places of its own.

use twox_hash::XxHash64;

use super::Weighted;

/// Envoy's default size.
const DEFAULT_SIZE: u64 = 65_537;
/// The most that Envoy takes.
const MAXIMUM_SIZE: u64 = 5_000_011;

/// A host for each place.
#[derive(Debug)]
pub(super) struct Entries(Vec<u32>);

struct Build {
    host: u32,
    offset: u64,
    skip: u64,
    share: f64,
    target: f64,
    next: u64,
}

impl Entries {
    /// A size that is no prime has no table: then the default's is made. Envoy refuses such a cluster.
    pub(super) fn new(weighted: &Weighted<'_>, size: u64) -> Self {
        let size = if size <= MAXIMUM_SIZE && is_prime(size) { size } else { DEFAULT_SIZE };
        let mut hosts = weighted.hosts.clone();
        hosts.sort_by(|a, b| a.1.cmp(b.1));
        let mut build: Vec<Build> = hosts
            .iter()
            .map(|(host, address, share)| Build {
                host: *host,
                offset: XxHash64::oneshot(0, address.as_bytes()) % size,
                skip: XxHash64::oneshot(1, address.as_bytes()) % (size - 1) + 1,
                share: *share,
                target: 0.0,
                next: 0,
            })
            .collect();
        let mut table: Vec<Option<u32>> = vec![None; usize::try_from(size).unwrap_or_default()];
        let mut empty = if build.is_empty() { 0 } else { table.len() };
        let mut round = 0.0;
        while empty > 0 {
            round += 1.0;
            for entry in &mut build {
                // A host with a third of the greatest share has its turn every third round.
                if empty == 0 || round * entry.share < entry.target {
                    continue;
                }
                entry.target += weighted.most;
                let place = loop {
                    let place = (entry.offset + entry.skip * entry.next) % size;
                    entry.next += 1;
                    if let Some(place @ None) = usize::try_from(place).ok().and_then(|place| table.get_mut(place)) {
                        break place;
                    }
                };
                *place = Some(entry.host);
                empty -= 1;
            }
        }
        Self(table.into_iter().flatten().collect())
    }

    /// Each further `attempt` turns nearly all bits of the hash.
    pub(super) fn find(&self, hash: u64, attempt: u32) -> Option<u32> {
        let hash = if attempt == 0 { hash } else { hash ^ (u64::MAX - u64::from(attempt) + 1) };
        let place = hash.checked_rem(self.0.len() as u64)?;
        self.0.get(usize::try_from(place).ok()?).copied()
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2 && (2..=number.isqrt()).all(|factor| !number.is_multiple_of(factor))
}
