//! The cluster as its users hold it: the state behind a lock, and the tasks that start and stop pods.

use std::fmt;
use std::future::ready;
use std::sync::{Arc, Weak};

use k8s_openapi::api::core::v1::{Event, Pod};
use malha_routing::{KeySource, Snapshot};
use malha_world::World;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::connect::{ConnectError, Connecting, PodStream};
use crate::error::Error;
use crate::kubelet::probes::{self, Answer};
use crate::kubelet::worker::ProbeTask;
use crate::log::Log;
use crate::node::{Node, PodRequest, StartError};
use crate::object::{Key, Kind, Object};
use crate::pilot::Finding;
use crate::registry::{Deletion, Registry};
use crate::requests::RequestRates;
use crate::state::{Report, State, Work};
use crate::store::Store;
use crate::usage::PodUsage;
use crate::view::{self, GatewayRow, PodRow, ServiceRow};

/// How many reports of the node are taken in one go: pods that start together become endpoints in one snapshot.
const BATCH: usize = 1_024;

/// A cluster of one node. A handle: clones are the same cluster.
pub struct Cluster<N: Node>(Arc<Inner<N>>);

struct Inner<N: Node> {
    node: Arc<N>,
    runtime: Handle,
    state: Mutex<State<N::Pod>>,
    publish: Publish<N::Pod>,
    reports: mpsc::UnboundedSender<Report<N::Pod>>,
    /// What the node is at and somebody may wait for: starts, stops, probes of pods that are not ready.
    busy: watch::Sender<usize>,
    /// When to look although nothing has changed.
    wake: watch::Sender<Option<Instant>>,
    /// The store's, after the last change.
    version: watch::Sender<u64>,
}

type Publish<P> = Box<dyn Fn(Arc<Snapshot<P>>) + Send + Sync>;

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The object.
    pub key: Key,
    /// What was done.
    pub outcome: Outcome,
}

/// As `kubectl apply` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Created,
    /// It is another than before.
    Configured,
    /// It was that already.
    Unchanged,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        })
    }
}

impl<N: Node> Clone for Cluster<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N: Node> fmt::Debug for Cluster<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("version", &self.read(Store::version)).finish_non_exhaustive()
    }
}

