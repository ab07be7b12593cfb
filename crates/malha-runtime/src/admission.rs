//! How many instances may live at once.
//!
//! A service that calls another holds its own instance while it waits. Were there one pool for all, enough callers at
//! the edge could take every slot and wait for each other for ever. So each depth of a call chain has slots of its own:
//! a call at depth *n* never competes with those that wait for it. A response that is still being read holds its slot
//! too, so that a caller which reads one response while it asks for the next can still wait for its like; hence the
//! limit of time. A chain that is longer than any sensible one, such as a service that calls itself, is refused.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Slots at each depth: many at the edge, where requests queue, fewer below.
const SLOTS: [u16; 8] = [512, 256, 128, 64, 16, 16, 16, 16];

/// How long a request waits for a slot.
const PATIENCE: Duration = Duration::from_secs(10);

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

    /// Waits for a slot at `depth` (0: the edge).
    ///
    /// # Errors
    /// Why there is none: the chain is too long, or the machine too busy.
    pub(crate) async fn enter(&self, depth: usize) -> Result<Permit, &'static str> {
        let slots = self.depths.get(depth).ok_or("the chain of calls that led here is too long")?;
        match timeout(PATIENCE, Arc::clone(slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err("all instances are busy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_edge_leaves_room_below_and_endless_chains_end() {
        let admission = Admission::new();
        let mut held = Vec::new();
        for _ in 0..SLOTS[0] {
            held.push(admission.enter(0).await.unwrap());
        }
        assert_eq!(admission.enter(0).await.unwrap_err(), "all instances are busy");
        assert!(admission.enter(1).await.is_ok());
        assert!(admission.enter(SLOTS.len()).await.unwrap_err().contains("too long"));
    }
}
