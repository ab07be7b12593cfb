//! `Table` (`meta.k8s.io/v1`): what `kubectl get` prints, made by the server.
//!
//! Columns and cells are those of kubernetes `pkg/printers/internalversion/printers.go`; of custom resources, those that
//! their definitions name (apiextensions-apiserver `pkg/registry/customresource/tableconvertor`). Columns of priority 1 are
//! those of `-o wide`: the server always sends them.

mod age;
mod columns;
mod common;
mod custom;
mod endpoints;
mod events;
mod nodes;
mod pods;
mod services;
mod workloads;

use k8s_openapi::jiff::Timestamp;
use malha_cluster::resource::Resource;
use malha_cluster::{Object, encode};
use serde_json::{Map, Value, json};

use common::Row;

pub use age::human_duration;

/// What comes with each row: the query parameter `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing but the cells.
    None,
    /// The object's metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl Include {
    /// Reads the parameter; missing and empty mean `Metadata`.
    ///
    /// # Errors
    /// The API server's words for another value.
    pub fn read(parameter: Option<&str>) -> Result<Self, String> {
        match parameter.unwrap_or_default() {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(format!("unrecognized includeObject value: {}", Value::String(other.to_owned()))),
        }
    }
}

/// The objects as a `Table`, in the order in which they are given. `version` is that of the objects' group in which they were
/// asked for, `now` what ages count from. The table's `metadata` is empty: the version of the list, or of the object, is the
/// caller's to say.
pub fn table<'a>(
    resource: &Resource,
    objects: impl IntoIterator<Item = &'a Object>,
    version: &str,
    now: Timestamp,
    include: Include,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(object, version, now, include)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns::definitions(resource.kind),
        "rows": rows,
    })
}

fn row(object: &Object, version: &str, now: Timestamp, include: Include) -> Value {
    let Row { cells, conditions } = cells(object, now);
    let inside = match include {
        Include::None => Value::Null,
        Include::Object => encode(object, version),
        Include::Metadata => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": object.metadata(),
        }),
    };
    let mut row = Map::from_iter([("cells".to_owned(), Value::Array(cells)), ("object".to_owned(), inside)]);
    if let Some(conditions) = conditions {
        row.insert("conditions".to_owned(), conditions);
    }
    Value::Object(row)
}

fn cells(object: &Object, now: Timestamp) -> Row {
    match object {
        Object::Pod(pod) => return pods::row(pod, now),
        Object::Namespace(namespace) => nodes::namespace(namespace, now),
        Object::Node(node) => nodes::node(node, now),
        Object::Lease(lease) => nodes::lease(lease, now),
        Object::RuntimeClass(class) => nodes::runtime_class(class, now),
        Object::ServiceAccount(account) => nodes::service_account(account, now),
        Object::ConfigMap(map) => nodes::config_map(map, now),
        Object::Secret(secret) => nodes::secret(secret, now),
        Object::PersistentVolumeClaim(claim) => nodes::claim(claim, now),
        Object::Service(service) => services::row(service, now),
        Object::Endpoints(all) => endpoints::all(all, now),
        Object::EndpointSlice(slice) => endpoints::slice(slice, now),
        Object::Deployment(deployment) => workloads::deployment(deployment, now),
        Object::ReplicaSet(set) => workloads::replica_set(set, now),
        Object::HorizontalPodAutoscaler(scaler) => workloads::autoscaler(scaler, now),
        Object::PodDisruptionBudget(budget) => workloads::budget(budget, now),
        Object::Event(event) => events::row(event, now),
        Object::CustomResourceDefinition(crd) => custom::definition(crd),
        Object::Gateway(object) => custom::row(object, now),
        Object::VirtualService(object) => custom::row(object, now),
        Object::DestinationRule(object) => custom::row(object, now),
        Object::ServiceEntry(object) => custom::row(object, now),
        Object::Sidecar(object) => custom::row(object, now),
        Object::PeerAuthentication(object) => custom::row(object, now),
        Object::RequestAuthentication(object) => custom::row(object, now),
        Object::AuthorizationPolicy(object) => custom::row(object, now),
    }
    .into()
}

#[cfg(test)]
mod tests;
