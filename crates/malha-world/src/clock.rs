//! Wall time and monotonic time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Tells the time. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Where monotonic time begins.
    origin: Instant,
    /// Wall time at `origin`; `None` asks the system each time, so that a suspended laptop or a corrected clock is seen.
    anchor: Option<SystemTime>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { origin: Instant::now(), anchor: None }
    }

    /// A clock that shows `unix_seconds` now and advances with tokio's.
    pub fn anchored(unix_seconds: u64) -> Self {
        Self { origin: Instant::now(), anchor: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds)) }
    }

    /// Wall time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's wall clock")]
    pub fn now(&self) -> SystemTime {
        self.anchor.map_or_else(SystemTime::now, |anchor| anchor + self.origin.elapsed())
    }

    /// Wall time since the Unix epoch; zero for a clock set before it.
    pub fn since_epoch(&self) -> Duration {
        self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// Time since this clock was made; never goes back.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_anchored_clock_advances_with_paused_time() {
        let clock = Clock::anchored(1_000);
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(clock.since_epoch(), Duration::from_secs(1_300));
        assert_eq!(clock.elapsed(), Duration::from_mins(5));
    }
}
