//! Whose proxies know the same. Istio makes the configuration of each proxy by itself; what it depends on of a pod is its
//! namespace, and of its labels those that something asks for: `sourceLabels` of a `VirtualService`, `workloadSelector` of a
//! `DestinationRule` or a `Sidecar`. So pods that agree in these are looked at once.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;

use crate::object::{DestinationRule, Sidecar};
use crate::selector::Labels;
use crate::store::Store;

use super::rules::AllRules;

/// A label and its value.
pub(super) type Pair = (String, String);

/// Labels that something asks callers for, wherever they are.
pub(super) fn asked(store: &Store, rules: &AllRules) -> BTreeSet<Pair> {
    let selectors =
        store.list::<DestinationRule>().filter_map(|rule| Some(&rule.spec.workload_selector.as_ref()?.match_labels));
    let sidecars = store.list::<Sidecar>().filter_map(|sidecar| Some(&sidecar.spec.workload_selector.as_ref()?.labels));
    let selected = selectors.chain(sidecars).flatten().map(|(key, value)| (key.clone(), value.clone()));
    selected.chain(rules.source_labels().cloned()).collect()
}

/// The pods of a namespace by what of `asked` they have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Profiles {
    /// What of it some pod has.
    pub(super) asked: Vec<Pair>,
    /// For each kind of pod: which of `asked` it has, and these as labels. Those that have none are not among them.
    pub(super) kinds: Vec<(Vec<bool>, Labels)>,
}

impl Profiles {
    pub(super) fn new(store: &Store, namespace: &str, asked: &BTreeSet<Pair>) -> Self {
        let mut found: BTreeSet<Vec<&Pair>> = BTreeSet::new();
        if !asked.is_empty() {
            let labels = store.list_in::<Pod>(namespace).filter_map(|pod| pod.metadata.labels.as_ref());
            found.extend(
                labels.map(|labels| asked.iter().filter(|(key, value)| labels.get(key) == Some(value)).collect()),
            );
        }
        let some: BTreeSet<&Pair> = found.iter().flatten().copied().collect();
        let kinds = found.iter().filter(|pairs| !pairs.is_empty()).map(|pairs| {
            let labels: BTreeMap<_, _> = pairs.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            (some.iter().map(|pair| pairs.contains(pair)).collect(), labels)
        });
        let kinds = kinds.collect();
        Self { asked: some.into_iter().cloned().collect(), kinds }
    }
}
