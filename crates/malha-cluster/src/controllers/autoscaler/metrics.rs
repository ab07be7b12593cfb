//! The metrics of an autoscaler, one by one: what each says, and what it asks for (kube-controller-manager,
//! `pkg/controller/podautoscaler/horizontal.go`, `computeReplicasForMetric`; `metrics/client.go`).
//!
//! There are resource metrics, as from metrics-server, and one custom metric, the rate of requests, as from an adapter that knows
//! no other. External metrics fail in the words in which they fail on a cluster that has none.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, CrossVersionObjectReference, MetricIdentifier, MetricSpec, MetricStatus,
    MetricTarget, MetricValueStatus, ObjectMetricSource, ObjectMetricStatus, PodsMetricSource, PodsMetricStatus,
    ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::controllers::{name, uid};
use crate::quantity;
use crate::requests::{Described, REQUESTS_PER_SECOND, RequestRates};
use crate::resource::RESOURCES;

use super::replicas::{Aim, Metric, Metrics, Proposal, by_share, by_value, propose};
use super::samples::{Sample, Samples};

const NOT_FETCHED: &str = "unable to fetch metrics from custom metrics API";
const NO_EXTERNAL: &str =
    "unable to fetch metrics from external metrics API: the server could not find the requested resource";

/// What a metric asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) replicas: i32,
    /// What it is called in conditions and events.
    pub(super) name: String,
    pub(super) status: MetricStatus,
}

/// Why a metric asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: &'static str,
    /// For the condition and the event of that reason.
    pub(super) message: String,
    /// In front of the message where all metrics are spoken of.
    pub(super) context: String,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) samples: &'a Samples,
    pub(super) rates: &'a RequestRates,
}

/// The pods of the target, and what is known of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload<'a> {
    pub(super) namespace: &'a str,
    pub(super) pods: &'a [&'a Pod],
    pub(super) known: Known<'a>,
    /// Replicas that are wanted now.
    pub(super) current: i32,
    /// Replicas that there are.
    pub(super) running: i32,
    pub(super) now: Duration,
}

/// What a metric asks for.
pub(super) fn measure(workload: Workload<'_>, spec: &MetricSpec) -> Result<Measured, Failure> {
    let type_ = spec.type_.clone();
    let fail = |reason, context: String, message: String| Failure { reason, message, context };
    match (spec.type_.as_str(), spec) {
        ("Resource", MetricSpec { resource: Some(source), .. }) => {
            let (replicas, name, current) =
                resource(workload, &source.name, &source.target, None).map_err(|error| {
                    let context = format!("failed to get {} resource metric value: ", source.name);
                    fail("FailedGetResourceMetric", context, error)
                })?;
            let resource = Some(ResourceMetricStatus { name: source.name.clone(), current });
            Ok(Measured { replicas, name, status: MetricStatus { type_, resource, ..MetricStatus::default() } })
        }
        ("ContainerResource", MetricSpec { container_resource: Some(source), .. }) => {
            let container = Some(source.container.as_str());
            let measured = resource(workload, &source.name, &source.target, container);
            let (replicas, name, current) = measured.map_err(|error| {
                let context = format!("failed to get {} container metric value: ", source.container);
                fail("FailedGetContainerResourceMetric", context, error)
            })?;
            let (name_, container) = (source.name.clone(), source.container.clone());
            let container_resource = Some(ContainerResourceMetricStatus { container, current, name: name_ });
            Ok(Measured {
                replicas,
                name,
                status: MetricStatus { type_, container_resource, ..MetricStatus::default() },
            })
        }
        ("Pods", MetricSpec { pods: Some(source), .. }) => {
            let (replicas, current) = of_pods(workload, source)
                .map_err(|error| fail("FailedGetPodsMetric", "failed to get pods metric value: ".to_owned(), error))?;
            let name = format!("pods metric {}", source.metric.name);
            let pods = Some(PodsMetricStatus { current, metric: source.metric.clone() });
            Ok(Measured { replicas, name, status: MetricStatus { type_, pods, ..MetricStatus::default() } })
        }
        ("Object", MetricSpec { object: Some(source), .. }) => {
            let (replicas, name, object) = of_object(workload, source).map_err(|(context, error)| {
                fail("FailedGetObjectMetric", format!("failed to get object metric value: {context}"), error)
            })?;
            let object = Some(object);
            Ok(Measured { replicas, name, status: MetricStatus { type_, object, ..MetricStatus::default() } })
        }
        ("External", MetricSpec { external: Some(source), .. }) => {
            let (namespace, metric) = (workload.namespace, &source.metric);
            let name = &metric.name;
            let selector = printed(metric.selector.as_ref());
            let message = format!(
                "unable to get external metric {namespace}/{name}/{selector}: {NO_EXTERNAL} \
                 (get {name}.external.metrics.k8s.io)"
            );
            Err(fail("FailedGetExternalMetric", format!("failed to get {name} external metric value: "), message))
        }
        _ => {
            let message = format!("unknown metric source type \"{}\"", spec.type_);
            Err(fail("InvalidMetricSourceType", String::new(), message))
        }
    }
}

