//! What the API calls each kind: its group and versions, its names in URLs and on kubectl's command line, its subresources.
//!
//! From Kubernetes' `pkg/registry` (short names, categories) and Istio's CRDs (`manifests/charts/base`).

use crate::object::Kind;

/// A kind as the API serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What its objects are.
    pub kind: Kind,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Versions under which the same objects are served, the preferred one first.
    pub versions: &'static [&'static str],
    /// In URLs: `deployments`.
    pub plural: &'static str,
    /// On the command line: `deployment`.
    pub singular: &'static str,
    /// On the command line: `deploy`.
    pub short_names: &'static [&'static str],
    /// Of which `kubectl get CATEGORY` shows it.
    pub categories: &'static [&'static str],
    /// Below the object's URL: `status`, `scale`, `log`.
    pub subresources: &'static [&'static str],
}

const V1: &[&str] = &["v1"];
const V2_V1: &[&str] = &["v2", "v1"];
const NETWORKING: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const SECURITY: &[&str] = &["v1", "v1beta1"];
const NONE: &[&str] = &[];
const ALL: &[&str] = &["all"];
const EXTENSIONS: &[&str] = &["api-extensions"];
const ISTIO: &[&str] = &["istio-io", "networking-istio-io"];
const ISTIO_SECURITY: &[&str] = &["istio-io", "security-istio-io"];
const STATUS: &[&str] = &["status"];
const SCALED: &[&str] = &["scale", "status"];
const POD: &[&str] = &["attach", "eviction", "exec", "log", "portforward", "status"];

macro_rules! resources {
    ($($kind:ident $group:literal $versions:ident $plural:literal $singular:literal $short:expr, $categories:ident $sub:ident;)*) => {
        &[$(Resource {
            kind: Kind::$kind,
            group: $group,
            versions: $versions,
            plural: $plural,
            singular: $singular,
            short_names: &$short,
            categories: $categories,
            subresources: $sub,
        },)*]
    };
}

/// Every kind that is served and stored.
pub const RESOURCES: &[Resource] = resources! {
    Namespace "" V1 "namespaces" "namespace" ["ns"], NONE STATUS;
    Node "" V1 "nodes" "node" ["no"], NONE STATUS;
    ServiceAccount "" V1 "serviceaccounts" "serviceaccount" ["sa"], NONE NONE;
    ConfigMap "" V1 "configmaps" "configmap" ["cm"], NONE NONE;
    Secret "" V1 "secrets" "secret" [], NONE NONE;
    PersistentVolumeClaim "" V1 "persistentvolumeclaims" "persistentvolumeclaim" ["pvc"], NONE STATUS;
    Service "" V1 "services" "service" ["svc"], ALL STATUS;
    Endpoints "" V1 "endpoints" "endpoints" ["ep"], NONE NONE;
    Pod "" V1 "pods" "pod" ["po"], ALL POD;
    Event "" V1 "events" "event" ["ev"], NONE NONE;
    Deployment "apps" V1 "deployments" "deployment" ["deploy"], ALL SCALED;
    ReplicaSet "apps" V1 "replicasets" "replicaset" ["rs"], ALL SCALED;
    HorizontalPodAutoscaler "autoscaling" V2_V1 "horizontalpodautoscalers" "horizontalpodautoscaler" ["hpa"], ALL STATUS;
    PodDisruptionBudget "policy" V1 "poddisruptionbudgets" "poddisruptionbudget" ["pdb"], NONE STATUS;
    EndpointSlice "discovery.k8s.io" V1 "endpointslices" "endpointslice" [], NONE NONE;
    Lease "coordination.k8s.io" V1 "leases" "lease" [], NONE NONE;
    RuntimeClass "node.k8s.io" V1 "runtimeclasses" "runtimeclass" [], NONE NONE;
    CustomResourceDefinition "apiextensions.k8s.io" V1 "customresourcedefinitions" "customresourcedefinition" ["crd", "crds"],
        EXTENSIONS STATUS;
    Gateway "networking.istio.io" NETWORKING "gateways" "gateway" ["gw"], ISTIO STATUS;
    VirtualService "networking.istio.io" NETWORKING "virtualservices" "virtualservice" ["vs"], ISTIO STATUS;
    DestinationRule "networking.istio.io" NETWORKING "destinationrules" "destinationrule" ["dr"], ISTIO STATUS;
    ServiceEntry "networking.istio.io" NETWORKING "serviceentries" "serviceentry" ["se"], ISTIO STATUS;
    Sidecar "networking.istio.io" NETWORKING "sidecars" "sidecar" [], ISTIO STATUS;
    PeerAuthentication "security.istio.io" SECURITY "peerauthentications" "peerauthentication" ["pa"], ISTIO_SECURITY STATUS;
    RequestAuthentication "security.istio.io" SECURITY "requestauthentications" "requestauthentication" ["ra"],
        ISTIO_SECURITY STATUS;
    AuthorizationPolicy "security.istio.io" SECURITY "authorizationpolicies" "authorizationpolicy" ["ap"], ISTIO_SECURITY STATUS;
};

impl Resource {
    /// The resource of a kind.
    pub fn of(kind: Kind) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| resource.kind == kind)
    }

    /// The resource at a URL: group, version and plural.
    pub fn at(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| {
            resource.group == group && resource.plural == plural && resource.versions.contains(&version)
        })
    }

    /// The resource of a group and plural, as a definition names it.
    pub fn named(group: &str, plural: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| resource.group == group && resource.plural == plural)
    }

    /// As manifests write it: `v1`, `apps/v1`.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_row_that_says_what_the_kind_says() {
        assert_eq!(RESOURCES.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let resource = Resource::of(*kind).unwrap_or_else(|| panic!("{kind}"));
            let qualified = match resource.group {
                "" => resource.plural.to_owned(),
                group => format!("{}.{group}", resource.plural),
            };
            assert_eq!(qualified, kind.plural());
            assert_eq!(resource.api_version(resource.versions[0]), kind.api_version());
            assert_eq!(resource.singular, kind.name().to_lowercase());
        }
    }

    #[test]
    fn a_url_finds_its_resource_in_every_version_that_is_served() {
        let kind = |group, version, plural| Resource::at(group, version, plural).map(|resource| resource.kind);
        assert_eq!(kind("", "v1", "pods"), Some(Kind::Pod));
        assert_eq!(kind("networking.istio.io", "v1alpha3", "virtualservices"), Some(Kind::VirtualService));
        assert_eq!(kind("apps", "v1beta1", "deployments"), None);
    }
}
