//! Kubernetes' own schemas, out of `k8s-openapi`, which generates them from what an API server publishes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v1::{HorizontalPodAutoscaler as FirstAutoscaler, Scale};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::policy::v1::{Eviction, PodDisruptionBudget};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ListMeta, Status};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::convert;
use crate::patch::lists;

/// Says what a schema is of.
type Describe = fn(&mut Value);

/// Types that read themselves, and how an API server describes what they take.
const SCALARS: &[(&str, Describe)] = &[
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", |schema| {
        schema["format"] = json!("int-or-string");
        schema["oneOf"] = json!([{"type": "integer"}, {"type": "string"}]);
    }),
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", |schema| {
        schema["oneOf"] = json!([{"type": "string"}, {"type": "number"}]);
    }),
];

/// Types that are any value: they are described, and nothing is said about their form.
const ANYTHING: &[&str] = &[
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
];

/// All components that Kubernetes' own kinds need.
pub(super) fn components() -> BTreeMap<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    macro_rules! take {
        ($($kind:ident)*) => { $(generator.subschema_for::<$kind>();)* };
    }
    take! {
        Namespace Node ServiceAccount ConfigMap Secret PersistentVolumeClaim Service Endpoints Pod Event
        Deployment ReplicaSet HorizontalPodAutoscaler PodDisruptionBudget EndpointSlice Lease RuntimeClass
        CustomResourceDefinition
        FirstAutoscaler Scale Eviction DeleteOptions ListMeta Status
    }
    let mut all: BTreeMap<String, Value> = generator.take_definitions(true).into_iter().collect();
    for (name, schema) in &mut all {
        convert::builtin(schema);
        if let Some((_, describe)) = SCALARS.iter().find(|(scalar, _)| scalar == name)
            && let Some(fields) = schema.as_object_mut()
        {
            fields.remove("x-kubernetes-int-or-string");
            describe(schema);
        }
        if ANYTHING.contains(&name.as_str())
            && let Some(fields) = schema.as_object_mut()
        {
            fields.retain(|key, _| key == "description");
        }
        say_how_it_merges(name, schema);
    }
    all
}

/// How lists and maps merge, which `k8s-openapi` leaves out.
fn say_how_it_merges(name: &str, schema: &mut Value) {
    if lists::atomic(name) {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    let Some(Value::Object(fields)) = schema.get_mut("properties") else { return };
    for (field, schema) in fields {
        for (key, value) in lists::rule(name, field).into_iter().flat_map(lists::Rule::extensions) {
            schema[key] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_say_how_they_merge() {
        let all = components();
        let containers = &all["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-list-type"], "map");
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(all["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"], "atomic");
    }

    #[test]
    fn every_rule_of_merging_is_about_a_field_that_there_is() {
        let all = components();
        for (name, rules) in lists::RULES {
            for (field, _) in *rules {
                assert!(all[*name]["properties"][field].is_object(), "{name}.{field}");
            }
        }
    }

    #[test]
    fn values_that_read_themselves_are_described_as_such() {
        let all = components();
        for (name, part, expected) in [
            ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "format", json!("int-or-string")),
            ("io.k8s.apimachinery.pkg.api.resource.Quantity", "oneOf", json!([{"type": "string"}, {"type": "number"}])),
            ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "type", Value::Null),
        ] {
            assert_eq!(all[name][part], expected, "{name}");
        }
    }
}
