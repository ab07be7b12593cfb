//! How long to wait before something that failed is tried again (client-go, `util/flowcontrol/backoff.go`): 10 s, twice
//! as long each time, at most 5 min; forgotten after 10 min without.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(5);
const FORGOTTEN: Duration = Duration::from_mins(10);

/// How often something has failed of late.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff(Option<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    updated: Instant,
}

impl Backoff {
    /// Until when to wait after a failure at `failed`; `None`: it may be tried at once (`IsInBackOffSince`).
    pub(crate) fn until(&self, failed: Instant, now: Instant) -> Option<Instant> {
        let Entry { delay, updated } = self.0?;
        let until = failed + delay;
        (failed.saturating_duration_since(updated) <= FORGOTTEN && now < until).then_some(until)
    }

    /// The delay that holds, for messages.
    pub(crate) fn delay(&self) -> Duration {
        self.0.map_or(FIRST, |entry| entry.delay)
    }

    /// It is tried once more after a failure at `failed` (`Next`).
    pub(crate) fn step(&mut self, failed: Instant, now: Instant) {
        let delay = match self.0 {
            Some(entry) if failed.saturating_duration_since(entry.updated) <= FORGOTTEN => {
                (entry.delay * 2).min(LONGEST)
            }
            _ => FIRST,
        };
        self.0 = Some(Entry { delay, updated: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_double_up_to_five_minutes_and_start_anew_after_ten_quiet_ones() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut delays = Vec::new();
        for _ in 0..8 {
            let until = backoff.until(now, now).unwrap_or(now);
            delays.push((until - now).as_secs());
            let failed = now;
            now = until;
            backoff.step(failed, now);
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
        let failed = now + Duration::from_secs(601);
        assert_eq!(backoff.until(failed, failed), None);
        backoff.step(failed, failed);
        assert_eq!(backoff.delay(), FIRST);
    }
}
