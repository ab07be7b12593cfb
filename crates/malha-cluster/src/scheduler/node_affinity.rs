//! Nodes that a pod asks for by their labels (plugin `NodeAffinity`; component-helpers `scheduling/corev1/nodeaffinity`).

use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, Pod};

use super::hosts::Host;
use super::{Refusal, normalized};

/// `nodeSelector` and what node affinity requires.
pub(super) fn fits(host: &Host<'_>, pod: &Pod) -> Result<(), Vec<Refusal>> {
    if required(host, pod) {
        return Ok(());
    }
    Err(vec![Refusal::Unfit("node(s) didn't match Pod's node affinity/selector".to_owned())])
}

/// Whether the node is one of those that the pod must be on.
pub(super) fn required(host: &Host<'_>, pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let chosen = spec.node_selector.iter().flatten().all(|(key, value)| host.label(key) == Some(value));
    let terms =
        affinity(pod).and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    chosen && terms.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| matches(host, term)))
}

/// What node affinity prefers, by weight.
pub(super) fn score(hosts: &[&Host<'_>], pod: &Pod) -> Vec<i64> {
    let preferred =
        affinity(pod).and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_deref());
    let preferred = preferred.unwrap_or_default();
    let weight = |host: &&Host<'_>| {
        let terms = preferred.iter().filter(|term| matches(host, &term.preference));
        terms.map(|term| i64::from(term.weight)).sum()
    };
    normalized(&hosts.iter().map(weight).collect::<Vec<_>>(), false)
}

fn affinity(pod: &Pod) -> Option<&NodeAffinity> {
    pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()
}

/// All requirements of a term; a term without any matches no node.
fn matches(host: &Host<'_>, term: &NodeSelectorTerm) -> bool {
    let (labels, fields) = (term.match_expressions.as_deref(), term.match_fields.as_deref());
    let (labels, fields) = (labels.unwrap_or_default(), fields.unwrap_or_default());
    (!labels.is_empty() || !fields.is_empty())
        && labels.iter().all(|one| holds(one, host.label(&one.key)))
        && fields.iter().all(|one| one.key == "metadata.name" && holds(one, Some(host.name)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|one| one == value));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(value, bound)| value > bound),
        "Lt" => numbers().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}
