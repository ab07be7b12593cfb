//! Chance: one generator, many independent streams, no lock.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::{StdRng, SysRng, Xoshiro256PlusPlus};
use rand::{Rng, SeedableRng, TryRng};

/// Gives every asker a [`Stream`] of its own, so that no two share state. A handle: clones draw on the same source.
#[derive(Clone, Debug)]
pub struct Chance {
    source: Arc<Source>,
}

#[derive(Debug)]
struct Source {
    /// `None`: secrets come from the operating system.
    seed: Option<u64>,
    key: u64,
    streams: AtomicU64,
}

impl Chance {
    /// Unpredictable: fast streams are keyed by the operating system once, [`Stream::secure`] asks it each time.
    pub fn entropy() -> Self {
        let mut key = [0; 8];
        // Without entropy no key is safe; the fixed key still spreads load, and `secure` fails on its own.
        let key = SysRng.try_fill_bytes(&mut key).map_or(0x6d61_6c68_6121, |()| u64::from_le_bytes(key));
        Self { source: Arc::new(Source { seed: None, key, streams: AtomicU64::new(0) }) }
    }

    /// Everything follows from `seed`: the n-th stream is the same in every run.
    pub fn seeded(seed: u64) -> Self {
        Self { source: Arc::new(Source { seed: Some(seed), key: seed, streams: AtomicU64::new(0) }) }
    }

    /// The next stream.
    pub fn stream(&self) -> Stream {
        let index = self.source.streams.fetch_add(1, Ordering::Relaxed);
        let key = mix(self.source.key ^ mix(index));
        Stream { fast: Xoshiro256PlusPlus::seed_from_u64(key), secure: self.source.seed.map(|_| mix(key)) }
    }
}

/// The finaliser of `SplitMix64`: neighbouring inputs give unrelated outputs.
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One asker's chance. Itself a fast generator that an attacker could predict; for secrets see [`Stream::secure`].
#[derive(Clone, Debug)]
pub struct Stream {
    fast: Xoshiro256PlusPlus,
    secure: Option<u64>,
}

impl Stream {
    /// A generator fit for keys and tokens: the operating system's, or in a seeded world a reproducible one.
    ///
    /// # Errors
    /// When the operating system has no entropy to give.
    pub fn secure(&self) -> Result<StdRng, rand::rngs::SysError> {
        self.secure.map_or_else(|| StdRng::try_from_rng(&mut SysRng), |key| Ok(StdRng::seed_from_u64(key)))
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.fast.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.fast.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fast.fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(chance: &Chance) -> u64 {
        chance.stream().next_u64()
    }

    #[test]
    fn one_seed_gives_one_history() {
        let (a, b) = (Chance::seeded(7), Chance::seeded(7));
        assert_eq!((draw(&a), draw(&a)), (draw(&b), draw(&b)));
        assert_ne!(draw(&Chance::seeded(7)), draw(&Chance::seeded(8)));
    }

    #[test]
    fn streams_differ_from_one_another() {
        let chance = Chance::seeded(1);
        assert_ne!(draw(&chance), draw(&chance));
    }

    #[test]
    fn secrets_repeat_only_in_a_seeded_world() {
        let secret = |chance: Chance| chance.stream().secure().unwrap().next_u64();
        assert_eq!(secret(Chance::seeded(3)), secret(Chance::seeded(3)));
        assert_ne!(secret(Chance::entropy()), secret(Chance::entropy()));
    }
}