impl<N: Node> Cluster<N> {
    /// An empty cluster whose pods run on `node`. Every new picture of the mesh goes to `publish`, in order of its version;
    /// it is called with the cluster locked, so it should only put the snapshot somewhere.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(node: N, world: &World, publish: impl Fn(Arc<Snapshot<N::Pod>>) + Send + Sync + 'static) -> Self {
        let runtime = Handle::current();
        let (reports, results) = mpsc::unbounded_channel();
        let state = State::new(world, &node.machine());
        let inner = Arc::new(Inner {
            node: Arc::new(node),
            state: Mutex::new(state),
            publish: Box::new(publish),
            reports,
            busy: watch::Sender::new(0),
            wake: watch::Sender::new(None),
            version: watch::Sender::new(0),
            runtime,
        });
        inner.runtime.spawn(take_in(Arc::downgrade(&inner), results));
        inner.runtime.spawn(keep_time(Arc::downgrade(&inner), inner.wake.subscribe()));
        Self(inner)
    }

    /// Creates or replaces objects, in the order in which they depend on each other (namespaces first), and starts what
    /// follows from them; does not wait for it. An object that is refused does not hold up the others, as with kubectl.
    pub fn apply(&self, objects: impl IntoIterator<Item = Object>) -> Vec<Result<Applied, Error>> {
        let mut objects: Vec<Object> = objects.into_iter().collect();
        objects.sort_by_key(Object::kind);
        self.0.change(|state| objects.into_iter().map(|object| state.apply(object)).collect())
    }

    /// Deletes an object and what belongs to it; does not wait for its pods to stop.
    pub fn delete(&self, key: &Key) -> Result<(), Error> {
        self.0.change(|state| state.registry.delete(key, &Deletion::default()).map(drop))
    }

    /// Takes in the keys of an issuer as they were fetched: a set of keys in JSON, for one of the snapshot's
    /// [`remote_keys`](Snapshot::remote_keys). If they are news there is a new snapshot.
    ///
    /// # Errors
    /// Why it is no set of keys. Those that were known before stay.
    pub fn learn_keys(&self, source: &KeySource, text: &str) -> Result<(), String> {
        self.0.change(|state| state.learn_keys(source, text))
    }

    /// Waits until no pod is being started, asked for the first time how it is, or stopped: each one is ready or says why
    /// not. Does not wait for what waits itself: a `preStop` that sleeps, a back-off, a probe with a delay.
    pub async fn settled(&self) {
        let mut busy = self.0.busy.subscribe();
        // The sender is in `self`: it cannot be gone.
        let _ = busy.wait_for(|count| *count == 0).await;
    }

    /// Closes the mesh's entrances, stops all pods and waits for those that ran. The cluster starts none afterwards.
    pub async fn shutdown(&self) {
        let mut stopping = JoinSet::new();
        {
            let mut state = self.0.state.lock();
            let Work { snapshot, stop, .. } = state.close();
            snapshot.into_iter().for_each(&self.0.publish);
            for (_, pod) in stop {
                let node = Arc::clone(&self.0.node);
                stopping.spawn_on(async move { node.stop(pod).await }, &self.0.runtime);
            }
        }
        stopping.join_all().await;
    }

    /// Writes through the registry, and starts what follows from it; does not wait for it.
    pub fn write<R>(&self, write: impl FnOnce(&mut Registry) -> R) -> R {
        self.0.change(|state| write(&mut state.registry))
    }

    /// The log of a pod's container as it runs, or of its run before; `None` if there was none.
    pub fn log(&self, pod: &Key, previous: bool) -> Option<Arc<dyn Log>> {
        self.0.state.lock().log(pod, previous)
    }

    /// What each pod that runs has used, of those that the node measures.
    pub fn usage(&self) -> Vec<PodUsage> {
        self.0.usage()
    }

    /// How many requests a second reach each pod. They are counted from the first question on, and while somebody asks or there
    /// are autoscalers.
    pub fn request_rates(&self) -> RequestRates {
        self.0.change(State::request_rates)
    }

    /// Connects `stream` to a port of a pod, past its sidecar, until the connection is over.
    pub fn connect(&self, pod: &Key, port: u16, stream: Box<dyn PodStream>) -> Connecting {
        let running = self.0.state.lock().running(pod).cloned();
        let Some(running) = running else { return Box::pin(ready(Err(ConnectError::NotRunning))) };
        // Pods run where all pods run, whoever connects to them. It ends when nobody waits for it.
        let mut connection = JoinSet::new();
        connection.spawn_on(self.0.node.connect(&running, port, stream), &self.0.runtime);
        Box::pin(
            async move { connection.join_next().await.and_then(Result::ok).unwrap_or(Err(ConnectError::NotRunning)) },
        )
    }

    /// The version of the store, to wait for the next write.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Looks at the objects. Nothing changes meanwhile: be quick.
    pub fn read<R>(&self, look: impl FnOnce(&Store) -> R) -> R {
        look(self.0.state.lock().registry.store())
    }

    /// All pods, by namespace and name.
    pub fn pods(&self) -> Vec<PodRow> {
        self.read(view::pods)
    }

    /// All Services, by namespace and name.
    pub fn services(&self) -> Vec<ServiceRow> {
        self.read(view::services)
    }

    /// All Gateways, by namespace and name.
    pub fn gateways(&self) -> Vec<GatewayRow> {
        self.read(view::gateways)
    }

    /// The events that are kept.
    pub fn events(&self) -> Vec<Arc<Event>> {
        self.read(|store| store.list::<Event>().cloned().collect())
    }

    /// What the objects ask of the mesh and it does not carry out.
    pub fn findings(&self) -> Vec<Finding> {
        self.0.state.lock().findings.clone()
    }
}

impl<N: Node> Inner<N> {
    /// What each pod that runs has used.
    fn usage(&self) -> Vec<PodUsage> {
        let running: Vec<_> = {
            let state = self.state.lock();
            let pods = state.registry.store().list::<Pod>().filter_map(|pod| {
                let key = Key::new(Kind::Pod, pod.metadata.namespace.clone()?, pod.metadata.name.clone()?);
                let container = pod.spec.as_ref()?.containers.first()?.name.clone();
                let running = state.running(&key)?.clone();
                Some((running, key, pod.metadata.uid.clone().unwrap_or_default(), container))
            });
            pods.collect()
        };
        let measured = running.into_iter().filter_map(|(running, pod, uid, container)| {
            Some(PodUsage { pod, uid, container, usage: self.node.usage(&running)? })
        });
        measured.collect()
    }

    /// What each pod that runs has used, if it is time to measure.
    fn samples(&self) -> Option<Vec<PodUsage>> {
        let due = self.state.lock().samples_due();
        due.then(|| self.usage())
    }

