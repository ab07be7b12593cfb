//! The cluster's state and what drives it: writes in; pods to start and to stop, and a new picture for the mesh, out.
//!
//! One call of [`State::settle`] looks at everything that changed until nothing is left to do (each controller is
//! level-triggered and stops asking when all is as it should be), and builds at most one snapshot.

mod nodes;
mod pods;
mod scaling;
mod scheduling;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use malha_routing::{KeySource, Snapshot};
use malha_world::World;
use tokio::time::Instant;

use crate::address::PodAddresses;
use crate::cluster::{Applied, Outcome};
use crate::controllers::autoscaler::Autoscaling;
use crate::controllers::{Action, Task, affected, name};
use crate::error::Error;
use crate::events::{self, Component, EventKind, Events, Happening};
use crate::kubelet::machine;
use crate::kubelet::worker::{ProbeTask, Worker};
use crate::node::{Machine, PodRequest, Volume};
use crate::object::{Key, Kind, Object, ServiceEntry, Stored};
use crate::pilot::{self, Finding};
use crate::registry::{BUILT_IN, Deletion, Part, Registry};
use crate::scheduler;
use crate::store::{Change, ChangeKind};
use crate::timers::Timers;

pub(crate) use pods::Report;

/// Namespaces of every cluster, and Istio's own; they cannot be deleted.
pub(crate) const NAMESPACES: [&str; 5] = ["default", pilot::SYSTEM, "kube-node-lease", "kube-public", "kube-system"];

/// Where kubectl keeps what it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Everything there is to know. `P` answers for a pod on the data plane.
pub(crate) struct State<P> {
    pub(crate) registry: Registry,
    pub(crate) events: Events,
    pub(crate) findings: Vec<Finding>,
    /// The kubelet's pods, by uid.
    pods: HashMap<String, Worker<P>>,
    machine: Machine,
    addresses: PodAddresses,
    tasks: BTreeSet<Task>,
    timers: Timers,
    autoscaling: Autoscaling,
    mesh_version: u64,
    mesh_changed: bool,
    pilot: pilot::Memory<P>,
    closed: bool,
    work: Work<P>,
}

/// What is to be carried out after the state has settled: first the snapshot is published, then pods are stopped and
/// started.
pub(crate) struct Work<P> {
    pub(crate) snapshot: Option<Arc<Snapshot<P>>>,
    /// With the uids of their pods.
    pub(crate) stop: Vec<(String, P)>,
    pub(crate) start: Vec<PodRequest>,
    /// What runs from now on, with the uid of its pod and which of its runs it is.
    pub(crate) watch: Vec<(String, i32, P)>,
    pub(crate) probes: Vec<ProbeTask<P>>,
    /// What nobody can ask for any more.
    pub(crate) discard: Vec<Volume>,
}

impl<P> Default for Work<P> {
    fn default() -> Self {
        Self {
            snapshot: None,
            stop: Vec::new(),
            start: Vec::new(),
            watch: Vec::new(),
            probes: Vec::new(),
            discard: Vec::new(),
        }
    }
}

/// The runtime class of Spin; its name and its handler are runtime-class-manager's. It is as `kubectl apply` would have made
/// it, note included: whoever applies his own is not warned that this one was made otherwise.
fn built_in_class() -> RuntimeClass {
    const NAME: &str = "wasmtime-spin-v2";
    const HANDLER: &str = "spin-v2";
    let applied = serde_json::json!({
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"annotations": {}, "name": NAME},
        "handler": HANDLER,
    });
    let annotations = [(BUILT_IN, "true".to_owned()), (LAST_APPLIED, format!("{applied}\n"))];
    let annotations = annotations.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    RuntimeClass {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), annotations: Some(annotations), ..ObjectMeta::default() },
        handler: HANDLER.to_owned(),
        ..RuntimeClass::default()
    }
}

impl<P: Clone> State<P> {
    /// A cluster as it is before anyone applies anything: its namespaces, its nodes, and the runtime class of Spin.
    pub(crate) fn new(world: &World, machine: &Machine) -> Self {
        let mut state = Self {
            registry: Registry::new(world),
            events: Events::default(),
            findings: Vec::new(),
            pods: HashMap::new(),
            machine: machine.clone(),
            addresses: PodAddresses::new(machine::ranges(machine)),
            tasks: BTreeSet::new(),
            timers: Timers::default(),
            autoscaling: Autoscaling::default(),
            mesh_version: 0,
            mesh_changed: false,
            pilot: pilot::Memory::default(),
            closed: false,
            work: Work::default(),
        };
        let meta = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespaces =
            NAMESPACES.map(|name| Namespace { metadata: meta(name), ..Namespace::default() }.into_object());
        let class = built_in_class();
        for object in namespaces.into_iter().chain([class.into_object()]) {
            // Of an empty store nobody can ask too much.
            let _ = state.registry.create(object, false);
        }
        for namespace in NAMESPACES {
            let task = Task::Account { namespace: namespace.to_owned() };
            for action in task.actions(&state.registry.store) {
                state.act(&task, action);
            }
        }
        for (name, range) in machine::ranges(machine) {
            let _ = state.registry.create(machine::node(machine, &name, range).into_object(), false);
            state.register(&name);
        }
        state
    }

