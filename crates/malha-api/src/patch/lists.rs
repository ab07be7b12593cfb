//! How lists and maps of the served types merge: the one table of it.
//!
//! Facts from Kubernetes v1.34: the markers and tags of `k8s.io/api` (`types.go`: `+listType`, `+listMapKey`, `+mapType`,
//! `patchStrategy`, `patchMergeKey`), which become the `x-kubernetes-*` extensions of `api/openapi-spec/swagger.json`. The key
//! of the table is the type's name there. A list without a row is atomic to server-side apply and replaced by a patch.

use serde_json::Value;

/// What `x-kubernetes-list-type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Changes hands as a whole.
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects, told apart by these fields: `x-kubernetes-list-map-keys`.
    Map(&'static [&'static str]),
}

/// What Kubernetes says of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `x-kubernetes-list-type`, where it is written.
    pub list: Option<List>,
    /// `x-kubernetes-map-type: atomic` on the field.
    pub atomic_map: bool,
    /// `x-kubernetes-patch-strategy`: `merge`, `retainKeys`, or both with a comma.
    pub strategy: Option<&'static str>,
    /// `x-kubernetes-patch-merge-key`; sets of scalars have none.
    pub merge_key: Option<&'static str>,
}

const NONE: Rule = Rule { list: None, atomic_map: false, strategy: None, merge_key: None };
const ATOMIC: Rule = Rule { list: Some(List::Atomic), ..NONE };
const SET: Rule = Rule { list: Some(List::Set), ..NONE };
const ATOMIC_MAP: Rule = Rule { atomic_map: true, ..NONE };

const fn by(keys: &'static [&'static str]) -> Rule {
    Rule { list: Some(List::Map(keys)), ..NONE }
}

impl Rule {
    const fn merge(self, key: &'static str) -> Self {
        Self { strategy: Some("merge"), merge_key: if key.is_empty() { None } else { Some(key) }, ..self }
    }

    const fn merge_retaining(self, key: &'static str) -> Self {
        Self { strategy: Some("merge,retainKeys"), ..self.merge(key) }
    }

    const fn retain_keys(self) -> Self {
        Self { strategy: Some("retainKeys"), ..self }
    }

    /// The strategy of a strategic merge patch without `retainKeys`, which only says what clients send.
    pub fn merges(&self) -> bool {
        self.strategy.is_some_and(|strategy| strategy.split(',').any(|part| part == "merge"))
    }

    /// The extensions of a schema that say the same, in the order of their names.
    pub fn extensions(&self) -> Vec<(&'static str, Value)> {
        let mut extensions = Vec::new();
        match self.list {
            Some(List::Map(keys)) => {
                extensions.push(("x-kubernetes-list-map-keys", Value::from(keys)));
                extensions.push(("x-kubernetes-list-type", "map".into()));
            }
            Some(List::Set) => extensions.push(("x-kubernetes-list-type", "set".into())),
            Some(List::Atomic) => extensions.push(("x-kubernetes-list-type", "atomic".into())),
            None => {}
        }
        if self.atomic_map {
            extensions.push(("x-kubernetes-map-type", "atomic".into()));
        }
        if let Some(key) = self.merge_key {
            extensions.push(("x-kubernetes-patch-merge-key", key.into()));
        }
        if let Some(strategy) = self.strategy {
            extensions.push(("x-kubernetes-patch-strategy", strategy.into()));
        }
        extensions
    }
}

/// What is said of a field of a type: `("io.k8s.api.core.v1.PodSpec", "containers")`.
pub fn rule(of: &str, field: &str) -> Option<&'static Rule> {
    let at = RULES.binary_search_by_key(&of, |row| row.0).ok()?;
    RULES[at].1.iter().find(|row| row.0 == field).map(|row| &row.1)
}

/// Whether objects of a type change hands as a whole: `x-kubernetes-map-type: atomic` on the type.
pub fn atomic(of: &str) -> bool {
    ATOMIC_TYPES.contains(&of)
}

/// What the key of a list has where an item leaves it out, to server-side apply.
///
/// Only defaults that Kubernetes' schemas declare: `protocol` and, since Go writes fields that may not be missing even when they are
/// empty, the keys that a valid item always has.
pub fn key_default(of: &str, field: &str) -> Option<Value> {
    match (of, field) {
        ("io.k8s.api.core.v1.ContainerPort" | "io.k8s.api.core.v1.ServicePort", "protocol") => Some("TCP".into()),
        ("io.k8s.api.core.v1.ContainerPort", "containerPort") | ("io.k8s.api.core.v1.ServicePort", "port") => {
            Some(0.into())
        }
        ("io.k8s.api.core.v1.ObjectReference", _) => None,
        _ => Some("".into()),
    }
}

