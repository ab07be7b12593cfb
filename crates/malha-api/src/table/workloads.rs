//! Deployments, what they own, and what scales them.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus,
};
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::common::{age, containers, first, name, or, selector};

/// As many metrics are shown.
const MOST: usize = 2;

pub(super) fn deployment(deployment: &Deployment, now: Timestamp) -> Vec<Value> {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = spec.and_then(|spec| spec.replicas).unwrap_or_default();
    let [names, images] = template(spec.and_then(|spec| spec.template.spec.as_ref()));
    vec![
        name(&deployment.metadata),
        json!(format!("{}/{wanted}", status.ready_replicas.unwrap_or_default())),
        json!(status.updated_replicas.unwrap_or_default()),
        json!(status.available_replicas.unwrap_or_default()),
        age(&deployment.metadata, now),
        names,
        images,
        json!(spec.map(|spec| selector(&spec.selector)).unwrap_or_default()),
    ]
}

pub(super) fn replica_set(set: &ReplicaSet, now: Timestamp) -> Vec<Value> {
    let spec = set.spec.as_ref();
    let status = set.status.clone().unwrap_or_default();
    let pods = spec.and_then(|spec| spec.template.as_ref()?.spec.as_ref());
    let [names, images] = template(pods);
    let selected = spec.map(|spec| selector(&spec.selector)).unwrap_or_default();
    vec![
        name(&set.metadata),
        json!(spec.and_then(|spec| spec.replicas).unwrap_or_default()),
        json!(status.replicas),
        json!(status.ready_replicas.unwrap_or_default()),
        age(&set.metadata, now),
        names,
        images,
        json!(or(Some(&selected), "<none>")),
    ]
}

fn template(spec: Option<&PodSpec>) -> [Value; 2] {
    containers(spec.map(|spec| spec.containers.as_slice()).unwrap_or_default())
}

pub(super) fn autoscaler(scaler: &HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
    let spec = scaler.spec.as_ref();
    let status = scaler.status.as_ref();
    let reference = spec.map(|spec| format!("{}/{}", spec.scale_target_ref.kind, spec.scale_target_ref.name));
    let fewest = spec.and_then(|spec| spec.min_replicas).map_or_else(|| "<unset>".to_owned(), |few| few.to_string());
    let metrics = spec.and_then(|spec| spec.metrics.as_deref()).unwrap_or_default();
    let current = status.and_then(|status| status.current_metrics.as_deref()).unwrap_or_default();
    vec![
        name(&scaler.metadata),
        json!(reference.unwrap_or_default()),
        json!(targets(metrics, current)),
        json!(fewest),
        json!(spec.map(|spec| spec.max_replicas).unwrap_or_default()),
        json!(status.and_then(|status| status.current_replicas).unwrap_or_default()),
        age(&scaler.metadata, now),
    ]
}

pub(super) fn budget(budget: &PodDisruptionBudget, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (budget.spec.as_ref(), budget.status.as_ref());
    let amount = |value: Option<&IntOrString>| match value {
        None => json!("N/A"),
        Some(IntOrString::Int(number)) => json!(number.to_string()),
        Some(IntOrString::String(text)) => json!(text),
    };
    vec![
        name(&budget.metadata),
        amount(spec.and_then(|spec| spec.min_available.as_ref())),
        amount(spec.and_then(|spec| spec.max_unavailable.as_ref())),
        json!(status.map_or(0, |status| status.disruptions_allowed)),
        age(&budget.metadata, now),
    ]
}

/// `cpu: 12%/20%`, `cpu: <unknown>/20%, memory: 10Mi/64Mi + 1 more...`.
fn targets(specs: &[MetricSpec], statuses: &[MetricStatus]) -> String {
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let list: Vec<String> = specs.iter().enumerate().map(|(index, spec)| target(spec, statuses.get(index))).collect();
    first(&list, MOST, ", ")
}

fn target(spec: &MetricSpec, status: Option<&MetricStatus>) -> String {
    match spec.type_.as_str() {
        "Resource" => spec.resource.as_ref().map(|resource| {
            let current = status.and_then(|status| status.resource.as_ref()).map(|one| &one.current);
            format!("{}: {}", resource.name, of_resource(&resource.target, current))
        }),
        "ContainerResource" => spec.container_resource.as_ref().map(|resource| {
            let current = status.and_then(|status| status.container_resource.as_ref()).map(|one| &one.current);
            format!("{}: {}", resource.name, of_resource(&resource.target, current))
        }),
        "Pods" => spec.pods.as_ref().map(|pods| {
            let current = status.and_then(|status| status.pods.as_ref()).map(|one| &one.current);
            let average = current.and_then(|current| current.average_value.as_ref());
            format!("{}/{}", shown(average), quantity(pods.target.average_value.as_ref()))
        }),
        "Object" => spec.object.as_ref().map(|object| {
            of_value(&object.target, status.and_then(|status| status.object.as_ref()).map(|one| &one.current))
        }),
        "External" => spec.external.as_ref().map(|external| {
            of_value(&external.target, status.and_then(|status| status.external.as_ref()).map(|one| &one.current))
        }),
        _ => None,
    }
    .unwrap_or_else(|| "<unknown type>".to_owned())
}

/// Of a resource: as an amount, or else in percent of what pods request.
fn of_resource(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    if let Some(wanted) = &target.average_value {
        return format!("{}/{}", shown(current.and_then(|current| current.average_value.as_ref())), wanted.0);
    }
    let percent =
        |number: Option<i32>, none: &str| number.map_or_else(|| none.to_owned(), |number| format!("{number}%"));
    let used = percent(current.and_then(|current| current.average_utilization), "<unknown>");
    format!("{used}/{}", percent(target.average_utilization, "<auto>"))
}

/// Of another metric: as an average of pods, or else the value itself.
fn of_value(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    match &target.average_value {
        Some(wanted) => {
            format!("{}/{} (avg)", shown(current.and_then(|current| current.average_value.as_ref())), wanted.0)
        }
        None => {
            format!("{}/{}", shown(current.and_then(|current| current.value.as_ref())), quantity(target.value.as_ref()))
        }
    }
}

fn shown(current: Option<&Quantity>) -> &str {
    current.map_or("<unknown>", |quantity| quantity.0.as_str())
}

/// A quantity that is missing is Go's zero.
fn quantity(quantity: Option<&Quantity>) -> &str {
    quantity.map_or("0", |quantity| quantity.0.as_str())
}
