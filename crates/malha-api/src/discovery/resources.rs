//! What can be done with each resource and with what is below it (kubernetes `pkg/registry/*/rest`).

use malha_cluster::resource::{RESOURCES, Resource};
use malha_cluster::{Kind, REQUESTS_PER_SECOND};
use serde_json::{Map, Value, json};

use crate::schema::is_istio;

/// Group of the metrics of nodes and pods.
pub(super) const METRICS_GROUP: &str = "metrics.k8s.io";
/// Their version.
pub(super) const METRICS_VERSION: &str = "v1beta1";

/// Group of the rate of requests, as an adapter of Prometheus serves it.
pub(crate) const CUSTOM_METRICS_GROUP: &str = "custom.metrics.k8s.io";
/// Its versions.
pub(crate) const CUSTOM_METRICS_VERSIONS: &[&str] = &["v1beta2", "v1beta1"];
/// What the rate is about, as the metric's name has it, and whether that belongs to a namespace.
pub(super) const DESCRIBED: [(&str, bool); 4] =
    [("pods", true), ("services", true), ("deployments.apps", true), ("namespaces", false)];
/// The kind of what is answered.
pub(super) const METRIC_VALUES: &str = "MetricValueList";

/// A resource of `metrics.k8s.io`: it is measured, not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsResource {
    /// In URLs.
    pub plural: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it belongs to a namespace.
    pub namespaced: bool,
}

/// What `kubectl top` asks for.
pub const METRICS: &[MetricsResource] = &[
    MetricsResource { plural: "nodes", kind: "NodeMetrics", namespaced: false },
    MetricsResource { plural: "pods", kind: "PodMetrics", namespaced: true },
];

/// A subresource: what it speaks, and what can be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// In URLs, below the object: `scale`.
    pub name: &'static str,
    /// Group and version of its kind, where they are not the object's own.
    pub group_version: Option<(&'static str, &'static str)>,
    /// Its kind.
    pub kind: &'static str,
    /// Its verbs.
    pub verbs: &'static [&'static str],
}

const CHANGED: &[&str] = &["get", "patch", "update"];
const CONNECTED: &[&str] = &["create", "get"];

/// What is below an object of this resource, by name.
pub fn subresources(resource: &Resource) -> impl Iterator<Item = Subresource> {
    let own = resource.kind.name();
    resource.subresources.iter().map(move |name| {
        let (group_version, kind, verbs) = match *name {
            "scale" => (Some(("autoscaling", "v1")), "Scale", CHANGED),
            "eviction" => (Some(("policy", "v1")), "Eviction", &["create"][..]),
            "log" => (None, own, &["get"][..]),
            "attach" => (None, "PodAttachOptions", CONNECTED),
            "exec" => (None, "PodExecOptions", CONNECTED),
            "portforward" => (None, "PodPortForwardOptions", CONNECTED),
            _ => (None, own, CHANGED),
        };
        Subresource { name, group_version, kind, verbs }
    })
}

/// The verbs of a resource, in the order of a real cluster: those of custom resources have their own.
pub(super) fn verbs(resource: &Resource) -> &'static [&'static str] {
    if is_istio(resource) {
        return &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    }
    match resource.kind {
        // All namespaces are never deleted at once.
        Kind::Namespace => &["create", "delete", "get", "list", "patch", "update", "watch"],
        _ => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }
}

/// The resources of a group and version.
pub(super) fn of<'a>(group: &'a str, version: &'a str) -> impl Iterator<Item = &'static Resource> + use<'a> {
    RESOURCES.iter().filter(move |resource| resource.group == group && resource.versions.contains(&version))
}

/// `/api/v1`, `/apis/GROUP/VERSION`: an `APIResourceList`.
pub(super) fn list(group: &str, version: &str) -> Option<Value> {
    let mut rows = Vec::new();
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    if group == METRICS_GROUP && version == METRICS_VERSION {
        for MetricsResource { plural, kind, namespaced } in METRICS {
            rows.push(json!({
                "name": plural,
                "singularName": "",
                "namespaced": namespaced,
                "kind": kind,
                "verbs": ["get", "list"],
            }));
        }
    }
    if group == CUSTOM_METRICS_GROUP && CUSTOM_METRICS_VERSIONS.contains(&version) {
        for (plural, namespaced) in DESCRIBED {
            rows.push(json!({
                "name": format!("{plural}/{REQUESTS_PER_SECOND}"),
                "singularName": "",
                "namespaced": namespaced,
                "kind": METRIC_VALUES,
                "verbs": ["get"],
            }));
        }
    }
    for resource in of(group, version) {
        rows.push(row(resource));
        for sub in subresources(resource) {
            rows.push(below(resource, &sub));
        }
    }
    if rows.is_empty() {
        return None;
    }
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": rows}))
}

fn row(resource: &Resource) -> Value {
    let mut row = Map::from_iter([
        ("name".to_owned(), json!(resource.plural)),
        ("singularName".to_owned(), json!(resource.singular)),
        ("namespaced".to_owned(), json!(resource.kind.namespaced())),
        ("kind".to_owned(), json!(resource.kind.name())),
        ("verbs".to_owned(), json!(verbs(resource))),
    ]);
    add_words(&mut row, resource);
    Value::Object(row)
}

/// Short names and categories, where there are any.
pub(super) fn add_words(row: &mut Map<String, Value>, resource: &Resource) {
    for (key, words) in [("shortNames", resource.short_names), ("categories", resource.categories)] {
        if !words.is_empty() {
            row.insert(key.to_owned(), json!(words));
        }
    }
}

fn below(resource: &Resource, sub: &Subresource) -> Value {
    let mut row = Map::from_iter([
        ("name".to_owned(), json!(format!("{}/{}", resource.plural, sub.name))),
        ("singularName".to_owned(), json!("")),
        ("namespaced".to_owned(), json!(resource.kind.namespaced())),
        ("kind".to_owned(), json!(sub.kind)),
        ("verbs".to_owned(), json!(sub.verbs)),
    ]);
    if let Some((group, version)) = sub.group_version {
        row.insert("group".to_owned(), json!(group));
        row.insert("version".to_owned(), json!(version));
    }
    Value::Object(row)
}
