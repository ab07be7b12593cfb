//! Which node a pod goes to, as kube-scheduler decides it with its default profile (`pkg/scheduler/schedule_one.go`,
//! `apis/config/v1/default_plugins.go`).
//!
//! | module | plugins |
//! | --- | --- |
//! | `hosts` | the nodes with their pods (the scheduler's snapshot) |
//! | `node_affinity` | `NodeAffinity`: `nodeSelector` and `affinity.nodeAffinity` |
//! | `taints` | `NodeUnschedulable`, `TaintToleration` |
//! | `resources` | `NodeResourcesFit` (least allocated), `NodeResourcesBalancedAllocation` |
//! | `volumes` | `VolumeBinding`, as far as it waits for claims |
//! | `spread` | `PodTopologySpread`, with the system's default constraints |
//! | `pod_affinity` | `InterPodAffinity` |
//!
//! Functions of the store. Of nodes with the same score kube-scheduler takes one by chance; here it is the one with the fewest
//! pods, and of those the first by name, so that the same manifests make the same cluster, and no node stays empty.
//! Priorities and preemption have no part: pods are placed in the order of their names.

mod hosts;
mod node_affinity;
mod pod_affinity;
mod resources;
mod spread;
mod taints;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Pod};

use crate::controllers::key_of;
use crate::object::{Key, Object};
use crate::store::{Change, Store};

use hosts::{Host, Hosts};
pub(crate) use taints::{UNSCHEDULABLE, tolerates};

/// The scheduler that pods name if they name none.
const NAME: &str = "default-scheduler";

/// The best score of a plugin (`MaxNodeScore`).
const BEST: i64 = 100;

/// Why a node does not take a pod, and whether it could if other pods were not there.
enum Refusal {
    /// Another pod is in the way.
    Occupied(String),
    /// The node itself does not fit (`UnschedulableAndUnresolvable`).
    Unfit(String),
}

/// What became of a pod: the node's name, or the message of `FailedScheduling`.
pub(crate) type Decision = Result<String, String>;

/// Decides about every pod that waits for a node.
pub(crate) fn decide(store: &Store) -> Vec<(Key, Decision)> {
    let waiting: Vec<_> = store.list::<Pod>().filter(|pod| waits(pod)).collect();
    if waiting.is_empty() {
        return Vec::new();
    }
    let mut hosts = Hosts::new(store);
    let decide = |pod| {
        let decision = place(store, &hosts, pod);
        if let Ok(node) = &decision {
            // The next one finds it there (`assume`).
            hosts.add(node, pod);
        }
        (key_of(pod), decision)
    };
    waiting.into_iter().map(AsRef::as_ref).map(decide).collect()
}

/// Whether pods that wait for a node may be placed otherwise after a change (`framework.ClusterEvent`).
pub(crate) fn concerns(change: &Change) -> bool {
    let before = change.before.as_ref();
    match (&change.object, before) {
        (Object::Pod(pod), Some(Object::Pod(before))) if before.metadata.uid == pod.metadata.uid => {
            change.kind == crate::store::ChangeKind::Deleted
                || pod.spec != before.spec
                || pod.metadata.labels != before.metadata.labels
                || pod.metadata.deletion_timestamp != before.metadata.deletion_timestamp
                || hosts::over(pod) != hosts::over(before)
        }
        (Object::Node(node), Some(Object::Node(before))) => {
            let room = |node: &k8s_openapi::api::core::v1::Node| node.status.as_ref()?.allocatable.clone();
            change.kind == crate::store::ChangeKind::Deleted
                || node.spec != before.spec
                || node.metadata.labels != before.metadata.labels
                || room(node) != room(before)
        }
        (Object::Namespace(namespace), Some(Object::Namespace(before))) => {
            namespace.metadata.labels != before.metadata.labels
        }
        (Object::Pod(_) | Object::Node(_) | Object::PersistentVolumeClaim(_), _) => true,
        _ => false,
    }
}

/// Whether a pod waits for this scheduler (`responsibleForPod`, `skipPodSchedule`).
fn waits(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.node_name.as_deref().unwrap_or_default().is_empty()
        && spec.scheduler_name.as_deref().unwrap_or(NAME) == NAME
        && pod.metadata.deletion_timestamp.is_none()
        && !hosts::over(pod)
}

