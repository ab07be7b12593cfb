//! Whether the only node takes a pod (kube-scheduler).
//!
//! The node takes all pods that fit its labels. What pods request is not summed up: a pod here takes what it uses, which
//! is a hundredth of what its manifest says for a container, and the cluster would be full of room.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::store::Store;

use super::NODE;

/// The error is the message of `FailedScheduling`.
pub(super) fn fits(store: &Store, pod: &Pod) -> Result<(), &'static str> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    let node = store.get::<Node>("", NODE);
    let labels = node.and_then(|node| node.metadata.labels.as_ref());
    let has = |(name, value): (&String, &String)| labels.and_then(|labels| labels.get(name)) == Some(value);
    if !spec.node_selector.iter().flatten().all(has) {
        return Err("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. \
             preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
    }
    if node.and_then(|node| node.spec.as_ref()?.unschedulable) == Some(true) {
        return Err("0/1 nodes are available: 1 node(s) were unschedulable. \
             preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
    }
    Ok(())
}