/// What the rates of the pods ask for, and what they are on average (`GetMetricReplicas`).
fn of_pods(workload: Workload<'_>, source: &PodsMetricSource) -> Result<(i32, MetricValueStatus), String> {
    let Workload { namespace, pods, known, current, now, .. } = workload;
    let metric = &source.metric;
    let failed = |why: &str| format!("unable to get metric {}: {NOT_FETCHED}: {why}", metric.name);
    if metric.name != REQUESTS_PER_SECOND {
        return Err(failed(&format!("the server could not find the metric {} for pods", metric.name)));
    }
    let rates = pods.iter().filter_map(|pod| {
        let value = known.rates.of(namespace, Described::Pod(name(*pod))).filter(|_| !narrowed(metric))?;
        Some((name(*pod).to_owned(), Metric { value, at: now, window: Duration::from_mins(1) }))
    });
    let metrics: Metrics = rates.collect();
    if metrics.is_empty() {
        return Err(failed("no metrics returned from custom metrics API"));
    }
    let proposal =
        propose(pods, &metrics, "", Aim::Average(amount(source.target.average_value.as_ref())), current, now)?;
    let average_value = Some(Quantity(quantity::of_thousandths(proposal.average)));
    Ok((proposal.replicas, MetricValueStatus { average_value, ..MetricValueStatus::default() }))
}

/// What the rate of an object asks for, and what it is. An error has a context of its own.
fn of_object(
    workload: Workload<'_>,
    source: &ObjectMetricSource,
) -> Result<(i32, String, ObjectMetricStatus), (String, String)> {
    let ObjectMetricSource { described_object, metric, target } = source;
    let fail = |context: &str, error: String| (context.to_owned(), error);
    match (target.type_.as_str(), &target.value, &target.average_value) {
        ("Value", Some(wanted), _) => {
            let value = rate_of(workload, source).map_err(|error| fail("", error))?;
            let replicas = by_value(workload.pods, value, amount(Some(wanted)), workload.current)
                .map_err(|error| fail("", error))?;
            let current = MetricValueStatus {
                value: Some(Quantity(quantity::of_thousandths(value))),
                ..MetricValueStatus::default()
            };
            let (described_object, metric) = (described_object.clone(), metric.clone());
            let name = format!("{} metric {}", described_object.kind, metric.name);
            Ok((replicas, name, ObjectMetricStatus { current, described_object, metric }))
        }
        ("AverageValue", _, Some(wanted)) => {
            let context = format!("failed to get {} object metric: ", metric.name);
            let value = rate_of(workload, source).map_err(|error| fail(&context, error))?;
            let (replicas, share) = by_share(value, amount(Some(wanted)), workload.running);
            let average_value = Some(Quantity(quantity::of_thousandths(share)));
            let current = MetricValueStatus { average_value, ..MetricValueStatus::default() };
            // Kubernetes' own words for it, and its own omission: the object is not named.
            let name = format!("external metric {}({})", metric.name, printed(metric.selector.as_ref()));
            let described_object = CrossVersionObjectReference::default();
            Ok((replicas, name, ObjectMetricStatus { current, described_object, metric: metric.clone() }))
        }
        _ => {
            let error = "invalid object metric source: neither a value target nor an average value target was set";
            Err(fail("", error.to_owned()))
        }
    }
}

