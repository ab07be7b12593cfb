//! What an object that is being deleted waits for: a namespace for its content, and with the propagations `Foreground`
//! and `Orphan` an owner for its dependents (Kubernetes, "Garbage Collection"; `pkg/controller/namespace/deletion`).

use std::collections::BTreeSet;

use crate::object::{Key, Kind, Object};
use crate::registry::{FOREGROUND, ORPHAN};
use crate::store::Store;

use super::{Action, Task, disown};

/// The next step of a deletion.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(object) = store.find(key) else { return Vec::new() };
    if object.metadata().deletion_timestamp.is_none() {
        return Vec::new();
    }
    let mut actions = Vec::new();
    if key.kind == Kind::Namespace {
        let inside = store.keys_in(&key.name);
        if inside.is_empty() {
            let others = object.metadata().finalizers.iter().flatten().next().is_some();
            if !others {
                actions.push(Action::Remove(key.clone()));
            }
        } else {
            actions.extend(inside.into_iter().filter(|key| !deleting(store, key)).map(Action::Delete));
        }
    }
    let has = |finalizer: &str| object.metadata().finalizers.iter().flatten().any(|known| known == finalizer);
    let dependents: Vec<&Key> = store.dependents(object.uid()).collect();
    if has(ORPHAN) {
        actions
            .extend(dependents.iter().filter_map(|key| Some(Action::Update(without(store.find(key)?, object.uid())))));
        actions.push(finish(object, ORPHAN));
    } else if has(FOREGROUND) {
        let blocking = |key: &&&Key| store.find(key).is_some_and(|dependent| blocks(dependent, object.uid()));
        if dependents.iter().any(|key| blocking(&key)) {
            let left = dependents.iter().filter(|key| !deleting(store, key));
            actions.extend(left.map(|key| Action::Delete((*key).clone())));
        } else {
            actions.push(finish(object, FOREGROUND));
        }
    }
    actions
}

/// Adds to `tasks` the deletions that waited for the object that is gone.
pub(super) fn waiting_for(store: &Store, gone: &Object, tasks: &mut BTreeSet<Task>) {
    let key = gone.key();
    let owners = gone.metadata().owner_references.iter().flatten();
    let owners = owners.filter_map(|owner| Some(Key::new(Kind::of(&owner.kind)?, &*key.namespace, &*owner.name)));
    let namespace = key.kind.namespaced().then(|| Key::new(Kind::Namespace, "", &*key.namespace));
    tasks.extend(owners.chain(namespace).filter(|key| deleting(store, key)).map(Task::Terminating));
}

fn deleting(store: &Store, key: &Key) -> bool {
    store.find(key).is_some_and(|object| object.metadata().deletion_timestamp.is_some())
}

fn blocks(dependent: &Object, owner: &str) -> bool {
    let mut owners = dependent.metadata().owner_references.iter().flatten();
    owners.any(|reference| reference.uid == owner && reference.block_owner_deletion == Some(true))
}

fn without(dependent: &Object, owner: &str) -> Object {
    let mut dependent = dependent.clone();
    disown(dependent.metadata_mut(), owner);
    dependent
}

/// Takes the finalizer away, and with the last one the object.
pub(super) fn finish(object: &Object, finalizer: &str) -> Action {
    let mut left: Vec<String> = object.metadata().finalizers.clone().unwrap_or_default();
    left.retain(|known| known != finalizer);
    if left.is_empty() && object.kind() != Kind::Pod {
        return Action::Remove(object.key());
    }
    let mut object = object.clone();
    object.metadata_mut().finalizers = (!left.is_empty()).then_some(left);
    Action::Update(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reference_is_taken_out_alone() {
        use crate::object::Stored;
        use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
        let mut pod = crate::fixtures::pod("p");
        let reference = |uid: &str| OwnerReference { uid: uid.into(), ..OwnerReference::default() };
        pod.metadata.owner_references = Some(vec![reference("a"), reference("b")]);
        let object = without(&pod.into_object(), "a");
        assert_eq!(object.metadata().owner_references.as_ref().unwrap().len(), 1);
        assert_eq!(without(&object, "b").metadata().owner_references, None);
    }
}
