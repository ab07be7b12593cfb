//! How fast an autoscaler follows its metrics: stabilization windows, policies, the limits of `spec`
//! (kube-controller-manager, `pkg/controller/podautoscaler/horizontal.go`, from `stabilizeRecommendation` on; defaults:
//! `pkg/apis/autoscaling/v2/defaults.go`).

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// Over which time the highest recommendation holds (`--horizontal-pod-autoscaler-downscale-stabilization`).
const DOWN_WINDOW: Duration = Duration::from_mins(5);

/// Where nothing is said about behavior: never more than twice as many at once, or this many if that is more.
const UP_LIMIT: i32 = 4;

const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FEW: (&str, &str) = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_MANY: (&str, &str) = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const UP_RATE: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_RATE: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);

/// A number and when it was noted.
type Noted = (Duration, i32);

/// What was recommended and done.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    recommendations: Vec<Noted>,
    /// By how many replicas the target grew.
    ups: Vec<Noted>,
    /// By how many it shrank.
    downs: Vec<Noted>,
}

/// What is, and what may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) current: i32,
    pub(super) least: i32,
    pub(super) most: i32,
}

/// What became of a recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Normal {
    pub(super) replicas: i32,
    /// Reason and message of `AbleToScale`.
    pub(super) able: (&'static str, &'static str),
    /// Whether it is held back, and reason and message of `ScalingLimited`.
    pub(super) limited: bool,
    pub(super) limit: (&'static str, &'static str),
}

/// One way of scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// More replicas.
    Up,
    /// Fewer.
    Down,
}

/// Rules with Kubernetes' defaults filled in (`GenerateHPAScaleUpRules`, `GenerateHPAScaleDownRules`), and without what 1.34 drops
/// (`tolerance`). The window for scaling down has no default here: it is the controller's.
pub(crate) fn filled(rules: Option<&HPAScalingRules>, direction: Direction) -> HPAScalingRules {
    let policy = |type_: &str, value| HPAScalingPolicy { type_: type_.to_owned(), value, period_seconds: 15 };
    let mut filled = rules.cloned().unwrap_or_default();
    filled.tolerance = None;
    filled.select_policy.get_or_insert_with(|| "Max".to_owned());
    let percent = policy("Percent", 100);
    match direction {
        Direction::Up => {
            filled.stabilization_window_seconds.get_or_insert(0);
            filled.policies.get_or_insert_with(|| vec![policy("Pods", 4), percent]);
        }
        Direction::Down => drop(filled.policies.get_or_insert_with(|| vec![percent])),
    }
    filled
}

impl Memory {
    /// Notes the size at which the autoscaler begins.
    pub(super) fn begin(&mut self, current: i32, now: Duration) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// The size that follows from the recommendation `wanted`.
    pub(super) fn normalize(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        wanted: i32,
        bounds: Bounds,
        now: Duration,
    ) -> Normal {
        let (stable, why, (replicas, limit)) = if let Some(behavior) = behavior {
            let up = filled(behavior.scale_up.as_ref(), Direction::Up);
            let down = filled(behavior.scale_down.as_ref(), Direction::Down);
            let (stable, why) = self.stabilize_both(wanted, bounds.current, (&up, &down), now);
            (stable, why, self.limit(stable, bounds, (&up, &down), now))
        } else {
            let stable = self.stabilize(wanted, now);
            (stable, DOWN_STABILIZED, limit(stable, bounds))
        };
        Normal { replicas, able: if stable == wanted { READY } else { why }, limited: replicas != stable, limit }
    }

    /// Notes a change that was made. Without `behavior` nobody asks for it.
    pub(super) fn changed(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        (from, to): (i32, i32),
        now: Duration,
    ) {
        let Some(behavior) = behavior else { return };
        let (rules, notes, direction) = if to > from {
            (&behavior.scale_up, &mut self.ups, Direction::Up)
        } else {
            (&behavior.scale_down, &mut self.downs, Direction::Down)
        };
        let rules = filled(rules.as_ref(), direction);
        let longest = rules.policies.iter().flatten().map(|policy| policy.period_seconds).max().unwrap_or(0);
        let cutoff = now.saturating_sub(seconds(longest));
        note(notes, (now, (to - from).abs()), |at| at < cutoff);
    }

    /// The highest recommendation of the window for scaling down.
    fn stabilize(&mut self, wanted: i32, now: Duration) -> i32 {
        let cutoff = now.saturating_sub(DOWN_WINDOW);
        let recent = self.recommendations.iter().filter(|(at, _)| *at >= cutoff);
        let highest = recent.map(|(_, replicas)| *replicas).fold(wanted, i32::max);
        note(&mut self.recommendations, (now, wanted), |at| at < cutoff);
        highest
    }