/// Finds a node for a pod.
fn place(store: &Store, hosts: &Hosts<'_>, pod: &Pod) -> Decision {
    let all: Vec<&Host<'_>> = hosts.all().collect();
    if all.is_empty() {
        return Err("no nodes available to schedule pods".to_owned());
    }
    // What is wrong with the pod itself is said without looking at nodes (`PreFilter`).
    if let Some(why) = volumes::missing(store, pod) {
        let count = all.len();
        return Err(format!(
            "0/{count} nodes are available: {why}. preemption: 0/{count} nodes are available: {count} Preemption is not \
             helpful for scheduling."
        ));
    }
    let namespaces = Namespaces(store);
    let requests = resources::of(pod);
    let spread = spread::Filter::new(&all, pod);
    let affinity = pod_affinity::Filter::new(&namespaces, &all, pod);
    let mut refused = BTreeMap::<String, usize>::new();
    let (mut occupied, mut fitting) = (0, Vec::new());
    for host in &all {
        // In the order of the default plugins; the first that refuses a node has it.
        let verdict = taints::schedulable(host, pod)
            .and_then(|()| taints::fits(host, pod))
            .and_then(|()| node_affinity::fits(host, pod))
            .and_then(|()| resources::fits(host, &requests))
            .and_then(|()| spread.fits(host).map_err(|why| vec![why]))
            .and_then(|()| affinity.fits(host).map_err(|why| vec![why]));
        let Err(reasons) = verdict else {
            fitting.push(*host);
            continue;
        };
        occupied += usize::from(reasons.iter().all(|reason| matches!(reason, Refusal::Occupied(_))));
        for Refusal::Occupied(reason) | Refusal::Unfit(reason) in reasons {
            *refused.entry(reason).or_default() += 1;
        }
    }
    if fitting.is_empty() {
        return Err(message(all.len(), refused, occupied));
    }
    let scores = scores(store, &namespaces, &all, &fitting, pod);
    let best = scores.iter().copied().max().unwrap_or_default();
    let equal = fitting.iter().zip(scores).filter(|(_, score)| *score == best).map(|(host, _)| *host);
    Ok(equal.min_by_key(|host| host.pods.len()).unwrap_or(fitting[0]).name.to_owned())
}

/// The sum of what each plugin says of each node, weighted as by default.
fn scores(store: &Store, namespaces: &Namespaces<'_>, all: &[&Host<'_>], fitting: &[&Host<'_>], pod: &Pod) -> Vec<i64> {
    if fitting.len() == 1 {
        return vec![0];
    }
    let plugins = [
        (3, taints::score(fitting, pod)),
        (2, node_affinity::score(fitting, pod)),
        (1, resources::least_allocated(fitting, pod)),
        (1, resources::balanced(fitting, pod)),
        (2, spread::score(store, all, fitting, pod)),
        (2, pod_affinity::score(namespaces, all, fitting, pod)),
    ];
    (0..fitting.len())
        .map(|index| plugins.iter().map(|(weight, scores)| weight * scores.get(index).copied().unwrap_or(0)).sum())
        .collect()
}

/// As `FitError` words it. What preemption could do is said after it: pods of the same priority never make room.
fn message(all: usize, refused: BTreeMap<String, usize>, occupied: usize) -> String {
    let listed = |reasons: Vec<(String, usize)>| {
        let mut texts: Vec<_> = reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        texts.sort();
        texts.join(", ")
    };
    let preemption = [
        ("No preemption victims found for incoming pod", occupied),
        ("Preemption is not helpful for scheduling", all - occupied),
    ];
    let preemption = preemption.into_iter().filter(|(_, count)| *count > 0);
    format!(
        "0/{all} nodes are available: {}. preemption: 0/{all} nodes are available: {}.",
        listed(refused.into_iter().collect()),
        listed(preemption.map(|(reason, count)| (reason.to_owned(), count)).collect())
    )
}

/// The namespaces, for selectors that select them.
struct Namespaces<'a>(&'a Store);

impl Namespaces<'_> {
    fn labels(&self, name: &str) -> Option<&crate::selector::Labels> {
        self.0.get::<Namespace>("", name)?.metadata.labels.as_ref()
    }
}

/// Scores that count up to the best one: the highest becomes 100 (`DefaultNormalizeScore`), or the lowest if less is better.
fn normalized(counts: &[i64], less_is_better: bool) -> Vec<i64> {
    let most = counts.iter().copied().max().unwrap_or(0);
    let share = |count: &i64| if most == 0 { 0 } else { count * BEST / most };
    counts.iter().map(|count| if less_is_better { BEST - share(count) } else { share(count) }).collect()
}
