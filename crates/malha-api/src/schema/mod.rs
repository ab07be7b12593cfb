//! Schemas of every kind that the API serves, as Kubernetes publishes them: `OpenAPI` v3 components by their names, such as
//! `io.k8s.api.apps.v1.Deployment`.
//!
//! Kubernetes' own come from `k8s-openapi`, Istio's from the types of `malha-manifest`; `convert` gives both the form that
//! an API server publishes (kube-openapi, `pkg/builder3`). Everything is made once, when somebody first asks.

mod builtin;
mod convert;
mod istio;
mod metrics;

pub mod crds;
pub mod validate;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use malha_cluster::resource::{RESOURCES, Resource};
use serde_json::{Map, Value, json};

pub(crate) use istio::is_istio;
pub(crate) use metrics::metrics_name;

/// Where references point to.
pub(crate) const COMPONENTS: &str = "#/components/schemas/";

/// All components by their names.
pub fn components() -> &'static BTreeMap<String, Value> {
    static ALL: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
        let mut all = builtin::components();
        all.extend(istio::components());
        all.extend(metrics::components());
        for resource in RESOURCES {
            for version in resource.versions {
                let name = name_of(resource, version);
                mark(&mut all, &name, resource.group, version, resource.kind.name());
                let list = list_of(&name, resource, version);
                all.insert(format!("{name}List"), list);
            }
        }
        mark(&mut all, SCALE, "autoscaling", "v1", "Scale");
        mark(&mut all, EVICTION, "policy", "v1", "Eviction");
        all
    });
    &ALL
}

/// What the subresource `scale` speaks.
pub(crate) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
/// What the subresource `eviction` takes.
pub(crate) const EVICTION: &str = "io.k8s.api.policy.v1.Eviction";
/// What a delete takes.
pub(crate) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
/// What every error is.
pub(crate) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
/// `metadata` of every object.
pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// `metadata` of every list.
pub(crate) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// The component of a kind in one of its versions.
pub fn name_of(resource: &Resource, version: &str) -> String {
    let kind = resource.kind.name();
    match resource.group {
        "" => format!("io.k8s.api.core.{version}.{kind}"),
        "apiextensions.k8s.io" => {
            format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}")
        }
        // The API server names components of custom resources by the group read backwards.
        group if is_istio(resource) => {
            let backwards: Vec<&str> = group.rsplit('.').collect();
            format!("{}.{version}.{kind}", backwards.join("."))
        }
        group => format!("io.k8s.api.{}.{version}.{kind}", group.strip_suffix(".k8s.io").unwrap_or(group)),
    }
}

/// The schema of a kind in one of its versions.
pub fn schema_of(resource: &Resource, version: &str) -> Option<&'static Value> {
    components().get(&name_of(resource, version))
}

/// The components that `roots` need, roots included.
pub(crate) fn needed_by(roots: &[String]) -> Map<String, Value> {
    let mut found = Map::new();
    let mut open: Vec<String> = roots.to_vec();
    while let Some(name) = open.pop() {
        if found.contains_key(&name) {
            continue;
        }
        if let Some(schema) = components().get(&name) {
            references(schema, &mut open);
            found.insert(name, schema.clone());
        }
    }
    found
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(name) = reference(schema) {
                found.push(name.to_owned());
            }
            for field in fields.values() {
                references(field, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                references(item, found);
            }
        }
        _ => {}
    }
}

/// The component that a schema refers to, by itself or as the only part of an `allOf`.
pub(crate) fn reference(schema: &Value) -> Option<&str> {
    let direct = |schema: &'_ Value| schema.get("$ref").is_some();
    let holder = if direct(schema) {
        schema
    } else {
        match schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
            Some([only]) if direct(only) => only,
            _ => return None,
        }
    };
    holder.get("$ref").and_then(Value::as_str)?.strip_prefix(COMPONENTS)
}

