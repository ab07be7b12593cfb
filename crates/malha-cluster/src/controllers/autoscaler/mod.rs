//! `HorizontalPodAutoscaler` → the size of a Deployment or a replica set (kube-controller-manager,
//! `pkg/controller/podautoscaler/horizontal.go`).
//!
//! Every 15 s: what the pods use (`samples`) and how many requests reach them (`crate::requests`), how many pods that asks for
//! (`metrics`, `replicas`), how much of that is done at once (`behavior`), and what is said about it (`conditions`). Unlike the other controllers this one remembers something that
//! is not in the store: it is in [`Autoscaling`], and handed in.

mod behavior;
mod conditions;
mod metrics;
mod replicas;
mod samples;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus,
    MetricSpec, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use tokio::time::Instant;

use crate::events::EventKind;
use crate::object::{Key, Kind, Object};
use crate::requests::{RequestRates, Requests};
use crate::selector;
use crate::store::Store;
use crate::usage::PodUsage;

use super::name;
use behavior::{Bounds, Memory};
use conditions::{About, Conditions};
use metrics::{Failure, Known, Workload, measure};
use samples::Samples;

pub(crate) use behavior::{Direction, filled};
pub(crate) use samples::RESOLUTION;

/// Time between two looks at an autoscaler (`--horizontal-pod-autoscaler-sync-period`).
pub(crate) const PERIOD: Duration = Duration::from_secs(15);

/// For how long pods are measured after somebody has asked for the rate of requests, autoscalers or not.
const ASKED: Duration = Duration::from_mins(5);

/// What the autoscalers' controller remembers.
#[derive(Debug, Default)]
pub(crate) struct Autoscaling {
    samples: Samples,
    requests: Requests,
    /// When pods are measured next, while there is an autoscaler or somebody asks.
    next_sample: Option<Instant>,
    /// Until when pods are measured because somebody asked.
    asked: Option<Instant>,
    /// Of each autoscaler, and when it is looked at next.
    known: BTreeMap<Key, (Instant, Memory)>,
}

/// When to look at an autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Now, and again after [`PERIOD`].
    Now,
    /// It is new: after [`PERIOD`]. Pods are to be measured at once.
    First,
    /// Somebody else looks when it is time.
    Later,
}

impl Autoscaling {
    /// Whether it is an autoscaler's turn.
    pub(crate) fn turn(&mut self, key: &Key, now: Instant) -> Turn {
        match self.known.get_mut(key) {
            None => {
                self.known.insert(key.clone(), (now + PERIOD, Memory::default()));
                self.next_sample.get_or_insert(now);
                Turn::First
            }
            Some((next, _)) if *next <= now => {
                *next = now + PERIOD;
                Turn::Now
            }
            Some(_) => Turn::Later,
        }
    }

