//! The objects of the cluster: one type for all kinds that it stores, and the typed ones inside.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolumeClaim, Pod, PodSpec, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use malha_manifest::{LoadedObject, istio};
use serde_json::Value as Json;

use crate::codec;

/// An object of Istio: malha-manifest's typed `spec` with the metadata that every object has.
#[derive(Clone, Debug, PartialEq)]
pub struct Istio<S> {
    /// As written: `networking.istio.io/v1`, `…/v1beta1` and `…/v1alpha3` are the same object.
    pub api_version: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// The typed `spec`.
    pub spec: S,
    /// `spec` as written, also with the fields that the typed one does not know.
    pub json: Json,
}

/// `Gateway` of networking.istio.io.
pub type Gateway = Istio<istio::Gateway>;
/// `VirtualService` of networking.istio.io.
pub type VirtualService = Istio<istio::VirtualService>;
/// `DestinationRule` of networking.istio.io.
pub type DestinationRule = Istio<istio::DestinationRule>;
/// `ServiceEntry` of networking.istio.io.
pub type ServiceEntry = Istio<istio::ServiceEntry>;
/// `Sidecar` of networking.istio.io.
pub type Sidecar = Istio<istio::Sidecar>;
/// `PeerAuthentication` of security.istio.io.
pub type PeerAuthentication = Istio<istio::PeerAuthentication>;
/// `RequestAuthentication` of security.istio.io.
pub type RequestAuthentication = Istio<istio::RequestAuthentication>;
/// `AuthorizationPolicy` of security.istio.io.
pub type AuthorizationPolicy = Istio<istio::AuthorizationPolicy>;

/// A type that the store keeps.
pub trait Stored: Clone + PartialEq + Send + Sync + 'static {
    /// Its kind.
    const KIND: Kind;
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// Its metadata, to change.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
    /// As an [`Object`].
    fn into_object(self) -> Object;
    /// Out of an [`Object`] of this kind.
    fn of(object: &Object) -> Option<&Arc<Self>>;
}

macro_rules! kinds {
    ($($kind:ident $plural:literal $api:literal $scope:ident,)*) => {
        /// The kinds that the cluster stores.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "they are Kubernetes' and Istio's own names")]
        pub enum Kind { $($kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// As in URLs and error messages: `deployments.apps`.
            pub fn plural(self) -> &'static str {
                match self { $(Self::$kind => $plural,)* }
            }

            /// As manifests write it: `apps/v1`.
            pub fn api_version(self) -> &'static str {
                match self { $(Self::$kind => $api,)* }
            }

            /// Whether its objects belong to a namespace.
            pub fn namespaced(self) -> bool {
                match self { $(Self::$kind => kinds!(@scope $scope),)* }
            }

            /// The kind of this name.
            pub fn of(name: &str) -> Option<Self> {
                match name { $(stringify!($kind) => Some(Self::$kind),)* _ => None }
            }

            /// As manifests write it: `Deployment`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }
        }

        /// An object of any kind. Cloning is cheap: an object is never changed in place, only replaced.
        ///
        /// Objects hold secrets: `Debug` shows what an object is, not what is in it.
        #[derive(Clone, PartialEq)]
        #[expect(missing_docs, reason = "they are Kubernetes' and Istio's own names")]
        pub enum Object { $($kind(Arc<$kind>),)* }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Self::$kind(object) => &object.metadata,)* }
            }

            /// Its metadata, to change.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self { $(Self::$kind(object) => &mut Arc::make_mut(object).metadata,)* }
            }
        }

        $(impl Stored for $kind {
            const KIND: Kind = Kind::$kind;

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }

            fn into_object(self) -> Object {
                Object::$kind(Arc::new(self))
            }

            fn of(object: &Object) -> Option<&Arc<Self>> {
                match object { Object::$kind(object) => Some(object), _ => None }
            }
        })*
    };
    (@scope cluster) => { false };
    (@scope namespaced) => { true };
}

