//! One pod's life on the node, from its first attempt to start to its last second (`pkg/kubelet/kuberuntime`,
//! `pod_workers.go`).
//!
//! A state machine without effects: [`Worker::look`] takes the steps that can be taken now and says what is to be done
//! and when to look again. Looking twice changes nothing.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, Pod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use malha_routing::{Endpoint, Upstream};
use tokio::time::Instant;

use crate::address::PodAddresses;
use crate::events::{Component, EventKind, Happening};
use crate::log::Log;
use crate::node::{Exit, PodRequest, ProbeRequest, StartError};
use crate::object::Key;
use crate::store::Store;

use super::backoff::Backoff;
use super::probes::{self, Answer, Meaning, ProbeKind, Probes};
use super::status::{self, View};
use super::supported;

/// How soon the kubelet sees that a container has ended (the period of its lifecycle event generator).
const NOTICED: Duration = Duration::from_secs(1);

/// A pod of the node.
pub(crate) struct Worker<P> {
    pub(crate) key: Key,
    uid: String,
    pub(crate) ip: Option<Ipv4Addr>,
    stage: Stage<P>,
    /// Runs before this one.
    restarts: i32,
    crashes: Backoff,
    pulls: Backoff,
    /// When and how the last run ended.
    finished: Option<Instant>,
    last: Option<ContainerStateTerminated>,
    log: Option<Arc<dyn Log>>,
    log_before: Option<Arc<dyn Log>>,
    /// By port. They live as long as the run, so that their accounts of requests go on from snapshot to snapshot.
    endpoints: HashMap<u16, Arc<Endpoint<P>>>,
}

/// Where a pod is.
enum Stage<P> {
    Waiting(Wait),
    /// The node starts it.
    Starting,
    Running(Run<P>),
    /// It is to end: `preStop` has until then.
    Ending(Run<P>, Instant, End),
    /// The node stops it; how it has ended then.
    Stopping(Time, End, Exit),
    /// It has ended for good.
    Ended,
}

/// Why it does not run.
enum Wait {
    /// Nobody has tried yet.
    New,
    /// Something that it refers to is not there, or malha has no part for it.
    Refused(StartError),
    /// Its image was not there at that time; whether that is a while ago.
    Image(StartError, Instant, bool),
    /// It did not start: the kubelet is about to notice.
    Failed(StartError, Instant),
    /// It ended by itself: the kubelet is about to notice.
    Exited(Instant),
    /// It ended too often of late.
    BackOff(Instant),
}

/// A run of the container.
struct Run<P> {
    pod: P,
    /// The image that it was started from.
    image: Option<String>,
    at: Time,
    probes: Probes,
    /// How it ended while it was to end anyway.
    exit: Option<Exit>,
}

/// Why a container ends, and so what comes then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Restart,
    Deletion,
}

/// What a look has to go by.
pub(crate) struct Surroundings<'a> {
    pub(crate) store: &'a Store,
    pub(crate) pod: &'a Pod,
    pub(crate) ips: &'a mut PodAddresses,
    pub(crate) now: Instant,
    pub(crate) time: Time,
}

/// What is to be done after a look.
pub(crate) struct Todo<P> {
    pub(crate) happenings: Vec<Happening>,
    pub(crate) start: Option<PodRequest>,
    pub(crate) stop: Option<P>,
    /// What runs since this turn, and which run it is: it may end by itself.
    pub(crate) watch: Option<(i32, P)>,
    pub(crate) probes: Vec<ProbeTask<P>>,
    /// The pod has ended its deletion.
    pub(crate) gone: bool,
    /// When to look again.
    pub(crate) again: Option<Instant>,
}

/// A probe to be made.
pub(crate) struct ProbeTask<P> {
    pub(crate) uid: String,
    /// Of which run.
    pub(crate) run: i32,
    pub(crate) kind: ProbeKind,
    pub(crate) pod: P,
    pub(crate) request: ProbeRequest,
    pub(crate) timeout: Duration,
    /// Whether it is the first of those that the pod's readiness hangs on. Others may go on for ever.
    pub(crate) awaited: bool,
}

impl<P> Default for Todo<P> {
    fn default() -> Self {
        Self {
            happenings: Vec::new(),
            start: None,
            stop: None,
            watch: None,
            probes: Vec::new(),
            gone: false,
            again: None,
        }
    }
}

