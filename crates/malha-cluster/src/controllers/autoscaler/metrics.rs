//! The metrics of an autoscaler, one by one: what each says, and what it asks for (kube-controller-manager,
//! `pkg/controller/podautoscaler/horizontal.go`, `computeReplicasForMetric`; `metrics/client.go`).
//!
//! There are resource metrics, as from metrics-server. Custom and external metrics need an adapter on a cluster, and malha has
//! none: they fail in the words in which they fail on a cluster without one.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ObjectMetricSource,
    ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::controllers::{name, uid};
use crate::quantity;

use super::replicas::{Aim, Metric, Metrics, Proposal, propose};
use super::samples::{Sample, Samples};

const NO_ADAPTER: &str =
    "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
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

/// The pods of the target, and what is known of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload<'a> {
    pub(super) namespace: &'a str,
    pub(super) pods: &'a [&'a Pod],
    pub(super) samples: &'a Samples,
    /// Replicas that are wanted now.
    pub(super) current: i32,
    pub(super) now: Duration,
}

/// What a metric asks for.
pub(super) fn measure(workload: Workload<'_>, spec: &MetricSpec) -> Result<Measured, Failure> {
    let type_ = spec.type_.clone();
    let fail = |reason, context: String, message: String| Failure { reason, message, context };
    match (spec.type_.as_str(), &spec.resource, &spec.container_resource) {
        ("Resource", Some(source), _) => {
            let (replicas, name, current) =
                resource(workload, &source.name, &source.target, None).map_err(|error| {
                    let context = format!("failed to get {} resource metric value: ", source.name);
                    fail("FailedGetResourceMetric", context, error)
                })?;
            let resource = Some(ResourceMetricStatus { name: source.name.clone(), current });
            Ok(Measured { replicas, name, status: MetricStatus { type_, resource, ..MetricStatus::default() } })
        }
        ("ContainerResource", _, Some(source)) => {
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
        _ => Err(beyond(workload.namespace, spec)),
    }
}

/// What the metrics fail with that malha has no source for.
fn beyond(namespace: &str, spec: &MetricSpec) -> Failure {
    let (reason, context, message) = if let Some(pods) = &spec.pods {
        let message = format!("unable to get metric {}: {NO_ADAPTER}", pods.metric.name);
        ("FailedGetPodsMetric", "failed to get pods metric value: ".to_owned(), message)
    } else if let Some(object) = &spec.object {
        ("FailedGetObjectMetric", "failed to get object metric value: ".to_owned(), of_object(namespace, object))
    } else if let Some(external) = &spec.external {
        let metric = &external.metric;
        let selector = metric.selector.as_ref().map_or_else(|| "nil".to_owned(), printed);
        let message = format!("unable to get external metric {namespace}/{}/{selector}: {NO_EXTERNAL}", metric.name);
        let query = format!("{message} (get {}.external.metrics.k8s.io)", metric.name);
        ("FailedGetExternalMetric", format!("failed to get {} external metric value: ", metric.name), query)
    } else {
        let message = format!("unknown metric source type \"{}\"", spec.type_);
        ("InvalidMetricSourceType", String::new(), message)
    };
    Failure { reason, message, context }
}

fn of_object(namespace: &str, source: &ObjectMetricSource) -> String {
    let object = &source.described_object;
    let metric = &source.metric.name;
    format!("unable to get metric {metric}: {NO_ADAPTER} on {} {namespace}/{}", object.kind, object.name)
}

/// A selector as Go prints it.
fn printed(selector: &LabelSelector) -> String {
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
        let value = quantity::millicores(&value.0).and_then(|value| i64::try_from(value).ok()).unwrap_or_default();
        let proposal =
            proposed(Aim::Average(value)).map_err(|error| format!("failed to get {resource} usage: {error}"))?;
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
        average_value: Some(Quantity(written(proposal.average))),
        value: None,
    };
    Ok((proposal.replicas, name, status))
}

/// What the pods use of a resource, as far as it was measured.
fn metrics(workload: Workload<'_>, resource: &str, container: Option<&str>) -> Result<Metrics, String> {
    let known = workload.pods.iter().filter_map(|pod| Some((name(*pod), workload.samples.of(uid(*pod))?)));
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

/// Thousandths as Kubernetes writes a quantity: with the largest suffix that leaves no fraction.
fn written(thousandths: i64) -> String {
    const SUFFIXES: [&str; 7] = ["m", "", "k", "M", "G", "T", "P"];
    let mut value = thousandths;
    let mut suffixes = SUFFIXES.iter();
    let mut suffix = suffixes.next();
    if value == 0 {
        return "0".to_owned();
    }
    while value % 1_000 == 0 {
        let Some(next) = suffixes.next() else { break };
        value /= 1_000;
        suffix = Some(next);
    }
    format!("{value}{}", suffix.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_kubernetes_writes_them() {
        for (thousandths, want) in [
            (0, "0"),
            (12, "12m"),
            (1_000, "1"),
            (1_500, "1500m"),
            (64_000_000_000, "64M"),
            (67_108_864_000, "67108864"),
            (1_000_000_000_000_000_000, "1P"),
        ] {
            assert_eq!(written(thousandths), want);
        }
    }

    #[test]
    fn what_needs_an_adapter_fails_as_on_a_cluster_without_one() {
        let target = r#""target": {"type": "AverageValue", "averageValue": "10"}"#;
        let metric = r#""metric": {"name": "istio_requests_per_second", "selector": {"matchLabels": {"a": "b"}}}"#;
        let object = r#""describedObject": {"kind": "Service", "name": "posts-service", "apiVersion": "v1"}"#;
        for (spec, reason, message, context) in [
            (
                format!(r#"{{"type": "Pods", "pods": {{{metric}, {target}}}}}"#),
                "FailedGetPodsMetric",
                format!("unable to get metric istio_requests_per_second: {NO_ADAPTER}"),
                "failed to get pods metric value: ",
            ),
            (
                format!(r#"{{"type": "Object", "object": {{{object}, {metric}, {target}}}}}"#),
                "FailedGetObjectMetric",
                format!(
                    "unable to get metric istio_requests_per_second: {NO_ADAPTER} on Service default/posts-service"
                ),
                "failed to get object metric value: ",
            ),
            (
                format!(r#"{{"type": "External", "external": {{{metric}, {target}}}}}"#),
                "FailedGetExternalMetric",
                format!(
                    "unable to get external metric default/istio_requests_per_second/&LabelSelector{{MatchLabels:\
                     map[string]string{{a: b,}},MatchExpressions:[]LabelSelectorRequirement{{}},}}: {NO_EXTERNAL} \
                     (get istio_requests_per_second.external.metrics.k8s.io)"
                ),
                "failed to get istio_requests_per_second external metric value: ",
            ),
            (
                r#"{"type": "Guess"}"#.to_owned(),
                "InvalidMetricSourceType",
                "unknown metric source type \"Guess\"".to_owned(),
                "",
            ),
        ] {
            let spec: MetricSpec = serde_json::from_str(&spec).unwrap();
            let samples = Samples::default();
            let workload =
                Workload { namespace: "default", pods: &[], samples: &samples, current: 1, now: Duration::ZERO };
            let failure = measure(workload, &spec).unwrap_err();
            assert_eq!((failure.reason, failure.message, failure.context.as_str()), (reason, message, context));
        }
    }
}