/// A reference to a component.
pub(crate) fn refer(name: &str) -> Value {
    json!({ "$ref": format!("{COMPONENTS}{name}") })
}

/// A reference with a description: `OpenAPI` 3.0 knows no siblings of `$ref`.
pub(crate) fn described(name: &str, description: &str) -> Value {
    json!({ "allOf": [refer(name)], "description": description })
}

fn mark(all: &mut BTreeMap<String, Value>, name: &str, group: &str, version: &str, kind: &str) {
    if let Some(schema) = all.get_mut(name) {
        schema["x-kubernetes-group-version-kind"] = json!([{"group": group, "kind": kind, "version": version}]);
    }
}

const API_VERSION: &str = "The group and version of this object's schema.";
const KIND: &str = "What this object is, in CamelCase.";

fn list_of(name: &str, resource: &Resource, version: &str) -> Value {
    let kind = resource.kind.name();
    json!({
        "description": format!("{kind}List is a list of {kind}."),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": described(LIST_META, "Metadata of the list."),
            "items": {"type": "array", "items": refer(name), "description": format!("The objects of kind {kind}.")},
        },
        "x-kubernetes-group-version-kind": [
            {"group": resource.group, "kind": format!("{kind}List"), "version": version},
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_schema_in_each_of_its_versions() {
        for resource in RESOURCES {
            for version in resource.versions {
                let schema = schema_of(resource, version).unwrap_or_else(|| panic!("{}", name_of(resource, version)));
                assert_eq!(schema["type"], "object", "{}", resource.kind);
                assert!(schema["description"].is_string(), "{}", resource.kind);
                assert_eq!(
                    schema["x-kubernetes-group-version-kind"],
                    json!([{"group": resource.group, "kind": resource.kind.name(), "version": version}])
                );
                for field in ["apiVersion", "kind", "metadata"] {
                    assert!(schema["properties"][field].is_object(), "{}: {field}", resource.kind);
                }
            }
        }
    }

    #[test]
    fn every_reference_is_there() {
        for (name, schema) in components() {
            let mut found = Vec::new();
            references(schema, &mut found);
            for reference in found {
                assert!(components().contains_key(&reference), "{name} needs {reference}");
            }
        }
    }

    #[test]
    fn schemas_say_nothing_that_kubernetes_does_not_know() {
        const KNOWN: &[&str] = &[
            "$ref",
            "additionalProperties",
            "allOf",
            "description",
            "enum",
            "format",
            "items",
            "maximum",
            "minimum",
            "oneOf",
            "properties",
            "required",
            "type",
        ];
        fn look(name: &str, schema: &Value) {
            let fields = schema.as_object().unwrap_or_else(|| panic!("{name}: {schema}"));
            for (key, value) in fields {
                assert!(KNOWN.contains(&key.as_str()) || key.starts_with("x-kubernetes-"), "{name}: {key}");
                match key.as_str() {
                    "type" => assert!(value.is_string(), "{name}: {value}"),
                    "properties" => {
                        for (field, schema) in value.as_object().unwrap() {
                            look(&format!("{name}.{field}"), schema);
                        }
                    }
                    "items" | "additionalProperties" => look(name, value),
                    "allOf" | "oneOf" => value.as_array().unwrap().iter().for_each(|part| look(name, part)),
                    _ => {}
                }
            }
        }
        for (name, schema) in components() {
            look(name, schema);
        }
    }

    #[test]
    fn names_are_those_of_an_api_server() {
        let names: Vec<String> = RESOURCES.iter().map(|resource| name_of(resource, resource.versions[0])).collect();
        for name in [
            "io.k8s.api.core.v1.Pod",
            "io.k8s.api.apps.v1.Deployment",
            "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
            "io.k8s.api.discovery.v1.EndpointSlice",
            "io.k8s.api.node.v1.RuntimeClass",
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
            "io.istio.networking.v1.VirtualService",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }
}
