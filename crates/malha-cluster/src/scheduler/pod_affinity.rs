//! Pods near others and pods apart from them (plugin `InterPodAffinity`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Pod, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::selector;

use super::hosts::Host;
use super::{BEST, Namespaces, Refusal};

/// What a required affinity of a pod that runs counts for when another is scored (`hardPodAffinityWeight`).
const REQUIRED: i64 = 1;

/// Pods by a label of their nodes and its value.
type Domains<'a> = BTreeMap<(&'a str, &'a str), i64>;

/// A term with the pod whose it is.
struct Term<'a> {
    pod: &'a Pod,
    of: &'a PodAffinityTerm,
    selector: Option<Cow<'a, LabelSelector>>,
}

impl<'a> Term<'a> {
    fn new(pod: &'a Pod, term: &'a PodAffinityTerm) -> Self {
        // `matchLabelKeys` and `mismatchLabelKeys` become part of the selector (`applyMatchLabelKeysAndMismatchLabelKeys`).
        let mut selector = term.label_selector.as_ref().map(Cow::Borrowed);
        for (keys, operator) in [(&term.match_label_keys, "In"), (&term.mismatch_label_keys, "NotIn")] {
            for key in keys.iter().flatten() {
                let value = pod.metadata.labels.as_ref().and_then(|labels| labels.get(key));
                if let (Some(selector), Some(value)) = (&mut selector, value) {
                    selector.to_mut().match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
                        key: key.clone(),
                        operator: operator.to_owned(),
                        values: Some(vec![value.clone()]),
                    });
                }
            }
        }
        Self { pod, of: term, selector }
    }

    /// Whether it selects another pod.
    fn matches(&self, namespaces: &Namespaces<'_>, other: &Pod) -> bool {
        let namespace = other.metadata.namespace.as_deref().unwrap_or_default();
        let named = self.of.namespaces.as_deref().unwrap_or_default();
        let place = match &self.of.namespace_selector {
            None if named.is_empty() => other.metadata.namespace == self.pod.metadata.namespace,
            selector => {
                named.iter().any(|name| name == namespace)
                    || selector
                        .as_ref()
                        .is_some_and(|selector| selector::matches(selector, namespaces.labels(namespace)))
            }
        };
        place
            && self
                .selector
                .as_ref()
                .is_some_and(|selector| selector::matches(selector, other.metadata.labels.as_ref()))
    }
}

fn affinity(pod: &Pod) -> Option<&Affinity> {
    pod.spec.as_ref()?.affinity.as_ref()
}

/// What must be near a pod.
fn near(pod: &Pod) -> Vec<Term<'_>> {
    let terms = affinity(pod).and_then(|affinity| affinity.pod_affinity.as_ref());
    let terms = terms.and_then(|terms| terms.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().map(|term| Term::new(pod, term)).collect()
}

/// What must not be near a pod.
fn apart(pod: &Pod) -> Vec<Term<'_>> {
    let terms = affinity(pod).and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let terms = terms.and_then(|terms| terms.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().map(|term| Term::new(pod, term)).collect()
}

/// What a pod would rather have near it, and less than nothing for what it would rather not.
fn preferred(pod: &Pod) -> Vec<(i64, Term<'_>)> {
    let near = affinity(pod).and_then(|affinity| affinity.pod_affinity.as_ref());
    let near = near.and_then(|terms| terms.preferred_during_scheduling_ignored_during_execution.as_ref());
    let apart = affinity(pod).and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let apart = apart.and_then(|terms| terms.preferred_during_scheduling_ignored_during_execution.as_ref());
    let weighted = |sign: i64| move |term: &'_ WeightedPodAffinityTerm| i64::from(term.weight) * sign;
    let near = near.into_iter().flatten().map(|term| (weighted(1)(term), Term::new(pod, &term.pod_affinity_term)));
    let apart = apart.into_iter().flatten().map(|term| (weighted(-1)(term), Term::new(pod, &term.pod_affinity_term)));
    near.chain(apart).collect()
}

/// What is required, with the pods that there are.
pub(super) struct Filter<'a> {
    near: Vec<Term<'a>>,
    apart: Vec<Term<'a>>,
    /// Domains with pods that match all of `near`.
    wanted: Domains<'a>,
    /// Domains with pods that match one of `apart`.
    unwanted: Domains<'a>,
    /// Domains in which a pod does not want this one.
    unwelcome: Domains<'a>,
    /// The pod would be near itself.
    first: bool,
}

