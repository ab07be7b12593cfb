//! The cluster's state and what drives it: writes in; pods to start and to stop, and a new picture for the mesh, out.
//!
//! One call of [`State::settle`] looks at everything that changed until nothing is left to do (each controller is
//! level-triggered and stops asking when all is as it should be), and builds at most one snapshot.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use malha_routing::{Endpoint, KeySource, Snapshot, Upstream};
use malha_world::World;

use crate::address::Pool;
use crate::cluster::{Applied, Outcome};
use crate::controllers::{Action, Task, affected};
use crate::error::Error;
use crate::events::{EventKind, Events};
use crate::kubelet;
use crate::node::{PodRequest, StartError};
use crate::object::{Key, Kind, Object, ServiceEntry, Stored};
use crate::pilot::{self, Finding};
use crate::registry::{BUILT_IN, Deletion, Part, Registry};
use crate::store::{Change, ChangeKind};

/// Namespaces of every cluster, and Istio's own; they cannot be deleted.
pub(crate) const NAMESPACES: [&str; 5] = ["default", pilot::SYSTEM, "kube-node-lease", "kube-public", "kube-system"];

/// Everything there is to know. `P` answers for a pod on the data plane.
#[derive(Debug)]
pub(crate) struct State<P> {
    pub(crate) registry: Registry,
    pub(crate) events: Events,
    pub(crate) findings: Vec<Finding>,
    /// The kubelet's pods, by uid.
    pods: HashMap<String, Slot<P>>,
    pod_ips: Pool,
    tasks: BTreeSet<Task>,
    mesh_version: u64,
    mesh_changed: bool,
    pilot: pilot::Memory<P>,
    closed: bool,
    work: Work<P>,
}

/// What the kubelet knows of a pod.
#[derive(Debug)]
struct Slot<P> {
    key: Key,
    ip: Option<Ipv4Addr>,
    life: Life<P>,
    /// By port. They live as long as the pod, so that their accounts of requests go on from snapshot to snapshot.
    endpoints: HashMap<u16, Arc<Endpoint<P>>>,
}

#[derive(Debug)]
enum Life<P> {
    /// Waits for objects that it refers to: a Secret, a `ConfigMap`, a `RuntimeClass`.
    Refused,
    Starting,
    Failed,
    Running(P),
}

/// What is to be carried out after the state has settled: first the snapshot is published, then pods are stopped and
/// started.
#[derive(Debug)]
pub(crate) struct Work<P> {
    pub(crate) snapshot: Option<Arc<Snapshot<P>>>,
    pub(crate) stop: Vec<P>,
    pub(crate) start: Vec<PodRequest>,
}

impl<P> Default for Work<P> {
    fn default() -> Self {
        Self { snapshot: None, stop: Vec::new(), start: Vec::new() }
    }
}

