//! The annotations by which a rollout remembers: revisions, and how large it was meant to be
//! (`pkg/controller/deployment/util`, `SetNewReplicaSetAnnotations`, `SetReplicasAnnotations`).

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::sets::replicas;
use super::strategy::{max_surge, wanted};

/// Counts the templates that were rolled out.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Revisions that a set had before it was rolled back to.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The Deployment's replicas when the set was last scaled.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with `maxSurge`.
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Not copied from a Deployment to its sets.
const KEPT: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// Longest history that is remembered, in characters.
const LONGEST: usize = 2_000;

type Annotations = BTreeMap<String, String>;

fn annotation<'a>(annotations: Option<&'a Annotations>, name: &str) -> Option<&'a str> {
    annotations?.get(name).map(String::as_str)
}

/// A set's revision; 0 for one that has none.
pub(super) fn revision(set: &ReplicaSet) -> i64 {
    annotation(set.metadata.annotations.as_ref(), REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The Deployment's replicas when this set was scaled last.
pub(super) fn desired(set: &ReplicaSet) -> Option<i32> {
    annotation(set.metadata.annotations.as_ref(), DESIRED)?.parse().ok()
}

/// What the Deployment might have had at most then.
pub(super) fn most(set: &ReplicaSet) -> Option<i32> {
    annotation(set.metadata.annotations.as_ref(), MAX)?.parse().ok()
}

/// Copies the Deployment's annotations (`kubernetes.io/change-cause` among them) and gives the set at least `revision`.
pub(super) fn carry_over(deployment: &Deployment, set: &mut ReplicaSet, newest: i64) {
    let before = annotation(set.metadata.annotations.as_ref(), REVISION).map(str::to_owned);
    let annotations = set.metadata.annotations.get_or_insert_default();
    for (name, value) in deployment.metadata.annotations.iter().flatten() {
        if !KEPT.contains(&name.as_str()) {
            annotations.insert(name.clone(), value.clone());
        }
    }
    let number = before.as_deref().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    if number >= newest {
        return;
    }
    annotations.insert(REVISION.to_owned(), newest.to_string());
    // Rolled back to: the numbers that it had are history.
    if let Some(before) = before {
        let history = annotations.entry(HISTORY.to_owned()).or_default();
        while !history.is_empty() && history.len() + 1 + before.len() > LONGEST {
            *history = history.split_once(',').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        }
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&before);
    }
}

/// Writes down how large the Deployment is meant to be.
pub(super) fn note_size(deployment: &Deployment, set: &mut ReplicaSet) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(DESIRED.to_owned(), wanted(deployment).to_string());
    annotations.insert(MAX.to_owned(), (wanted(deployment) + max_surge(deployment)).to_string());
}

/// The Deployment has its newest set's revision.
pub(super) fn set_revision(deployment: &mut Deployment, set: &ReplicaSet) {
    if let Some(revision) = annotation(set.metadata.annotations.as_ref(), REVISION) {
        deployment.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision.to_owned());
    }
}

/// Whether the set has all replicas that the Deployment wants, and all are available (`IsSaturated`).
pub(super) fn saturated(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let wanted = wanted(deployment);
    replicas(set) == wanted && desired(set) == Some(wanted) && super::sets::available(set) == wanted
}

#[cfg(test)]
mod tests {
    use crate::fixtures;

    use super::*;

    fn annotations(set: &ReplicaSet) -> Vec<(&str, &str)> {
        set.metadata.annotations.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn a_set_that_is_rolled_back_to_remembers_its_revisions() {
        let mut deployment = fixtures::deployment("posts", 3, "workshop:0.0.1");
        let notes = [("kubernetes.io/change-cause", "a"), (KEPT[0], "{}"), (REVISION, "9")];
        deployment.metadata.annotations =
            Some(notes.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let mut set = ReplicaSet::default();
        carry_over(&deployment, &mut set, 1);
        assert_eq!(annotations(&set), [(REVISION, "1"), ("kubernetes.io/change-cause", "a")]);
        carry_over(&deployment, &mut set, 3);
        carry_over(&deployment, &mut set, 2);
        carry_over(&deployment, &mut set, 5);
        assert_eq!(annotations(&set), [(REVISION, "5"), (HISTORY, "1,3"), ("kubernetes.io/change-cause", "a")]);
        note_size(&deployment, &mut set);
        assert_eq!((desired(&set), most(&set), revision(&set)), (Some(3), Some(4), 5));
    }
}
