//! `ReplicaSet` → pods: as many as `replicas` says (kube-controller-manager, `pkg/controller/replicaset`;
//! `pkg/controller/controller_utils.go`).

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::object::{Key, Kind, Stored};
use crate::selector;
use crate::store::Store;

use super::{Action, disown, name, owned_by, owner, ready_since, uid};

/// What a pod's deletion costs compared to others of its set: the cheapest goes first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What the replica set needs now.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(set) = store.get::<ReplicaSet>(&key.namespace, &key.name) else { return Vec::new() };
    let mut actions = Vec::new();
    let pods = claim(store, set, &mut actions);
    let now = store.now();
    if set.metadata.deletion_timestamp.is_none() {
        let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let wanted = usize::try_from(wanted).unwrap_or(0);
        if let Some(excess @ 1..) = pods.len().checked_sub(wanted) {
            let mut doomed: Vec<&Arc<Pod>> = pods.clone();
            let related = related(store, set);
            doomed.sort_by_cached_key(|pod| Rank::of(pod, &related, &now));
            let key = |pod: &&Arc<Pod>| Key::new(Kind::Pod, &*key.namespace, name(pod.as_ref()));
            actions.extend(doomed.iter().take(excess).map(key).map(Action::Delete));
        } else if pods.len() < wanted {
            let pod = pod(set);
            actions.extend((pods.len()..wanted).map(|_| Action::Create(pod.clone().into_object())));
        }
    }
    // As in Kubernetes the status counts what was there before the actions; their changes come back here.
    let status = status(set, &pods, &now);
    if set.status.as_ref() != Some(&status) {
        let set = ReplicaSet { status: Some(status), ..ReplicaSet::clone(set) };
        actions.push(Action::Update(set.into_object()));
    }
    // A pod that is ready becomes available by waiting alone.
    let waits = pods.iter().filter_map(|pod| wait(set, pod, &now)).min();
    actions.extend(waits.map(|seconds| Action::Later(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))));
    actions
}

/// Whether a pod without an owner is one that the set takes.
pub(super) fn adopts(set: &ReplicaSet, pod: &Pod) -> bool {
    set.metadata.deletion_timestamp.is_none()
        && active(pod)
        && set.spec.as_ref().is_some_and(|spec| selector::matches(&spec.selector, pod.metadata.labels.as_ref()))
}

/// The set's pods that count. It takes orphans that it selects, and lets go of pods that it does not select any more
/// (`PodControllerRefManager`).
fn claim<'a>(store: &'a Store, set: &'a ReplicaSet, actions: &mut Vec<Action>) -> Vec<&'a Arc<Pod>> {
    let own = uid(set);
    let mut pods = Vec::new();
    for pod in store.owned::<Pod>(own).filter(|pod| owner(pod.as_ref()).is_some_and(|owner| owner.uid == own)) {
        if !active(pod) {
            continue;
        }
        if set.metadata.deletion_timestamp.is_some() || adopts(set, pod) {
            pods.push(pod);
        } else {
            let mut released = Pod::clone(pod);
            disown(&mut released.metadata, own);
            actions.push(Action::Update(released.into_object()));
        }
    }
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    for pod in store.list_in::<Pod>(namespace).filter(|pod| owner(pod.as_ref()).is_none() && adopts(set, pod)) {
        let mut adopted = Pod::clone(pod);
        adopted.metadata.owner_references.get_or_insert_default().extend(owned_by(set));
        actions.push(Action::Update(adopted.into_object()));
        pods.push(pod);
    }
    pods
}

/// Neither ended nor on its way out (`IsPodActive`).
fn active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
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
            finalizers: meta.finalizers,
            owner_references: Some(owned_by(set)),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: Some(PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() }),
    }
}

/// Who goes first, the least first (`ActivePodsWithRanks`).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    assigned: bool,
    phase: u8,
    ready: bool,
    cost: i32,
    /// Pods of the set, or of another of its Deployment, on the same node.
    doubled: Reverse<usize>,
    /// Times count by their order of magnitude (`LogarithmicScaleDown`), so that one of several equals goes.
    ready_for: i64,
    restarts: Reverse<i32>,
    age: i64,
    uid: String,
}

impl Rank {
    fn of(pod: &Pod, related: &[&Arc<Pod>], now: &Time) -> Self {
        let status = pod.status.as_ref();
        let cost = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
        let containers = status.into_iter().flat_map(|status| status.container_statuses.iter().flatten());
        let ready = ready_since(pod);
        Self {
            assigned: pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()),
            phase: match status.and_then(|status| status.phase.as_deref()) {
                Some("Pending") | None => 0,
                Some("Running") => 2,
                Some(_) => 1,
            },
            ready: ready.is_some(),
            cost: cost.and_then(|text| text.parse().ok()).unwrap_or(0),
            doubled: Reverse(node(pod).map_or(0, |own| related.iter().filter(|pod| node(pod) == Some(own)).count())),
            ready_for: ready.map_or(-1, |since| magnitude(since, now)),
            restarts: Reverse(containers.map(|container| container.restart_count).max().unwrap_or(0)),
            age: pod.metadata.creation_timestamp.as_ref().map_or(-1, |since| magnitude(since.0.as_second(), now)),
            uid: uid(pod).to_owned(),
        }
    }
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The pods that count of all sets of the Deployment whose the set is, or else of the set (`getReplicaSetsWithSameController`).
fn related<'a>(store: &'a Store, set: &ReplicaSet) -> Vec<&'a Arc<Pod>> {
    let pods = |set: &str| store.owned::<Pod>(set).filter(|pod| active(pod)).collect::<Vec<_>>();
    match owner(set) {
        Some(owner) => store.owned::<ReplicaSet>(&owner.uid).flat_map(|set| pods(uid(set.as_ref()))).collect(),
        None => pods(uid(set)),
    }
}

