//! What a node's own spec asks for: a cordoned node is tainted (kube-controller-manager, `pkg/controller/nodelifecycle`), and
//! pods that do not tolerate what was put on it leave it (`pkg/controller/tainteviction`).

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::events::EventKind;
use crate::object::{Key, Stored};
use crate::scheduler::{UNSCHEDULABLE, tolerates};
use crate::store::Store;

use super::{Action, disrupted, key_of, name};

const NO_EXECUTE: &str = "NoExecute";

/// What the node needs now.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(node) = store.get::<Node>("", &key.name) else { return Vec::new() };
    let mut actions = mark(node, &store.now());
    let pods = store.list::<Pod>().filter(|pod| {
        let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        on == Some(name(node.as_ref())) && pod.metadata.deletion_timestamp.is_none()
    });
    for pod in pods {
        match stay(node, pod, &store.now()) {
            Stay::Forever => {}
            Stay::For(time) => actions.push(Action::Later(time)),
            Stay::Over => {
                let why = ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
                actions.push(Action::Update(disrupted(pod, why, &store.now()).into_object()));
                actions.push(Action::Delete(key_of(pod.as_ref())));
            }
        }
    }
    actions
}

/// Has a cordoned node say so in its taints (`doNoScheduleTaintingPass`), and taints since when they hold.
fn mark(node: &Arc<Node>, now: &Time) -> Vec<Action> {
    let spec = node.spec.clone().unwrap_or_default();
    let closed = spec.unschedulable == Some(true);
    let mut taints = spec.taints.clone().unwrap_or_default();
    let marked = taints.iter().any(|taint| taint.key == UNSCHEDULABLE && taint.effect == "NoSchedule");
    if !closed {
        taints.retain(|taint| taint.key != UNSCHEDULABLE || taint.effect != "NoSchedule");
    } else if !marked {
        taints.push(Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() });
    }
    for taint in &mut taints {
        if taint.effect == NO_EXECUTE || taint.key == UNSCHEDULABLE {
            taint.time_added.get_or_insert_with(|| now.clone());
        }
    }
    if taints == spec.taints.clone().unwrap_or_default() {
        return Vec::new();
    }
    let mut marked_node = Node::clone(node);
    marked_node.spec.get_or_insert_default().taints = Some(taints).filter(|taints| !taints.is_empty());
    let mut actions = vec![Action::Update(marked_node.into_object())];
    if closed != marked {
        // The kubelet's words.
        let reason = if closed { "NodeNotSchedulable" } else { "NodeSchedulable" };
        let message = format!("Node {} status is now: {reason}", name(node.as_ref()));
        actions.push(Action::Event(EventKind::Normal, reason, message));
    }
    actions
}

/// How long a pod may be where it is.
enum Stay {
    Forever,
    For(Duration),
    Over,
}

/// The shortest of what it tolerates (`getMinTolerationTime`), from when the taint came or the pod did.
///
/// A pod is left where it is for a second at least: one that is made for the node again and again would otherwise never let
/// anything else happen.
fn stay(node: &Node, pod: &Pod, now: &Time) -> Stay {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let now = now.0.as_second();
    let came = pod.metadata.creation_timestamp.as_ref().map_or(now, |came| came.0.as_second());
    let mut least: Option<i64> = None;
    for taint in taints.filter(|taint| taint.effect == NO_EXECUTE) {
        let all = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
        let mut own = all.filter(|toleration| tolerates(toleration, taint)).peekable();
        let since = taint.time_added.as_ref().map_or(now, |since| since.0.as_second()).max(came);
        let until = if own.peek().is_none() {
            Some(since)
        } else {
            own.filter_map(|toleration| toleration.toleration_seconds).map(|seconds| since + seconds.max(0)).min()
        };
        least = [least, until].into_iter().flatten().min();
    }
    match least.map(|until| until.max(came + 1) - now) {
        None => Stay::Forever,
        Some(left @ 1..) => Stay::For(Duration::from_secs(left.unsigned_abs())),
        Some(_) => Stay::Over,
    }
}