// In the order in which objects that are applied together have to be there, as `kubectl apply -k` sorts them.
kinds! {
    Namespace "namespaces" "v1" cluster,
    CustomResourceDefinition "customresourcedefinitions.apiextensions.k8s.io" "apiextensions.k8s.io/v1" cluster,
    Node "nodes" "v1" cluster,
    RuntimeClass "runtimeclasses.node.k8s.io" "node.k8s.io/v1" cluster,
    ServiceAccount "serviceaccounts" "v1" namespaced,
    ConfigMap "configmaps" "v1" namespaced,
    Secret "secrets" "v1" namespaced,
    PersistentVolumeClaim "persistentvolumeclaims" "v1" namespaced,
    Service "services" "v1" namespaced,
    Endpoints "endpoints" "v1" namespaced,
    EndpointSlice "endpointslices.discovery.k8s.io" "discovery.k8s.io/v1" namespaced,
    Deployment "deployments.apps" "apps/v1" namespaced,
    ReplicaSet "replicasets.apps" "apps/v1" namespaced,
    Pod "pods" "v1" namespaced,
    HorizontalPodAutoscaler "horizontalpodautoscalers.autoscaling" "autoscaling/v2" namespaced,
    PodDisruptionBudget "poddisruptionbudgets.policy" "policy/v1" namespaced,
    Gateway "gateways.networking.istio.io" "networking.istio.io/v1" namespaced,
    VirtualService "virtualservices.networking.istio.io" "networking.istio.io/v1" namespaced,
    DestinationRule "destinationrules.networking.istio.io" "networking.istio.io/v1" namespaced,
    ServiceEntry "serviceentries.networking.istio.io" "networking.istio.io/v1" namespaced,
    Sidecar "sidecars.networking.istio.io" "networking.istio.io/v1" namespaced,
    PeerAuthentication "peerauthentications.security.istio.io" "security.istio.io/v1" namespaced,
    RequestAuthentication "requestauthentications.security.istio.io" "security.istio.io/v1" namespaced,
    AuthorizationPolicy "authorizationpolicies.security.istio.io" "security.istio.io/v1" namespaced,
    Lease "leases.coordination.k8s.io" "coordination.k8s.io/v1" namespaced,
    Event "events" "v1" namespaced,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Object {
    /// What tells it from all others.
    pub fn key(&self) -> Key {
        let meta = self.metadata();
        let name = meta.name.clone().unwrap_or_default();
        if self.kind().namespaced() {
            let namespace = meta.namespace.clone().unwrap_or_else(|| "default".to_owned());
            Key { kind: self.kind(), namespace, name }
        } else {
            Key { kind: self.kind(), namespace: String::new(), name }
        }
    }

    /// The whole object as JSON, in the version that it was written in.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Namespace(object) => codec::plain(object.as_ref()),
            Self::CustomResourceDefinition(object) => codec::plain(object.as_ref()),
            Self::Node(object) => codec::plain(object.as_ref()),
            Self::RuntimeClass(object) => codec::plain(object.as_ref()),
            Self::ServiceAccount(object) => codec::plain(object.as_ref()),
            Self::ConfigMap(object) => codec::plain(object.as_ref()),
            Self::Secret(object) => codec::plain(object.as_ref()),
            Self::PersistentVolumeClaim(object) => codec::plain(object.as_ref()),
            Self::Service(object) => codec::plain(object.as_ref()),
            Self::Endpoints(object) => codec::plain(object.as_ref()),
            Self::EndpointSlice(object) => codec::plain(object.as_ref()),
            Self::Deployment(object) => codec::plain(object.as_ref()),
            Self::ReplicaSet(object) => codec::plain(object.as_ref()),
            Self::Pod(object) => codec::plain(object.as_ref()),
            Self::HorizontalPodAutoscaler(object) => codec::plain(object.as_ref()),
            Self::PodDisruptionBudget(object) => codec::plain(object.as_ref()),
            Self::Lease(object) => codec::plain(object.as_ref()),
            Self::Event(object) => codec::plain(object.as_ref()),
            Self::Gateway(object) => codec::istio(self.kind(), object),
            Self::VirtualService(object) => codec::istio(self.kind(), object),
            Self::DestinationRule(object) => codec::istio(self.kind(), object),
            Self::ServiceEntry(object) => codec::istio(self.kind(), object),
            Self::Sidecar(object) => codec::istio(self.kind(), object),
            Self::PeerAuthentication(object) => codec::istio(self.kind(), object),
            Self::RequestAuthentication(object) => codec::istio(self.kind(), object),
            Self::AuthorizationPolicy(object) => codec::istio(self.kind(), object),
        }
    }

    /// Whether what the user asks for is the same (`metadata.generation` counts its changes). Kinds without a `spec`
    /// have no generation.
    pub(crate) fn same_spec(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Deployment(a), Self::Deployment(b)) => a.spec == b.spec,
            (Self::ReplicaSet(a), Self::ReplicaSet(b)) => a.spec == b.spec,
            // Being bound to a node is no change of what is wanted.
            (Self::Pod(a), Self::Pod(b)) => {
                let unbound = |pod: &Pod| {
                    let node_name = None;
                    pod.spec.clone().map(|spec| PodSpec { node_name, ..spec })
                };
                a.spec == b.spec || unbound(a) == unbound(b)
            }
            (Self::PodDisruptionBudget(a), Self::PodDisruptionBudget(b)) => a.spec == b.spec,
            (Self::CustomResourceDefinition(a), Self::CustomResourceDefinition(b)) => a.spec == b.spec,
            (Self::Gateway(a), Self::Gateway(b)) => a.json == b.json,
            (Self::VirtualService(a), Self::VirtualService(b)) => a.json == b.json,
            (Self::DestinationRule(a), Self::DestinationRule(b)) => a.json == b.json,
            (Self::ServiceEntry(a), Self::ServiceEntry(b)) => a.json == b.json,
            (Self::Sidecar(a), Self::Sidecar(b)) => a.json == b.json,
            (Self::PeerAuthentication(a), Self::PeerAuthentication(b)) => a.json == b.json,
            (Self::RequestAuthentication(a), Self::RequestAuthentication(b)) => a.json == b.json,
            (Self::AuthorizationPolicy(a), Self::AuthorizationPolicy(b)) => a.json == b.json,
            _ => true,
        }
    }

    pub(crate) fn has_generation(&self) -> bool {
        matches!(
            self,
            Self::Deployment(_)
                | Self::ReplicaSet(_)
                | Self::Pod(_)
                | Self::PodDisruptionBudget(_)
                | Self::CustomResourceDefinition(_)
                | Self::Gateway(_)
                | Self::VirtualService(_)
                | Self::DestinationRule(_)
                | Self::ServiceEntry(_)
                | Self::Sidecar(_)
                | Self::PeerAuthentication(_)
                | Self::RequestAuthentication(_)
                | Self::AuthorizationPolicy(_)
        )
    }

    /// Takes over the status of another object of the kind. Kinds without one have nothing to take over.
    pub(crate) fn keep_status(&mut self, other: &Self) {
        match (self, other) {
            (Self::Namespace(a), Self::Namespace(b)) => Arc::make_mut(a).status.clone_from(&b.status),
            (Self::Node(a), Self::Node(b)) => Arc::make_mut(a).status.clone_from(&b.status),
            (Self::Service(a), Self::Service(b)) => Arc::make_mut(a).status.clone_from(&b.status),
            (Self::Pod(a), Self::Pod(b)) => Arc::make_mut(a).status.clone_from(&b.status),
            (Self::Deployment(a), Self::Deployment(b)) => Arc::make_mut(a).status.clone_from(&b.status),
            (Self::ReplicaSet(a), Self::ReplicaSet(b)) => Arc::make_mut(a).status.clone_from(&b.status),
            (Self::HorizontalPodAutoscaler(a), Self::HorizontalPodAutoscaler(b)) => {
                Arc::make_mut(a).status.clone_from(&b.status);
            }
            (Self::PodDisruptionBudget(a), Self::PodDisruptionBudget(b)) => {
                Arc::make_mut(a).status.clone_from(&b.status);
            }
            (Self::CustomResourceDefinition(a), Self::CustomResourceDefinition(b)) => {
                Arc::make_mut(a).status.clone_from(&b.status);
            }
            _ => {}
        }
    }

    /// Forgets the status: a new object has none yet.
    pub(crate) fn clear_status(&mut self) {
        match self {
            Self::Namespace(object) => Arc::make_mut(object).status = None,
            Self::Node(object) => Arc::make_mut(object).status = None,
            Self::Service(object) => Arc::make_mut(object).status = None,
            Self::Pod(object) => Arc::make_mut(object).status = None,
            Self::Deployment(object) => Arc::make_mut(object).status = None,
            Self::ReplicaSet(object) => Arc::make_mut(object).status = None,
            Self::HorizontalPodAutoscaler(object) => Arc::make_mut(object).status = None,
            Self::PodDisruptionBudget(object) => Arc::make_mut(object).status = None,
            _ => {}
        }
    }

    /// Sets an annotation.
    pub fn annotate(&mut self, name: &str, value: impl Into<String>) {
        self.metadata_mut().annotations.get_or_insert_default().insert(name.to_owned(), value.into());
    }

    /// The uid that the store gave; empty before.
    pub(crate) fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// The owner whose controller made it.
    pub(crate) fn controller(&self) -> Option<&OwnerReference> {
        self.metadata().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.metadata().resource_version.as_deref().unwrap_or("not stored");
        write!(f, "{} ({version})", self.key())
    }
}