    /// Creates an object or replaces the one of its key, as `kubectl apply` would: what the manifest does not say is not
    /// its business.
    pub(crate) fn apply(&mut self, mut object: Object) -> Result<Applied, Error> {
        let key = object.key();
        let Some(existing) = self.registry.store.find(&key) else {
            self.registry.create(object, false)?;
            return Ok(Applied { key, outcome: Outcome::Created });
        };
        let meta = object.metadata_mut();
        (meta.resource_version, meta.uid) = (None, None);
        meta.owner_references.clone_from(&existing.metadata().owner_references);
        for (name, value) in existing.metadata().annotations.iter().flatten() {
            // A controller's notes stay.
            if name.starts_with("deployment.kubernetes.io/") {
                meta.annotations.get_or_insert_default().entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        if let (Object::Deployment(deployment), Object::Deployment(existing)) = (&mut object, existing) {
            // An autoscaler's number stays.
            let replicas = existing.spec.as_ref().and_then(|spec| spec.replicas);
            let spec = Arc::make_mut(deployment).spec.get_or_insert_default();
            spec.replicas = spec.replicas.or(replicas);
        }
        if let (Object::PersistentVolumeClaim(claim), Object::PersistentVolumeClaim(existing)) = (&mut object, existing)
        {
            // Its volume stays.
            let volume = existing.spec.as_ref().and_then(|spec| spec.volume_name.clone());
            Arc::make_mut(claim).spec.get_or_insert_default().volume_name = volume;
        }
        let before = self.registry.store.version();
        self.registry.update(object, Part::Whole, false)?;
        let changed = self.registry.store.version() != before;
        Ok(Applied { key, outcome: if changed { Outcome::Configured } else { Outcome::Unchanged } })
    }

    /// Takes in the keys of an issuer; the next snapshot has them.
    pub(crate) fn learn_keys(&mut self, source: &KeySource, text: &str) -> Result<(), String> {
        self.mesh_changed |= self.pilot.keys.learn(source, text)?;
        Ok(())
    }

    /// What is due is looked at when the state settles.
    pub(crate) fn wake(&mut self) {
        self.tasks.extend(self.timers.due(Instant::now()));
    }

    /// When there is something to look at although nothing has changed.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        if self.closed { None } else { self.timers.next() }
    }

    /// Everything that follows from what was written.
    pub(crate) fn settle(&mut self) -> Work<P> {
        loop {
            while let Some(change) = self.registry.store.next_unseen() {
                self.note(&change);
            }
            match self.tasks.pop_first() {
                None => break,
                Some(Task::Scheduling) => self.schedule(),
                Some(Task::Pod(key)) => self.kubelet(&key),
                Some(Task::Autoscaler(key)) => self.autoscale(&key),
                Some(Task::Samples) => self.await_samples(),
                Some(Task::Events) => {
                    if let Some(after) = self.events.expire(&mut self.registry.store) {
                        self.timers.add(Instant::now() + after, Task::Events);
                    }
                }
                Some(task) => {
                    for action in task.actions(&self.registry.store) {
                        self.act(&task, action);
                    }
                }
            }
        }
        if self.events.unwatched() {
            self.timers.add(Instant::now() + events::KEPT, Task::Events);
        }
        if std::mem::take(&mut self.mesh_changed) && !self.closed {
            self.mesh_version += 1;
            let pods = &mut self.pods;
            let mut endpoint = |uid: &str, port| pods.get_mut(uid).and_then(|worker| worker.endpoint(port));
            let (snapshot, findings) =
                pilot::build(&self.registry.store, self.mesh_version, &mut self.pilot, &mut endpoint);
            self.findings = findings;
            self.work.snapshot = Some(Arc::new(snapshot));
        }
        std::mem::take(&mut self.work)
    }

    /// Stops everything: the pods that run are to be stopped, none starts any more, and the mesh has no entrance.
    pub(crate) fn close(&mut self) -> Work<P> {
        self.closed = true;
        self.mesh_version += 1;
        let running = self.pods.drain().filter_map(|(uid, worker)| Some((uid, worker.into_running()?)));
        let snapshot = Arc::new(Snapshot { version: self.mesh_version, ..Snapshot::default() });
        Work { stop: running.collect(), snapshot: Some(snapshot), ..Work::default() }
    }

    /// What a change means for the queue, the kubelet, the mesh and the pools of addresses.
    fn note(&mut self, change: &Change) {
        affected(&self.registry.store, change, &mut self.tasks);
        if scheduler::concerns(change) {
            self.tasks.insert(Task::Scheduling);
        }
        match &change.object {
            Object::Service(_) => {
                let after = (change.kind != ChangeKind::Deleted).then_some(&change.object);
                change.before.iter().for_each(|before| self.registry.release(before, after));
                self.mesh_changed = true;
            }
            Object::EndpointSlice(_)
            | Object::Gateway(_)
            | Object::VirtualService(_)
            | Object::DestinationRule(_)
            | Object::ServiceEntry(_)
            | Object::Sidecar(_)
            | Object::PeerAuthentication(_)
            | Object::RequestAuthentication(_)
            | Object::AuthorizationPolicy(_)
            | Object::Namespace(_) => self.mesh_changed = true,
            Object::Secret(_) | Object::ConfigMap(_) => {
                let namespace = change.object.key().namespace;
                // The gateway's certificates, and the mesh's own settings.
                self.mesh_changed |= namespace == pilot::SYSTEM;
                self.retry(Some(&namespace));
            }
            Object::RuntimeClass(_) => self.retry(None),
            Object::Node(node) => match change.kind {
                ChangeKind::Added => self.register(name(node.as_ref())),
                ChangeKind::Modified => {}
                ChangeKind::Deleted => self.quarantine(name(node.as_ref())),
            },
            Object::Pod(_) if change.kind == ChangeKind::Deleted => {
                self.mesh_changed |= self.selects_pods();
                self.drop_worker(change.object.uid());
                self.work.discard.push(Volume::Pod(change.object.uid().to_owned()));
            }
            Object::PersistentVolumeClaim(_) if change.kind == ChangeKind::Deleted => {
                // As the reclaim policy `Delete` has it.
                let Key { namespace, name, .. } = change.object.key();
                self.work.discard.push(Volume::Claim { namespace, name });
            }
            // The pods of a Service are its EndpointSlices' business.
            Object::Pod(pod) => {
                self.mesh_changed |= self.selects_pods();
                let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
                if let Some(node) = node.filter(|node| self.registry.store.get::<Node>("", node).is_none()) {
                    self.quarantine(node);
                }
            }
            _ => {}
        }
    }

    /// Whether pods belong to services that have no `EndpointSlice`s.
    fn selects_pods(&self) -> bool {
        self.registry.store.list::<ServiceEntry>().any(|entry| entry.spec.workload_selector.is_some())
    }

    /// Carries out what a controller asked for. A refusal is an event, as in Kubernetes: the controller is asked again when
    /// something changes.
    fn act(&mut self, task: &Task, action: Action) {
        let about = task.about();
        match action {
            Action::Create(object) => {
                let kind = object.kind();
                // Pods are admitted like a user's: a template does not say all of a pod.
                let made = if kind == Kind::Pod {
                    self.registry.create(object, false).map(|object| object.key())
                } else {
                    self.registry.store.create(object)
                };
                match made {
                    Ok(key) if kind == Kind::Pod => {
                        self.tell(about, EventKind::Normal, "SuccessfulCreate", format!("Created pod: {}", key.name));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        self.tell(about, EventKind::Warning, "FailedCreate", format!("Error creating: {error}"));
                    }
                }
            }
            Action::Update(object) => {
                if let Err(error) = self.registry.store.update(object) {
                    self.tell(about, EventKind::Warning, "FailedUpdate", error.to_string());
                }
            }
            Action::Event(kind, reason, message) => self.tell(about, kind, reason, message),
            Action::Later(after) => self.timers.add(Instant::now() + after, task.clone()),
            Action::Cut(key) => {
                // Gone already is as good.
                let now = Deletion { grace_period_seconds: Some(0), ..Deletion::default() };
                let _ = self.registry.delete(&key, &now);
            }
            Action::Remove(key) => {
                // Gone already is as good.
                let _ = self.registry.store.delete(&key);
            }
            Action::Delete(key) => {
                // Gone already is as good.
                if self.registry.delete(&key, &Deletion::default()).is_ok()
                    && key.kind == Kind::Pod
                    && matches!(task, Task::ReplicaSet(_))
                {
                    self.tell(about, EventKind::Normal, "SuccessfulDelete", format!("Deleted pod: {}", key.name));
                }
            }
        }
    }

    /// Writes an event about an object that a controller looked at.
    fn tell(&mut self, about: Option<&Key>, kind: EventKind, reason: &str, message: String) {
        let Some(about) = about.cloned() else { return };
        let from = Component::of(about.kind);
        let happening = Happening { about, part: None, from, kind, reason: reason.to_owned(), message };
        self.events.add(&mut self.registry.store, happening);
    }
}
