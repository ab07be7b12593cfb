//! Garbage collection: what belongs to an object that is gone goes too (Kubernetes, "Garbage Collection", background
//! propagation).

use crate::object::{Kind, Object};
use crate::store::Store;

use super::{Action, Key, Task};

/// Deletes what names the gone `owner` and no other owner that is still there.
pub(super) fn sync(store: &Store, owner: &str) -> Vec<Action> {
    let dependents = store.dependents(owner).filter(|key| store.find(key).is_some_and(|object| orphan(store, object)));
    dependents.cloned().map(Action::Delete).collect()
}

/// What is to be looked at when an object comes, or has other owners, and none of them is there: the garbage collector finds
/// an absent owner as it finds one that has gone.
pub(super) fn ownerless(store: &Store, object: &Object) -> Option<Task> {
    let first = object.metadata().owner_references.iter().flatten().next()?;
    orphan(store, object).then(|| Task::Garbage { owner: first.uid.clone() })
}

fn orphan(store: &Store, object: &Object) -> bool {
    let namespace = object.key().namespace;
    !object.metadata().owner_references.iter().flatten().any(|owner| {
        // Of a kind that is not served nobody can tell whether the owner is there (`isDangling`): its dependents stay.
        let Some(kind) = Kind::of(&owner.kind) else { return true };
        store.find(&Key::new(kind, &*namespace, &*owner.name)).is_some_and(|found| found.uid() == owner.uid)
    })
}