impl<P: Clone> Worker<P> {
    pub(crate) fn new(key: Key, uid: String) -> Self {
        Self {
            key,
            uid,
            ip: None,
            stage: Stage::Waiting(Wait::New),
            restarts: 0,
            crashes: Backoff::default(),
            pulls: Backoff::default(),
            finished: None,
            last: None,
            log: None,
            log_before: None,
            endpoints: HashMap::new(),
        }
    }

    /// What runs.
    pub(crate) fn running(&self) -> Option<&P> {
        match &self.stage {
            Stage::Running(run) | Stage::Ending(run, ..) => Some(&run.pod),
            _ => None,
        }
    }

    /// What runs, taken out: the pod is gone.
    pub(crate) fn into_running(self) -> Option<P> {
        match self.stage {
            Stage::Running(run) | Stage::Ending(run, ..) => Some(run.pod),
            _ => None,
        }
    }

    /// Whether it waits for objects that it refers to.
    pub(crate) fn refused(&self) -> bool {
        matches!(self.stage, Stage::Waiting(Wait::Refused(_)))
    }

    /// The log of the run that is or was last, or of the one before a run that is.
    pub(crate) fn log(&self, previous: bool) -> Option<Arc<dyn Log>> {
        match (previous, self.running().is_some()) {
            (false, _) => self.log.clone(),
            (true, true) => self.log_before.clone(),
            (true, false) => self.last.as_ref().and(self.log.clone()),
        }
    }

    /// Where the data plane reaches a port of the pod.
    pub(crate) fn endpoint(&mut self, port: u16) -> Option<Arc<Endpoint<P>>> {
        let (pod, ip) = (self.running()?.clone(), self.ip?);
        let new = || Arc::new(Endpoint { address: format!("{ip}:{port}"), port, upstream: Upstream::Pod(pod) });
        Some(Arc::clone(self.endpoints.entry(port).or_insert_with(new)))
    }

    /// Takes all steps that can be taken now.
    pub(crate) fn look(&mut self, with: &mut Surroundings<'_>, todo: &mut Todo<P>) {
        while self.step(with, todo) {}
        todo.again = match &self.stage {
            Stage::Waiting(Wait::Failed(_, until) | Wait::Exited(until) | Wait::BackOff(until)) => Some(*until),
            Stage::Waiting(Wait::Image(_, failed, pausing)) => {
                Some(*failed + if *pausing { self.pulls.delay() } else { NOTICED })
            }
            Stage::Running(run) => run.probes.next(false),
            Stage::Ending(run, until, _) => run.probes.next(true).map_or(Some(*until), |next| Some(next.min(*until))),
            _ => None,
        };
    }

    /// Takes a step; whether there may be another.
    fn step(&mut self, with: &mut Surroundings<'_>, todo: &mut Todo<P>) -> bool {
        let deleted = with.pod.metadata.deletion_timestamp.is_some();
        let now = with.now;
        match &mut self.stage {
            // What does not run has nothing to stop. A start that is under way is stopped when it comes back.
            Stage::Waiting(_) | Stage::Starting | Stage::Ended if deleted => {
                todo.gone = true;
                false
            }
            Stage::Waiting(Wait::New | Wait::Refused(_)) => {
                self.attempt(with, todo);
                false
            }
            Stage::Waiting(Wait::Image(_, failed, pausing)) => {
                let due = *failed + if *pausing { self.pulls.delay() } else { NOTICED };
                if now >= due && *pausing {
                    self.attempt(with, todo);
                } else if now >= due {
                    *pausing = true;
                    if pull_policy(with.pod) != "Never" {
                        let image = image(with.pod);
                        self.tell(with.pod, todo, "BackOff", format!("Back-off pulling image \"{image}\""));
                        self.warn(with.pod, todo, "Failed", "Error: ImagePullBackOff".to_owned());
                    }
                }
                false
            }
            Stage::Waiting(Wait::Failed(_, until) | Wait::Exited(until) | Wait::BackOff(until)) if now >= *until => {
                let failed = self.finished.unwrap_or(now);
                self.again(failed, failed, with, todo)
            }
            Stage::Running(_) if deleted => {
                let name = container_name(with.pod);
                self.tell(with.pod, todo, "Killing", format!("Stopping container {name}"));
                let grace = with.pod.metadata.deletion_grace_period_seconds;
                self.end(End::Deletion, grace, with, todo);
                true
            }
            Stage::Running(run) if container(with.pod).is_some_and(|container| container.image != run.image) => {
                let name = container_name(with.pod);
                self.tell(with.pod, todo, "Killing", format!("Container {name} definition changed, will be restarted"));
                self.end(End::Restart, None, with, todo);
                true
            }
            Stage::Running(_) => self.probe(false, with, todo),
            Stage::Ending(_, until, then) => {
                if deleted {
                    let left = with.pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
                    *until = (*until).min(now + seconds(left));
                    *then = End::Deletion;
                }
                if now < *until {
                    return self.probe(true, with, todo);
                }
                let Stage::Ending(run, _, then) = std::mem::replace(&mut self.stage, Stage::Ended) else {
                    return false;
                };
                todo.stop = Some(run.pod);
                self.stage = Stage::Stopping(run.at, then, run.exit.unwrap_or_else(Exit::told));
                false
            }
            Stage::Stopping(_, then, _) if deleted => {
                *then = End::Deletion;
                false
            }
            Stage::Waiting(_) | Stage::Starting | Stage::Stopping(..) | Stage::Ended => false,
        }
    }

