//! How many replicas a measured resource asks for (kube-controller-manager, `pkg/controller/podautoscaler/replica_calculator.go`
//! and `metrics/utilization.go`). Pure arithmetic; amounts are in thousandths, as `MilliValue` gives them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::controllers::{name, ready};
use crate::quantity;

/// How far the ratio of use to target may be from 1 without a change (`--horizontal-pod-autoscaler-tolerance`). Kubernetes 1.34
/// leaves `behavior.*.tolerance` out of account: the gate `HPAConfigurableTolerance` is alpha there.
const TOLERANCE: f64 = 0.1;

/// How long after a pod's start its use of the CPU may be that of starting (`--horizontal-pod-autoscaler-cpu-initialization-period`).
const CPU_INITIALIZATION: Duration = Duration::from_mins(5);

/// A pod that became unready in this time after its start has never been ready
/// (`--horizontal-pod-autoscaler-initial-readiness-delay`).
const INITIAL_READINESS: Duration = Duration::from_secs(30);

/// What a pod uses of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    /// In thousandths.
    pub(super) value: i64,
    /// Wall time of the measurement.
    pub(super) at: Duration,
    /// Over which time before that.
    pub(super) window: Duration,
}

/// By name of the pod.
pub(super) type Metrics = BTreeMap<String, Metric>;

/// What is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim<'a> {
    /// Percent of what the pods request; of one container, if it is named.
    Utilization(i32, Option<&'a str>),
    /// An average over the pods, in thousandths.
    Average(i64),
}

/// What follows from a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) replicas: i32,
    /// Percent of what the pods request.
    pub(super) utilization: Option<i32>,
    /// Use of one pod on average, in thousandths.
    pub(super) average: i64,
}

/// The pods as far as they count.
#[derive(Debug, Default, PartialEq, Eq)]
struct Groups<'a> {
    ready: i32,
    unready: BTreeSet<&'a str>,
    missing: BTreeSet<&'a str>,
    ignored: BTreeSet<&'a str>,
}

/// How many replicas there should be, by the use of `resource`, if there are `current` now.
pub(super) fn propose(
    pods: &[&Pod],
    metrics: &Metrics,
    resource: &str,
    aim: Aim<'_>,
    current: i32,
    now: Duration,
) -> Result<Proposal, String> {
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = group(pods, metrics, resource, now);
    let counts = |pod: &str| !groups.ignored.contains(pod) && !groups.unready.contains(pod);
    let counted = metrics.iter().map(|(pod, metric)| (pod.as_str(), metric.value)).filter(|(pod, _)| counts(pod));
    let mut values: BTreeMap<&str, i64> = counted.collect();
    if values.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let scale = Scale::of(aim, pods, resource)?;
    let (ratio, utilization, average) = scale.ratio(&values)?;
    let with = |replicas| Proposal { replicas, utilization, average };
    let dampened = !groups.unready.is_empty() && ratio > 1.0;
    if !dampened && groups.missing.is_empty() {
        return Ok(with(if tolerated(ratio) { current } else { rounded_up(ratio * f64::from(groups.ready)) }));
    }
    // What is not known is taken to be what speaks against the change.
    if ratio < 1.0 {
        values.extend(groups.missing.iter().map(|pod| (*pod, scale.at_most(pod))));
    } else if ratio > 1.0 {
        values.extend(groups.missing.iter().map(|pod| (*pod, 0)));
    }
    if dampened {
        values.extend(groups.unready.iter().map(|pod| (*pod, 0)));
    }
    let (again, ..) = scale.ratio(&values)?;
    if tolerated(again) || (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0) {
        return Ok(with(current));
    }
    let replicas = rounded_up(again * f64::from(count(values.len())));
    let turned = (again < 1.0 && replicas > current) || (again > 1.0 && replicas < current);
    Ok(with(if turned { current } else { replicas }))
}

/// How many replicas there should be by a value of something else than pods, if there are `current` now
/// (`GetObjectMetricReplicas`).
pub(super) fn by_value(pods: &[&Pod], value: i64, target: i64, current: i32) -> Result<i32, String> {
    let ratio = float(value) / float(target);
    if tolerated(ratio) {
        return Ok(current);
    }
    if pods.is_empty() {
        return Err(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count".into()
        );
    }
    let running = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    let ready = pods.iter().filter(|pod| running(pod) && ready(pod)).count();
    Ok(rounded_up(ratio * f64::from(count(ready))))
}

/// How many replicas there should be so that each has its share of a value, and what that is now, if there are `running`
/// (`GetObjectPerPodMetricReplicas`).
pub(super) fn by_share(value: i64, target: i64, running: i32) -> (i32, i64) {
    let (value, target) = (float(value), float(target));
    let replicas = if tolerated(value / (target * f64::from(running))) { running } else { rounded_up(value / target) };
    #[expect(clippy::cast_possible_truncation, reason = "`as` takes the nearest number that there is")]
    let share = (value / f64::from(running)).ceil() as i64;
    (replicas, share)
}

