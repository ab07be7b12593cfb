//! `istio_requests_per_second`: what a Prometheus that asks every sidecar each 15 s, and an adapter that asks Prometheus, make of
//! `istio_requests_total` where `reporter` is `destination` (docs/autoscaling.md has the adapter's rule).
//!
//! A series begins with the first request that reaches a pod, as in Envoy: a pod that nobody called has no rate, not a rate of
//! zero. What pods of the past have answered counts until it leaves the window.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::controllers::name;
use crate::pilot::owner;
use crate::selector;
use crate::store::Store;
use crate::usage::PodUsage;

/// The metric's name.
pub const REQUESTS_PER_SECOND: &str = "istio_requests_per_second";

/// Over which time a rate is taken: `[1m]`.
const WINDOW: Duration = Duration::from_mins(1);

/// What came to a pod: since when it is counted, how much that was at each look, and by which names it is added up.
#[derive(Debug)]
struct Series {
    labels: Labels,
    points: VecDeque<(Duration, u64)>,
}

/// Whose requests they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Labels {
    namespace: String,
    pod: String,
    /// `destination_service_name`: the oldest Service of the pod, as Istio's inbound side has it.
    service: Option<String>,
    /// `destination_workload`.
    workload: String,
}

/// The series of all pods, by uid.
#[derive(Debug, Default)]
pub(crate) struct Requests(HashMap<String, Series>);

impl Requests {
    /// Takes in how many requests have reached each pod until `now`.
    pub(crate) fn take(&mut self, used: &[PodUsage], store: &Store, now: Duration) {
        for PodUsage { pod, uid, usage, .. } in used.iter().filter(|pod| pod.usage.requests > 0) {
            if !self.0.contains_key(uid) {
                let Some(labels) = store.get::<Pod>(&pod.namespace, &pod.name).map(|pod| labels(store, pod)) else {
                    continue;
                };
                self.0.insert(uid.clone(), Series { labels, points: VecDeque::new() });
            }
            if let Some(series) = self.0.get_mut(uid) {
                series.points.push_back((now, usage.requests));
            }
        }
        let start = now.saturating_sub(WINDOW);
        self.0.retain(|_, series| {
            while series.points.front().is_some_and(|(at, _)| *at <= start) {
                series.points.pop_front();
            }
            !series.points.is_empty()
        });
    }