/// What Go writes of a type even when it is empty: structs as `{}`, lists as `null`.
///
/// It is why a real cluster shows `resources: {}`, and why the manager of a new Deployment does not own `f:spec` itself but
/// what is in it: it was there before.
pub(super) fn always(of: &str) -> (&'static [&'static str], &'static [&'static str]) {
    ALWAYS.binary_search_by_key(&of, |row| row.0).map_or((&[], &[]), |at| (ALWAYS[at].1, ALWAYS[at].2))
}

/// Every type of which something is said, with its fields. Sorted by type.
pub const RULES: &[(&str, &[(&str, Rule)])] = &[
    ("io.k8s.api.apps.v1.DeploymentSpec", &[("strategy", NONE.retain_keys())]),
    ("io.k8s.api.apps.v1.DeploymentStatus", &[("conditions", by(&["type"]).merge("type"))]),
    ("io.k8s.api.apps.v1.ReplicaSetStatus", &[("conditions", by(&["type"]).merge("type"))]),
    ("io.k8s.api.autoscaling.v2.HPAScalingRules", &[("policies", ATOMIC)]),
    ("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", &[("metrics", ATOMIC)]),
    (
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus",
        &[("conditions", by(&["type"]).merge("type")), ("currentMetrics", ATOMIC)],
    ),
    ("io.k8s.api.core.v1.Capabilities", &[("add", ATOMIC), ("drop", ATOMIC)]),
    ("io.k8s.api.core.v1.CephFSVolumeSource", &[("monitors", ATOMIC)]),
    ("io.k8s.api.core.v1.ConfigMapProjection", &[("items", ATOMIC)]),
    ("io.k8s.api.core.v1.ConfigMapVolumeSource", &[("items", ATOMIC)]),
    (
        "io.k8s.api.core.v1.Container",
        &[
            ("args", ATOMIC),
            ("command", ATOMIC),
            ("env", by(&["name"]).merge("name")),
            ("envFrom", ATOMIC),
            ("ports", by(&["containerPort", "protocol"]).merge("containerPort")),
            ("resizePolicy", ATOMIC),
            ("restartPolicyRules", ATOMIC),
            ("volumeDevices", by(&["devicePath"]).merge("devicePath")),
            ("volumeMounts", by(&["mountPath"]).merge("mountPath")),
        ],
    ),
    ("io.k8s.api.core.v1.ContainerImage", &[("names", ATOMIC)]),
    ("io.k8s.api.core.v1.ContainerRestartRuleOnExitCodes", &[("values", SET)]),
    (
        "io.k8s.api.core.v1.ContainerStatus",
        &[
            ("allocatedResourcesStatus", by(&["name"]).merge("name")),
            ("volumeMounts", by(&["mountPath"]).merge("mountPath")),
        ],
    ),
    ("io.k8s.api.core.v1.DownwardAPIProjection", &[("items", ATOMIC)]),
    ("io.k8s.api.core.v1.DownwardAPIVolumeSource", &[("items", ATOMIC)]),
    ("io.k8s.api.core.v1.EndpointSubset", &[("addresses", ATOMIC), ("notReadyAddresses", ATOMIC), ("ports", ATOMIC)]),
    ("io.k8s.api.core.v1.Endpoints", &[("subsets", ATOMIC)]),
    (
        "io.k8s.api.core.v1.EphemeralContainer",
        &[
            ("args", ATOMIC),
            ("command", ATOMIC),
            ("env", by(&["name"]).merge("name")),
            ("envFrom", ATOMIC),
            ("ports", by(&["containerPort", "protocol"]).merge("containerPort")),
            ("resizePolicy", ATOMIC),
            ("restartPolicyRules", ATOMIC),
            ("volumeDevices", by(&["devicePath"]).merge("devicePath")),
            ("volumeMounts", by(&["mountPath"]).merge("mountPath")),
        ],
    ),
    ("io.k8s.api.core.v1.ExecAction", &[("command", ATOMIC)]),
    ("io.k8s.api.core.v1.FCVolumeSource", &[("targetWWNs", ATOMIC), ("wwids", ATOMIC)]),
    ("io.k8s.api.core.v1.HTTPGetAction", &[("httpHeaders", ATOMIC)]),
    ("io.k8s.api.core.v1.HostAlias", &[("hostnames", ATOMIC)]),
    ("io.k8s.api.core.v1.ISCSIVolumeSource", &[("portals", ATOMIC)]),
    ("io.k8s.api.core.v1.LinuxContainerUser", &[("supplementalGroups", ATOMIC)]),
    ("io.k8s.api.core.v1.LoadBalancerIngress", &[("ports", ATOMIC)]),
    ("io.k8s.api.core.v1.LoadBalancerStatus", &[("ingress", ATOMIC)]),
    ("io.k8s.api.core.v1.NamespaceSpec", &[("finalizers", ATOMIC)]),
    ("io.k8s.api.core.v1.NamespaceStatus", &[("conditions", by(&["type"]).merge("type"))]),
    ("io.k8s.api.core.v1.NodeAffinity", &[("preferredDuringSchedulingIgnoredDuringExecution", ATOMIC)]),
    ("io.k8s.api.core.v1.NodeSelector", &[("nodeSelectorTerms", ATOMIC)]),
    ("io.k8s.api.core.v1.NodeSelectorRequirement", &[("values", ATOMIC)]),
    ("io.k8s.api.core.v1.NodeSelectorTerm", &[("matchExpressions", ATOMIC), ("matchFields", ATOMIC)]),
    ("io.k8s.api.core.v1.NodeSpec", &[("podCIDRs", SET.merge("")), ("taints", ATOMIC)]),
    (
        "io.k8s.api.core.v1.NodeStatus",
        &[
            ("addresses", by(&["type"]).merge("type")),
            ("conditions", by(&["type"]).merge("type")),
            ("images", ATOMIC),
            ("runtimeHandlers", ATOMIC),
            ("volumesAttached", ATOMIC),
            ("volumesInUse", ATOMIC),
        ],
    ),
    ("io.k8s.api.core.v1.PersistentVolumeClaimSpec", &[("accessModes", ATOMIC)]),
    (
        "io.k8s.api.core.v1.PersistentVolumeClaimStatus",
        &[("accessModes", ATOMIC), ("conditions", by(&["type"]).merge("type"))],
    ),
    (
        "io.k8s.api.core.v1.PodAffinity",
        &[
            ("preferredDuringSchedulingIgnoredDuringExecution", ATOMIC),
            ("requiredDuringSchedulingIgnoredDuringExecution", ATOMIC),
        ],
    ),
    (
        "io.k8s.api.core.v1.PodAffinityTerm",
        &[("matchLabelKeys", ATOMIC), ("mismatchLabelKeys", ATOMIC), ("namespaces", ATOMIC)],
    ),
    (
        "io.k8s.api.core.v1.PodAntiAffinity",
        &[
            ("preferredDuringSchedulingIgnoredDuringExecution", ATOMIC),
            ("requiredDuringSchedulingIgnoredDuringExecution", ATOMIC),
        ],
    ),
    ("io.k8s.api.core.v1.PodDNSConfig", &[("nameservers", ATOMIC), ("options", ATOMIC), ("searches", ATOMIC)]),
    ("io.k8s.api.core.v1.PodExtendedResourceClaimStatus", &[("requestMappings", ATOMIC)]),
    ("io.k8s.api.core.v1.PodSecurityContext", &[("supplementalGroups", ATOMIC), ("sysctls", ATOMIC)]),
    (
        "io.k8s.api.core.v1.PodSpec",
        &[
            ("containers", by(&["name"]).merge("name")),
            ("ephemeralContainers", by(&["name"]).merge("name")),
            ("hostAliases", by(&["ip"]).merge("ip")),
            ("imagePullSecrets", by(&["name"]).merge("name")),
            ("initContainers", by(&["name"]).merge("name")),
            ("nodeSelector", ATOMIC_MAP),
            ("readinessGates", ATOMIC),
            ("resourceClaims", by(&["name"]).merge_retaining("name")),
            ("schedulingGates", by(&["name"]).merge("name")),
            ("tolerations", ATOMIC),
            ("topologySpreadConstraints", by(&["topologyKey", "whenUnsatisfiable"]).merge("topologyKey")),
            ("volumes", by(&["name"]).merge_retaining("name")),
        ],
    ),
    (
        "io.k8s.api.core.v1.PodStatus",
        &[
            ("conditions", by(&["type"]).merge("type")),
            ("containerStatuses", ATOMIC),
            ("ephemeralContainerStatuses", ATOMIC),
            ("hostIPs", ATOMIC.merge("ip")),
            ("initContainerStatuses", ATOMIC),
            ("podIPs", by(&["ip"]).merge("ip")),
            ("resourceClaimStatuses", by(&["name"]).merge_retaining("name")),
        ],
    ),
    ("io.k8s.api.core.v1.ProjectedVolumeSource", &[("sources", ATOMIC)]),
    ("io.k8s.api.core.v1.RBDVolumeSource", &[("monitors", ATOMIC)]),
    ("io.k8s.api.core.v1.ResourceRequirements", &[("claims", by(&["name"]))]),
    ("io.k8s.api.core.v1.ResourceStatus", &[("resources", by(&["resourceID"]))]),
    ("io.k8s.api.core.v1.SecretProjection", &[("items", ATOMIC)]),
    ("io.k8s.api.core.v1.SecretVolumeSource", &[("items", ATOMIC)]),
    ("io.k8s.api.core.v1.ServiceAccount", &[("imagePullSecrets", ATOMIC), ("secrets", by(&["name"]).merge("name"))]),
    (
        "io.k8s.api.core.v1.ServiceSpec",
        &[
            ("clusterIPs", ATOMIC),
            ("externalIPs", ATOMIC),
            ("ipFamilies", ATOMIC),
            ("loadBalancerSourceRanges", ATOMIC),
            ("ports", by(&["port", "protocol"]).merge("port")),
            ("selector", ATOMIC_MAP),
        ],
    ),
    ("io.k8s.api.core.v1.ServiceStatus", &[("conditions", by(&["type"]).merge("type"))]),
    ("io.k8s.api.core.v1.TopologySpreadConstraint", &[("matchLabelKeys", ATOMIC)]),
    ("io.k8s.api.discovery.v1.Endpoint", &[("addresses", SET)]),
    ("io.k8s.api.discovery.v1.EndpointHints", &[("forNodes", ATOMIC), ("forZones", ATOMIC)]),
    ("io.k8s.api.discovery.v1.EndpointSlice", &[("endpoints", ATOMIC), ("ports", ATOMIC)]),
    ("io.k8s.api.node.v1.Scheduling", &[("nodeSelector", ATOMIC_MAP), ("tolerations", ATOMIC)]),
    ("io.k8s.api.policy.v1.PodDisruptionBudgetStatus", &[("conditions", by(&["type"]).merge("type"))]),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionNames",
        &[("categories", ATOMIC), ("shortNames", ATOMIC)],
    ),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec", &[("versions", ATOMIC)]),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        &[("conditions", by(&["type"])), ("storedVersions", ATOMIC)],
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion",
        &[("additionalPrinterColumns", ATOMIC), ("selectableFields", ATOMIC)],
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
        &[
            ("allOf", ATOMIC),
            ("anyOf", ATOMIC),
            ("enum", ATOMIC),
            ("oneOf", ATOMIC),
            ("required", ATOMIC),
            ("x-kubernetes-list-map-keys", ATOMIC),
            ("x-kubernetes-validations", by(&["rule"]).merge("rule")),
        ],
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookConversion",
        &[("conversionReviewVersions", ATOMIC)],
    ),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", &[("matchExpressions", ATOMIC)]),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement", &[("values", ATOMIC)]),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
        &[("finalizers", SET.merge("")), ("managedFields", ATOMIC), ("ownerReferences", by(&["uid"]).merge("uid"))],
    ),
];

