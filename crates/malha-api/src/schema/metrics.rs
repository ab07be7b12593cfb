//! Schemas of `metrics.k8s.io/v1beta1` (`k8s.io/metrics`): what nodes and pods use.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{API_VERSION, KIND, LIST_META, OBJECT_META, described, refer};

/// The component of a kind of metrics.
pub(crate) fn metrics_name(kind: &str) -> String {
    format!("io.k8s.metrics.pkg.apis.metrics.v1beta1.{kind}")
}

pub(super) fn components() -> BTreeMap<String, Value> {
    let usage = json!({
        "type": "object",
        "description": "What is used: `cpu` in cores, `memory` in bytes.",
        "additionalProperties": refer("io.k8s.apimachinery.pkg.api.resource.Quantity"),
    });
    let container = json!({
        "type": "object",
        "description": "What a container uses.",
        "required": ["name", "usage"],
        "properties": {"name": {"type": "string", "description": "Its name."}, "usage": usage},
    });
    let mut all = BTreeMap::from([(metrics_name("ContainerMetrics"), container)]);
    for (kind, about, field, schema) in [
        ("NodeMetrics", "What a node uses.", "usage", usage),
        (
            "PodMetrics",
            "What a pod uses.",
            "containers",
            json!({
                "type": "array",
                "description": "What its containers use.",
                "items": refer(&metrics_name("ContainerMetrics")),
            }),
        ),
    ] {
        let mut object = json!({
            "type": "object",
            "description": about,
            "required": ["timestamp", "window", field],
            "properties": {
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                "metadata": described(OBJECT_META, "Metadata of the object that is measured."),
                "timestamp": described("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "When the time that was measured ended."),
                "window": {"type": "string", "description": "How long that time was."},
            },
            "x-kubernetes-group-version-kind": [{"group": "metrics.k8s.io", "kind": kind, "version": "v1beta1"}],
        });
        object["properties"][field] = schema;
        let list = json!({
            "type": "object",
            "description": format!("{kind}List is a list of {kind}."),
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                "metadata": described(LIST_META, "Metadata of the list."),
                "items": {
                    "type": "array",
                    "description": "What was measured.",
                    "items": refer(&metrics_name(kind)),
                },
            },
            "x-kubernetes-group-version-kind": [
                {"group": "metrics.k8s.io", "kind": format!("{kind}List"), "version": "v1beta1"},
            ],
        });
        all.insert(metrics_name(kind), object);
        all.insert(metrics_name(&format!("{kind}List")), list);
    }
    all
}
