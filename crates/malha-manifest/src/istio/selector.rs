//! What a policy or a configuration is for: pods by their labels, or named objects.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Pods of a namespace, as security policies and `DestinationRule`s select them (`type.v1beta1.WorkloadSelector`).
///
/// No labels at all select every pod; in the root namespace, every pod of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicySelector {
    /// Labels that a pod must all have.
    pub match_labels: BTreeMap<String, String>,
}

/// Pods of a namespace, as `ServiceEntry` and `Sidecar` select them (`networking.v1alpha3.WorkloadSelector`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Labels that a pod must all have.
    pub labels: BTreeMap<String, String>,
}

/// An object that a policy is attached to: a Gateway or a `GatewayClass` of the Kubernetes Gateway API, a `Service`, a `ServiceEntry`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TargetRef {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Must be missing: only objects of the own namespace can be meant.
    pub namespace: Option<String>,
}
