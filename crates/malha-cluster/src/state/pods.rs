//! The kubelet's part of the state: its workers, what they want done, and what became of it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use crate::controllers::Task;
use crate::kubelet::probes::{Answer, ProbeKind};
use crate::kubelet::worker::{Surroundings, Todo, Worker};
use crate::log::Log;
use crate::node::{Exit, StartError};
use crate::object::{Key, Stored};
use crate::registry::Deletion;

use super::State;

/// What became of something that the node was told.
pub(crate) enum Report<P> {
    /// A start, with the log of what runs.
    Started { uid: String, result: Result<(P, Arc<dyn Log>), StartError> },
    /// A stop.
    Stopped { uid: String },
    /// The end of a run by itself.
    Exited { uid: String, run: i32, exit: Exit },
    /// A probe of a run.
    Probed { uid: String, run: i32, kind: ProbeKind, answer: Answer, awaited: bool },
}

impl<P> Report<P> {
    /// Whether somebody may wait for it.
    pub(crate) fn awaited(&self) -> bool {
        match self {
            Self::Started { .. } | Self::Stopped { .. } => true,
            Self::Probed { awaited, .. } => *awaited,
            Self::Exited { .. } => false,
        }
    }
}

impl<P: Clone> State<P> {
    /// Takes in what the node says.
    pub(crate) fn learn(&mut self, report: Report<P>) {
        match report {
            Report::Started { uid, result } => {
                if !self.pods.contains_key(&uid) {
                    // It was deleted meanwhile.
                    self.work.stop.extend(result.ok().map(|(pod, _)| (uid, pod)));
                    return;
                }
                self.mesh_changed |= result.is_ok();
                let mut unwanted = None;
                self.turn(&uid, |worker, with, todo| unwanted = worker.started(result, with, todo));
                self.work.stop.extend(unwanted.map(|pod| (uid, pod)));
            }
            Report::Stopped { uid } => self.turn(&uid, Worker::stopped),
            Report::Exited { uid, run, exit } => {
                self.turn(&uid, |worker, with, todo| worker.exited(run, exit, with, todo));
            }
            Report::Probed { uid, run, kind, answer, .. } => {
                self.turn(&uid, |worker, with, todo| worker.probed(run, kind, &answer, with, todo));
            }
        }
    }

    /// Looks at a pod of the node, which may be new to it.
    pub(super) fn kubelet(&mut self, key: &Key) {
        let Some(pod) = self.registry.store.get::<Pod>(&key.namespace, &key.name) else { return };
        // A pod without a node is the scheduler's, and one of another machine is nobody's here, as on a real cluster.
        if !pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| self.addresses.has(node)) {
            return;
        }
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.pods.entry(uid.clone()).or_insert_with(|| Worker::new(key.clone(), uid.clone()));
        self.turn(&uid, |_, _, _| {});
    }

    /// Has a worker do something, then look at its pod; and carries out what it wants.
    fn turn(&mut self, uid: &str, act: impl FnOnce(&mut Worker<P>, &mut Surroundings<'_>, &mut Todo<P>)) {
        if self.closed {
            return;
        }
        let Some(worker) = self.pods.get_mut(uid) else { return };
        let key = worker.key.clone();
        let store = &self.registry.store;
        let Some(pod) =
            store.get::<Pod>(&key.namespace, &key.name).filter(|pod| pod.metadata.uid.as_deref() == Some(uid))
        else {
            return;
        };
        let pod = Arc::clone(pod);
        let time = store.now();
        let mut todo = Todo::default();
        let mut with =
            Surroundings { store, pod: &pod, ips: &mut self.addresses, now: Instant::now(), time: time.clone() };
        act(worker, &mut with, &mut todo);
        worker.look(&mut with, &mut todo);
        let status = worker.status(&pod, &time);
        if status != *pod {
            // The pod is there, and as it was a moment ago.
            let _ = self.registry.store.update(status.into_object());
        }
        for happening in todo.happenings {
            self.events.add(&mut self.registry.store, happening);
        }
        self.work.start.extend(todo.start);
        self.work.stop.extend(todo.stop.map(|pod| (uid.to_owned(), pod)));
        self.work.watch.extend(todo.watch.map(|(run, pod)| (uid.to_owned(), run, pod)));
        self.work.probes.extend(todo.probes);
        if let Some(at) = todo.again {
            self.timers.add(at, Task::Pod(key.clone()));
        }
        if todo.gone {
            // A finalizer may still keep it.
            let now = Deletion { grace_period_seconds: Some(0), ..Deletion::default() };
            let _ = self.registry.delete(&key, &now);
        }
    }

    /// The log of a pod's container as it runs or ran last, or of the run before; `None` if there was none.
    pub(crate) fn log(&self, pod: &Key, previous: bool) -> Option<Arc<dyn Log>> {
        self.pods.get(self.registry.store.find(pod)?.uid())?.log(previous)
    }

    /// What runs for a pod.
    pub(crate) fn running(&self, pod: &Key) -> Option<&P> {
        self.pods.get(self.registry.store.find(pod)?.uid())?.running()
    }

    /// The pod is gone: what runs for it is stopped.
    pub(super) fn drop_worker(&mut self, uid: &str) {
        let Some(worker) = self.pods.remove(uid) else { return };
        if let Some(ip) = worker.ip {
            self.addresses.free(ip);
        }
        self.work.start.retain(|request| request.uid != uid);
        self.work.stop.extend(worker.into_running().map(|pod| (uid.to_owned(), pod)));
    }

    /// Looks again at the pods that wait for other objects.
    pub(super) fn retry(&mut self, namespace: Option<&str>) {
        let waiting = self.pods.values().filter(|worker| worker.refused());
        let here = waiting.filter(|worker| namespace.is_none_or(|namespace| worker.key.namespace == namespace));
        self.tasks.extend(here.map(|worker| Task::Pod(worker.key.clone())));
    }
}
