//! What a pod takes over from its runtime class: which nodes have the runtime, and what a sandbox costs (Kubernetes,
//! `plugin/pkg/admission/runtimeclass`).

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;

use crate::error::Error;
use crate::object::Key;
use crate::store::Store;

/// Adds it. A class that is not there is no obstacle here: the pod waits for it, since files come in any order.
pub(super) fn admit(key: &Key, pod: &mut Pod, store: &Store) -> Result<(), Error> {
    let Some(spec) = &mut pod.spec else { return Ok(()) };
    let class = spec.runtime_class_name.as_deref().and_then(|name| store.get::<RuntimeClass>("", name));
    let Some(class) = class else { return Ok(()) };
    if let Some(overhead) = &class.overhead {
        spec.overhead.clone_from(&overhead.pod_fixed);
    }
    let Some(scheduling) = &class.scheduling else { return Ok(()) };
    for (label, value) in scheduling.node_selector.iter().flatten() {
        let own = spec.node_selector.get_or_insert_default().entry(label.clone()).or_insert_with(|| value.clone());
        if own != value {
            let message = format!(
                "pod rejected: conflict: runtimeClass.scheduling.nodeSelector[{label}] = {value}; \
                 pod.spec.nodeSelector[{label}] = {own}"
            );
            return Err(Error::Forbidden { key: key.clone(), message });
        }
    }
    let known = spec.tolerations.get_or_insert_default();
    for toleration in scheduling.tolerations.iter().flatten() {
        if !known.contains(toleration) {
            known.push(toleration.clone());
        }
    }
    Ok(())
}