    /// An autoscaler is gone.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.known.remove(key);
        self.rest();
    }

    /// Measures no more if nobody wants to know.
    fn rest(&mut self) {
        if self.known.is_empty() && self.asked.is_none() {
            self.next_sample = None;
            self.samples.clear();
            self.requests.clear();
        }
    }

    /// How many requests a second reach the pods; has them measured from now on.
    pub(crate) fn request_rates(&mut self, store: &Store, now: Instant) -> RequestRates {
        self.asked = Some(now + ASKED);
        self.next_sample.get_or_insert(now);
        self.requests.rates(store.since_epoch())
    }

    /// When pods are to be measured.
    pub(crate) fn next_sample(&self) -> Option<Instant> {
        self.next_sample
    }

    /// Takes in what pods have used; `now` is wall time.
    pub(crate) fn take(&mut self, used: &[PodUsage], store: &Store, now: Duration) {
        let Some(due) = &mut self.next_sample else { return };
        let moment = *due;
        *due += RESOLUTION;
        self.requests.take(used, store, now);
        self.samples.take(used, now, |pod| {
            let pod = store.get::<Pod>(&pod.pod.namespace, &pod.pod.name)?;
            let container = pod.status.as_ref()?.container_statuses.iter().flatten().next()?;
            let started = container.state.as_ref()?.running.as_ref()?.started_at.as_ref()?;
            Some(Duration::from_secs(u64::try_from(started.0.as_second()).ok()?))
        });
        self.asked = self.asked.filter(|until| moment < *until);
        self.rest();
    }

    /// What is to be done about an autoscaler.
    pub(crate) fn look(&mut self, store: &Store, key: &Key) -> Option<Look> {
        let scaler = store.get::<HorizontalPodAutoscaler>(&key.namespace, &key.name)?;
        let (_, memory) = self.known.get_mut(key)?;
        let status = scaler.status.clone().unwrap_or_default();
        let now = store.since_epoch();
        let mut look = Look {
            scaler: HorizontalPodAutoscaler::clone(scaler),
            conditions: Conditions::new(status.conditions.clone().unwrap_or_default(), store.now()),
            status,
            events: Vec::new(),
            rescale: None,
        };
        let spec = scaler.spec.clone().unwrap_or_default();
        match target(store, &key.namespace, &spec.scale_target_ref) {
            Ok(scale) => {
                let known = Known { samples: &self.samples, rates: &self.requests.rates(now) };
                look.size(store, &spec, scale, (memory, known), now);
            }
            Err(error) => {
                let message = format!("the HPA controller was unable to get the target's current scale: {error}");
                look.warn("FailedGetScale", error);
                look.conditions.set(About::AbleToScale, false, "FailedGetScale", message);
            }
        }
        Some(look)
    }

    /// Takes in what became of a change of size.
    pub(crate) fn rescaled(&mut self, look: &mut Look, key: &Key, result: Result<(), String>, store: &Store) {
        let Some(rescale) = look.rescale.take() else { return };
        let Rescale { from, to, reason, .. } = rescale;
        match result {
            Ok(()) => {
                let message = format!("the HPA controller was able to update the target scale to {to}");
                look.conditions.set(About::AbleToScale, true, "SucceededRescale", message);
                let event = (EventKind::Normal, "SuccessfulRescale", format!("New size: {to}; reason: {reason}"));
                look.events.push(event);
                look.status.desired_replicas = to;
                look.status.last_scale_time = Some(store.now());
                if let Some((_, memory)) = self.known.get_mut(key) {
                    let behavior = look.scaler.spec.as_ref().and_then(|spec| spec.behavior.as_ref());
                    memory.changed(behavior, (from, to), store.since_epoch());
                }
            }
            Err(error) => {
                look.warn("FailedRescale", format!("New size: {to}; reason: {reason}; error: {error}"));
                let message = format!("the HPA controller was unable to update the target scale: {error}");
                look.conditions.set(About::AbleToScale, false, "FailedUpdateScale", message);
            }
        }
    }
}

/// What a look at an autoscaler has come to.
#[derive(Debug)]
pub(crate) struct Look {
    scaler: HorizontalPodAutoscaler,
    status: HorizontalPodAutoscalerStatus,
    conditions: Conditions,
    events: Vec<(EventKind, &'static str, String)>,
    rescale: Option<Rescale>,
}

/// A change of size.
#[derive(Debug)]
struct Rescale {
    /// The target as it is to be.
    target: Object,
    from: i32,
    to: i32,
    reason: String,
}

impl Look {
    /// The target as it is to be, if that is another than it is.
    pub(crate) fn target(&self) -> Option<Object> {
        self.rescale.as_ref().map(|rescale| rescale.target.clone())
    }

