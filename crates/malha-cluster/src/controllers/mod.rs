//! The controllers: what follows from the objects that are there.
//!
//! Each is a function of the store and of one object's key, and returns what is to be done; nothing here waits, and
//! nothing has a state of its own. As in Kubernetes they are level-triggered: what they return follows from how things
//! are, not from what happened, and is nothing at all once everything is as it should be.
//!
//! [`affected`] is the work queue's other half: which objects have to be looked at again after a change.

pub(crate) mod autoscaler;
pub(crate) mod claim;
pub(crate) mod deployment;
pub(crate) mod disruption;
pub(crate) mod garbage;
pub(crate) mod node;
pub(crate) mod pod_gc;
pub(crate) mod replica_set;
pub(crate) mod service;
pub(crate) mod service_account;
pub(crate) mod terminating;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, PodCondition, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use crate::events::EventKind;
use crate::object::{Key, Kind, Object, Stored};
use crate::selector;
use crate::store::{Change, ChangeKind, Store};

/// What a controller wants done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// A new object.
    Create(Object),
    /// The object of the same key becomes this one.
    Update(Object),
    /// The object is deleted, in its stages.
    Delete(Key),
    /// The object is deleted without its time to end: there is nobody who could end it.
    Cut(Key),
    /// The object has nothing left to wait for.
    Remove(Key),
    /// What happened to the object that was looked at: reason and message.
    Event(EventKind, &'static str, String),
    /// Look at it again after this time, whether or not something changes.
    Later(Duration),
}

/// Something to look at. The order is that in which it is looked at, so that little is looked at twice: all pods before
/// their owners, which count them, and owners before Services, which list them. Replica sets come before Deployments:
/// these decide by what those have counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// What an object that is gone has left behind.
    Garbage { owner: String },
    /// What an object that is being deleted still waits for.
    Terminating(Key),
    /// The service account that a namespace has.
    Account { namespace: String },
    /// What a node's spec asks for.
    Node(Key),
    /// The pods that a node that is gone has left behind.
    Orphans { node: String },
    /// A claim's volume.
    Claim(Key),
    /// The pods that wait for a node.
    Scheduling,
    /// The kubelet's part.
    Pod(Key),
    /// A replica set's pods.
    ReplicaSet(Key),
    /// A Deployment's replica sets.
    Deployment(Key),
    /// A Service's endpoints.
    Service(Key),
    /// How many of its pods a budget lets go.
    Budget(Key),
    /// What a target's pods use, and the target's size.
    Autoscaler(Key),
    /// What pods use is to be measured.
    Samples,
    /// Events that are old enough.
    Events,
}

impl Task {
    /// The object that is looked at.
    pub(crate) fn about(&self) -> Option<&Key> {
        match self {
            Self::Claim(key)
            | Self::Deployment(key)
            | Self::ReplicaSet(key)
            | Self::Service(key)
            | Self::Budget(key)
            | Self::Node(key)
            | Self::Autoscaler(key)
            | Self::Terminating(key)
            | Self::Pod(key) => Some(key),
            Self::Garbage { .. }
            | Self::Account { .. }
            | Self::Orphans { .. }
            | Self::Scheduling
            | Self::Samples
            | Self::Events => None,
        }
    }

    /// What is to be done about it. The scheduler's part, the kubelet's, the autoscalers' and the events' are not decided here.
    pub(crate) fn actions(&self, store: &Store) -> Vec<Action> {
        match self {
            Self::Garbage { owner } => garbage::sync(store, owner),
            Self::Terminating(key) => terminating::sync(store, key),
            Self::Account { namespace } => service_account::sync(store, namespace),
            Self::Claim(key) => claim::sync(store, key),
            Self::Deployment(key) => deployment::sync(store, key),
            Self::ReplicaSet(key) => replica_set::sync(store, key),
            Self::Service(key) => service::sync(store, key),
            Self::Budget(key) => disruption::sync(store, key),
            Self::Node(key) => node::sync(store, key),
            Self::Orphans { node } => pod_gc::sync(store, node),
            Self::Scheduling | Self::Pod(_) | Self::Autoscaler(_) | Self::Samples | Self::Events => Vec::new(),
        }
    }
}