/// `groupPods`.
fn group<'a>(pods: &[&'a Pod], metrics: &Metrics, resource: &str, now: Duration) -> Groups<'a> {
    let mut groups = Groups::default();
    for pod in pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let name = name(*pod);
        if pod.metadata.deletion_timestamp.is_some() || phase == Some("Failed") {
            groups.ignored.insert(name);
        } else if phase == Some("Pending") {
            groups.unready.insert(name);
        } else {
            match metrics.get(name) {
                None => drop(groups.missing.insert(name)),
                Some(metric) if resource == "cpu" && starting(pod, metric, now) => drop(groups.unready.insert(name)),
                Some(_) => groups.ready += 1,
            }
        }
    }
    groups
}

/// Whether what was measured may be the pod's start and not its work.
fn starting(pod: &Pod, metric: &Metric, now: Duration) -> bool {
    let Some(status) = &pod.status else { return true };
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let (Some(ready), Some(start)) = (ready, &status.start_time) else { return true };
    let seconds = |second: i64| Duration::from_secs(u64::try_from(second).unwrap_or(0));
    let start = seconds(start.0.as_second());
    let since = ready.last_transition_time.as_ref().map_or(Duration::ZERO, |time| seconds(time.0.as_second()));
    let unready = ready.status == "False";
    if start + CPU_INITIALIZATION > now {
        unready || metric.at < since + metric.window
    } else {
        unready && start + INITIAL_READINESS > since
    }
}

/// What values are measured by.
enum Scale {
    /// By what each pod requests.
    Requests(BTreeMap<String, i64>, i32),
    Average(i64),
}

impl Scale {
    fn of(aim: Aim<'_>, pods: &[&Pod], resource: &str) -> Result<Self, String> {
        match aim {
            Aim::Average(target) => Ok(Self::Average(target)),
            Aim::Utilization(percent, container) => {
                let requests = pods.iter().map(|pod| Ok((name(*pod).to_owned(), request(pod, resource, container)?)));
                Ok(Self::Requests(requests.collect::<Result<_, String>>()?, percent))
            }
        }
    }

    /// How many times the target is used; percent of what is requested; use of one pod on average.
    fn ratio(&self, values: &BTreeMap<&str, i64>) -> Result<(f64, Option<i32>, i64), String> {
        match self {
            Self::Average(target) => {
                let average = values.values().sum::<i64>() / i64::from(count(values.len())).max(1);
                Ok((float(average) / float(*target), None, average))
            }
            Self::Requests(requests, percent) => {
                let known = values.iter().filter_map(|(pod, value)| Some((*value, *requests.get(*pod)?)));
                let (used, requested, pods) = known.fold((0, 0, 0), |(used, requested, pods), (value, request)| {
                    (used + value, requested + request, pods + 1)
                });
                if requested == 0 {
                    return Err("no metrics returned matched known pods".to_owned());
                }
                let utilization = i32::try_from(used * 100 / requested).unwrap_or(i32::MAX);
                Ok((f64::from(utilization) / f64::from(*percent), Some(utilization), used / pods))
            }
        }
    }

    /// What a pod without a metric counts for when all others use little: all that it requests, or the target where that is
    /// more.
    fn at_most(&self, pod: &str) -> i64 {
        match self {
            Self::Average(target) => *target,
            Self::Requests(requests, percent) => {
                requests.get(pod).copied().unwrap_or_default() * i64::from(*percent.max(&100)) / 100
            }
        }
    }
}

/// What a pod requests of a resource (`calculatePodRequestsFromContainers`).
fn request(pod: &Pod, resource: &str, container: Option<&str>) -> Result<i64, String> {
    let spec = pod.spec.as_ref();
    let sidecars = spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut containers = spec.iter().flat_map(|spec| &spec.containers).chain(sidecars);
    let of = |one: &Container| {
        let requests = one.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let amount = requests.and_then(|requests| requests.get(resource));
        let amount = amount.and_then(|amount| i64::try_from(quantity::millicores(&amount.0)?).ok());
        amount.ok_or_else(|| format!("missing request for {resource} in container {} of Pod {}", one.name, name(pod)))
    };
    match container {
        None => containers.map(of).sum(),
        Some(wanted) => containers
            .find(|one| one.name == wanted)
            .map_or_else(|| Err(format!("container {wanted} not found in Pod {}", name(pod))), of),
    }
}

/// Whether a ratio is near enough to 1 to leave things as they are.
fn tolerated(ratio: f64) -> bool {
    (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio)
}

fn count(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 thousandths nobody asks for the last of them")]
fn float(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, reason = "`as` takes the nearest number of replicas that there is")]
fn rounded_up(replicas: f64) -> i32 {
    replicas.ceil() as i32
}

#[cfg(test)]
mod tests;
