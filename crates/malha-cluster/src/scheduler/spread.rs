//! Pods spread over topologies (plugin `PodTopologySpread`): `topologySpreadConstraints`, and for pods without any of their own
//! the system's defaults.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::controllers::owner;
use crate::selector;
use crate::store::Store;

use super::hosts::Host;
use super::{BEST, Refusal, node_affinity, taints};

/// The label of the node's own name.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// The system's constraints, which only score (`systemDefaultConstraints`).
const DEFAULTS: [(&str, i32); 2] = [(HOSTNAME, 3), ("topology.kubernetes.io/zone", 5)];

/// A constraint, as far as it counts.
struct Constraint {
    key: String,
    max_skew: i64,
    min_domains: usize,
    selector: LabelSelector,
    /// Nodes that the pod must not be on do not count.
    affinity: bool,
    /// Nor those whose taints keep it away.
    taints: bool,
}

impl Constraint {
    fn new(constraint: &TopologySpreadConstraint, pod: &Pod) -> Self {
        let mut selector = constraint.label_selector.clone();
        for key in constraint.match_label_keys.iter().flatten() {
            if let (Some(selector), Some(value)) =
                (&mut selector, pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)))
            {
                selector.match_labels.get_or_insert_default().insert(key.clone(), value.clone());
            }
        }
        Self {
            key: constraint.topology_key.clone(),
            max_skew: constraint.max_skew.into(),
            min_domains: constraint.min_domains.and_then(|number| usize::try_from(number).ok()).unwrap_or(1),
            // Without a selector nothing is selected.
            selector: selector.unwrap_or_else(nothing),
            affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }

    /// Whether a node's pods count (`matchNodeInclusionPolicies`).
    fn counts(&self, host: &Host<'_>, pod: &Pod) -> bool {
        (!self.affinity || node_affinity::required(host, pod))
            && (!self.taints || taints::untolerated(host, pod).is_none())
    }

    /// How many pods of the node it selects (`countPodsMatchSelector`).
    fn pods(&self, host: &Host<'_>, pod: &Pod) -> i64 {
        let selected = host.pods.iter().filter(|other| {
            other.metadata.deletion_timestamp.is_none()
                && other.metadata.namespace == pod.metadata.namespace
                && selector::matches(&self.selector, other.metadata.labels.as_ref())
        });
        i64::try_from(selected.count()).unwrap_or(i64::MAX)
    }
}

fn nothing() -> LabelSelector {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
    let none = LabelSelectorRequirement { operator: "In".to_owned(), ..LabelSelectorRequirement::default() };
    LabelSelector { match_expressions: Some(vec![none]), match_labels: None }
}

fn own<'a>(pod: &'a Pod, when: &'a str) -> impl Iterator<Item = Constraint> + use<'a> {
    let all = pod.spec.iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
    all.filter(move |constraint| constraint.when_unsatisfiable == when)
        .map(|constraint| Constraint::new(constraint, pod))
}

/// Constraints that must hold, with the pods of each domain.
pub(super) struct Filter {
    constraints: Vec<(Constraint, BTreeMap<String, i64>, i64)>,
}

impl Filter {
    pub(super) fn new(all: &[&Host<'_>], pod: &Pod) -> Self {
        let constraints: Vec<Constraint> = own(pod, "DoNotSchedule").collect();
        let complete: Vec<_> = all
            .iter()
            .filter(|host| constraints.iter().all(|constraint| host.label(&constraint.key).is_some()))
            .collect();
        let count = |constraint: Constraint| {
            let mut domains = BTreeMap::<String, i64>::new();
            for host in complete.iter().filter(|host| constraint.counts(host, pod)) {
                let value = host.label(&constraint.key).unwrap_or_default();
                *domains.entry(value.to_owned()).or_default() += constraint.pods(host, pod);
            }
            let own = i64::from(selector::matches(&constraint.selector, pod.metadata.labels.as_ref()));
            (constraint, domains, own)
        };
        Self { constraints: constraints.into_iter().map(count).collect() }
    }

    /// Whether no domain gets too far ahead of the emptiest one.
    pub(super) fn fits(&self, host: &Host<'_>) -> Result<(), Refusal> {
        for (constraint, domains, own) in &self.constraints {
            let Some(value) = host.label(&constraint.key) else {
                let text = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Refusal::Unfit(text.to_owned()));
            };
            let enough = domains.len() >= constraint.min_domains;
            let least = domains.values().copied().min().filter(|_| enough).unwrap_or(0);
            if domains.get(value).copied().unwrap_or(0) + own - least > constraint.max_skew {
                return Err(Refusal::Occupied("node(s) didn't match pod topology spread constraints".to_owned()));
            }
        }
        Ok(())
    }
}