/// The rate of an object, as the adapter gives it.
fn rate_of(workload: Workload<'_>, source: &ObjectMetricSource) -> Result<i64, String> {
    let ObjectMetricSource { described_object: object, metric, .. } = source;
    let namespace = workload.namespace;
    let failed = |why: String| {
        let (kind, name) = (&object.kind, &object.name);
        format!("unable to get metric {}: {NOT_FETCHED}: {why} on {kind} {namespace}/{name}", metric.name)
    };
    let version = object.api_version.as_deref().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let resource = RESOURCES.iter().find(|resource| resource.group == group && resource.kind.name() == object.kind);
    let Some(resource) = resource else {
        let known = if group.is_empty() { object.kind.clone() } else { format!("{}.{group}", object.kind) };
        let none = format!("no matches for kind \"{}\" in group \"{group}\"", object.kind);
        return Err(failed(format!("unable to map kind {known} to resource: {none}")));
    };
    let missing = format!("the server could not find the metric {} for {}", metric.name, resource.kind.plural());
    let described = Described::read(group, resource.plural, &object.name);
    let Some(described) = described.filter(|_| metric.name == REQUESTS_PER_SECOND) else {
        return Err(failed(missing));
    };
    let rate = workload.known.rates.of(namespace, described).filter(|_| !narrowed(metric));
    rate.ok_or_else(|| failed(format!("{missing} {}", object.name)))
}

/// Whether a metric is of some series only: malha's have no labels to choose them by, and so there are none.
fn narrowed(metric: &MetricIdentifier) -> bool {
    metric.selector.as_ref().is_some_and(|selector| *selector != LabelSelector::default())
}

/// A quantity in thousandths; what is none counts as nothing, as in Go.
fn amount(quantity: Option<&Quantity>) -> i64 {
    let amount = quantity.and_then(|quantity| quantity::millicores(&quantity.0));
    amount.and_then(|amount| i64::try_from(amount).ok()).unwrap_or_default()
}

/// A selector as Go prints it.
fn printed(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let pairs = selector.match_labels.iter().flatten().map(|(key, value)| [key, ": ", value, ","].concat());
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let values = one.values.as_deref().unwrap_or_default().join(" ");
        ["LabelSelectorRequirement{Key:", &one.key, ",Operator:", &one.operator, ",Values:[", &values, "],},"].concat()
    });
    let (pairs, expressions) = (pairs.collect::<String>(), expressions.collect::<String>());
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{pairs}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

/// What a resource asks for, what that is called, and what is used now.
fn resource(
    workload: Workload<'_>,
    resource: &str,
    target: &MetricTarget,
    container: Option<&str>,
) -> Result<(i32, String, MetricValueStatus), String> {
    let Workload { pods, current, now, .. } = workload;
    let proposed = |aim| -> Result<Proposal, String> {
        let metrics = metrics(workload, resource, container)
            .map_err(|error| format!("unable to get metrics for resource {resource}: {error}"))?;
        propose(pods, &metrics, resource, aim, current, now)
    };
    let (proposal, name) = if let Some(value) = &target.average_value {
        let proposal = proposed(Aim::Average(amount(Some(value))))
            .map_err(|error| format!("failed to get {resource} usage: {error}"))?;
        (proposal, format!("{resource} resource"))
    } else if let Some(percent) = target.average_utilization {
        let proposal = proposed(Aim::Utilization(percent, container))
            .map_err(|error| format!("failed to get {resource} utilization: {error}"))?;
        let of = if container.is_some() { "container resource" } else { "resource" };
        (proposal, format!("{resource} {of} utilization (percentage of request)"))
    } else {
        return Err(
            "invalid resource metric source: neither an average utilization target nor an average value (usage) \
                    target was set"
                .to_owned(),
        );
    };
    let status = MetricValueStatus {
        average_utilization: proposal.utilization,
        average_value: Some(Quantity(quantity::of_thousandths(proposal.average))),
        value: None,
    };
    Ok((proposal.replicas, name, status))
}

