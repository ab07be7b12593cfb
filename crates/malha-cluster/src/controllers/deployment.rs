//! Deployment → `ReplicaSet`s: one for each pod template that it has had, the current one with all replicas.
//!
//! The rules are those of kube-controller-manager's `pkg/controller/deployment`. What happens when the template
//! changes is simpler here:
//!
//! - `Recreate`: the old pods go; when they are gone the new ones come.
//! - `RollingUpdate`: the new pods come, all at once; when they are ready the old ones go, all at once. That is
//!   `maxSurge: 100%, maxUnavailable: 0`, whatever the manifest says: a template that cannot start leaves the old pods serving.
//!
//! Absent: `maxSurge`, `maxUnavailable`, `minReadySeconds`, `progressDeadlineSeconds`, conditions, revisions and undo, adoption
//! of replica sets without an owner.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::names;
use crate::object::{Key, Kind, Stored};
use crate::store::Store;

use super::{Action, name, owned_by, uid};

/// Tells the pods of one template from those of another.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

/// Old replica sets kept without `revisionHistoryLimit` (API default).
const HISTORY_LIMIT: usize = 10;

/// What the Deployment needs now.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(deployment) = store.get::<Deployment>(&key.namespace, &key.name) else { return Vec::new() };
    let Some(spec) = &deployment.spec else { return Vec::new() };
    let wanted = spec.replicas.unwrap_or(1);
    let sets: Vec<&Arc<ReplicaSet>> = store.owned::<ReplicaSet>(uid(deployment.as_ref())).collect();
    let (current, old): (Vec<_>, Vec<_>) = sets.iter().copied().partition(|set| template_of(set) == spec.template);
    let mut actions = Vec::new();

    let recreate = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
    let old_pods: i32 = old.iter().map(|set| pods(set).max(replicas(set))).sum();
    // With `Recreate` the new pods wait for the old ones to be gone.
    let new_replicas = if recreate && old_pods > 0 { 0 } else { wanted };
    let paused = spec.paused == Some(true);
    let current = current.first().copied();
    let replaces = match current {
        Some(set) => {
            // Once up, a set of the current template is scaled, never parked again.
            let target = if recreate && old_pods > 0 { replicas(set).min(wanted) } else { new_replicas };
            scale(set, target, &mut actions);
            ready(set) >= wanted
        }
        None if paused => {
            // No new template while paused; what serves is scaled.
            let newest = |set: &&&Arc<ReplicaSet>| (replicas(set) > 0, set.metadata.creation_timestamp.clone());
            if let Some(set) = old.iter().max_by_key(newest) {
                scale(set, wanted, &mut actions);
            }
            false
        }
        None => {
            actions.push(Action::Create(replica_set(store, deployment, &spec.template, new_replicas).into_object()));
            wanted == 0
        }
    };
    if !paused {
        for set in &old {
            // Until the new pods serve, those old ones stay that do (`cleanupUnhealthyReplicas`).
            let kept = if recreate || replaces { 0 } else { ready(set).min(replicas(set)) };
            scale(set, kept, &mut actions);
        }
        forget(spec.revision_history_limit, &old, &mut actions);
    }
    let status = status(deployment, &sets, current);
    if deployment.status.as_ref() != Some(&status) {
        let deployment = Deployment { status: Some(status), ..Deployment::clone(deployment) };
        actions.push(Action::Update(deployment.into_object()));
    }
    actions
}

/// The template as the Deployment has it: without the label that tells sets apart.
fn template_of(set: &ReplicaSet) -> PodTemplateSpec {
    let mut template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    if let Some(labels) = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    template
}

fn replica_set(store: &Store, deployment: &Deployment, template: &PodTemplateSpec, replicas: i32) -> ReplicaSet {
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let json = serde_json::to_vec(template).unwrap_or_default();
    let mut collisions = 0;
    let (set_name, hash) = loop {
        let hash = names::template_hash(&json, collisions);
        let set_name = format!("{}-{hash}", name(deployment));
        if store.get::<ReplicaSet>(namespace, &set_name).is_none() {
            break (set_name, hash);
        }
        // The hash of another template: try the next, as `collisionCount` does.
        collisions += 1;
    };
    let labelled = |labels: Option<_>| {
        let mut labels: crate::selector::Labels = labels.unwrap_or_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        Some(labels)
    };
    let mut template = template.clone();
    let meta = template.metadata.get_or_insert_default();
    meta.labels = labelled(meta.labels.take());
    let mut selector = deployment.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
    selector.match_labels = labelled(selector.match_labels.take());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(set_name),
            namespace: Some(namespace.to_owned()),
            labels: meta.labels.clone(),
            owner_references: Some(owned_by(deployment)),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            selector,
            template: Some(template),
            ..ReplicaSetSpec::default()
        }),
        status: None,
    }
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn ready(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// Pods that there are.
fn pods(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

fn scale(set: &ReplicaSet, to: i32, actions: &mut Vec<Action>) {
    if replicas(set) != to {
        let mut set = set.clone();
        set.spec.get_or_insert_default().replicas = Some(to);
        actions.push(Action::Update(set.into_object()));
    }
}

/// Deletes the oldest of the old sets that have no pods, down to `revisionHistoryLimit`.
fn forget(limit: Option<i32>, old: &[&Arc<ReplicaSet>], actions: &mut Vec<Action>) {
    let limit = limit.map_or(HISTORY_LIMIT, |limit| usize::try_from(limit).unwrap_or(0));
    let mut empty: Vec<_> = old.iter().filter(|set| replicas(set) == 0 && pods(set) == 0).collect();
    if empty.len() <= limit {
        return;
    }
    empty.sort_by_key(|set| (set.metadata.creation_timestamp.clone(), name(set.as_ref()).to_owned()));
    let excess = empty.len() - limit;
    let key = |set: &&Arc<ReplicaSet>| {
        Key::new(Kind::ReplicaSet, set.metadata.namespace.as_deref().unwrap_or_default(), name(set.as_ref()))
    };
    actions.extend(empty.into_iter().take(excess).map(key).map(Action::Delete));
}

fn status(deployment: &Deployment, sets: &[&Arc<ReplicaSet>], current: Option<&Arc<ReplicaSet>>) -> DeploymentStatus {
    let sum = |count: fn(&ReplicaSet) -> i32| sets.iter().map(|set| count(set)).sum::<i32>();
    let available = sum(|set| set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0));
    let total = sum(pods);
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    // Zero is not written, as in Kubernetes (`omitempty`).
    let some = |count: i32| (count != 0).then_some(count);
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(total),
        updated_replicas: some(current.map_or(0, |set| pods(set))),
        ready_replicas: some(sum(ready)),
        available_replicas: some(available),
        unavailable_replicas: some((wanted.max(total) - available).max(0)),
        ..deployment.status.clone().unwrap_or_default()
    }
}
