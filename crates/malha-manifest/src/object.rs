//! A Kubernetes or Istio object as malha keeps it: typed, with its JSON and its places in a file.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::Value as Json;

use crate::istio::{
    AuthorizationPolicy, DestinationRule, Gateway, PeerAuthentication, RequestAuthentication, ServiceEntry, Sidecar,
    VirtualService,
};
use crate::node::Document;
use crate::path::FieldPath;
use crate::source::Location;

/// An object of a kind that malha carries out.
///
/// Istio's kinds are their `spec` only: name, namespace and labels are in [`LoadedObject::id`] and [`LoadedObject::json`].
#[derive(Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "objects are few, and stay where they are loaded")]
pub enum Object {
    /// v1
    Namespace(Namespace),
    /// v1
    ConfigMap(ConfigMap),
    /// v1
    Secret(Secret),
    /// v1
    Service(Service),
    /// v1
    ServiceAccount(ServiceAccount),
    /// v1
    PersistentVolumeClaim(PersistentVolumeClaim),
    /// apps/v1
    Deployment(Deployment),
    /// autoscaling/v2
    HorizontalPodAutoscaler(HorizontalPodAutoscaler),
    /// policy/v1
    PodDisruptionBudget(PodDisruptionBudget),
    /// node.k8s.io/v1
    RuntimeClass(RuntimeClass),
    /// networking.istio.io
    Gateway(Gateway),
    /// networking.istio.io
    VirtualService(VirtualService),
    /// networking.istio.io
    DestinationRule(DestinationRule),
    /// networking.istio.io
    ServiceEntry(ServiceEntry),
    /// networking.istio.io
    Sidecar(Sidecar),
    /// security.istio.io
    PeerAuthentication(PeerAuthentication),
    /// security.istio.io
    RequestAuthentication(RequestAuthentication),
    /// security.istio.io
    AuthorizationPolicy(AuthorizationPolicy),
}

/// What tells an object from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// `Deployment`, …
    pub kind: String,
    /// `None` for kinds that belong to the whole cluster; `default` where the manifest says nothing.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for ObjectId {
    /// `Deployment posts-deployment`, with the namespace before the name where it is not `default`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_deref() {
            None | Some("default") => write!(f, "{} {}", self.kind, self.name),
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl fmt::Debug for Object {
    /// Everything but what a Secret holds: debug output ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(object) => object.fmt(f),
            Self::ConfigMap(object) => object.fmt(f),
            Self::Secret(object) => {
                f.debug_struct("Secret").field("metadata.name", &object.metadata.name).finish_non_exhaustive()
            }
            Self::Service(object) => object.fmt(f),
            Self::ServiceAccount(object) => object.fmt(f),
            Self::PersistentVolumeClaim(object) => object.fmt(f),
            Self::Deployment(object) => object.fmt(f),
            Self::HorizontalPodAutoscaler(object) => object.fmt(f),
            Self::PodDisruptionBudget(object) => object.fmt(f),
            Self::RuntimeClass(object) => object.fmt(f),
            Self::Gateway(object) => object.fmt(f),
            Self::VirtualService(object) => object.fmt(f),
            Self::DestinationRule(object) => object.fmt(f),
            Self::ServiceEntry(object) => object.fmt(f),
            Self::Sidecar(object) => object.fmt(f),
            Self::PeerAuthentication(object) => object.fmt(f),
            Self::RequestAuthentication(object) => object.fmt(f),
            Self::AuthorizationPolicy(object) => object.fmt(f),
        }
    }
}

/// An object with where it comes from.
#[derive(Clone)]
pub struct LoadedObject {
    /// Kind, namespace and name.
    pub id: ObjectId,
    /// As written: `apps/v1`, `networking.istio.io/v1beta1`, …
    pub api_version: String,
    /// The typed object.
    pub object: Object,
    /// The whole object as JSON, as written (a Secret's values included).
    pub json: Json,
    pub(crate) document: Arc<Document>,
}

impl fmt::Debug for LoadedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoadedObject({} {})", self.api_version, self.id)
    }
}

impl LoadedObject {
    /// The place of the field `path` (`spec.replicas`), or of the nearest field above it that is written down.
    ///
    /// Places in a Secret are masked: showing them shows no line.
    pub fn at(&self, path: impl Into<FieldPath>) -> Option<Location> {
        self.mask(self.document.at(path))
    }

    /// The place of the field's name at `path`, or of the nearest field above it that is written down; masked in a Secret.
    pub fn at_key(&self, path: impl Into<FieldPath>) -> Option<Location> {
        self.mask(self.document.at_key(path))
    }

    /// Where the object begins.
    pub fn origin(&self) -> Option<Location> {
        self.at("metadata.name")
    }

    /// The value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.json.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// The object's tree with its places, which are not masked.
    pub fn document(&self) -> &Document {
        &self.document
    }

    fn mask(&self, place: Option<Location>) -> Option<Location> {
        if self.id.kind == "Secret" { place.map(Location::masked) } else { place }
    }
}