    /// Tries to start the container.
    fn attempt(&mut self, with: &mut Surroundings<'_>, todo: &mut Todo<P>) {
        let pod = with.pod;
        let request = supported(with.store, pod).and_then(|()| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
            let full = |why: String| StartError::new("FailedCreatePodSandBox", why);
            let ip = self.ip.map_or_else(|| with.ips.take(node).map_err(full), Ok)?;
            self.ip = Some(ip);
            super::request(with.store, pod, ip)
        });
        match request {
            Ok(request) => {
                todo.start = Some(request);
                self.stage = Stage::Starting;
            }
            Err(why) => {
                if matches!(&self.stage, Stage::Waiting(Wait::Refused(known)) if *known == why) {
                    return;
                }
                if why.reason == "CreateContainerConfigError" {
                    self.warn(pod, todo, "Failed", format!("Error: {}", why.message));
                } else {
                    let reason = why.reason.clone();
                    self.happens(todo, None, Component::Kubelet, EventKind::Warning, &reason, why.message.clone());
                }
                self.stage = Stage::Waiting(Wait::Refused(why));
            }
        }
    }

    /// What became of a start. A pod that nobody wants any more comes back.
    pub(crate) fn started(
        &mut self,
        result: Result<(P, Arc<dyn Log>), StartError>,
        with: &Surroundings<'_>,
        todo: &mut Todo<P>,
    ) -> Option<P> {
        if !matches!(self.stage, Stage::Starting) {
            return result.ok().map(|(pod, _)| pod);
        }
        let name = container_name(with.pod);
        let image = container(with.pod).and_then(|container| container.image.clone());
        let text = image.clone().unwrap_or_default();
        if !result.as_ref().is_err_and(StartError::is_image) {
            self.pulls = Backoff::default();
            self.tell(with.pod, todo, "Pulled", format!("Container image \"{text}\" already present on machine"));
            self.tell(with.pod, todo, "Created", format!("Created container: {name}"));
        }
        match (result, container(with.pod)) {
            (Ok((pod, log)), Some(container)) => {
                self.tell(with.pod, todo, "Started", format!("Started container {name}"));
                self.log_before = self.log.replace(log);
                self.endpoints.clear();
                let probes = Probes::new(container, with.now);
                todo.watch = Some((self.restarts, pod.clone()));
                self.stage = Stage::Running(Run { pod, image, at: with.time.clone(), probes, exit: None });
                None
            }
            (Ok((pod, _)), None) => Some(pod),
            (Err(why), _) if why.is_image() => {
                self.missing(&text, why.message, with, todo);
                None
            }
            (Err(why), _) => {
                self.warn(with.pod, todo, "Failed", format!("Error: {}", why.message));
                self.last = Some(ContainerStateTerminated {
                    exit_code: 128,
                    reason: Some("StartError".to_owned()),
                    message: Some(why.message.clone()),
                    // containerd's: the container has not started.
                    started_at: Some(Time(Timestamp::UNIX_EPOCH)),
                    finished_at: Some(with.time.clone()),
                    container_id: Some(self.container_id()),
                    signal: None,
                });
                self.finished = Some(with.now);
                self.stage = if policy(with.pod) == "Never" {
                    Stage::Ended
                } else {
                    Stage::Waiting(Wait::Failed(why, with.now + NOTICED))
                };
                None
            }
        }
    }

    /// The image is not there (`pkg/kubelet/images/image_manager.go`).
    fn missing(&mut self, image: &str, why: String, with: &Surroundings<'_>, todo: &mut Todo<P>) {
        let (reason, message) = if pull_policy(with.pod) == "Never" {
            let message = format!("Container image \"{image}\" is not present with pull policy of Never");
            self.warn(with.pod, todo, "ErrImageNeverPull", message.clone());
            ("ErrImageNeverPull", format!("{message}: {why}"))
        } else {
            self.tell(with.pod, todo, "Pulling", format!("Pulling image \"{image}\""));
            self.warn(with.pod, todo, "Failed", format!("Failed to pull image \"{image}\": {why}"));
            ("ErrImagePull", why)
        };
        self.warn(with.pod, todo, "Failed", format!("Error: {reason}"));
        self.pulls.step(with.now, with.now);
        self.stage = Stage::Waiting(Wait::Image(StartError::new(reason, message), with.now, false));
    }

    /// The node has stopped the container.
    pub(crate) fn stopped(&mut self, with: &mut Surroundings<'_>, todo: &mut Todo<P>) {
        let Stage::Stopping(at, then, exit) = &self.stage else { return };
        let then = *then;
        self.last = Some(self.terminated(exit, at, with));
        let before = self.finished.replace(with.now);
        if then == End::Deletion || policy(with.pod) == "Never" {
            self.stage = Stage::Ended;
            return;
        }
        // Killed by the kubelet itself, which starts the next at once unless the run before had ended just so
        // (`doBackOff` looks at what had exited already).
        match before {
            Some(before) => drop(self.again(before, with.now, with, todo)),
            None => self.restart(with, todo),
        }
    }

    /// The container has ended by itself.
    pub(crate) fn exited(&mut self, of: i32, exit: Exit, with: &Surroundings<'_>, todo: &mut Todo<P>) {
        if of != self.restarts {
            return;
        }
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Running(run) => {
                self.last = Some(self.terminated(&exit, &run.at, with));
                self.finished = Some(with.now);
                let stays = match policy(with.pod) {
                    "Never" => true,
                    "OnFailure" => exit.code == 0,
                    _ => false,
                };
                if !stays {
                    self.stage = Stage::Waiting(Wait::Exited(with.now + NOTICED));
                }
                todo.stop = Some(run.pod);
            }
            Stage::Ending(run, until, then) => {
                self.stage = Stage::Ending(Run { exit: Some(exit), ..run }, until, then);
            }
            other => self.stage = other,
        }
    }

    fn terminated(&self, exit: &Exit, started: &Time, with: &Surroundings<'_>) -> ContainerStateTerminated {
        ContainerStateTerminated {
            exit_code: exit.code,
            reason: Some(exit.reason.clone()),
            started_at: Some(started.clone()),
            finished_at: Some(with.time.clone()),
            container_id: Some(self.container_id()),
            ..ContainerStateTerminated::default()
        }
    }

    /// Starts the container again, now or when its back-off is over. `judged` is the end that the back-off is reckoned
    /// from, `ended` the last one.
    fn again(&mut self, judged: Instant, ended: Instant, with: &mut Surroundings<'_>, todo: &mut Todo<P>) -> bool {
        if self.crashes.until(judged, with.now).is_some() {
            let (container, pod) = (container_name(with.pod), &self.key.name);
            let message = format!(
                "Back-off restarting failed container {container} in pod {pod}_{}({})",
                self.key.namespace, self.uid
            );
            self.warn(with.pod, todo, "BackOff", message);
            self.stage = Stage::Waiting(Wait::BackOff(ended + self.crashes.delay()));
        } else {
            self.crashes.step(judged, with.now);
            self.restart(with, todo);
        }
        false
    }

    fn restart(&mut self, with: &mut Surroundings<'_>, todo: &mut Todo<P>) {
        self.restarts += 1;
        self.stage = Stage::Waiting(Wait::New);
        self.attempt(with, todo);
    }

    /// Begins to end the run: `preStop` first, within the grace period (`killContainer`).
    fn end(&mut self, then: End, grace: Option<i64>, with: &Surroundings<'_>, todo: &mut Todo<P>) {
        let spec = with.pod.spec.as_ref();
        let grace = grace.or_else(|| spec?.termination_grace_period_seconds).unwrap_or(30);
        let hook = container(with.pod).and_then(|container| container.lifecycle.as_ref()?.pre_stop.as_ref());
        let sleep = hook.and_then(|hook| hook.sleep.as_ref()).map_or(0, |sleep| sleep.seconds);
        if let Some(hook) = hook.filter(|_| grace > 0) {
            let why = if hook.exec.is_some() {
                Some("the Spin shim runs no command in a container")
            } else {
                hook.http_get.as_ref().map(|_| "malha has no part for httpGet in preStop")
            };
            if let Some(why) = why {
                let message = format!("PreStopHook failed: {why}; use preStop.sleep");
                self.warn(with.pod, todo, "FailedPreStopHook", message);
            }
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        if let Stage::Running(run) = stage {
            self.stage = Stage::Ending(run, with.now + seconds(sleep.min(grace)), then);
        }
    }

    /// Makes the probes that are due; whether an answer that needed no asking changed something.
    fn probe(&mut self, ending: bool, with: &Surroundings<'_>, todo: &mut Todo<P>) -> bool {
        let (Stage::Running(run) | Stage::Ending(run, ..)) = &mut self.stage else { return false };
        let Some(container) = container(with.pod) else { return false };
        let mut known = Vec::new();
        let awaited = !run.probes.ready();
        for kind in run.probes.due(with.now, ending) {
            let Some(spec) = probes::spec(container, kind) else { continue };
            let ip = self.ip.map(|ip| ip.to_string()).unwrap_or_default();
            match probes::request(spec, container, &ip) {
                Ok(request) => todo.probes.push(ProbeTask {
                    uid: self.uid.clone(),
                    run: self.restarts,
                    kind,
                    pod: run.pod.clone(),
                    request,
                    timeout: probes::timeout(spec),
                    awaited: awaited && kind != ProbeKind::Liveness && run.probes.unheard(kind),
                }),
                Err(answer) => known.push((kind, answer)),
            }
        }
        for (kind, answer) in &known {
            self.probed(self.restarts, *kind, answer, with, todo);
        }
        !known.is_empty()
    }

    /// How a probe went.
    pub(crate) fn probed(
        &mut self,
        of: i32,
        kind: ProbeKind,
        answer: &Answer,
        with: &Surroundings<'_>,
        todo: &mut Todo<P>,
    ) {
        if of != self.restarts {
            return;
        }
        let ending = matches!(self.stage, Stage::Ending(..));
        let (Stage::Running(run) | Stage::Ending(run, ..)) = &mut self.stage else { return };
        let meaning = run.probes.learn(kind, answer, with.now);
        match answer {
            Answer::Passed => {}
            Answer::Failed(why) => {
                self.warn(with.pod, todo, "Unhealthy", format!("{} probe failed: {why}", kind.name()));
            }
            Answer::Errored(why) => {
                let message = format!("{} probe errored and resulted in unknown state: {why}", kind.name());
                self.warn(with.pod, todo, "Unhealthy", message);
            }
        }
        if meaning == Meaning::Restart && !ending {
            let name = container_name(with.pod);
            let which = kind.name().to_lowercase();
            let tail = if policy(with.pod) == "Never" { "" } else { ", will be restarted" };
            self.tell(with.pod, todo, "Killing", format!("Container {name} failed {which} probe{tail}"));
            let spec = container(with.pod).and_then(|container| probes::spec(container, kind));
            let grace = spec.and_then(|spec| spec.termination_grace_period_seconds);
            self.end(End::Restart, grace, with, todo);
        }
    }

    /// The pod with the status that follows.
    pub(crate) fn status(&self, pod: &Pod, time: &Time) -> Pod {
        let (ready, started) = match &self.stage {
            Stage::Running(run) | Stage::Ending(run, ..) => (run.probes.ready(), run.probes.started()),
            _ => (false, false),
        };
        let terminated = matches!(self.stage, Stage::Ended | Stage::Waiting(Wait::Exited(_)));
        let view = View {
            phase: self.phase(),
            ip: self.ip,
            state: self.state(pod),
            last: self.last.clone().filter(|_| !terminated),
            ready,
            started,
            restarts: self.restarts,
            container_id: (self.log.is_some() || self.last.is_some()).then(|| self.container_id()),
        };
        status::of(pod, &view, time)
    }

    /// A container that is to be started again counts as running (`getPhase`).
    fn phase(&self) -> &'static str {
        match &self.stage {
            Stage::Running(_) | Stage::Ending(..) | Stage::Stopping(..) => "Running",
            Stage::Ended if self.last.as_ref().is_some_and(|last| last.exit_code != 0) => "Failed",
            Stage::Ended => "Succeeded",
            Stage::Waiting(_) | Stage::Starting if self.last.is_some() => "Running",
            Stage::Waiting(_) | Stage::Starting => "Pending",
        }
    }

    fn state(&self, pod: &Pod) -> ContainerState {
        let waiting = |reason: &str, message: Option<String>| ContainerState {
            waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
            ..ContainerState::default()
        };
        match &self.stage {
            Stage::Waiting(Wait::New) | Stage::Starting => waiting("ContainerCreating", None),
            Stage::Waiting(Wait::Image(why, _, true)) if why.reason == "ErrImagePull" => {
                let message = format!("Back-off pulling image \"{}\": ErrImagePull: {}", image(pod), why.message);
                waiting("ImagePullBackOff", Some(message))
            }
            Stage::Waiting(Wait::Refused(why) | Wait::Image(why, ..) | Wait::Failed(why, _)) => {
                waiting(&why.reason, Some(why.message.clone()))
            }
            Stage::Waiting(Wait::BackOff(_)) => {
                let message = format!(
                    "back-off {} restarting failed container={} pod={}_{}({})",
                    spelled(self.crashes.delay()),
                    container_name(pod),
                    self.key.name,
                    self.key.namespace,
                    self.uid
                );
                waiting("CrashLoopBackOff", Some(message))
            }
            Stage::Running(Run { at, .. }) | Stage::Ending(Run { at, .. }, ..) | Stage::Stopping(at, ..) => {
                let running = ContainerStateRunning { started_at: Some(at.clone()) };
                ContainerState { running: Some(running), ..ContainerState::default() }
            }
            Stage::Ended | Stage::Waiting(Wait::Exited(_)) => {
                ContainerState { terminated: self.last.clone(), ..ContainerState::default() }
            }
        }
    }

    fn container_id(&self) -> String {
        format!("malha://{}{:04x}", self.uid.replace('-', ""), self.restarts)
    }

    fn tell(&self, pod: &Pod, todo: &mut Todo<P>, reason: &str, message: String) {
        let part = format!("spec.containers{{{}}}", container_name(pod));
        self.happens(todo, Some(part), Component::Kubelet, EventKind::Normal, reason, message);
    }

    fn warn(&self, pod: &Pod, todo: &mut Todo<P>, reason: &str, message: String) {
        let part = format!("spec.containers{{{}}}", container_name(pod));
        self.happens(todo, Some(part), Component::Kubelet, EventKind::Warning, reason, message);
    }

    fn happens(
        &self,
        todo: &mut Todo<P>,
        part: Option<String>,
        from: Component,
        kind: EventKind,
        reason: &str,
        message: String,
    ) {
        todo.happenings.push(Happening {
            about: self.key.clone(),
            part,
            from,
            kind,
            reason: reason.to_owned(),
            message,
        });
    }
}

/// The pod's only container.
fn container(pod: &Pod) -> Option<&Container> {
    pod.spec.as_ref()?.containers.first()
}

fn container_name(pod: &Pod) -> String {
    container(pod).map(|container| container.name.clone()).unwrap_or_default()
}

fn image(pod: &Pod) -> &str {
    container(pod).and_then(|container| container.image.as_deref()).unwrap_or_default()
}

fn pull_policy(pod: &Pod) -> &str {
    container(pod).and_then(|container| container.image_pull_policy.as_deref()).unwrap_or("IfNotPresent")
}

fn policy(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always")
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

/// As Go writes durations: `10s`, `1m20s`, `5m0s`.
fn spelled(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}