/// What tells an object from all others. Ordered by kind, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for kinds that belong to the whole cluster.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Key {
    /// The key of `name`, in `namespace` where the kind has one.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        let namespace = if kind.namespaced() { namespace.into() } else { String::new() };
        Self { kind, namespace, name: name.into() }
    }
}

impl fmt::Display for Key {
    /// As malha-manifest shows it: `Deployment posts-deployment`, with the namespace where it is not `default`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" | "default" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl From<LoadedObject> for Object {
    fn from(loaded: LoadedObject) -> Self {
        use malha_manifest::Object as Manifest;
        let LoadedObject { id, api_version, object, json, .. } = loaded;
        let mut object = match object {
            Manifest::Namespace(object) => object.into_object(),
            Manifest::ConfigMap(object) => object.into_object(),
            Manifest::Secret(object) => object.into_object(),
            Manifest::Service(object) => object.into_object(),
            Manifest::ServiceAccount(object) => object.into_object(),
            Manifest::PersistentVolumeClaim(object) => object.into_object(),
            Manifest::Deployment(object) => object.into_object(),
            Manifest::HorizontalPodAutoscaler(object) => object.into_object(),
            Manifest::PodDisruptionBudget(object) => object.into_object(),
            Manifest::RuntimeClass(object) => object.into_object(),
            Manifest::Gateway(spec) => istio_object(api_version, spec, json).into_object(),
            Manifest::VirtualService(spec) => istio_object(api_version, spec, json).into_object(),
            Manifest::DestinationRule(spec) => istio_object(api_version, spec, json).into_object(),
            Manifest::ServiceEntry(spec) => istio_object(api_version, spec, json).into_object(),
            Manifest::Sidecar(spec) => istio_object(api_version, spec, json).into_object(),
            Manifest::PeerAuthentication(spec) => istio_object(api_version, spec, json).into_object(),
            Manifest::RequestAuthentication(spec) => istio_object(api_version, spec, json).into_object(),
            Manifest::AuthorizationPolicy(spec) => istio_object(api_version, spec, json).into_object(),
        };
        let meta = object.metadata_mut();
        meta.name = Some(id.name);
        meta.namespace = id.namespace;
        object
    }
}