    /// The rates at a moment.
    pub(crate) fn rates(&self, now: Duration) -> RequestRates {
        let rates = self.0.values().filter_map(|Series { labels, points }| {
            let start = now.saturating_sub(WINDOW);
            let points: Vec<_> = points.iter().filter(|(at, _)| *at > start).copied().collect();
            Some((labels.clone(), rate(&points, now)?))
        });
        RequestRates(rates.collect())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Whose requests are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described<'a> {
    /// Those that reached a pod.
    Pod(&'a str),
    /// Those that reached pods of a Service, as their oldest one.
    Service(&'a str),
    /// Those that reached pods of a Deployment.
    Deployment(&'a str),
    /// Those that reached any pod of the namespace.
    Namespace,
}

impl<'a> Described<'a> {
    /// By the group and the plural name of a resource; `None` for those that no series of the metric is about.
    pub fn read(group: &str, plural: &str, name: &'a str) -> Option<Self> {
        match (group, plural) {
            ("", "pods") => Some(Self::Pod(name)),
            ("", "services") => Some(Self::Service(name)),
            ("apps", "deployments") => Some(Self::Deployment(name)),
            ("", "namespaces") => Some(Self::Namespace),
            _ => None,
        }
    }
}

/// How many requests a second reach each pod.
#[derive(Clone, Debug, Default)]
pub struct RequestRates(Vec<(Labels, f64)>);

impl RequestRates {
    /// The rate of all requests that are asked for, in thousandths, cut off as prometheus-adapter cuts
    /// (`pkg/custom-provider/provider.go`, `metricFor`); `None` if there is none.
    pub fn of(&self, namespace: &str, described: Described<'_>) -> Option<i64> {
        let belongs = |labels: &Labels| match described {
            Described::Pod(name) => labels.pod == name,
            Described::Service(name) => labels.service.as_deref() == Some(name),
            Described::Deployment(name) => labels.workload == name,
            Described::Namespace => true,
        };
        let rates = self.0.iter().filter(|(labels, _)| labels.namespace == namespace && belongs(labels));
        rates.map(|(_, rate)| *rate).reduce(|sum, rate| sum + rate).map(thousandths)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is finer than a thousandth is cut off")]
fn thousandths(value: f64) -> i64 {
    (value * 1_000.0) as i64
}

fn labels(store: &Store, pod: &Pod) -> Labels {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let services = store.list_in::<Service>(&namespace).filter(|service| {
        let wanted = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector::selects(wanted, pod.metadata.labels.as_ref())
    });
    let oldest = services.min_by_key(|service| service.metadata.creation_timestamp.as_ref().map(|time| time.0));
    Labels {
        service: oldest.map(|service| name(service.as_ref()).to_owned()),
        pod: name(pod).to_owned(),
        workload: owner(store, pod),
        namespace,
    }
}

/// What Prometheus' `rate` makes of the samples of a window (`promql/functions.go`, `extrapolatedRate`): what was counted
/// between the first and the last of them, drawn out to where the window begins and ends unless that is too far away.
fn rate(points: &[(Duration, u64)], now: Duration) -> Option<f64> {
    let ((first_at, first), (last_at, _)) = (points.first()?, points.last()?);
    let sampled = last_at.checked_sub(*first_at).filter(|sampled| !sampled.is_zero())?.as_secs_f64();
    let increases = points.windows(2).map(|pair| {
        let (before, after) = (pair[0].1, pair[1].1);
        // One that is less than it was has begun anew.
        after.checked_sub(before).unwrap_or(after)
    });
    let increase = float(increases.sum());
    let between = sampled / float(points.len() as u64 - 1);
    let reach = |gap: f64| if gap >= between * 1.1 { between / 2.0 } else { gap };
    // No counter was ever less than zero.
    let to_zero = if increase > 0.0 { sampled * float(*first) / increase } else { f64::INFINITY };
    let before = reach((*first_at).saturating_sub(now.saturating_sub(WINDOW)).as_secs_f64()).min(to_zero);
    let after = reach(now.saturating_sub(*last_at).as_secs_f64());
    Some(increase * (sampled + before + after) / sampled / WINDOW.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in such numbers")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_700_000_000 + seconds)
    }

    #[test]
    fn a_rate_is_that_of_prometheus() {
        for (case, points, now, want) in [
            ("steady", vec![(15, 150), (30, 300), (45, 450), (60, 600)], 60, Some(10.0)),
            ("steady, between two looks", vec![(15, 150), (30, 300), (45, 450), (60, 600)], 67, Some(10.0)),
            ("nothing more came", vec![(15, 150), (30, 150), (45, 150)], 45, Some(0.0)),
            ("one look is no rate", vec![(60, 600)], 60, None),
            ("none at all", vec![], 60, None),
            // Half a look before the first: 300 in 15 s become 450 in 22.5 s.
            ("a young series", vec![(45, 300), (60, 600)], 60, Some(7.5)),
            // It was nothing 5 s before the first look.
            ("a series that has just begun", vec![(45, 100), (60, 400)], 60, Some(300.0 * 20.0 / 15.0 / 60.0)),
            ("a counter that began anew", vec![(15, 900), (30, 1_050), (45, 150), (60, 300)], 60, Some(10.0)),
            // The last look is longer ago than looks are apart: half a look after it.
            ("a series that has ended", vec![(15, 150), (30, 300)], 60, Some(150.0 * 37.5 / 15.0 / 60.0)),
        ] {
            let points: Vec<_> = points.into_iter().map(|(second, count)| (at(second), count)).collect();
            let found = rate(&points, at(now));
            let same = match (found, want) {
                (Some(found), Some(want)) => (found - want).abs() < 1e-9,
                (found, want) => found == want,
            };
            assert!(same, "{case}: {found:?}, {want:?}");
        }
    }
}
