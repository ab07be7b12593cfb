//! Rules of `PodDisruptionBudget`.
//!
//! Source: `pkg/apis/policy/validation` of kubernetes/kubernetes 1.34.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Checker, workload};
use crate::path::FieldPath;

const POLICIES: &[&str] = &["AlwaysAllow", "IfHealthyBudget"];

pub(super) fn budget(checker: &mut Checker<'_>, budget: &PodDisruptionBudget) {
    let Some(spec) = &budget.spec else { return };
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        checker
            .error("spec", "minAvailable and maxUnavailable cannot be both set")
            .help("leave out one of them: each says what the other would");
    }
    for (field, value) in [("minAvailable", &spec.min_available), ("maxUnavailable", &spec.max_unavailable)] {
        let path = FieldPath::parse("spec").field(field);
        let amount = workload::amount(checker, &path, value.as_ref());
        if let (Some(value @ IntOrString::String(_)), Some(101..)) = (value, amount) {
            let message = format!("Invalid value: {}: must not be greater than 100%", workload::written(value));
            checker.error(&path, message);
        }
    }
    if let Some(policy) = &spec.unhealthy_pod_eviction_policy {
        checker.word("spec.unhealthyPodEvictionPolicy", policy, POLICIES);
    }
    let labels = spec.selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
    checker.labels(&FieldPath::parse("spec.selector.matchLabels"), labels);
}
