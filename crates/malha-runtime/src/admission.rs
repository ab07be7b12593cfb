//! How many instances may live at once.
//!
//! A service that calls another holds its own instance while it waits. Were there one pool for all, enough callers at
//! the edge could take every slot and wait for each other for ever. So each depth of a call chain has slots of its own:
//! a call at depth *n* waits only for calls at the same depth, which in turn wait only for deeper ones, and the deepest
//! call nobody. A chain that is longer than any sensible one, such as a service that calls itself, is refused.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Slots at each depth: many at the edge, where requests queue, fewer below.
const SLOTS: [u16; 8] = [512, 256, 128, 64, 16, 16, 16, 16];

/// The right to one instance.
pub(crate) type Permit = OwnedSemaphorePermit;

pub(crate) struct Admission {
    depths: [Arc<Semaphore>; SLOTS.len()],
}

impl Admission {
    /// All slots together.
    pub(crate) const CAPACITY: u32 = {
        let mut sum = 0;
        let mut depth = 0;
        while depth < SLOTS.len() {
            sum += SLOTS[depth] as u32;
            depth += 1;
        }
        sum
    };

    pub(crate) fn new() -> Self {
        Self { depths: SLOTS.map(|slots| Arc::new(Semaphore::new(slots.into()))) }
    }

    /// Waits for a slot at `depth` (0: the edge); `None` when the chain is too long.
    pub(crate) async fn enter(&self, depth: usize) -> Option<Permit> {
        // A semaphore that is never closed cannot refuse.
        Arc::clone(self.depths.get(depth)?).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_edge_leaves_room_below_and_endless_chains_end() {
        let admission = Admission::new();
        let mut held = Vec::new();
        for _ in 0..SLOTS[0] {
            held.push(admission.enter(0).await.unwrap());
        }
        assert!(admission.depths[0].try_acquire().is_err());
        assert!(admission.enter(1).await.is_some());
        assert!(admission.enter(SLOTS.len()).await.is_none());
    }
}
