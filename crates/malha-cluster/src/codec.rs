//! Objects as JSON, as clients of the API send and get them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use malha_manifest::{Diagnostic, Severity, check_references, parse_manifests};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::autoscaling;
use crate::object::{Istio, Kind, Object};

/// An object that was read, and what malha has to say about it.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The object.
    pub object: Object,
    /// Fields that are not acted on, and doubts: nothing that keeps the object out.
    pub findings: Vec<Diagnostic>,
}

/// Why JSON is no object of the kind.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DecodeError {
    /// Its shape is wrong: another type where a field has one (400).
    #[error("{0}")]
    Shape(String),
    /// It breaks rules of Kubernetes or Istio (422).
    #[error("{}", .0.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; "))]
    Rules(Vec<Diagnostic>),
}

/// The object as JSON in `version` of its API group (`v1`, `v1beta1`).
pub fn encode(object: &Object, version: &str) -> Json {
    let mut json = object.to_json();
    if object.kind() == Kind::HorizontalPodAutoscaler && version == "v1" {
        autoscaling::to_v1(&mut json);
    }
    if let (Json::Object(map), Some(resource)) = (&mut json, crate::resource::Resource::of(object.kind())) {
        map.insert("apiVersion".to_owned(), resource.api_version(version).into());
    }
    json
}

/// Reads an object of `kind`. What malha-manifest knows how to check is checked as in a file.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(kind: Kind, json: Json) -> Result<Decoded, DecodeError> {
    match kind {
        Kind::CustomResourceDefinition
        | Kind::Node
        | Kind::Endpoints
        | Kind::EndpointSlice
        | Kind::ReplicaSet
        | Kind::Pod
        | Kind::Lease
        | Kind::Event => typed(kind, json),
        Kind::HorizontalPodAutoscaler => {
            let mut json = json;
            if json["apiVersion"] == "autoscaling/v1" {
                autoscaling::from_v1(&mut json);
            }
            checked(kind, &json)
        }
        _ => checked(kind, &json),
    }
}

fn checked(kind: Kind, json: &Json) -> Result<Decoded, DecodeError> {
    // A generated name comes later; what checks names wants one.
    let mut json = json.clone();
    let unnamed = json["metadata"]["name"].as_str().is_none_or(str::is_empty);
    if unnamed && let Some(base) = json["metadata"]["generateName"].as_str().map(str::to_owned) {
        json["metadata"]["name"] = format!("{}x", base.trim_end_matches('.')).into();
    }
    let loaded = parse_manifests("", &json.to_string());
    // What the object names is elsewhere: in the store, or still to come.
    let elsewhere = check_references(&loaded.objects);
    let (errors, findings): (Vec<_>, Vec<_>) = loaded
        .diagnostics
        .into_iter()
        .filter(|finding| !elsewhere.contains(finding))
        .partition(|finding| finding.severity == Severity::Error);
    if !errors.is_empty() {
        return Err(DecodeError::Rules(errors));
    }
    let Some(first) = loaded.objects.into_iter().next() else {
        return Err(DecodeError::Shape(format!("no {kind} in the body")));
    };
    let mut object = Object::from(first);
    if unnamed {
        object.metadata_mut().name = None;
    }
    Ok(Decoded { object, findings })
}

fn typed(kind: Kind, json: Json) -> Result<Decoded, DecodeError> {
    let object = match kind {
        Kind::CustomResourceDefinition => read(json, Object::CustomResourceDefinition),
        Kind::Node => read(json, Object::Node),
        Kind::Endpoints => read(json, Object::Endpoints),
        Kind::EndpointSlice => read(json, Object::EndpointSlice),
        Kind::ReplicaSet => read(json, Object::ReplicaSet),
        Kind::Pod => read(json, Object::Pod),
        Kind::Lease => read(json, Object::Lease),
        _ => read(json, Object::Event),
    }?;
    Ok(Decoded { object, findings: Vec::new() })
}

fn read<T: DeserializeOwned>(json: Json, wrap: fn(std::sync::Arc<T>) -> Object) -> Result<Object, DecodeError> {
    let object: T = serde_json::from_value(json).map_err(|error| DecodeError::Shape(error.to_string()))?;
    Ok(wrap(std::sync::Arc::new(object)))
}

/// The JSON of one of Kubernetes' own types.
pub(crate) fn plain<T: Serialize>(object: &T) -> Json {
    // Types of Kubernetes are JSON by construction: string keys, finite numbers.
    serde_json::to_value(object).unwrap_or_default()
}

/// The JSON of one of Istio's.
pub(crate) fn istio<S>(kind: Kind, object: &Istio<S>) -> Json {
    let mut map = Map::new();
    map.insert("apiVersion".to_owned(), object.api_version.clone().into());
    map.insert("kind".to_owned(), kind.name().into());
    map.insert("metadata".to_owned(), plain::<ObjectMeta>(&object.metadata));
    if !object.json.is_null() {
        map.insert("spec".to_owned(), object.json.clone());
    }
    Json::Object(map)
}
