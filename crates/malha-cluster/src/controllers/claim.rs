//! Claims of storage: each is bound as soon as it is there, to a folder of this machine that the node makes.
//!
//! What Kubernetes has three parts for (`pkg/controller/volume/persistentvolume`, `…/pvcprotection`, and the provisioner of
//! the class, which in minikube makes folders too) is one here. The volume is no object of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus, Pod};

use crate::events::EventKind;
use crate::object::{Key, Kind, Stored};
use crate::store::Store;

use super::terminating::finish;
use super::{Action, Task, uid};

/// The storage class that there is, and the default one: minikube's name.
pub(crate) const CLASS: &str = "standard";

/// Keeps a claim while a pod uses it (`PVCProtectionFinalizer`).
pub(crate) const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// The next step for a claim.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(claim) = store.get::<PersistentVolumeClaim>(&key.namespace, &key.name) else { return Vec::new() };
    if claim.metadata.deletion_timestamp.is_some() {
        let protected = claim.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == PROTECTION);
        let free = protected && !in_use(store, key);
        return if free { vec![finish(&claim.as_ref().clone().into_object(), PROTECTION)] } else { Vec::new() };
    }
    if bound(claim) {
        return Vec::new();
    }
    let spec = claim.spec.clone().unwrap_or_default();
    match spec.storage_class_name.as_deref() {
        Some(CLASS) => bind(claim),
        None | Some("") => {
            let why = "no persistent volumes available for this claim and no storage class is set";
            vec![Action::Event(EventKind::Normal, "FailedBinding", why.to_owned())]
        }
        Some(other) => {
            let why = format!("storageclass.storage.k8s.io \"{other}\" not found");
            vec![Action::Event(EventKind::Warning, "ProvisioningFailed", why)]
        }
    }
}

fn bind(claim: &Arc<PersistentVolumeClaim>) -> Vec<Action> {
    let mut new = PersistentVolumeClaim::clone(claim);
    let volume = format!("pvc-{}", uid(claim.as_ref()));
    let annotations = new.metadata.annotations.get_or_insert_default();
    for done in ["pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"] {
        annotations.insert(done.to_owned(), "yes".to_owned());
    }
    let spec = new.spec.get_or_insert_default();
    spec.volume_name = Some(volume.clone());
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let status = PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: spec.access_modes.clone(),
        capacity: requests.cloned(),
        ..PersistentVolumeClaimStatus::default()
    };
    new.status = Some(status);
    vec![
        Action::Update(new.into_object()),
        Action::Event(EventKind::Normal, "ProvisioningSucceeded", format!("Successfully provisioned volume {volume}")),
    ]
}

/// Whether a claim has its volume.
pub(crate) fn bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// The names of the claims that a pod mounts.
pub(crate) fn names(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.as_str()))
}

/// Whether a pod that has a node uses the claim (`podUsesPVC`): one without may not get a node any more.
fn in_use(store: &Store, key: &Key) -> bool {
    store.list_in::<Pod>(&key.namespace).any(|pod| {
        let placed = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty());
        placed && names(pod).any(|name| name == key.name)
    })
}

/// Adds to `tasks` the claims that a pod, which is gone, no longer uses.
pub(super) fn used_by(gone: &Pod, tasks: &mut BTreeSet<Task>) {
    let namespace = gone.metadata.namespace.as_deref().unwrap_or_default();
    tasks.extend(names(gone).map(|name| Task::Claim(Key::new(Kind::PersistentVolumeClaim, namespace, name))));
}