/// Adds to `tasks` what has to be looked at after `change`.
pub(crate) fn affected(store: &Store, change: &Change, tasks: &mut BTreeSet<Task>) {
    let object = &change.object;
    let key = object.key();
    if change.kind == ChangeKind::Deleted {
        tasks.insert(Task::Garbage { owner: object.uid().to_owned() });
        terminating::waiting_for(store, object, tasks);
    } else if object.metadata().deletion_timestamp.is_some() {
        tasks.insert(Task::Terminating(key.clone()));
    }
    let owners = |object: &Object| object.metadata().owner_references.clone();
    if change.kind != ChangeKind::Deleted && change.before.as_ref().and_then(owners) != owners(object) {
        tasks.extend(garbage::ownerless(store, object));
    }
    let before = change.before.as_ref().filter(|before| before.controller() != object.controller());
    for object in [Some(object), before].into_iter().flatten() {
        if let Some(owner) = object.controller() {
            let owner_key = |kind| Key::new(kind, key.namespace.as_str(), owner.name.as_str());
            match owner.kind.as_str() {
                "Deployment" => drop(tasks.insert(Task::Deployment(owner_key(Kind::Deployment)))),
                "ReplicaSet" => drop(tasks.insert(Task::ReplicaSet(owner_key(Kind::ReplicaSet)))),
                "Service" => drop(tasks.insert(Task::Service(owner_key(Kind::Service)))),
                _ => {}
            }
        }
    }
    match object {
        Object::Node(_) => drop(tasks.insert(Task::Node(key))),
        Object::Namespace(_) => drop(tasks.insert(Task::Account { namespace: key.name })),
        Object::ServiceAccount(_) if change.kind == ChangeKind::Deleted && key.name == service_account::DEFAULT => {
            tasks.insert(Task::Account { namespace: key.namespace });
        }
        Object::Deployment(_) => {
            // Shares are of what it wants.
            let budgets = store.list_in::<PodDisruptionBudget>(&key.namespace);
            tasks.extend(budgets.map(|budget| Task::Budget(key_of(budget.as_ref()))));
            tasks.insert(Task::Deployment(key));
        }
        Object::PodDisruptionBudget(_) => drop(tasks.insert(Task::Budget(key))),
        Object::PersistentVolumeClaim(_) => drop(tasks.insert(Task::Claim(key))),
        Object::ReplicaSet(set) => {
            if object.controller().is_none() && change.kind != ChangeKind::Deleted {
                let takers = store.list_in::<Deployment>(&key.namespace).filter(|taker| deployment::adopts(taker, set));
                tasks.extend(takers.map(|taker| Task::Deployment(key_of(taker.as_ref()))));
            }
            tasks.insert(Task::ReplicaSet(key));
        }
        Object::Service(_) => drop(tasks.insert(Task::Service(key))),
        Object::HorizontalPodAutoscaler(_) => drop(tasks.insert(Task::Autoscaler(key))),
        // What was made in a Service's name and is gone is made again.
        Object::Endpoints(_) => drop(tasks.insert(Task::Service(Key::new(Kind::Service, key.namespace, key.name)))),
        Object::Pod(pod) => {
            services_of(store, pod, tasks);
            budgets_of(store, pod, tasks);
            if let Some(Object::Pod(before)) = &change.before
                && before.metadata.labels != pod.metadata.labels
            {
                services_of(store, before, tasks);
                budgets_of(store, before, tasks);
            }
            if change.kind == ChangeKind::Deleted {
                tasks.extend(recreating(store, pod));
                claim::used_by(pod, tasks);
            } else if object.controller().is_none() {
                let takers =
                    store.list_in::<ReplicaSet>(&key.namespace).filter(|taker| replica_set::adopts(taker, pod));
                tasks.extend(takers.map(|taker| Task::ReplicaSet(key_of(taker.as_ref()))));
            }
            let on = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
            let before = change.before.as_ref().and_then(|before| on(Pod::of(before)?));
            if let Some(node) = on(pod).filter(|node| before.as_ref() != Some(node)) {
                tasks.insert(Task::Node(Key::new(Kind::Node, "", node)));
            }
            tasks.insert(Task::Pod(key));
        }
        _ => {}
    }
}