/// The binary logarithm of the nanoseconds since then; -1 for none.
fn magnitude(since: i64, now: &Time) -> i64 {
    let seconds = u64::try_from(now.0.as_second() - since).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).checked_ilog2().map_or(-1, i64::from)
}

/// Seconds until the pod is available; `None` if it is, or is not ready.
fn wait(set: &ReplicaSet, pod: &Pod, now: &Time) -> Option<i64> {
    let since = ready_since(pod)?;
    let least = i64::from(set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0));
    let left = since + least - now.0.as_second();
    (least > 0 && left > 0).then_some(left)
}

fn status(set: &ReplicaSet, pods: &[&Arc<Pod>], now: &Time) -> ReplicaSetStatus {
    // Zero is not written, as in Kubernetes (`omitempty`).
    let count = |holds: &dyn Fn(&Pod) -> bool| {
        let number = pods.iter().filter(|pod| holds(pod)).count();
        (number > 0).then(|| i32::try_from(number).unwrap_or(i32::MAX))
    };
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref()?.metadata.as_ref()?.labels.as_ref());
    let labelled = |pod: &Pod| {
        template.is_none_or(|labels| {
            let own = pod.metadata.labels.as_ref();
            labels.iter().all(|(name, value)| own.and_then(|own| own.get(name)) == Some(value))
        })
    };
    ReplicaSetStatus {
        observed_generation: set.metadata.generation,
        replicas: count(&|_| true).unwrap_or(0),
        fully_labeled_replicas: count(&labelled),
        ready_replicas: count(&|pod| ready_since(pod).is_some()),
        available_replicas: count(&|pod| ready_since(pod).is_some() && wait(set, pod, now).is_none()),
        ..set.status.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};
    use k8s_openapi::jiff::Timestamp;

    use crate::fixtures;

    use super::*;

    fn time(seconds: i64) -> Time {
        Time(Timestamp::from_second(1_700_000_000 + seconds).unwrap())
    }

    /// Name, phase, when it became ready, restarts, cost, when it was made.
    type Row = (&'static str, &'static str, Option<i64>, i32, Option<&'static str>, i64);

    fn made((name, phase, ready, restarts, cost, created): Row) -> Pod {
        let mut pod = fixtures::pod(name);
        pod.metadata.uid = Some(name.into());
        pod.metadata.creation_timestamp = Some(time(created));
        pod.metadata.annotations = cost.map(|cost| [(DELETION_COST.to_owned(), cost.to_owned())].into());
        pod.spec.as_mut().unwrap().node_name = (phase != "New").then(|| "malha".to_owned());
        let condition = ready.map(|since| PodCondition {
            type_: "Ready".into(),
            status: "True".into(),
            last_transition_time: Some(time(since)),
            ..PodCondition::default()
        });
        pod.status = Some(PodStatus {
            phase: Some(if phase == "New" { "Pending" } else { phase }.into()),
            conditions: condition.map(|condition| vec![condition]),
            container_statuses: Some(vec![ContainerStatus { restart_count: restarts, ..ContainerStatus::default() }]),
            ..PodStatus::default()
        });
        pod
    }

    #[test]
    fn those_go_first_that_would_be_missed_least() {
        let rows: [Row; 8] = [
            ("unassigned", "New", None, 0, None, 0),
            ("pending", "Pending", None, 0, None, 0),
            ("not-ready", "Running", None, 0, None, 0),
            ("cheap", "Running", Some(10), 0, Some("-5"), 0),
            ("just-ready", "Running", Some(9_990), 0, None, 0),
            ("restarted", "Running", Some(10), 3, None, 0),
            ("young", "Running", Some(10), 0, None, 9_000),
            ("dear", "Running", Some(10), 0, Some("7"), 0),
        ];
        let mut pods: Vec<Pod> = rows.into_iter().rev().map(made).collect();
        // One more on the node of the last but one.
        let mut beside = made(("beside", "Running", None, 0, None, 0));
        beside.spec.as_mut().unwrap().node_name = Some("malha-m02".into());
        let related = [Arc::new(beside)];
        let related: Vec<_> = related.iter().collect();
        pods.sort_by_cached_key(|pod| Rank::of(pod, &related, &time(10_000)));
        let names: Vec<&str> = pods.iter().map(name).collect();
        assert_eq!(names, rows.map(|row| row.0));
    }
}
