//! What pods use, as metrics-server tells it (`pkg/storage/pod.go`): of the CPU, how much between the last two measurements.

use std::collections::HashMap;
use std::time::Duration;

use crate::usage::PodUsage;

/// A container that runs for this long and was not measured before counts from its start (`freshContainerMinMetricsResolution`).
const FRESH: Duration = Duration::from_secs(10);

/// Time between two measurements (`--metric-resolution` of metrics-server's manifests).
pub(crate) const RESOLUTION: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
struct Point {
    at: Duration,
    cpu: Duration,
    memory: u64,
}

/// What a pod's container uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) container: String,
    /// Wall time.
    pub(super) at: Duration,
    pub(super) window: Duration,
    /// Thousandths of a processor, rounded up.
    pub(super) cpu: i64,
    /// Thousandths of a byte.
    pub(super) memory: i64,
}

/// The last two measurements of each pod, by uid.
#[derive(Debug, Default)]
pub(crate) struct Samples(HashMap<String, (String, Option<Point>, Point)>);

impl Samples {
    /// Takes in measurements of all pods at a wall time; `started` tells since when a pod's container runs.
    pub(super) fn take(&mut self, used: &[PodUsage], now: Duration, started: impl Fn(&PodUsage) -> Option<Duration>) {
        let before = std::mem::take(&mut self.0);
        self.0 = used
            .iter()
            .map(|pod| {
                let point = Point { at: now, cpu: pod.usage.cpu_time, memory: pod.usage.memory };
                let start = started(pod).unwrap_or(now);
                let running = now.saturating_sub(start);
                let fresh = (FRESH..RESOLUTION).contains(&running);
                let last = before.get(&pod.uid).map(|(.., last)| *last);
                // One that has started anew has used less than it had.
                let last = last.filter(|last| last.cpu <= point.cpu && last.at < now && start < last.at);
                let previous = if fresh { Some(Point { at: start, cpu: Duration::ZERO, memory: 0 }) } else { last };
                (pod.uid.clone(), (pod.container.clone(), previous, point))
            })
            .collect();
    }

    /// What a pod uses; `None` before it was measured twice.
    pub(super) fn of(&self, uid: &str) -> Option<Sample> {
        let (container, previous, last) = self.0.get(uid)?;
        let previous = (*previous)?;
        let window = last.at.checked_sub(previous.at).filter(|window| !window.is_zero())?;
        let used = last.cpu.saturating_sub(previous.cpu).as_nanos();
        let nanocores = used * 1_000_000_000 / window.as_nanos();
        Some(Sample {
            container: container.clone(),
            at: last.at,
            window,
            cpu: i64::try_from(nanocores.div_ceil(1_000_000)).unwrap_or(i64::MAX),
            memory: i64::try_from(last.memory).unwrap_or(i64::MAX).saturating_mul(1_000),
        })
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use crate::object::{Key, Kind};
    use crate::usage::Usage;

    use super::*;

    fn used(millis: u64, memory: u64) -> [PodUsage; 1] {
        let usage = Usage { cpu_time: Duration::from_millis(millis), memory, requests: 0 };
        let pod = Key::new(Kind::Pod, "default", "a");
        [PodUsage { pod, uid: "u".into(), container: "app".into(), usage }]
    }

    fn second(second: u64) -> Duration {
        Duration::from_secs(1_700_000_000 + second)
    }

    #[test]
    fn use_of_the_cpu_is_the_difference_of_the_last_two_measurements() {
        let mut samples = Samples::default();
        let started = |_: &PodUsage| Some(second(0));
        for (at, millis, want) in
            [(20, 600, None), (35, 750, Some(10)), (50, 3_750, Some(200)), (65, 3_750, Some(0)), (80, 3_751, Some(1))]
        {
            samples.take(&used(millis, 5), second(at), started);
            let sample = samples.of("u");
            assert_eq!(sample.as_ref().map(|sample| sample.cpu), want, "second {at}");
            if let Some(sample) = sample {
                assert_eq!((sample.at, sample.window, sample.memory), (second(at), RESOLUTION, 5_000));
            }
        }
        assert_eq!(samples.of("another"), None);
        samples.take(&[], second(95), started);
        assert_eq!(samples.of("u"), None, "it is gone");
    }

    #[test]
    fn a_container_that_started_counts_from_its_start_or_from_its_second_measurement() {
        for (start, cpu) in [(5, Some(100)), (6, None), (0, None)] {
            let mut samples = Samples::default();
            samples.take(&used(1_000, 0), second(15), |_| Some(second(start)));
            assert_eq!(samples.of("u").map(|sample| sample.cpu), cpu, "{start}");
        }
        let mut samples = Samples::default();
        samples.take(&used(9_000, 0), second(15), |_| Some(second(0)));
        samples.take(&used(100, 0), second(30), |_| Some(second(25)));
        assert_eq!(samples.of("u"), None, "it was restarted");
        samples.take(&used(400, 0), second(45), |_| Some(second(25)));
        assert_eq!(samples.of("u").map(|sample| sample.cpu), Some(20));
    }
}
