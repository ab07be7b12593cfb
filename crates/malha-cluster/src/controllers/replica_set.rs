//! `ReplicaSet` → pods: as many as `replicas` says (kube-controller-manager, `pkg/controller/replicaset`).
//!
//! Absent: adoption of pods without an owner, `minReadySeconds`.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::object::{Key, Kind, Stored};
use crate::store::Store;

use super::{Action, name, owned_by, ready, uid};

/// What the replica set needs now.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(set) = store.get::<ReplicaSet>(&key.namespace, &key.name) else { return Vec::new() };
    let mut pods: Vec<&Arc<Pod>> = store.owned::<Pod>(uid(set.as_ref())).collect();
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(0);
    let mut actions = Vec::new();
    if let Some(excess @ 1..) = pods.len().checked_sub(wanted) {
        // `ActivePods`: those that are not ready go first, then the youngest.
        pods.sort_by_key(|pod| {
            (ready(pod), std::cmp::Reverse(pod.metadata.creation_timestamp.clone()), name(pod.as_ref()).to_owned())
        });
        let key = |pod: &&Arc<Pod>| Key::new(Kind::Pod, &*key.namespace, name(pod.as_ref()));
        actions.extend(pods.iter().take(excess).map(key).map(Action::Delete));
    } else if pods.len() < wanted {
        let pod = pod(set);
        actions.extend((pods.len()..wanted).map(|_| Action::Create(pod.clone().into_object())));
    }
    // As in Kubernetes the status counts what was there before the actions; their changes come back here.
    let status = status(set, &pods);
    if set.status.as_ref() != Some(&status) {
        let set = ReplicaSet { status: Some(status), ..ReplicaSet::clone(set) };
        actions.push(Action::Update(set.into_object()));
    }
    actions
}

fn pod(set: &ReplicaSet) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name(set))),
            namespace: set.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            owner_references: Some(owned_by(set)),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: Some(PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() }),
    }
}

fn status(set: &ReplicaSet, pods: &[&Arc<Pod>]) -> ReplicaSetStatus {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let ready = pods.iter().filter(|pod| ready(pod)).count();
    let some = (ready > 0).then(|| count(ready));
    ReplicaSetStatus {
        observed_generation: set.metadata.generation,
        replicas: count(pods.len()),
        fully_labeled_replicas: (!pods.is_empty()).then(|| count(pods.len())),
        ready_replicas: some,
        available_replicas: some,
        ..set.status.clone().unwrap_or_default()
    }
}
