//! Time, chance and the cost of work, injected.
//!
//! Everything in malha that asks "what time is it?" or "which one?" asks a [`World`]: the mesh, the cluster and the
//! guests alike. With [`World::simulated`] and a paused tokio clock the same seed gives the same run, to the byte.
//!
//! Waiting is not here: it is always `tokio::time`, which a test can pause.

#![forbid(unsafe_code)]

use std::time::Duration;

mod chance;
mod clock;
mod work;

pub use chance::{Chance, Stream};
pub use clock::Clock;
pub use work::Work;

/// What one cluster and all of its guests share. Cloning gives a handle to the same world.
#[derive(Clone, Debug)]
pub struct World {
    /// Wall time, and the monotonic time that belongs to it.
    pub clock: Clock,
    /// Where chance comes from.
    pub chance: Chance,
    /// What a guest's run costs.
    pub work: Work,
}

impl World {
    /// The world outside: the system's clock, the operating system's entropy, time on real processors.
    pub fn real() -> Self {
        Self { clock: Clock::system(), chance: Chance::entropy(), work: Work::Measured }
    }

    /// A world that a test holds in its hand: wall time begins at `unix_seconds` and advances with tokio's clock
    /// (also a paused one); chance follows from `seed` alone; work costs nothing.
    pub fn simulated(unix_seconds: u64, seed: u64) -> Self {
        Self { clock: Clock::anchored(unix_seconds), chance: Chance::seeded(seed), work: Work::Fixed(Duration::ZERO) }
    }
}