    /// The autoscaler with what is said about it, and the events.
    pub(crate) fn into_parts(self) -> (Object, Vec<(EventKind, &'static str, String)>) {
        let status = HorizontalPodAutoscalerStatus { conditions: Some(self.conditions.into_list()), ..self.status };
        let scaler = HorizontalPodAutoscaler { status: Some(status), ..self.scaler };
        (Object::HorizontalPodAutoscaler(Arc::new(scaler)), self.events)
    }

    fn warn(&mut self, reason: &'static str, message: String) {
        self.events.push((EventKind::Warning, reason, message));
    }

    /// Works out the size that a target should have (`reconcileAutoscaler`).
    fn size(
        &mut self,
        store: &Store,
        spec: &HorizontalPodAutoscalerSpec,
        target: Scale,
        (memory, known): (&mut Memory, Known<'_>),
        now: Duration,
    ) {
        let message = "the HPA controller was able to get the target's current scale";
        self.conditions.set(About::AbleToScale, true, "SucceededGetScale", message);
        let current = target.replicas;
        memory.begin(current, now);
        let least = spec.min_replicas.unwrap_or(1);
        let most = spec.max_replicas;
        let mut measured = Vec::new();
        let (wanted, reason) = if current == 0 && least != 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            self.conditions.set(About::ScalingActive, false, "ScalingDisabled", message);
            (0, String::new())
        } else if current > most {
            (most, "Current number of replicas above Spec.MaxReplicas".to_owned())
        } else if current < least {
            (least, "Current number of replicas below Spec.MinReplicas".to_owned())
        } else {
            let (statuses, found) = self.measure_all(store, spec, &target, known, now);
            measured = statuses;
            let Some((proposed, metric)) = found else {
                self.set_status(current, None, measured);
                return;
            };
            let normal = memory.normalize(spec.behavior.as_ref(), proposed, Bounds { current, least, most }, now);
            let (reason, message) = normal.able;
            self.conditions.set(About::AbleToScale, true, reason, message);
            let (reason, message) = normal.limit;
            self.conditions.set(About::ScalingLimited, normal.limited, reason, message);
            let why = match proposed.cmp(&current) {
                std::cmp::Ordering::Greater => format!("{metric} above target"),
                std::cmp::Ordering::Less => "All metrics below target".to_owned(),
                std::cmp::Ordering::Equal => String::new(),
            };
            (normal.replicas, why)
        };
        if wanted == current {
            self.set_status(current, Some(current), measured);
        } else {
            self.rescale = Some(Rescale { target: target.of(wanted), from: current, to: wanted, reason });
            // What is wanted is said once it is written.
            self.set_status(current, None, measured);
        }
    }

    fn set_status(&mut self, current: i32, desired: Option<i32>, measured: Vec<MetricStatus>) {
        self.status.current_replicas = Some(current);
        self.status.desired_replicas = desired.unwrap_or(self.status.desired_replicas);
        self.status.current_metrics = Some(measured).filter(|measured| !measured.is_empty());
    }

    /// What all metrics say, and the highest size that one of them asks for with that one's name (`computeReplicasForMetrics`).
    /// `None` if none says anything, or if fewer replicas would follow from only some of them.
    fn measure_all(
        &mut self,
        store: &Store,
        spec: &HorizontalPodAutoscalerSpec,
        target: &Scale,
        known: Known<'_>,
        now: Duration,
    ) -> (Vec<MetricStatus>, Option<(i32, String)>) {
        let namespace = self.scaler.metadata.namespace.clone().unwrap_or_default();
        let pods: Vec<&Pod> = store
            .list_in::<Pod>(&namespace)
            .map(Arc::as_ref)
            .filter(|pod| selector::matches(&target.selector, pod.metadata.labels.as_ref()))
            .collect();
        if let Err((reason, event, message, said)) = alone(store, &namespace, target, &pods) {
            self.warn(event, message.clone());
            self.conditions.set(About::ScalingActive, false, reason, said);
            self.warn("FailedComputeMetricsReplicas", message);
            return (Vec::new(), None);
        }
        let current = target.replicas;
        let workload = Workload { namespace: &namespace, pods: &pods, known, current, running: target.running, now };
        let specs: &[MetricSpec] = spec.metrics.as_deref().unwrap_or_default();
        let mut statuses = Vec::new();
        let mut failures: Vec<Failure> = Vec::new();
        let mut highest: Option<(i32, String)> = None;
        for result in specs.iter().map(|spec| measure(workload, spec)) {
            match result {
                Ok(measured) => {
                    statuses.push(measured.status);
                    if highest.as_ref().is_none_or(|(replicas, _)| *replicas == 0 || measured.replicas > *replicas) {
                        highest = Some((measured.replicas, measured.name));
                    }
                }
                Err(failure) => {
                    // It has its place in the list, with nothing in it.
                    statuses.push(MetricStatus::default());
                    self.warn(failure.reason, failure.message.clone());
                    failures.push(failure);
                }
            }
        }
        let fewer = highest.as_ref().is_none_or(|(replicas, _)| *replicas < current);
        if let Some(first) = failures.first()
            && (failures.len() >= specs.len() || fewer)
        {
            let message = format!("the HPA was unable to compute the replica count: {}", first.message);
            self.conditions.set(About::ScalingActive, false, first.reason, message);
            let message = format!(
                "invalid metrics ({} invalid out of {}), first error is: {}{}",
                failures.len(),
                specs.len(),
                first.context,
                first.message
            );
            self.warn("FailedComputeMetricsReplicas", message);
            return (statuses, None);
        }
        let (replicas, metric) = highest.unwrap_or_default();
        let message = format!("the HPA was able to successfully calculate a replica count from {metric}");
        self.conditions.set(About::ScalingActive, true, "ValidMetricFound", message);
        (statuses, Some((replicas, metric)))
    }
}

/// Whether a target's selector is one, and its pods have no other autoscaler (`validateAndParseSelector`). Otherwise: the
/// condition's reason, the event's reason and message, and the condition's message.
fn alone(
    store: &Store,
    namespace: &str,
    target: &Scale,
    pods: &[&Pod],
) -> Result<(), (&'static str, &'static str, String, String)> {
    let text = selector::text(&target.selector);
    if text.is_empty() {
        let said = "the HPA target's scale is missing a selector".to_owned();
        return Err(("InvalidSelector", "SelectorRequired", "selector is required".to_owned(), said));
    }
    let scalers = store.list_in::<HorizontalPodAutoscaler>(namespace);
    let controlling = scalers.filter(|scaler| {
        let reference = scaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
        let target = reference.and_then(|reference| self::target(store, namespace, reference).ok());
        target.is_some_and(|target| {
            pods.iter().any(|pod| selector::matches(&target.selector, pod.metadata.labels.as_ref()))
        })
    });
    let names: Vec<String> = controlling.map(|scaler| format!("{{{} {namespace}}}", name(scaler.as_ref()))).collect();
    if names.len() > 1 {
        let message = format!("pods by selector {text} are controlled by multiple HPAs: [{}]", names.join(" "));
        return Err(("AmbiguousSelector", "AmbiguousSelector", message.clone(), message));
    }
    Ok(())
}

/// What can be scaled: the subresource `scale`.
struct Scale {
    object: Object,
    replicas: i32,
    /// `status.replicas`.
    running: i32,
    selector: LabelSelector,
}

impl Scale {
    /// The object of another size.
    fn of(self, replicas: i32) -> Object {
        let mut object = self.object;
        match &mut object {
            Object::Deployment(object) => Arc::make_mut(object).spec.get_or_insert_default().replicas = Some(replicas),
            Object::ReplicaSet(object) => Arc::make_mut(object).spec.get_or_insert_default().replicas = Some(replicas),
            _ => {}
        }
        object
    }
}

/// What an autoscaler refers to. The error is what Kubernetes' client says.
fn target(store: &Store, namespace: &str, reference: &CrossVersionObjectReference) -> Result<Scale, String> {
    let version = reference.api_version.as_deref().unwrap_or_default();
    let group = match version.split('/').collect::<Vec<_>>()[..] {
        [_] => "",
        [group, _] => group,
        _ => return Err(format!("unexpected GroupVersion string: {version}")),
    };
    let (kind, name) = (reference.kind.as_str(), reference.name.as_str());
    let missing = |plural: &str| format!("{plural}/scale.apps \"{name}\" not found");
    match (group, kind) {
        ("apps", "Deployment") => {
            let object = store.get::<Deployment>(namespace, name).ok_or_else(|| missing("deployments"))?;
            let spec = object.spec.clone().unwrap_or_default();
            let running = object.status.as_ref().and_then(|status| status.replicas).unwrap_or_default();
            let (replicas, object) = (spec.replicas.unwrap_or(1), Object::Deployment(Arc::clone(object)));
            Ok(Scale { object, replicas, running, selector: spec.selector })
        }
        ("apps", "ReplicaSet") => {
            let object = store.get::<ReplicaSet>(namespace, name).ok_or_else(|| missing("replicasets"))?;
            let spec = object.spec.clone().unwrap_or_default();
            let running = object.status.as_ref().map(|status| status.replicas).unwrap_or_default();
            let (replicas, object) = (spec.replicas.unwrap_or(1), Object::ReplicaSet(Arc::clone(object)));
            Ok(Scale { object, replicas, running, selector: spec.selector })
        }
        _ if Kind::of(kind).is_some_and(|known| group_of(known) == group) => {
            Err("the server could not find the requested resource".to_owned())
        }
        _ => Err(format!("no matches for kind \"{kind}\" in group \"{group}\"")),
    }
}

fn group_of(kind: Kind) -> &'static str {
    kind.api_version().split_once('/').map_or("", |(group, _)| group)
}