/// The fewer pods of its kind are in a node's domains the better.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts of pods, as in Kubernetes")]
pub(super) fn score(store: &Store, all: &[&Host<'_>], fitting: &[&Host<'_>], pod: &Pod) -> Vec<i64> {
    let mut constraints: Vec<Constraint> = own(pod, "ScheduleAnyway").collect();
    // Nodes without the label of a zone are spread over by name all the same.
    let defaulted =
        pod.spec.as_ref().is_none_or(|spec| spec.topology_spread_constraints.iter().flatten().next().is_none());
    if defaulted {
        constraints = defaults(store, pod);
    }
    if constraints.is_empty() {
        return Vec::new();
    }
    let complete =
        |host: &Host<'_>| defaulted || constraints.iter().all(|constraint| host.label(&constraint.key).is_some());
    let scored: Vec<&&Host<'_>> = fitting.iter().filter(|host| complete(host)).collect();
    let mut sums = vec![0.0; fitting.len()];
    for constraint in &constraints {
        let mut domains = BTreeMap::<&str, i64>::new();
        for host in &scored {
            domains.entry(host.label(&constraint.key).unwrap_or_default()).or_default();
        }
        let size = if constraint.key == HOSTNAME { scored.len() } else { domains.len() };
        for host in all.iter().filter(|host| complete(host) && constraint.counts(host, pod)) {
            if let Some(count) = domains.get_mut(host.label(&constraint.key).unwrap_or_default()) {
                *count += constraint.pods(host, pod);
            }
        }
        let weight = ((size + 2) as f64).ln();
        for (sum, host) in sums.iter_mut().zip(fitting) {
            if let Some(value) = host.label(&constraint.key) {
                let count = domains.get(value).copied().unwrap_or(0);
                *sum += count as f64 * weight + (constraint.max_skew - 1) as f64;
            }
        }
    }
    let sums: Vec<Option<i64>> =
        sums.iter().zip(fitting).map(|(sum, host)| complete(host).then(|| sum.round() as i64)).collect();
    let (least, most) =
        (sums.iter().flatten().min().copied().unwrap_or(0), sums.iter().flatten().max().copied().unwrap_or(0));
    let normalize = |sum: &Option<i64>| match sum {
        None => 0,
        Some(_) if most == 0 => BEST,
        Some(sum) => BEST * (most + least - sum) / most,
    };
    sums.iter().map(normalize).collect()
}

/// The default constraints of a pod that Services or a replica set select; others have none (`DefaultSelector`).
fn defaults(store: &Store, pod: &Pod) -> Vec<Constraint> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let labels = pod.metadata.labels.as_ref();
    let mut all = LabelSelector::default();
    for service in store.list_in::<Service>(namespace) {
        let pairs = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        if selector::selects(pairs, labels) {
            all.match_labels
                .get_or_insert_default()
                .extend(pairs.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    let set = owner(pod).filter(|owner| owner.kind == "ReplicaSet");
    if let Some(spec) = set.and_then(|owner| store.get::<ReplicaSet>(namespace, &owner.name)?.spec.as_ref()) {
        all.match_labels.get_or_insert_default().extend(spec.selector.match_labels.clone().unwrap_or_default());
        all.match_expressions
            .get_or_insert_default()
            .extend(spec.selector.match_expressions.clone().unwrap_or_default());
    }
    if all.match_labels.iter().flatten().count() + all.match_expressions.iter().flatten().count() == 0 {
        return Vec::new();
    }
    let constraint = |(key, max_skew): (&str, i32)| Constraint {
        key: key.to_owned(),
        max_skew: max_skew.into(),
        min_domains: 1,
        selector: all.clone(),
        affinity: true,
        taints: false,
    };
    DEFAULTS.into_iter().map(constraint).collect()
}
