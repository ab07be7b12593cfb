//! Cases of Kubernetes' documentation ("Horizontal Pod Autoscaling", configurable scaling behavior) and of its source.

use serde_json::{Value, json};

use super::*;

/// An autoscaler and its target: from one recommendation to the next.
struct Target {
    memory: Memory,
    behavior: Option<HorizontalPodAutoscalerBehavior>,
    size: i32,
    least: i32,
    most: i32,
    now: Duration,
}

impl Target {
    fn new(size: i32, least: i32, most: i32, behavior: Option<Value>) -> Self {
        let now = Duration::from_secs(1_700_000_000);
        let mut memory = Memory::default();
        memory.begin(size, now);
        let behavior = behavior.map(|behavior| serde_json::from_value(behavior).unwrap());
        Self { memory, behavior, size, least, most, now }
    }

    /// What becomes of a recommendation some seconds later.
    fn wants(&mut self, seconds: u64, wanted: i32) -> (i32, &'static str, &'static str) {
        self.now += Duration::from_secs(seconds);
        let bounds = Bounds { current: self.size, least: self.least, most: self.most };
        let normal = self.memory.normalize(self.behavior.as_ref(), wanted, bounds, self.now);
        if normal.replicas != self.size {
            self.memory.changed(self.behavior.as_ref(), (self.size, normal.replicas), self.now);
            self.size = normal.replicas;
        }
        assert_eq!(normal.limited, normal.limit != WITHIN);
        (normal.replicas, normal.able.0, normal.limit.0)
    }
}

#[test]
fn without_behavior_it_grows_at_once_and_shrinks_after_five_minutes() {
    let mut target = Target::new(1, 1, 10, None);
    for (seconds, wanted, want) in [
        (15, 10, (4, "ReadyForNewScale", "ScaleUpLimit")),
        (15, 10, (8, "ReadyForNewScale", "ScaleUpLimit")),
        (15, 20, (10, "ReadyForNewScale", "TooManyReplicas")),
        (15, 10, (10, "ScaleDownStabilized", "TooManyReplicas")),
        (15, 1, (10, "ScaleDownStabilized", "TooManyReplicas")),
        (285, 1, (10, "ScaleDownStabilized", "DesiredWithinRange")),
        (15, 0, (1, "ScaleDownStabilized", "DesiredWithinRange")),
        (301, 0, (1, "ReadyForNewScale", "TooFewReplicas")),
    ] {
        assert_eq!(target.wants(seconds, wanted), want, "{wanted}");
    }
}

#[test]
fn the_default_behavior_is_that_of_the_documentation() {
    let mut target = Target::new(1, 1, 100, Some(json!({})));
    for (seconds, wanted, want) in [
        (15, 100, (5, "ReadyForNewScale", "ScaleUpLimit")),
        (5, 100, (5, "ReadyForNewScale", "ScaleUpLimit")),
        (10, 100, (10, "ReadyForNewScale", "ScaleUpLimit")),
        (15, 100, (20, "ReadyForNewScale", "ScaleUpLimit")),
        (15, 30, (30, "ReadyForNewScale", "DesiredWithinRange")),
        (15, 1, (30, "ScaleDownStabilized", "DesiredWithinRange")),
        (300, 0, (1, "ReadyForNewScale", "TooFewReplicas")),
    ] {
        assert_eq!(target.wants(seconds, wanted), want, "{wanted}");
    }
}

#[test]
fn policies_say_how_far_it_goes_in_their_period() {
    let pods = |value: i32, period: i32| json!({"type": "Pods", "value": value, "periodSeconds": period});
    let percent = |value: i32, period: i32| json!({"type": "Percent", "value": value, "periodSeconds": period});
    let down = |select: &str, policies: Value| {
        let rules = json!({"stabilizationWindowSeconds": 0, "selectPolicy": select, "policies": policies});
        json!({"scaleDown": rules})
    };
    let up = |select: &str, policies: Value| json!({"scaleUp": {"selectPolicy": select, "policies": policies}});
    for (case, behavior, size, wanted, sizes) in [
        // The documentation's example: ten percent, or four pods where that is more.
        ("most of two", down("Max", json!([pods(4, 60), percent(10, 60)])), 80, 10, [72, 72, 64]),
        ("most of two, few", down("Max", json!([pods(4, 60), percent(10, 60)])), 20, 10, [16, 16, 12]),
        ("least of two", down("Min", json!([pods(5, 60), percent(10, 60)])), 80, 10, [75, 75, 70]),
        ("not at all", down("Disabled", json!([pods(5, 60)])), 80, 10, [80, 80, 80]),
        ("a share is rounded down", down("Max", json!([percent(50, 60)])), 5, 1, [2, 2, 1]),
        ("growth by pods", up("Max", json!([pods(3, 60)])), 2, 50, [5, 5, 8]),
        ("growth by a share is rounded up", up("Max", json!([percent(10, 60)])), 2, 50, [3, 3, 4]),
        ("growth by the least", up("Min", json!([pods(3, 60), percent(100, 60)])), 2, 50, [4, 4, 7]),
        ("no growth", up("Disabled", json!([pods(3, 60)])), 2, 50, [2, 2, 2]),
    ] {
        let mut target = Target::new(size, 1, 100, Some(behavior));
        // The third time, the first change is no longer in the period.
        let got = [15, 45, 15].map(|seconds| target.wants(seconds, wanted).0);
        assert_eq!(got, sizes, "{case}");
    }
}

#[test]
fn a_window_for_growth_takes_the_lowest_recommendation() {
    let mut target = Target::new(2, 1, 100, Some(json!({"scaleUp": {"stabilizationWindowSeconds": 60}})));
    for (seconds, wanted, want) in [
        (15, 4, (2, "ScaleUpStabilized", "DesiredWithinRange")),
        (30, 5, (2, "ScaleUpStabilized", "DesiredWithinRange")),
        (15, 5, (4, "ScaleUpStabilized", "DesiredWithinRange")),
        (30, 5, (5, "ReadyForNewScale", "DesiredWithinRange")),
    ] {
        assert_eq!(target.wants(seconds, wanted), want, "{wanted} after {seconds}");
    }
}

#[test]
fn memory_does_not_grow_for_ever() {
    for behavior in [None, Some(json!({}))] {
        let mut target = Target::new(1, 1, 10, behavior);
        for turn in 0..1_000 {
            target.wants(15, if turn % 60 < 30 { 10 } else { 1 });
        }
        let Memory { recommendations, ups, downs } = &target.memory;
        assert!(recommendations.len() < 30 && ups.len() < 10 && downs.len() < 10);
    }
}
