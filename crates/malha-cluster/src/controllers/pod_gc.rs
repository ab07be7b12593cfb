//! Pods of nodes that are not there any more (kube-controller-manager, `pkg/controller/podgc`, `gcOrphaned`).

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::object::Stored;
use crate::store::Store;

use super::{Action, disrupted, key_of};

/// How long a node has to be gone before its pods go (`quarantineTime`).
pub(crate) const QUARANTINE: Duration = Duration::from_secs(40);

/// Deletes the pods of a node that is gone at once: there is no kubelet that could end them.
pub(super) fn sync(store: &Store, node: &str) -> Vec<Action> {
    if store.get::<Node>("", node).is_some() {
        return Vec::new();
    }
    let on = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node);
    let remove = |pod: &Pod| {
        let mut failed = disrupted(pod, ("DeletionByPodGC", "PodGC: node no longer exists"), &store.now());
        let status = failed.status.get_or_insert_default();
        if !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            status.phase = Some("Failed".to_owned());
        }
        [Action::Update(failed.into_object()), Action::Cut(key_of(pod))]
    };
    store.list::<Pod>().filter(|pod| on(pod)).flat_map(|pod| remove(pod)).collect()
}