/// The Deployment that may wait for its last old pod to be gone.
fn recreating(store: &Store, gone: &Pod) -> Option<Task> {
    let namespace = gone.metadata.namespace.as_deref().unwrap_or_default();
    let set = store.get::<ReplicaSet>(namespace, &owner(gone)?.name)?;
    let deployment = owner(set.as_ref()).filter(|owner| owner.kind == "Deployment")?;
    Some(Task::Deployment(Key::new(Kind::Deployment, namespace, deployment.name.as_str())))
}

fn services_of(store: &Store, pod: &Pod, tasks: &mut BTreeSet<Task>) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for service in store.list_in::<Service>(namespace) {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        if selector::selects(selector, pod.metadata.labels.as_ref()) {
            tasks.insert(Task::Service(Key::new(Kind::Service, namespace, name(service.as_ref()))));
        }
    }
}

fn budgets_of(store: &Store, pod: &Pod, tasks: &mut BTreeSet<Task>) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let budgets = store.list_in::<PodDisruptionBudget>(namespace);
    let own = budgets.filter(|budget| budget.spec.as_ref().is_some_and(|spec| disruption::selects(spec, pod)));
    tasks.extend(own.map(|budget| Task::Budget(key_of(budget.as_ref()))));
}

/// The reference of a dependent to the owner whose controller makes it.
fn owned_by<T: Stored>(owner: &T) -> Vec<OwnerReference> {
    vec![OwnerReference {
        api_version: T::KIND.api_version().to_owned(),
        kind: T::KIND.to_string(),
        name: name(owner).to_owned(),
        uid: uid(owner).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }]
}

/// Takes the owner `uid` off a dependent; a list of no owners is none.
fn disown(dependent: &mut ObjectMeta, uid: &str) {
    if let Some(owners) = &mut dependent.owner_references {
        owners.retain(|owner| owner.uid != uid);
        if owners.is_empty() {
            dependent.owner_references = None;
        }
    }
}

/// The name of a stored object.
pub(crate) fn name<T: Stored>(object: &T) -> &str {
    object.metadata().name.as_deref().unwrap_or_default()
}

/// The uid of a stored object.
pub(crate) fn uid<T: Stored>(object: &T) -> &str {
    object.metadata().uid.as_deref().unwrap_or_default()
}

/// The key of a stored object.
pub(crate) fn key_of<T: Stored>(object: &T) -> Key {
    Key::new(T::KIND, object.metadata().namespace.as_deref().unwrap_or_default(), name(object))
}

/// The pod with the condition that says why it is taken away: a reason and a sentence (Kubernetes, "Pod disruption
/// conditions").
pub(crate) fn disrupted(pod: &Pod, (reason, message): (&str, &str), now: &Time) -> Pod {
    const TYPE: &str = "DisruptionTarget";
    let mut pod = pod.clone();
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    if !conditions.iter().any(|known| known.type_ == TYPE && known.status == "True") {
        conditions.retain(|known| known.type_ != TYPE);
        conditions.push(PodCondition {
            type_: TYPE.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            observed_generation: pod.metadata.generation,
            last_transition_time: Some(now.clone()),
            ..PodCondition::default()
        });
    }
    pod
}

/// The owner whose controller manages an object.
pub(crate) fn owner<T: Stored>(object: &T) -> Option<&OwnerReference> {
    object.metadata().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Since when a pod's condition `Ready` holds, in seconds since the Unix epoch; `None` if it does not. One that does not say
/// since when has held for ever.
pub(crate) fn ready_since(pod: &Pod) -> Option<i64> {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(0, |time| time.0.as_second()))
}

/// Whether a pod's condition `Ready` holds.
pub(crate) fn ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}
