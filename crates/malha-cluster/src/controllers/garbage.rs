//! Garbage collection: what belongs to an object that is gone goes too (Kubernetes, "Garbage Collection", background
//! propagation).

use crate::object::{Kind, Object};
use crate::store::Store;

use super::{Action, Key};

/// Deletes what names the gone `owner` and no other owner that is still there.
pub(super) fn sync(store: &Store, owner: &str) -> Vec<Action> {
    let dependents = store.dependents(owner).filter(|key| store.find(key).is_some_and(|object| orphan(store, object)));
    dependents.cloned().map(Action::Delete).collect()
}

fn orphan(store: &Store, object: &Object) -> bool {
    let namespace = object.key().namespace;
    !object.metadata().owner_references.iter().flatten().any(|owner| {
        let found = Kind::of(&owner.kind).and_then(|kind| store.find(&Key::new(kind, &*namespace, &*owner.name)));
        found.is_some_and(|found| found.uid() == owner.uid)
    })
}
