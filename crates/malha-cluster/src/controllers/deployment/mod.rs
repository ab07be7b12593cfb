//! Deployment → `ReplicaSet`s: one for each pod template that it has had, and rollouts from one to the next
//! (kube-controller-manager, `pkg/controller/deployment`).
//!
//! | module | what it decides | Kubernetes |
//! | --- | --- | --- |
//! | `strategy` | how many pods more and fewer there may be | `util/deployment_util.go` |
//! | `sets` | which set is the one of the template, and what sets count | `util/deployment_util.go` |
//! | `revisions` | annotations: revisions, sizes, change causes | `util/deployment_util.go` |
//! | `rolling`, `recreate` | the next step of a rollout | `rolling.go`, `recreate.go` |
//! | `scale` | what a new size means while nothing, or a rollout, goes on | `sync.go` |
//! | `conditions` | status, progress, deadline | `sync.go`, `progress.go` |
//!
//! Each look takes one step, as there; what the step changes brings the Deployment back here.

mod conditions;
mod recreate;
mod revisions;
mod rolling;
mod scale;
mod sets;
mod strategy;

pub(super) use strategy::{Round, scaled};

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::events::EventKind;
use crate::names;
use crate::object::{Key, Kind, Stored};
use crate::selector::{self, Labels};
use crate::store::Store;

use super::{Action, disown, name, owned_by, owner, uid};

/// Tells the pods of one template from those of another.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

/// Old replica sets kept without `revisionHistoryLimit` (API default).
const HISTORY_LIMIT: i32 = 10;

/// What the Deployment needs now.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(deployment) = store.get::<Deployment>(&key.namespace, &key.name) else { return Vec::new() };
    let Some(spec) = &deployment.spec else { return Vec::new() };
    let mut rollout = Rollout::new(store, deployment);
    if deployment.metadata.deletion_timestamp.is_some() {
        rollout.note_revision();
        rollout.write_counts();
        return rollout.finish();
    }
    rollout.claim();
    conditions::note_pause(&mut rollout.deployment, &rollout.now);
    if spec.paused == Some(true) || rollout.resized() {
        rollout.note_revision();
        scale::scale(&mut rollout);
        if spec.paused == Some(true) {
            rollout.forget_old();
        }
        rollout.write_counts();
    } else if strategy::rolls(deployment) {
        rolling::step(&mut rollout);
    } else {
        recreate::step(&mut rollout);
    }
    rollout.finish()
}

/// Whether a replica set without an owner is one that the Deployment takes.
pub(super) fn adopts(deployment: &Deployment, set: &ReplicaSet) -> bool {
    deployment.metadata.deletion_timestamp.is_none()
        && deployment.spec.as_ref().is_some_and(|spec| selector::matches(&spec.selector, set.metadata.labels.as_ref()))
}

/// One look at a Deployment: how things become.
struct Rollout<'a> {
    store: &'a Store,
    stored: &'a Arc<Deployment>,
    deployment: Deployment,
    /// Its sets, oldest first.
    sets: Vec<Set<'a>>,
    now: Time,
    actions: Vec<Action>,
}

/// A replica set, and what the store has of it: nothing yet of a new one.
struct Set<'a> {
    stored: Option<&'a Arc<ReplicaSet>>,
    set: ReplicaSet,
}

impl<'a> Rollout<'a> {
    fn new(store: &'a Store, stored: &'a Arc<Deployment>) -> Self {
        let mut sets: Vec<Set<'a>> = store
            .owned::<ReplicaSet>(uid(stored.as_ref()))
            .filter(|set| owner(set.as_ref()).is_some_and(|owner| owner.uid == uid(stored.as_ref())))
            .map(|set| Set { stored: Some(set), set: ReplicaSet::clone(set) })
            .collect();
        sets.sort_by_key(|set| sets::age(&set.set));
        let deployment = Deployment::clone(stored);
        Self { store, stored, deployment, sets, now: store.now(), actions: Vec::new() }
    }

    fn namespace(&self) -> &'a str {
        self.stored.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Takes the orphans that it selects, and lets go of what it does not select any more
    /// (`ReplicaSetControllerRefManager`).
    fn claim(&mut self) {
        let own = uid(self.stored.as_ref());
        let actions = &mut self.actions;
        self.sets.retain(|set| {
            let kept = adopts(self.stored, &set.set) || set.set.metadata.deletion_timestamp.is_some();
            if !kept {
                let mut released = set.set.clone();
                disown(&mut released.metadata, own);
                actions.push(Action::Update(released.into_object()));
            }
            kept
        });
        for stored in self.store.list_in::<ReplicaSet>(self.namespace()) {
            let free = owner(stored.as_ref()).is_none() && stored.metadata.deletion_timestamp.is_none();
            if free && adopts(self.stored, stored) {
                let mut set = ReplicaSet::clone(stored);
                set.metadata.owner_references.get_or_insert_default().extend(owned_by(self.stored.as_ref()));
                self.sets.push(Set { stored: Some(stored), set });
            }
        }
        self.sets.sort_by_key(|set| sets::age(&set.set));
    }

