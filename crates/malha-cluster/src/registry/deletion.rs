//! Deletion in stages (Kubernetes, `apiserver/pkg/registry/rest/delete.go` and "Garbage Collection").
//!
//! An object that something has still to be done about gets a `deletionTimestamp` and stays until that is done: a pod
//! until its kubelet has stopped it, a namespace until nothing is in it, anything until its last finalizer is gone.

use std::sync::Arc;

use k8s_openapi::api::core::v1::NamespaceStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::SignedDuration;

use crate::error::Error;
use crate::object::{Key, Kind, Object};
use crate::state::NAMESPACES;
use crate::store::Store;

/// Dependents go first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Dependents stay, without their owner.
pub(crate) const ORPHAN: &str = "orphan";
/// Seconds that a pod has to end if nothing is said (API default of `terminationGracePeriodSeconds`).
const GRACE: i64 = 30;

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    #[default]
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// `DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Nothing is done; what would be is returned.
    pub dry_run: bool,
    /// For a pod: seconds instead of its own.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of its dependents.
    pub propagation: Propagation,
    /// Only if it is this very object.
    pub uid: Option<String>,
    /// Only if it is at this version.
    pub resource_version: Option<String>,
}

/// How far a deletion has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Deleted {
    /// The object is gone; this was it.
    Gone(Object),
    /// The object is being deleted, and this is how it stands.
    Terminating(Object),
}

pub(super) fn delete(store: &mut Store, key: &Key, deletion: &Deletion) -> Result<Deleted, Error> {
    let old = store.find(key).cloned().ok_or_else(|| Error::NotFound { key: key.clone() })?;
    if key.kind == Kind::Namespace && NAMESPACES.contains(&key.name.as_str()) {
        return Err(Error::Forbidden { key: key.clone(), message: "this namespace may not be deleted".to_owned() });
    }
    check(key, old.metadata(), deletion)?;
    let mut object = old.clone();
    let grace = grace(&object, deletion);
    let now = store.now();
    stage(object.metadata_mut(), deletion.propagation, grace, &now);
    if let Object::Namespace(namespace) = &mut object {
        Arc::make_mut(namespace).status = Some(NamespaceStatus { phase: Some("Terminating".into()), conditions: None });
    }
    if complete(&object) {
        if !deletion.dry_run {
            store.delete(key)?;
        }
        return Ok(Deleted::Gone(old));
    }
    if deletion.dry_run {
        return Ok(Deleted::Terminating(object));
    }
    store.update(object)?;
    Ok(Deleted::Terminating(store.find(key).cloned().unwrap_or(old)))
}

/// Whether it is the object that is meant (`Preconditions`).
pub(super) fn check(key: &Key, meta: &ObjectMeta, deletion: &Deletion) -> Result<(), Error> {
    for (what, wanted, is) in
        [("UID", &deletion.uid, &meta.uid), ("ResourceVersion", &deletion.resource_version, &meta.resource_version)]
    {
        if wanted.is_some() && wanted != is {
            let (wanted, is) = (wanted.as_deref().unwrap_or_default(), is.as_deref().unwrap_or_default());
            let message = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
            return Err(Error::Precondition { key: key.clone(), message });
        }
    }
    Ok(())
}

/// Whether an object that is being deleted has nothing left to wait for.
pub(super) fn complete(object: &Object) -> bool {
    let meta = object.metadata();
    if meta.deletion_timestamp.is_none() || meta.finalizers.iter().flatten().next().is_some() {
        return false;
    }
    match object {
        Object::Namespace(namespace) => {
            let left = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
            left.is_none_or(Vec::is_empty)
        }
        Object::Pod(_) => meta.deletion_grace_period_seconds.unwrap_or(0) == 0,
        _ => true,
    }
}

/// Seconds that the object has; 0 for all but pods that a kubelet has.
fn grace(object: &Object, deletion: &Deletion) -> i64 {
    let Object::Pod(pod) = object else { return 0 };
    let spec = pod.spec.as_ref();
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    // Nobody runs it: nobody has to stop it.
    if spec.and_then(|spec| spec.node_name.as_ref()).is_none() || matches!(phase, Some("Succeeded" | "Failed")) {
        return 0;
    }
    let own = spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(GRACE);
    deletion.grace_period_seconds.unwrap_or(own).max(0)
}

fn stage(meta: &mut ObjectMeta, propagation: Propagation, grace: i64, now: &Time) {
    let later = |seconds: i64| Time(now.0.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now.0));
    match (&meta.deletion_timestamp, meta.deletion_grace_period_seconds) {
        // Asked again: only a shorter time counts (`BeforeDelete`).
        (Some(_), Some(before)) if grace >= before => {}
        _ => {
            meta.deletion_timestamp = Some(later(grace));
            meta.deletion_grace_period_seconds = Some(grace);
        }
    }
    let finalizer = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    if let Some(finalizer) = finalizer {
        let finalizers = meta.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|known| known == finalizer) {
            finalizers.push(finalizer.to_owned());
        }
    }
}