    /// Writes, and carries out what follows: the new snapshot is out before a pod that is not in it any more is stopped.
    fn change<R>(self: &Arc<Self>, write: impl FnOnce(&mut State<N::Pod>) -> R) -> R {
        let mut state = self.state.lock();
        let result = write(&mut state);
        let Work { snapshot, stop, start, watch, probes, discard } = state.settle();
        // Under the lock, so that a watcher never sees zero between the write and the start that follows from it.
        let more = start.len() + stop.len() + probes.iter().filter(|probe| probe.awaited).count();
        self.busy.send_if_modified(|count| {
            *count += more;
            more > 0
        });
        snapshot.into_iter().for_each(&self.publish);
        // Under the lock too: what takes the name of something that was discarded is new.
        for volume in &discard {
            self.node.discard(volume);
        }
        let version = state.registry.store().version();
        self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
        let wake = state.next_wake();
        self.wake.send_if_modified(|known| std::mem::replace(known, wake) != wake);
        drop(state);
        for (uid, pod) in stop {
            self.runtime.spawn(stop_pod(Arc::clone(&self.node), self.reports.clone(), uid, pod));
        }
        for request in start {
            self.runtime.spawn(start_pod(Arc::clone(&self.node), self.reports.clone(), request));
        }
        for (uid, run, pod) in watch {
            self.runtime.spawn(watch_pod(Arc::clone(&self.node), self.reports.clone(), uid, run, pod));
        }
        for probe in probes {
            self.runtime.spawn(ask_pod(Arc::clone(&self.node), self.reports.clone(), probe));
        }
        result
    }
}

// Each call of a node is a task of its own, so that a node that panics is a pod that failed and not one that starts
// forever. Nobody listens to a report once the cluster is gone.

async fn start_pod<N: Node>(node: Arc<N>, reports: mpsc::UnboundedSender<Report<N::Pod>>, request: PodRequest) {
    let uid = request.uid.clone();
    let start = async move {
        let pod = node.start(request).await?;
        let log = node.log(&pod);
        Ok((pod, log))
    };
    let result = tokio::spawn(start).await;
    let result =
        result.unwrap_or_else(|error| Err(StartError::new("RunContainerError", format!("starting failed: {error}"))));
    let _ = reports.send(Report::Started { uid, result });
}

async fn stop_pod<N: Node>(node: Arc<N>, reports: mpsc::UnboundedSender<Report<N::Pod>>, uid: String, pod: N::Pod) {
    // Stopped or panicked: either way nothing of it is left to wait for.
    let _ = tokio::spawn(async move { node.stop(pod).await }).await;
    let _ = reports.send(Report::Stopped { uid });
}

async fn watch_pod<N: Node>(
    node: Arc<N>,
    reports: mpsc::UnboundedSender<Report<N::Pod>>,
    uid: String,
    run: i32,
    pod: N::Pod,
) {
    if let Some(exit) = node.ended(&pod).await {
        let _ = reports.send(Report::Exited { uid, run, exit });
    }
}

async fn ask_pod<N: Node>(node: Arc<N>, reports: mpsc::UnboundedSender<Report<N::Pod>>, probe: ProbeTask<N::Pod>) {
    let ProbeTask { uid, run, kind, pod, request, timeout: limit, awaited } = probe;
    let url = request.url.clone();
    let asked = tokio::spawn(async move { timeout(limit, node.probe(&pod, request)).await }).await;
    let answer = match asked {
        Ok(Ok(Ok(status))) => probes::judge(status),
        Ok(Ok(Err(why))) => Answer::Failed(why),
        Ok(Err(_)) => Answer::Failed(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
        Err(error) => Answer::Errored(error.to_string()),
    };
    let _ = reports.send(Report::Probed { uid, run, kind, answer, awaited });
}

/// Takes in what became of pods, as much at once as has come.
async fn take_in<N: Node>(cluster: Weak<Inner<N>>, mut reports: mpsc::UnboundedReceiver<Report<N::Pod>>) {
    let mut batch = Vec::new();
    while reports.recv_many(&mut batch, BATCH).await > 0 {
        let Some(cluster) = cluster.upgrade() else { return };
        let awaited = batch.iter().filter(|report| report.awaited()).count();
        cluster.change(|state| batch.drain(..).for_each(|report| state.learn(report)));
        cluster.busy.send_modify(|busy| *busy = busy.saturating_sub(awaited));
    }
}

/// Looks at what is due when it is due.
async fn keep_time<N: Node>(cluster: Weak<Inner<N>>, mut wake: watch::Receiver<Option<Instant>>) {
    loop {
        let due = *wake.borrow_and_update();
        let reached = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = reached => {
                let Some(cluster) = cluster.upgrade() else { return };
                let samples = cluster.samples();
                cluster.change(|state| {
                    if let Some(used) = &samples {
                        state.take_samples(used);
                    }
                    state.wake();
                });
            }
            changed = wake.changed() => if changed.is_err() { return },
        }
    }
}
