//! Everything in one document (`apidiscovery.k8s.io`, v2 and v2beta1, which differ in their names only).

use std::sync::LazyLock;

use malha_cluster::REQUESTS_PER_SECOND;
use malha_cluster::resource::Resource;
use serde_json::{Map, Value, json};

use super::resources::{self, CUSTOM_METRICS_GROUP, DESCRIBED, METRIC_VALUES, METRICS, METRICS_GROUP, Subresource};
use super::served_groups;
use crate::document::{Document, accepted};

const GROUP: &str = "apidiscovery.k8s.io";
const KIND: &str = "APIGroupDiscoveryList";

/// A version of the document.
struct Form {
    version: &'static str,
    core: Document,
    groups: Document,
}

/// The document in the form that the client likes best; `None` where it takes none of them.
pub(super) fn negotiate(accept: &str, core: bool) -> Option<Document> {
    static FORMS: LazyLock<[Form; 2]> = LazyLock::new(|| {
        [
            form("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
            form("v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
        ]
    });
    for (kind, parameters) in accepted(accept) {
        if kind != "application/json" {
            continue;
        }
        let parameter = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        // Plain JSON before any of these: what the client likes better is the old form.
        let kind = parameter("as")?;
        if parameter("g") == Some(GROUP) && kind == KIND {
            let form = FORMS.iter().find(|form| parameter("v") == Some(form.version));
            if let Some(form) = form {
                return Some(if core { form.core.clone() } else { form.groups.clone() });
            }
        }
    }
    None
}

fn form(version: &'static str, content_type: &'static str) -> Form {
    let document = |items: Vec<Value>| {
        let list = json!({"kind": KIND, "apiVersion": format!("{GROUP}/{version}"), "metadata": {}, "items": items});
        Document::typed_json(content_type, &list)
    };
    Form {
        version,
        core: document(vec![group("", &["v1"])]),
        groups: document(served_groups().into_iter().map(|(name, versions)| group(name, versions)).collect()),
    }
}

fn group(name: &str, versions: &[&str]) -> Value {
    let mut metadata = Map::from_iter([("creationTimestamp".to_owned(), Value::Null)]);
    if !name.is_empty() {
        metadata.insert("name".to_owned(), json!(name));
    }
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"version": version, "freshness": "Current", "resources": rows(name, version)}))
        .collect();
    json!({"metadata": metadata, "versions": versions})
}

fn rows(group: &str, version: &str) -> Vec<Value> {
    if group == METRICS_GROUP {
        let row = |metrics: &resources::MetricsResource| {
            json!({
                "resource": metrics.plural,
                "responseKind": response(group, version, metrics.kind),
                "scope": scope(metrics.namespaced),
                "singularResource": "",
                "verbs": ["get", "list"],
            })
        };
        return METRICS.iter().map(row).collect();
    }
    if group == CUSTOM_METRICS_GROUP {
        // There is nothing but what is below: resources of no kind and without verbs (`ConvertAPIResourcesToDiscovery`).
        let row = |(plural, namespaced): (&str, bool)| {
            json!({
                "resource": plural,
                "responseKind": response("", "", ""),
                "scope": scope(namespaced),
                "singularResource": "",
                "verbs": null,
                "subresources": [{
                    "subresource": REQUESTS_PER_SECOND,
                    "responseKind": response(group, version, METRIC_VALUES),
                    "verbs": ["get"],
                }],
            })
        };
        return DESCRIBED.into_iter().map(row).collect();
    }
    resources::of(group, version).map(|resource| row(resource, version)).collect()
}

fn row(resource: &Resource, version: &str) -> Value {
    let mut row = Map::from_iter([
        ("resource".to_owned(), json!(resource.plural)),
        ("responseKind".to_owned(), response(resource.group, version, resource.kind.name())),
        ("scope".to_owned(), json!(scope(resource.kind.namespaced()))),
        ("singularResource".to_owned(), json!(resource.singular)),
        ("verbs".to_owned(), json!(resources::verbs(resource))),
    ]);
    resources::add_words(&mut row, resource);
    let below: Vec<Value> = resources::subresources(resource)
        .map(|Subresource { name, group_version, kind, verbs }| {
            let (group, version) = group_version.unwrap_or((resource.group, version));
            json!({"subresource": name, "responseKind": response(group, version, kind), "verbs": verbs})
        })
        .collect();
    if !below.is_empty() {
        row.insert("subresources".to_owned(), Value::Array(below));
    }
    Value::Object(row)
}

fn response(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

fn scope(namespaced: bool) -> &'static str {
    if namespaced { "Namespaced" } else { "Cluster" }
}