/// What the pods use of a resource, as far as it was measured.
fn metrics(workload: Workload<'_>, resource: &str, container: Option<&str>) -> Result<Metrics, String> {
    let known = workload.pods.iter().filter_map(|pod| Some((name(*pod), workload.known.samples.of(uid(*pod))?)));
    let known: Vec<(&str, Sample)> = known.collect();
    if known.is_empty() {
        return Err("no metrics returned from resource metrics API".to_owned());
    }
    let mut metrics = Metrics::new();
    for (pod, sample) in known {
        if let Some(container) = container.filter(|container| *container != sample.container) {
            return Err(format!(
                "failed to get container metrics: container {container} not present in metrics for pod {}/{pod}",
                workload.namespace
            ));
        }
        let value = match resource {
            "cpu" => sample.cpu,
            "memory" => sample.memory,
            _ => continue,
        };
        metrics.insert(pod.to_owned(), Metric { value, at: sample.at, window: sample.window });
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_measures_fails_in_the_words_of_those_who_do_not() {
        let target = r#""target": {"type": "AverageValue", "averageValue": "10"}"#;
        let metric = r#""metric": {"name": "packets", "selector": {"matchLabels": {"a": "b"}}}"#;
        let rate = metric.replace("packets", REQUESTS_PER_SECOND);
        let object = r#""describedObject": {"kind": "Service", "name": "posts-service", "apiVersion": "v1"}"#;
        let ingress = r#""describedObject": {"kind": "Ingress", "name": "main", "apiVersion": "networking.k8s.io/v1"}"#;
        let unable = "unable to get metric packets: unable to fetch metrics from custom metrics API:";
        let unmeasured = unable.replace("packets", REQUESTS_PER_SECOND);
        for (spec, reason, message, context) in [
            (
                format!(r#"{{"type": "Pods", "pods": {{{metric}, {target}}}}}"#),
                "FailedGetPodsMetric",
                format!("{unable} the server could not find the metric packets for pods"),
                "failed to get pods metric value: ",
            ),
            (
                format!(r#"{{"type": "Pods", "pods": {{{rate}, {target}}}}}"#),
                "FailedGetPodsMetric",
                format!("{unmeasured} no metrics returned from custom metrics API"),
                "failed to get pods metric value: ",
            ),
            (
                format!(r#"{{"type": "Object", "object": {{{object}, {metric}, {target}}}}}"#),
                "FailedGetObjectMetric",
                format!(
                    "{unable} the server could not find the metric packets for services on Service \
                     default/posts-service"
                ),
                "failed to get object metric value: failed to get packets object metric: ",
            ),
            (
                format!(
                    r#"{{"type": "Object", "object": {{{object}, {rate}, "target": {{"type": "Value", "value": "1"}}}}}}"#
                ),
                "FailedGetObjectMetric",
                format!(
                    "{unmeasured} the server could not find the metric istio_requests_per_second for services \
                     posts-service on Service default/posts-service"
                ),
                "failed to get object metric value: ",
            ),
            (
                format!(r#"{{"type": "Object", "object": {{{ingress}, {metric}, {target}}}}}"#),
                "FailedGetObjectMetric",
                format!(
                    "{unable} unable to map kind Ingress.networking.k8s.io to resource: no matches for kind \"Ingress\" in \
                     group \"networking.k8s.io\" on Ingress default/main"
                ),
                "failed to get object metric value: failed to get packets object metric: ",
            ),
            (
                format!(r#"{{"type": "External", "external": {{{metric}, {target}}}}}"#),
                "FailedGetExternalMetric",
                format!(
                    "unable to get external metric default/packets/&LabelSelector{{MatchLabels:map[string]string{{a: b,}},\
                     MatchExpressions:[]LabelSelectorRequirement{{}},}}: {NO_EXTERNAL} (get \
                     packets.external.metrics.k8s.io)"
                ),
                "failed to get packets external metric value: ",
            ),
            (
                r#"{"type": "Guess"}"#.to_owned(),
                "InvalidMetricSourceType",
                "unknown metric source type \"Guess\"".to_owned(),
                "",
            ),
        ] {
            let spec: MetricSpec = serde_json::from_str(&spec).unwrap();
            let known = Known { samples: &Samples::default(), rates: &RequestRates::default() };
            let now = Duration::ZERO;
            let workload = Workload { namespace: "default", pods: &[], known, current: 1, running: 1, now };
            let failure = measure(workload, &spec).unwrap_err();
            assert_eq!((failure.reason, failure.message, failure.context.as_str()), (reason, message, context));
        }
    }
}