impl<'a> Filter<'a> {
    pub(super) fn new(namespaces: &Namespaces<'_>, all: &[&'a Host<'a>], pod: &'a Pod) -> Self {
        let (near, apart) = (near(pod), apart(pod));
        let (mut wanted, mut unwanted, mut unwelcome) = (Domains::new(), Domains::new(), Domains::new());
        let count = |domains: &mut Domains<'a>, host: &'a Host<'a>, key: &'a str| {
            if let Some(value) = host.label(key) {
                *domains.entry((key, value)).or_default() += 1;
            }
        };
        for host in all {
            for other in &host.pods {
                if !near.is_empty() && near.iter().all(|term| term.matches(namespaces, other)) {
                    for term in &near {
                        count(&mut wanted, host, &term.of.topology_key);
                    }
                }
                for term in apart.iter().filter(|term| term.matches(namespaces, other)) {
                    count(&mut unwanted, host, &term.of.topology_key);
                }
                for term in self::apart(other).iter().filter(|term| term.matches(namespaces, pod)) {
                    count(&mut unwelcome, host, &term.of.topology_key);
                }
            }
        }
        let first = wanted.is_empty() && near.iter().all(|term| term.matches(namespaces, pod));
        Self { near, apart, wanted, unwanted, unwelcome, first }
    }

    pub(super) fn fits(&self, host: &Host<'_>) -> Result<(), Refusal> {
        let within = |domains: &Domains<'_>, key: &str| {
            host.label(key).is_some_and(|value| domains.get(&(key, value)).is_some_and(|count| *count > 0))
        };
        let key = |term: &Term<'a>| &*term.of.topology_key;
        let labelled = self.near.iter().all(|term| host.label(key(term)).is_some());
        // The first of several that want to be near each other is let in.
        if !(labelled && (self.first || self.near.iter().all(|term| within(&self.wanted, key(term))))) {
            return Err(Refusal::Unfit("node(s) didn't match pod affinity rules".to_owned()));
        }
        if self.apart.iter().any(|term| within(&self.unwanted, key(term))) {
            return Err(Refusal::Occupied("node(s) didn't match pod anti-affinity rules".to_owned()));
        }
        if self.unwelcome.keys().any(|(key, _)| within(&self.unwelcome, key)) {
            return Err(Refusal::Occupied("node(s) didn't satisfy existing pods anti-affinity rules".to_owned()));
        }
        Ok(())
    }
}

/// What this pod prefers, and what those that run prefer of it.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "weights to 100, as in Kubernetes")]
pub(super) fn score(namespaces: &Namespaces<'_>, all: &[&Host<'_>], fitting: &[&Host<'_>], pod: &Pod) -> Vec<i64> {
    let own = preferred(pod);
    let mut domains = BTreeMap::<(String, String), i64>::new();
    for host in all {
        let mut count = |term: &Term<'_>, weight: i64| {
            if let Some(value) = host.label(&term.of.topology_key) {
                *domains.entry((term.of.topology_key.clone(), value.to_owned())).or_default() += weight;
            }
        };
        for other in &host.pods {
            own.iter()
                .filter(|(_, term)| term.matches(namespaces, other))
                .for_each(|(weight, term)| count(term, *weight));
            let theirs = near(other).into_iter().map(|term| (REQUIRED, term)).chain(preferred(other));
            theirs.filter(|(_, term)| term.matches(namespaces, pod)).for_each(|(weight, term)| count(&term, weight));
        }
    }
    if domains.is_empty() {
        return Vec::new();
    }
    let sum = |host: &&Host<'_>| -> i64 {
        let here = domains.iter().filter(|((key, value), _)| host.label(key) == Some(value));
        here.map(|(_, weight)| weight).sum()
    };
    let sums: Vec<i64> = fitting.iter().map(sum).collect();
    let (least, most) = (sums.iter().copied().min().unwrap_or(0), sums.iter().copied().max().unwrap_or(0));
    let share = |sum: &i64| {
        if most == least { 0 } else { (BEST as f64 * ((sum - least) as f64 / (most - least) as f64)) as i64 }
    };
    sums.iter().map(share).collect()
}