fn istio_object<S>(api_version: String, spec: S, mut json: Json) -> Istio<S> {
    // malha-manifest has checked the metadata; what it let pass and Kubernetes' type does not take is not there.
    let metadata = serde_json::from_value(json["metadata"].take()).unwrap_or_default();
    Istio { api_version, metadata, spec, json: json["spec"].take() }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::secret;

    use super::*;

    #[test]
    fn what_is_printed_for_debugging_shows_no_secret() {
        let object = secret("jwt-keys", &[("private.pem", "hunter2")]).into_object();
        assert_eq!(format!("{object:?}"), "Secret jwt-keys (not stored)");
    }

    #[test]
    fn istio_objects_bring_their_metadata_along() {
        let yaml = "
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: g, namespace: shop, labels: {a: b}}
spec: {selector: {istio: ingressgateway}, servers: []}";
        let loaded = malha_manifest::parse_manifests("g.yml", yaml).objects;
        for object in loaded {
            let object = Object::from(object);
            assert_eq!(object.key(), Key::new(Kind::Gateway, "shop", "g"));
            let Object::Gateway(gateway) = object else { panic!("a gateway") };
            assert_eq!(gateway.metadata.labels.as_ref().unwrap()["a"], "b");
            assert_eq!(gateway.api_version, "networking.istio.io/v1beta1");
            assert_eq!(gateway.json["selector"]["istio"], "ingressgateway");
        }
    }

    #[test]
    fn every_kind_of_istio_is_stored_and_counts_its_changes() {
        let gateway = "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]}";
        let route = "{hosts: [a], http: [{directResponse: {status: 200}}]}";
        for (group, kind, plural, spec, other) in [
            ("networking", "Gateway", "gateways", gateway, gateway.replace("80", "81").as_str()),
            ("networking", "VirtualService", "virtualservices", route, route.replace("200", "404").as_str()),
            ("networking", "DestinationRule", "destinationrules", "{host: a}", "{host: b}"),
            ("networking", "ServiceEntry", "serviceentries", "{hosts: [a.b]}", "{hosts: [b.c]}"),
            ("networking", "Sidecar", "sidecars", "{outboundTrafficPolicy: {}}", "{egress: [{hosts: ['./*']}]}"),
            ("security", "PeerAuthentication", "peerauthentications", "{}", "{mtls: {mode: STRICT}}"),
            ("security", "RequestAuthentication", "requestauthentications", "{}", "{jwtRules: [{issuer: a}]}"),
            ("security", "AuthorizationPolicy", "authorizationpolicies", "{}", "{rules: [{}]}"),
        ] {
            let stored = |spec: &str| {
                let text = format!(
                    "apiVersion: {group}.istio.io/v1beta1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n"
                );
                let loaded = malha_manifest::parse_manifests("a.yml", &text);
                Object::from(loaded.objects.into_iter().next().expect(kind))
            };
            let object = stored(spec);
            assert_eq!(Some(object.kind()), Kind::of(kind));
            assert_eq!(object.kind().plural(), format!("{plural}.{group}.istio.io"));
            assert_eq!(object.kind().api_version(), format!("{group}.istio.io/v1"));
            assert!(object.has_generation(), "{kind}");
            assert!(object.same_spec(&stored(spec)), "{kind}");
            assert!(!object.same_spec(&stored(other)), "{kind}");
        }
    }
}