impl<P: Clone> State<P> {
    /// A cluster as it is before anyone applies anything: its namespaces, and the runtime class of Spin.
    pub(crate) fn new(world: &World) -> Self {
        let mut state = Self {
            registry: Registry::new(world),
            events: Events::default(),
            findings: Vec::new(),
            pods: HashMap::new(),
            pod_ips: Pool::pods(),
            tasks: BTreeSet::new(),
            mesh_version: 0,
            mesh_changed: false,
            pilot: pilot::Memory::default(),
            closed: false,
            work: Work::default(),
        };
        let meta = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespaces =
            NAMESPACES.map(|name| Namespace { metadata: meta(name), ..Namespace::default() }.into_object());
        // The name and the handler are runtime-class-manager's.
        let annotations = Some([(BUILT_IN.to_owned(), "true".to_owned())].into());
        let class = RuntimeClass {
            metadata: ObjectMeta { annotations, ..meta("wasmtime-spin-v2") },
            handler: "spin-v2".to_owned(),
            ..RuntimeClass::default()
        };
        for object in namespaces.into_iter().chain([class.into_object()]) {
            // Of an empty store nobody can ask too much.
            let _ = state.registry.create(object, false);
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
        if let (Object::Deployment(deployment), Object::Deployment(existing)) = (&mut object, existing) {
            // An autoscaler's number stays.
            let replicas = existing.spec.as_ref().and_then(|spec| spec.replicas);
            let spec = Arc::make_mut(deployment).spec.get_or_insert_default();
            spec.replicas = spec.replicas.or(replicas);
        }
        let before = self.registry.store.version();
        self.registry.update(object, Part::Whole, false)?;
        let changed = self.registry.store.version() != before;
        Ok(Applied { key, outcome: if changed { Outcome::Configured } else { Outcome::Unchanged } })
    }

    /// What became of a pod that was to start.
    pub(crate) fn started(&mut self, uid: &str, result: Result<P, StartError>) {
        let Some(slot) = self.pods.get_mut(uid) else {
            // It was deleted meanwhile.
            self.work.stop.extend(result);
            return;
        };
        let now = self.registry.store.now();
        let key = slot.key.clone();
        let Some(pod) = self.registry.store.get::<Pod>(&key.namespace, &key.name) else { return };
        let (pod, kind, reason, message) = match (result, slot.ip) {
            (Ok(running), Some(ip)) => {
                slot.life = Life::Running(running);
                let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
                let name = container.map_or("", |container| container.name.as_str());
                (
                    kubelet::status::running(pod, ip, &now),
                    EventKind::Normal,
                    "Started",
                    format!("Started container {name}"),
                )
            }
            (result, ip) => {
                slot.life = Life::Failed;
                let why =
                    result.err().unwrap_or_else(|| StartError::new("RunContainerError", "the pod has no address"));
                let message = format!("Error: {}", why.message);
                (kubelet::status::waiting(pod, ip, Some(&why), &now), EventKind::Warning, "Failed", message)
            }
        };
        self.events.add(kind, reason, message, key.clone(), now);
        self.act(&key, Action::Update(pod.into_object()));
    }

    /// What runs for a pod.
    pub(crate) fn running(&self, pod: &Key) -> Option<&P> {
        let uid = self.registry.store.find(pod)?.uid();
        match &self.pods.get(uid)?.life {
            Life::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Takes in the keys of an issuer; the next snapshot has them.
    pub(crate) fn learn_keys(&mut self, source: &KeySource, text: &str) -> Result<(), String> {
        self.mesh_changed |= self.pilot.keys.learn(source, text)?;
        Ok(())
    }

    /// Everything that follows from what was written.
    pub(crate) fn settle(&mut self) -> Work<P> {
        loop {
            while let Some(change) = self.registry.store.next_unseen() {
                self.note(&change);
            }
            match self.tasks.pop_first() {
                None => break,
                Some(Task::Pod(key)) => self.kubelet(&key),
                Some(task) => {
                    let about = match &task {
                        Task::Deployment(key) | Task::ReplicaSet(key) | Task::Service(key) | Task::Terminating(key) => {
                            key.clone()
                        }
                        Task::Garbage { .. } | Task::Pod(_) => Key::new(Kind::Namespace, "", ""),
                    };
                    for action in task.actions(&self.registry.store) {
                        self.act(&about, action);
                    }
                }
            }
        }
        if std::mem::take(&mut self.mesh_changed) && !self.closed {
            self.mesh_version += 1;
            let pods = &mut self.pods;
            let mut endpoint = |uid: &str, port| pods.get_mut(uid).and_then(|slot| slot.endpoint(port));
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
        let running = self.pods.drain().filter_map(|(_, slot)| slot.life.running());
        let snapshot = Arc::new(Snapshot { version: self.mesh_version, ..Snapshot::default() });
        Work { stop: running.collect(), start: Vec::new(), snapshot: Some(snapshot) }
    }

    /// What a change means for the queue, the kubelet, the mesh and the pools of addresses.
    fn note(&mut self, change: &Change) {
        affected(&self.registry.store, change, &mut self.tasks);
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
            Object::Pod(_) if change.kind == ChangeKind::Deleted => {
                self.mesh_changed |= self.selects_pods();
                if let Some(slot) = self.pods.remove(change.object.uid()) {
                    if let Some(ip) = slot.ip {
                        self.pod_ips.free(ip);
                    }
                    self.work.start.retain(|request| request.uid != change.object.uid());
                    self.work.stop.extend(slot.life.running());
                }
            }
            // The pods of a Service are its EndpointSlices' business.
            Object::Pod(_) => self.mesh_changed |= self.selects_pods(),
            _ => {}
        }
    }

    /// Whether pods belong to services that have no `EndpointSlice`s.
    fn selects_pods(&self) -> bool {
        self.registry.store.list::<ServiceEntry>().any(|entry| entry.spec.workload_selector.is_some())
    }

    /// Looks again at the pods that wait for other objects.
    fn retry(&mut self, namespace: Option<&str>) {
        let waiting = self.pods.values().filter(|slot| matches!(slot.life, Life::Refused));
        let here = waiting.filter(|slot| namespace.is_none_or(|namespace| slot.key.namespace == namespace));
        self.tasks.extend(here.map(|slot| Task::Pod(slot.key.clone())));
    }

    /// Starts a pod that is new or was refused before.
    fn kubelet(&mut self, key: &Key) {
        let Some(pod) = self.registry.store.get::<Pod>(&key.namespace, &key.name).cloned() else { return };
        if pod.metadata.deletion_timestamp.is_some() {
            // Gone already is as good.
            let _ = self.registry.store.delete(key);
            return;
        }
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let known = self.pods.get(&uid);
        if self.closed || known.is_some_and(|slot| !matches!(slot.life, Life::Refused)) {
            return;
        }
        let mut ip = known.and_then(|slot| slot.ip);
        let request = kubelet::supported(&self.registry.store, &pod).and_then(|()| {
            ip = ip.or_else(|| self.pod_ips.take());
            let full = || StartError::new("FailedCreatePodSandBox", "no address left in 10.244.0.0/16");
            kubelet::request(&self.registry.store, &pod, ip.ok_or_else(full)?)
        });
        let now = self.registry.store.now();
        let status = kubelet::status::waiting(&pod, ip, request.as_ref().err(), &now);
        let life = match request {
            Ok(request) => {
                self.work.start.push(request);
                Life::Starting
            }
            Err(why) => {
                self.events.add(EventKind::Warning, "Failed", format!("Error: {}", why.message), key.clone(), now);
                Life::Refused
            }
        };
        self.pods.insert(uid, Slot { key: key.clone(), ip, life, endpoints: HashMap::new() });
        self.act(key, Action::Update(status.into_object()));
    }

    /// Carries out what was asked for on behalf of `about`. A refusal is an event, as in Kubernetes: the controller is
    /// asked again when something changes.
    fn act(&mut self, about: &Key, action: Action) {
        let now = self.registry.store.now();
        match action {
            Action::Create(object) => {
                let kind = object.kind();
                match self.registry.store.create(object) {
                    Ok(key) if kind == Kind::Pod => {
                        let message = format!("Created pod: {}", key.name);
                        self.events.add(EventKind::Normal, "SuccessfulCreate", message, about.clone(), now);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        let message = format!("Error creating: {error}");
                        self.events.add(EventKind::Warning, "FailedCreate", message, about.clone(), now);
                    }
                }
            }
            Action::Update(object) => {
                if let Err(error) = self.registry.store.update(object) {
                    self.events.add(EventKind::Warning, "FailedUpdate", error.to_string(), about.clone(), now);
                }
            }
            Action::Event(kind, reason, message) => self.events.add(kind, reason, message, about.clone(), now),
            Action::Later(_) => {}
            Action::Remove(key) => {
                // Gone already is as good.
                let _ = self.registry.store.delete(&key);
            }
            Action::Delete(key) => {
                // Gone already is as good.
                if self.registry.delete(&key, &Deletion::default()).is_ok()
                    && key.kind == Kind::Pod
                    && about.kind == Kind::ReplicaSet
                {
                    let message = format!("Deleted pod: {}", key.name);
                    self.events.add(EventKind::Normal, "SuccessfulDelete", message, about.clone(), now);
                }
            }
        }
    }
}

impl<P: Clone> Slot<P> {
    fn endpoint(&mut self, port: u16) -> Option<Arc<Endpoint<P>>> {
        let (Life::Running(pod), Some(ip)) = (&self.life, self.ip) else { return None };
        let upstream = || Upstream::Pod(pod.clone());
        let new = || Arc::new(Endpoint { address: format!("{ip}:{port}"), port, upstream: upstream() });
        Some(Arc::clone(self.endpoints.entry(port).or_insert_with(new)))
    }
}

impl<P> Life<P> {
    fn running(self) -> Option<P> {
        match self {
            Self::Running(pod) => Some(pod),
            _ => None,
        }
    }
}