    /// The size that is nearest to the one that is, between the lowest recommendation of one window and the highest of the
    /// other.
    fn stabilize_both(
        &mut self,
        wanted: i32,
        current: i32,
        (up, down): (&HPAScalingRules, &HPAScalingRules),
        now: Duration,
    ) -> (i32, (&'static str, &'static str)) {
        let cutoff = |rules: &HPAScalingRules| {
            now.saturating_sub(rules.stabilization_window_seconds.map_or(DOWN_WINDOW, seconds))
        };
        let (up, down) = (cutoff(up), cutoff(down));
        let since = |cutoff| self.recommendations.iter().filter(move |(at, _)| *at > cutoff).map(|(_, one)| *one);
        let lowest = since(up).fold(wanted, i32::min);
        let highest = since(down).fold(wanted, i32::max);
        note(&mut self.recommendations, (now, wanted), |at| at < up && at < down);
        let why = if wanted >= current { UP_STABILIZED } else { DOWN_STABILIZED };
        // The lower limit first, as Kubernetes has it: `clamp` would not take limits that have changed places.
        (current.max(lowest).min(highest), why)
    }

    /// `convertDesiredReplicasWithBehaviorRate`.
    fn limit(
        &self,
        wanted: i32,
        Bounds { current, least, most }: Bounds,
        (up, down): (&HPAScalingRules, &HPAScalingRules),
        now: Duration,
    ) -> (i32, (&'static str, &'static str)) {
        if wanted > current {
            let rate = self.rate(current, up, Direction::Up, now).max(current);
            let (most, why) = if most > rate { (rate, UP_RATE) } else { (most, TOO_MANY) };
            if wanted > most {
                return (most, why);
            }
        } else if wanted < current {
            let rate = self.rate(current, down, Direction::Down, now).min(current);
            let (least, why) = if least < rate { (rate, DOWN_RATE) } else { (least, TOO_FEW) };
            if wanted < least {
                return (least, why);
            }
        }
        (wanted, WITHIN)
    }

    /// How far the policies let the size go now.
    fn rate(&self, current: i32, rules: &HPAScalingRules, direction: Direction, now: Duration) -> i32 {
        let select = rules.select_policy.as_deref();
        if select == Some("Disabled") {
            return current;
        }
        let limits = rules.policies.iter().flatten().map(|policy| {
            let cutoff = now.saturating_sub(seconds(policy.period_seconds));
            let during = |notes: &[Noted]| -> i32 {
                notes.iter().filter(|(at, _)| *at > cutoff).map(|(_, change)| *change).sum()
            };
            let start = current.saturating_sub(during(&self.ups)).saturating_add(during(&self.downs));
            let share = f64::from(policy.value) / 100.0;
            match (policy.type_.as_str(), direction) {
                ("Percent", Direction::Up) => whole((f64::from(start) * (1.0 + share)).ceil()),
                // What stays is rounded down.
                ("Percent", Direction::Down) => whole(f64::from(start) * (1.0 - share)),
                (_, Direction::Up) => start.saturating_add(policy.value),
                (_, Direction::Down) => start.saturating_sub(policy.value),
            }
        });
        let least = select == Some("Min");
        // The least change is the lowest size when growing and the highest when shrinking.
        if least == (direction == Direction::Up) {
            limits.min().unwrap_or(i32::MAX)
        } else {
            limits.max().unwrap_or(i32::MIN)
        }
    }
}

/// `convertDesiredReplicasWithRules`.
fn limit(wanted: i32, Bounds { current, least, most }: Bounds) -> (i32, (&'static str, &'static str)) {
    let rate = current.saturating_mul(2).max(UP_LIMIT);
    let (most, why) = if most > rate { (rate, UP_RATE) } else { (most, TOO_MANY) };
    if wanted < least {
        (least, TOO_FEW)
    } else if wanted > most {
        (most, why)
    } else {
        (wanted, WITHIN)
    }
}

/// Writes a note in the place of one that nobody needs any more.
fn note(notes: &mut Vec<Noted>, new: Noted, old: impl Fn(Duration) -> bool) {
    match notes.iter().rposition(|(at, _)| old(*at)) {
        Some(index) => notes[index] = new,
        None => notes.push(new),
    }
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[expect(clippy::cast_possible_truncation, reason = "Kubernetes cuts off here, too")]
fn whole(replicas: f64) -> i32 {
    replicas as i32
}

#[cfg(test)]
mod tests;