/// Types that are atomic wherever they are.
pub const ATOMIC_TYPES: &[&str] = &[
    "io.k8s.api.autoscaling.v1.CrossVersionObjectReference",
    "io.k8s.api.core.v1.ConfigMapKeySelector",
    "io.k8s.api.core.v1.EndpointAddress",
    "io.k8s.api.core.v1.EndpointPort",
    "io.k8s.api.core.v1.FileKeySelector",
    "io.k8s.api.core.v1.LocalObjectReference",
    "io.k8s.api.core.v1.NodeSelector",
    "io.k8s.api.core.v1.NodeSelectorTerm",
    "io.k8s.api.core.v1.ObjectFieldSelector",
    "io.k8s.api.core.v1.ObjectReference",
    "io.k8s.api.core.v1.ResourceFieldSelector",
    "io.k8s.api.core.v1.SecretKeySelector",
    "io.k8s.api.core.v1.TypedLocalObjectReference",
    "io.k8s.api.discovery.v1.EndpointPort",
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
];

/// A type, its fields that are structs, and its fields that are lists.
type Always = (&'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const ALWAYS: &[Always] = &[
    ("io.k8s.api.apps.v1.Deployment", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.apps.v1.DeploymentSpec", &["strategy", "template"], &[]),
    ("io.k8s.api.apps.v1.ReplicaSet", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.apps.v1.ReplicaSetSpec", &["template"], &[]),
    ("io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerSpec", &["scaleTargetRef"], &[]),
    ("io.k8s.api.autoscaling.v2.ContainerResourceMetricSource", &["target"], &[]),
    ("io.k8s.api.autoscaling.v2.ContainerResourceMetricStatus", &["current"], &[]),
    ("io.k8s.api.autoscaling.v2.ExternalMetricSource", &["metric", "target"], &[]),
    ("io.k8s.api.autoscaling.v2.ExternalMetricStatus", &["current", "metric"], &[]),
    ("io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", &["scaleTargetRef"], &[]),
    ("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus", &[], &["currentMetrics"]),
    ("io.k8s.api.autoscaling.v2.ObjectMetricSource", &["describedObject", "metric", "target"], &[]),
    ("io.k8s.api.autoscaling.v2.ObjectMetricStatus", &["current", "describedObject", "metric"], &[]),
    ("io.k8s.api.autoscaling.v2.PodsMetricSource", &["metric", "target"], &[]),
    ("io.k8s.api.autoscaling.v2.PodsMetricStatus", &["current", "metric"], &[]),
    ("io.k8s.api.autoscaling.v2.ResourceMetricSource", &["target"], &[]),
    ("io.k8s.api.autoscaling.v2.ResourceMetricStatus", &["current"], &[]),
    ("io.k8s.api.coordination.v1.Lease", &["metadata", "spec"], &[]),
    ("io.k8s.api.core.v1.CephFSVolumeSource", &[], &["monitors"]),
    ("io.k8s.api.core.v1.ConfigMap", &["metadata"], &[]),
    ("io.k8s.api.core.v1.Container", &["resources"], &[]),
    ("io.k8s.api.core.v1.ContainerImage", &[], &["names"]),
    ("io.k8s.api.core.v1.ContainerStatus", &["lastState", "state"], &[]),
    ("io.k8s.api.core.v1.Endpoints", &["metadata"], &[]),
    ("io.k8s.api.core.v1.EphemeralContainer", &["resources"], &[]),
    ("io.k8s.api.core.v1.Event", &["involvedObject", "metadata", "source"], &[]),
    ("io.k8s.api.core.v1.Namespace", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.core.v1.Node", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.core.v1.NodeDaemonEndpoints", &["kubeletEndpoint"], &[]),
    ("io.k8s.api.core.v1.NodeSelector", &[], &["nodeSelectorTerms"]),
    ("io.k8s.api.core.v1.NodeStatus", &["daemonEndpoints", "nodeInfo"], &[]),
    ("io.k8s.api.core.v1.PersistentVolumeClaim", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.core.v1.PersistentVolumeClaimSpec", &["resources"], &[]),
    ("io.k8s.api.core.v1.PersistentVolumeClaimTemplate", &["metadata", "spec"], &[]),
    ("io.k8s.api.core.v1.Pod", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.core.v1.PodExtendedResourceClaimStatus", &[], &["requestMappings"]),
    ("io.k8s.api.core.v1.PodSpec", &[], &["containers"]),
    ("io.k8s.api.core.v1.PodTemplateSpec", &["metadata", "spec"], &[]),
    ("io.k8s.api.core.v1.PreferredSchedulingTerm", &["preference"], &[]),
    ("io.k8s.api.core.v1.ProjectedVolumeSource", &[], &["sources"]),
    ("io.k8s.api.core.v1.RBDVolumeSource", &[], &["monitors"]),
    ("io.k8s.api.core.v1.Secret", &["metadata"], &[]),
    ("io.k8s.api.core.v1.Service", &["metadata", "spec", "status"], &[]),
    ("io.k8s.api.core.v1.ServiceAccount", &["metadata"], &[]),
    ("io.k8s.api.core.v1.ServiceStatus", &["loadBalancer"], &[]),
    ("io.k8s.api.core.v1.WeightedPodAffinityTerm", &["podAffinityTerm"], &[]),
    ("io.k8s.api.discovery.v1.Endpoint", &["conditions"], &["addresses"]),
    ("io.k8s.api.discovery.v1.EndpointSlice", &["metadata"], &["endpoints", "ports"]),
    ("io.k8s.api.node.v1.RuntimeClass", &["metadata"], &[]),
    ("io.k8s.api.policy.v1.PodDisruptionBudget", &["metadata", "spec", "status"], &[]),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition", &["metadata", "spec", "status"], &[]),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec", &["names"], &["versions"]),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", &["acceptedNames"], &["conditions", "storedVersions"]),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookConversion", &[], &["conversionReviewVersions"]),
];
