//! Rules of `HorizontalPodAutoscaler`.
//!
//! Source: `pkg/apis/autoscaling/validation` of kubernetes/kubernetes 1.34.

use k8s_openapi::api::autoscaling::v2::{
    HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Checker, quantity};
use crate::path::FieldPath;

const SELECTS: &[&str] = &["Max", "Min", "Disabled"];
const POLICIES: &[&str] = &["Pods", "Percent"];
const TARGETS: &[&str] = &["Utilization", "Value", "AverageValue"];

/// Longest stabilization window, in seconds.
const LONGEST_WINDOW: i32 = 3_600;

/// Longest period of a policy, in seconds.
const LONGEST_PERIOD: i32 = 1_800;

pub(super) fn autoscaler(checker: &mut Checker<'_>, autoscaler: &HorizontalPodAutoscaler) {
    let Some(spec) = &autoscaler.spec else {
        checker.error("spec", "required, and not set");
        return;
    };
    checker.required("spec.scaleTargetRef.kind", &spec.scale_target_ref.kind);
    checker.required("spec.scaleTargetRef.name", &spec.scale_target_ref.name);
    bounds(checker, spec);
    for (index, metric) in spec.metrics.iter().flatten().enumerate() {
        self::metric(checker, &FieldPath::parse("spec.metrics").item(index), metric);
    }
    let behavior = spec.behavior.as_ref();
    for (field, rules) in [
        ("scaleUp", behavior.and_then(|behavior| behavior.scale_up.as_ref())),
        ("scaleDown", behavior.and_then(|behavior| behavior.scale_down.as_ref())),
    ] {
        if let Some(rules) = rules {
            self::rules(checker, &FieldPath::parse("spec.behavior").field(field), rules);
        }
    }
}

fn bounds(checker: &mut Checker<'_>, spec: &HorizontalPodAutoscalerSpec) {
    let (least, most) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
    if least < 1 {
        checker.error("spec.minReplicas", format!("{least} is less than the least, 1"));
    }
    if most < 1 {
        checker.error("spec.maxReplicas", format!("{most} is less than 1"));
    } else if most < least {
        checker.error("spec.maxReplicas", format!("{most} is less than `minReplicas`, {least}"));
    }
}

fn metric(checker: &mut Checker<'_>, path: &FieldPath, metric: &MetricSpec) {
    let sources = [
        ("Resource", "resource", metric.resource.as_ref().map(|one| &one.target)),
        ("ContainerResource", "containerResource", metric.container_resource.as_ref().map(|one| &one.target)),
        ("Pods", "pods", metric.pods.as_ref().map(|one| &one.target)),
        ("Object", "object", metric.object.as_ref().map(|one| &one.target)),
        ("External", "external", metric.external.as_ref().map(|one| &one.target)),
    ];
    if !checker.required(path.field("type"), &metric.type_) {
        return;
    }
    checker.word(path.field("type"), &metric.type_, &sources.map(|(type_, ..)| type_));
    for (type_, field, target) in sources {
        let at = path.field(field);
        match target {
            Some(target) if type_ == metric.type_ => self::target(checker, &at.field("target"), type_, target),
            Some(_) => drop(checker.error(at, format!("only a metric of type `{type_}` has it"))),
            None if type_ == metric.type_ => drop(checker.error(at, "required, and not set")),
            None => {}
        }
    }
    if let Some(resource) = &metric.resource {
        checker.required(path.field("resource").field("name"), &resource.name);
    }
    if let Some(resource) = &metric.container_resource {
        checker.required(path.field("containerResource").field("name"), &resource.name);
        checker.required(path.field("containerResource").field("container"), &resource.container);
    }
}

fn target(checker: &mut Checker<'_>, path: &FieldPath, of: &str, target: &MetricTarget) {
    if checker.required(path.field("type"), &target.type_) {
        checker.word(path.field("type"), &target.type_, TARGETS);
    }
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        checker.error(path.field("averageUtilization"), format!("{percent} is less than 1"));
    }
    let mut amount = |field: &str, value: Option<&Quantity>| {
        let Some(Quantity(text)) = value else { return };
        match quantity::milli(text) {
            None => drop(checker.error(path.field(field), format!("`{text}` is not a quantity"))),
            Some(value) if value < 1 => drop(checker.error(path.field(field), format!("`{text}` is not positive"))),
            Some(_) => {}
        }
    };
    amount("averageValue", target.average_value.as_ref());
    amount("value", target.value.as_ref());
    // What each type of metric takes, and exactly one of.
    let (percent, average, value) =
        (target.average_utilization.is_some(), target.average_value.is_some(), target.value.is_some());
    let (count, fields) = match of {
        "Resource" | "ContainerResource" => {
            (usize::from(percent) + usize::from(average), "averageUtilization or averageValue")
        }
        "Pods" => (usize::from(average), "averageValue"),
        _ => (usize::from(average) + usize::from(value), "averageValue or value"),
    };
    if count != 1 {
        let message = if count == 0 { "says no target" } else { "says two targets" };
        checker.error(path, message).help(format!("write {fields}"));
    }
}

fn rules(checker: &mut Checker<'_>, path: &FieldPath, rules: &HPAScalingRules) {
    if let Some(window) = rules.stabilization_window_seconds.filter(|window| !(0..=LONGEST_WINDOW).contains(window)) {
        checker
            .error(path.field("stabilizationWindowSeconds"), format!("{window} is no stabilization window"))
            .help(format!("allowed: 0 to {LONGEST_WINDOW}"));
    }
    if let Some(select) = &rules.select_policy {
        checker.word(path.field("selectPolicy"), select, SELECTS);
    }
    let Some(policies) = &rules.policies else { return };
    let path = path.field("policies");
    if policies.is_empty() {
        checker.error(&path, "has no policy").help("leave it out for Kubernetes' defaults");
    }
    for (index, policy) in policies.iter().enumerate() {
        let at = path.item(index);
        checker.word(at.field("type"), &policy.type_, POLICIES);
        if policy.value < 1 {
            checker.error(at.field("value"), format!("{} is less than 1", policy.value));
        }
        if !(1..=LONGEST_PERIOD).contains(&policy.period_seconds) {
            checker
                .error(at.field("periodSeconds"), format!("{} is no period", policy.period_seconds))
                .help(format!("allowed: 1 to {LONGEST_PERIOD}"));
        }
    }
}
