//! Claims that a pod needs (plugin `VolumeBinding`, `PreFilter`). Every volume is a folder of this machine, which any node
//! reaches: no node fits better than another.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use crate::controllers::claim;
use crate::store::Store;

/// Why the pod fits nowhere yet.
pub(super) fn missing(store: &Store, pod: &Pod) -> Option<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut unbound = false;
    for name in claim::names(pod) {
        let Some(found) = store.get::<PersistentVolumeClaim>(namespace, name) else {
            return Some(format!("persistentvolumeclaim \"{name}\" not found"));
        };
        if found.metadata.deletion_timestamp.is_some() {
            return Some(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        unbound |= !claim::bound(found);
    }
    unbound.then(|| "pod has unbound immediate PersistentVolumeClaims".to_owned())
}