    fn template(&self) -> PodTemplateSpec {
        self.stored.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default()
    }

    /// The set of the current template: the oldest, should there be several.
    fn new_set(&self) -> Option<usize> {
        let template = self.template();
        self.sets.iter().position(|set| sets::of_template(&set.set, &template))
    }

    /// All other sets, oldest first.
    fn old_sets(&self) -> Vec<usize> {
        let new = self.new_set();
        (0..self.sets.len()).filter(|index| Some(*index) != new).collect()
    }

    fn active(&self, indices: &[usize]) -> Vec<usize> {
        indices.iter().copied().filter(|index| sets::active(&self.sets[*index].set)).collect()
    }

    fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.sets.iter().map(|set| &set.set)
    }

    fn total(&self, count: fn(&ReplicaSet) -> i32) -> i32 {
        sets::total(self.all(), count)
    }

    /// Whether it was scaled since its sets were (`isScalingEvent`).
    ///
    /// A rollout that became one of `Recreate` half-way has two sets with pods, of which none can have its share:
    /// Kubernetes waits there for ever, and here the rollout goes on.
    fn resized(&self) -> bool {
        if !strategy::rolls(self.stored) && self.all().filter(|set| sets::active(set)).count() > 1 {
            return false;
        }
        let wanted = strategy::wanted(&self.deployment);
        self.all().filter(|set| sets::active(set)).filter_map(revisions::desired).any(|desired| desired != wanted)
    }

    /// The set of the current template with its annotations in order (`getNewReplicaSet`), if there is one.
    fn note_revision(&mut self) -> Option<usize> {
        let index = self.new_set()?;
        let newest = self.newest_revision();
        let seconds = self.min_ready_seconds();
        let set = &mut self.sets[index].set;
        revisions::carry_over(&self.deployment, set, newest);
        if let Some(spec) = &mut set.spec
            && spec.min_ready_seconds.unwrap_or(0) != seconds.unwrap_or(0)
        {
            spec.min_ready_seconds = seconds;
        }
        revisions::set_revision(&mut self.deployment, &self.sets[index].set);
        let status = self.deployment.status.get_or_insert_default();
        if conditions::deadline(self.stored).is_some() && conditions::find(status, conditions::PROGRESSING).is_none() {
            let message = format!("Found new replica set \"{}\"", name(&self.sets[index].set));
            let found =
                conditions::condition(conditions::PROGRESSING, "True", "FoundNewReplicaSet", message, &self.now);
            conditions::set(status, found);
        }
        Some(index)
    }

    /// One more than the revision of any other set.
    fn newest_revision(&self) -> i64 {
        self.old_sets().into_iter().map(|index| revisions::revision(&self.sets[index].set)).max().unwrap_or(0) + 1
    }

    fn min_ready_seconds(&self) -> Option<i32> {
        self.stored.spec.as_ref().and_then(|spec| spec.min_ready_seconds)
    }

    /// The set of the current template, made if there is none; `None` if its name is taken: the next look tries
    /// another.
    fn new_or_made(&mut self) -> Option<usize> {
        if let Some(index) = self.note_revision() {
            return Some(index);
        }
        let collisions = self.stored.status.as_ref().and_then(|status| status.collision_count);
        let json = serde_json::to_vec(&self.template()).unwrap_or_default();
        let hash = names::template_hash(&json, u32::try_from(collisions.unwrap_or(0)).unwrap_or(0));
        let set_name = format!("{}-{hash}", name(self.stored.as_ref()));
        if self.store.get::<ReplicaSet>(self.namespace(), &set_name).is_some() {
            // Another's, or another template's that hashes the same.
            let status = self.deployment.status.get_or_insert_default();
            status.collision_count = Some(collisions.unwrap_or(0) + 1);
            return None;
        }
        let mut set = self.replica_set(&set_name, &hash);
        let replicas = rolling::new_replicas(self, &set);
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(replicas);
        }
        revisions::carry_over(&self.deployment, &mut set, self.newest_revision());
        revisions::note_size(&self.deployment, &mut set);
        if replicas > 0 {
            self.tell(format!("Scaled up replica set {set_name} from 0 to {replicas}"));
        }
        revisions::set_revision(&mut self.deployment, &set);
        if conditions::deadline(self.stored).is_some() {
            let message = format!("Created new replica set \"{set_name}\"");
            let made =
                conditions::condition(conditions::PROGRESSING, "True", "NewReplicaSetCreated", message, &self.now);
            conditions::set(self.deployment.status.get_or_insert_default(), made);
        }
        self.sets.push(Set { stored: None, set });
        Some(self.sets.len() - 1)
    }

    /// A set of the current template, without replicas yet.
    fn replica_set(&self, set_name: &str, hash: &str) -> ReplicaSet {
        let labelled = |labels: Option<Labels>| {
            let mut labels = labels.unwrap_or_default();
            labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
            Some(labels)
        };
        let mut template = self.template();
        let meta = template.metadata.get_or_insert_default();
        meta.labels = labelled(meta.labels.take());
        let labels = meta.labels.clone();
        let mut selector = self.stored.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
        selector.match_labels = labelled(selector.match_labels.take());
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(set_name.to_owned()),
                namespace: Some(self.namespace().to_owned()),
                labels,
                owner_references: Some(owned_by(self.stored.as_ref())),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(0),
                min_ready_seconds: self.min_ready_seconds(),
                selector,
                template: Some(template),
            }),
            status: None,
        }
    }

    /// Gives a set another number of replicas, and says so; whether that is another number
    /// (`scaleReplicaSetAndRecordEvent`).
    fn scale(&mut self, index: usize, to: i32) -> bool {
        let from = sets::replicas(&self.sets[index].set);
        if from == to {
            return false;
        }
        self.resize(index, to);
        true
    }

    /// The same, and notes the Deployment's size also where the number stays (`scaleReplicaSet`).
    fn resize(&mut self, index: usize, to: i32) {
        let set = &mut self.sets[index].set;
        let from = sets::replicas(set);
        revisions::note_size(&self.deployment, set);
        if from != to {
            set.spec.get_or_insert_default().replicas = Some(to);
            let direction = if from < to { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {} from {from} to {to}", name(set));
            self.tell(message);
        }
    }

    fn tell(&mut self, message: String) {
        self.actions.push(Action::Event(EventKind::Normal, "ScalingReplicaSet", message));
    }

    /// Deletes old sets down to `revisionHistoryLimit`, the oldest revisions first; none that has pods or was not looked
    /// at yet (`cleanupDeployment`).
    fn forget_old(&mut self) {
        let limit = self.stored.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(HISTORY_LIMIT);
        let old = self.old_sets();
        let mut old: Vec<&ReplicaSet> = old.into_iter().map(|index| &self.sets[index].set).collect();
        old.retain(|set| set.metadata.deletion_timestamp.is_none());
        let Some(excess @ 1..) = old.len().checked_sub(usize::try_from(limit).unwrap_or(0)) else { return };
        old.sort_by_key(|set| (revisions::revision(set), sets::age(set)));
        let gone = old.into_iter().take(excess).filter(|set| {
            let observed = set.status.as_ref().and_then(|status| status.observed_generation);
            sets::pods(set) == 0 && sets::replicas(set) == 0 && set.metadata.generation <= observed
        });
        let keys: Vec<Key> = gone.map(|set| Key::new(Kind::ReplicaSet, self.namespace(), name(set))).collect();
        self.actions.extend(keys.into_iter().map(Action::Delete));
    }

    /// The status without progress (`syncDeploymentStatus`).
    fn write_counts(&mut self) {
        let sets: Vec<&ReplicaSet> = self.all().collect();
        let new = self.new_set().map(|index| &self.sets[index].set);
        let status = conditions::counted(&self.deployment, &sets, new, &self.now);
        self.deployment.status = Some(status);
    }

    /// The status with progress, and a look at it when its deadline is over (`syncRolloutStatus`).
    fn write_progress(&mut self) {
        let sets: Vec<&ReplicaSet> = self.all().collect();
        let new = self.new_set().map(|index| &self.sets[index].set);
        let (status, again) = conditions::of_rollout(&self.deployment, &sets, new, &self.now);
        self.deployment.status = Some(status);
        if let Some(seconds) = again {
            self.actions.push(Action::Later(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))));
        }
    }

    /// The Deployment as its status said before this look: whether its rollout was done.
    fn was_complete(&self) -> bool {
        let nothing = DeploymentStatus::default();
        conditions::complete(&self.deployment, self.deployment.status.as_ref().unwrap_or(&nothing))
    }

    /// What is to be written for all that.
    fn finish(self) -> Vec<Action> {
        let mut actions = Vec::new();
        for Set { stored, set } in self.sets {
            match stored {
                None => actions.push(Action::Create(set.into_object())),
                Some(stored) if **stored != set => actions.push(Action::Update(set.into_object())),
                Some(_) => {}
            }
        }
        if **self.stored != self.deployment {
            actions.push(Action::Update(self.deployment.into_object()));
        }
        actions.extend(self.actions);
        actions
    }
}
